"""``doctor``: what is installed, which key is sent, what the upstream lists, whether it streams.

The exit code names the first thing to mend: a refused key (4) before an upstream that cannot be
reached or does not stream (1), but a model that is not listed (5) before a stream that then fails.
"""

from __future__ import annotations

import difflib
import os
import sys
from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.cli.exit_codes import (
    EXIT_INTERRUPTED,
    EXIT_KEY,
    EXIT_MODEL,
    EXIT_OK,
    EXIT_UPSTREAM,
    EXIT_USAGE,
    table_of,
)
from inferd_engine.cli.failures import sentence_of
from inferd_engine.cli.models import has_no_list
from inferd_engine.cli.options import add_upstream
from inferd_engine.cli.terminal import write
from inferd_engine.cli.upstream import backend_from, config_class, is_named, shown

if TYPE_CHECKING:
    import argparse

    from inferd_engine.cli.upstream import Asking, Config

EPILOG = table_of(EXIT_OK, EXIT_UPSTREAM, EXIT_USAGE, EXIT_KEY, EXIT_MODEL, EXIT_INTERRUPTED)
_KEY_REFUSED = (401, 403)  # HTTP
_NAMED = 5  # models; a provider lists hundreds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``doctor``."""
    add_upstream(parser)


def run(options: argparse.Namespace) -> int:
    """Look at everything, and say what is wrong."""
    _print(f"inferd-engine {ie.__version__}, Python {sys.version.split()[0]} on {sys.platform}")
    _print(f"SSE decoder: {ie.SSEDecoder().implementation}")
    if not is_named(options):
        variable = {} if options.key_from is None else {"api_key_variable": options.key_from}
        kind = config_class(options)  # its maker's address: there the environment's key may go
        _print_key(kind(base_url=kind.BASE_URL, **variable), "")
        _print("upstream: none; give --base-url URL or --preset NAME to see whether it answers")
        return EXIT_OK
    with backend_from(options) as backend:
        _print_key(backend.config, options.key_from or "")
        _print(f"upstream: {shown(backend.config.base_url)}")
        try:
            listed = _models(backend)
        except ie.GenerateError as error:
            _print(f"models: {sentence_of(error)}")
            return _code_of(error)
        model = options.model or (listed[0] if listed and len(listed) == 1 else "")
        code = _check_model(model, listed)
        if listed and not model:
            _print("stream: not tried: name one of the models with --model NAME")
            return EXIT_OK
        streams = _try_stream(backend.with_options(model=model) if model else backend)
        return code or streams


def _print(text: str) -> None:
    write(text + "\n")


def _print_key(config: Config, named: str) -> None:
    variable = config.api_key_variable
    if config.api_key:
        _print(f"key: present (from {named or variable})")
    else:
        why = f" ({variable} is not set)" if variable and not os.environ.get(variable) else ""
        how = ": requests are signed" if isinstance(config, ie.BedrockConfig) else ""
        _print(f"key: none{why}{how}")


def _models(backend: Asking) -> list[str] | None:
    """Print what the upstream lists; return None if it lists nothing to anybody.

    Raises:
        GenerateError: It could not be asked.
    """
    try:
        models = backend.models()
    except ie.GenerateError as error:
        if not has_no_list(error):
            raise
        _print(f"models: {sentence_of(error)}")
        return None
    more = f" and {len(models) - _NAMED} more" if len(models) > _NAMED else ""
    names = ", ".join(models[:_NAMED]) or "none"
    place = "" if isinstance(backend, ie.Bedrock) else shown(backend.models_url)  # it has no list
    _print(f"models: {place} lists {names}{more}")
    return models


def _check_model(model: str, listed: list[str] | None) -> int:
    if not model or listed is None or model in listed:
        return EXIT_OK
    close = difflib.get_close_matches(model, listed, 1)
    hint = f"did you mean {close[0]}?" if close else "inferd-engine models lists all"
    _print(f"model: {model} is not among them: {hint}")
    return EXIT_MODEL


def _try_stream(backend: Asking) -> int:
    where = f"{shown(backend.chat_url)}, {backend.config.model}"
    try:
        with backend.stream("Say hi.", max_tokens=1) as stream:
            if next(stream, None) is None:
                _print(f"stream: {where}: it ended without an event")
                return EXIT_UPSTREAM
            _print(f"stream: {where}: first event after {(stream.stats.ttft or 0) * 1000:.0f} ms")
            return EXIT_OK
    except ie.GenerateError as error:
        _print(f"stream: {sentence_of(error)}")
        return _code_of(error)


def _code_of(error: ie.GenerateError) -> int:
    is_refused = isinstance(error, ie.HttpStatusError) and error.status in _KEY_REFUSED
    return EXIT_KEY if is_refused else EXIT_UPSTREAM

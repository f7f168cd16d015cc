"""Which models an upstream has, and which of them is meant if nobody says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.cli.exit_codes import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UPSTREAM,
    EXIT_USAGE,
    table_of,
)
from inferd_engine.cli.options import add_upstream
from inferd_engine.cli.terminal import write
from inferd_engine.cli.upstream import backend_from

if TYPE_CHECKING:
    import argparse

    from inferd_engine.cli.upstream import Answering

EPILOG = table_of(EXIT_OK, EXIT_UPSTREAM, EXIT_USAGE, EXIT_INTERRUPTED)
_NO_LIST = (404, 405, 501)  # HTTP: there is no such thing here
_SHOWN = 20  # models in an error; a provider lists hundreds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``models``."""
    add_upstream(parser)


def run(options: argparse.Namespace) -> int:
    """List the models, one a line."""
    with backend_from(options) as backend:
        write("".join(f"{model}\n" for model in backend.models()))
    return EXIT_OK


def with_model(backend: Answering, model: str | None) -> Answering:
    """Return the backend with the model that is meant: the one named, or the only one.

    An upstream that has no list decides for itself what the default name means to it.

    Raises:
        InvalidRequestError: There are several models, or none.
        GenerateError: The upstream could not be asked.
    """
    if model or isinstance(backend, ie.LlamaCpp):
        return backend
    try:
        models = backend.models()
    except ie.GenerateError as error:
        if has_no_list(error):
            return backend
        raise
    if len(models) == 1:
        return backend.with_options(model=models[0])
    raise ie.InvalidRequestError(_which(models))


def has_no_list(error: ie.GenerateError) -> bool:
    """Whether the upstream answers, but has no list of models for anybody."""
    if isinstance(error, ie.UnsupportedError):
        return True
    if isinstance(error, ie.HttpStatusError):
        return error.status in _NO_LIST
    return isinstance(error, ie.UpstreamError) and error.code == "malformed"


def _which(models: list[str]) -> str:
    if not models:
        return "the upstream lists no model: load one there, or name one with --model NAME"
    lines = [f"  {model}" for model in models[:_SHOWN]]
    if len(models) > _SHOWN:
        lines.append(f"  and {len(models) - _SHOWN} more: inferd-engine models lists them")
    return "\n".join([f"which of {len(models)} models? Name one with --model NAME:", *lines])

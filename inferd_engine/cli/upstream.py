"""Which upstream is meant, and a backend that asks it.

An address may be as short as people write it:

    https://host/v1      as it is
    host/v1              https://
    host:8000            http://: a port of its own is a server of one's own
    localhost            http://
    :11434, 11434        http://localhost:11434
"""

from __future__ import annotations

import difflib
import os
import re
from typing import TYPE_CHECKING, Any

import inferd_engine as ie
from inferd_engine.backends.openai_compat.presets import PRESETS

if TYPE_CHECKING:
    import argparse

    from inferd_engine.cli.asked import Asked

_ADDRESS = "OPENAI_BASE_URL"
_KEY = "OPENAI_API_KEY"
_WAYS = (
    "which upstream? Give --base-url URL (localhost:11434) or --preset NAME (ollama, openrouter, "
    f"…), or set {_ADDRESS}, or {_KEY} for OpenAI itself"
)
_HTTPS_PORT = "443"
_HOST_AND_PORT = re.compile(r"(\[[^]]*\]|[^:/?]*)(?::([^/?]*))?")
_HERE = re.compile(r"localhost|.*\.localhost|127\.[\d.]+|\[::1\]", re.IGNORECASE)


def address_of(text: str) -> str:
    """Return the address that is meant by a short form of it."""
    if "://" in text:
        return text
    if text.partition("/")[0].isdecimal():
        text = f":{text}"
    if text.startswith(":"):
        text = f"localhost{text}"
    fitting = _HOST_AND_PORT.match(text)  # it fits every text
    host, port = fitting.groups("") if fitting else ("", "")
    has_own_port = port not in ("", _HTTPS_PORT)
    is_plain = has_own_port or _HERE.fullmatch(host) is not None
    return f"{'http' if is_plain else 'https'}://{text}"


def shown(url: str) -> str:
    """Return an address as it may be shown: its query may hold a key."""
    return url.partition("?")[0]


def told_of(backend: ie.OpenAiCompat | ie.LlamaCpp) -> str:
    """Return which model answers, and where."""
    if isinstance(backend, ie.LlamaCpp):
        return f"{backend.models()[0]}, in this process"
    return f"{backend.config.model} at {shown(backend.config.base_url)}"


def is_named(options: argparse.Namespace) -> bool:
    """Whether it was said which upstream is meant."""
    return bool(options.base_url or options.preset or os.environ.get(_ADDRESS))


def backend_from(
    options: argparse.Namespace,
    asked: Asked | None = None,
    **settings: Any,  # noqa: ANN401 - fields of OpenAiCompatConfig
) -> ie.OpenAiCompat:
    """Make the backend that the command line and the environment name.

    Args:
        options: What ``add_upstream`` added to the command line.
        asked: What is asked, where that brings settings of its own.
        settings: Further ones.

    Raises:
        InvalidRequestError: No upstream is named, or something about it cannot be used.
    """
    fields: dict[str, Any] = {**settings, "headers": dict(options.header)}
    if options.timeout is not None:
        fields["timeout"] = options.timeout
    if options.model:
        fields["model"] = options.model
    if asked is not None:
        fields.update(asked.settings)
    return ie.OpenAiCompat(_keyed(options, fields))


def _config(options: argparse.Namespace, fields: dict[str, Any]) -> ie.OpenAiCompatConfig:
    preset = options.preset
    address = options.base_url or ("" if preset else os.environ.get(_ADDRESS, ""))
    if address:
        fields = {**fields, "base_url": address_of(address)}
    elif not preset:
        if not os.environ.get(_KEY):
            raise ie.InvalidRequestError(_WAYS)
        preset = "openai"
    if not preset:
        return ie.OpenAiCompatConfig(**fields)
    if preset not in PRESETS:
        raise ie.InvalidRequestError(_no_preset(preset))
    return ie.OpenAiCompatConfig.preset(preset, **fields)


def _no_preset(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), PRESETS, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(PRESETS)}"
    return f"there is no preset {name!r}: {hint}"


def _keyed(options: argparse.Namespace, fields: dict[str, Any]) -> ie.OpenAiCompatConfig:
    """Make the configuration with the key that is meant."""
    variable = options.key_from
    if variable == "":
        return _config(options, {**fields, "api_key": ""})
    if variable is None:
        return _config_or_hint(options, fields)
    if not os.environ.get(variable):
        msg = (
            "--key-from names a variable that is not set, or is empty "
            "(it is not shown here: it may be the key itself)"
        )
        raise ie.InvalidRequestError(msg)
    try:
        return _config(options, {**fields, "api_key_variable": variable})
    except ie.InvalidRequestError:
        # The engine sends a variable's key only where it stays secret, unless it is given by hand:
        # to name it beside the address is that.
        return _config(options, {**fields, "api_key": os.environ[variable]})


def _config_or_hint(options: argparse.Namespace, fields: dict[str, Any]) -> ie.OpenAiCompatConfig:
    try:
        return _config(options, fields)
    except ie.InvalidRequestError as error:
        _config(options, {**fields, "api_key": ""})  # raises, unless it was about the key
        msg = (
            f"{error}\nhere: --key-from VARIABLE sends the key in that variable, --key-from '' none"
        )
        raise ie.InvalidRequestError(msg) from None

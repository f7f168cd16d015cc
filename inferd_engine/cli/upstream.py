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
from typing import TYPE_CHECKING, Any, Union

import attrs

import inferd_engine as ie

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

    from inferd_engine.cli.asked import Asked

Asking = Union["ie.OpenAiCompat", "ie.Anthropic", "ie.Bedrock"]
"""A backend of the command line's."""
Answering = Union[Asking, "ie.LlamaCpp"]
"""The same, or a model in this process."""
Config = Union["ie.OpenAiCompatConfig", "ie.AnthropicConfig", "ie.BedrockConfig"]
_MAKERS = {"openai": "OpenAI", "anthropic": "Anthropic"}  # who are asked where only a key is set
_WAYS = (
    "which upstream? Give --base-url URL (localhost:11434) or --preset NAME (ollama, openrouter, "
    "…), or set {address}, or {key} for {maker} itself"
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


def told_of(backend: Answering) -> str:
    """Return which model answers, and where."""
    if isinstance(backend, ie.LlamaCpp):
        return f"{backend.models()[0]}, in this process"
    return f"{backend.config.model} at {shown(backend.config.base_url)}"


def is_named(options: argparse.Namespace) -> bool:
    """Whether it was said which upstream is meant."""
    variable = config_class(options).BASE_URL_VARIABLE
    is_said = options.base_url or options.preset or os.environ.get(variable)
    return bool(is_said) or options.protocol not in _MAKERS


def config_class(options: argparse.Namespace) -> type[Config]:
    """Return what an upstream of the protocol is configured by."""
    if options.protocol == "bedrock":
        return ie.BedrockConfig
    return ie.AnthropicConfig if options.protocol == "anthropic" else ie.OpenAiCompatConfig


def backend_from(
    options: argparse.Namespace,
    asked: Asked | None = None,
    **settings: Any,  # fields of a configuration
) -> Asking:
    """Make the backend that the command line and the environment name.

    Args:
        options: What ``add_upstream`` added to the command line.
        asked: What is asked, where that brings settings of its own.
        settings: Further ones, where the protocol has them.

    Raises:
        InvalidRequestError: No upstream is named, or something about it cannot be used.
    """
    known = [field.name for field in attrs.fields(config_class(options))]
    fields = {name: value for name, value in settings.items() if name in known}
    fields["headers"] = dict(options.header)
    if options.timeout is not None:
        fields["timeout"] = options.timeout
    if options.model:
        fields["model"] = options.model
    if asked is not None:
        for name in asked.settings:
            if name not in known:
                raise ie.InvalidRequestError(
                    f"-o {name}=… is nothing that an upstream of --protocol {options.protocol} has"
                )
        fields.update(asked.settings)
    config = _keyed(options, fields)
    if isinstance(config, ie.AnthropicConfig):
        return ie.Anthropic(config)
    if isinstance(config, ie.BedrockConfig):
        return ie.Bedrock(config)
    return ie.OpenAiCompat(config)


def _config(options: argparse.Namespace, fields: dict[str, Any]) -> Config:
    preset, kind = options.preset, config_class(options)
    variable, keys = kind.BASE_URL_VARIABLE, kind.API_KEY_VARIABLES
    address = options.base_url or ("" if preset else os.environ.get(variable, ""))
    if address:
        fields = {**fields, "base_url": address_of(address)}
    elif not preset and options.protocol in _MAKERS:
        if not any(map(os.environ.get, keys)):
            maker = _MAKERS[options.protocol]
            raise ie.InvalidRequestError(
                _WAYS.format(address=variable, key=" or ".join(keys), maker=maker)
            )
        preset = options.protocol  # its maker's own
    if not preset:
        return kind(**fields)
    if kind.PRESETS and preset not in kind.PRESETS:
        raise ie.InvalidRequestError(_no_preset(preset, kind.PRESETS))
    return kind.preset(preset, **fields)


def _no_preset(name: str, presets: Collection[str]) -> str:
    close = difflib.get_close_matches(name.lower(), presets, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(presets)}"
    return f"there is no preset {name!r}: {hint}"


def _keyed(options: argparse.Namespace, fields: dict[str, Any]) -> Config:
    """Make the configuration with the key that is meant."""
    variable = options.key_from
    if variable == "":
        return _config(options, {**fields, "api_key": ""})
    if variable is None:
        return _config_or_hint(options, fields)
    if not os.environ.get(variable):
        raise ie.InvalidRequestError(
            "--key-from names a variable that is not set, or is empty "
            "(it is not shown here: it may be the key itself)"
        )
    try:
        return _config(options, {**fields, "api_key_variable": variable})
    except ie.InvalidRequestError:
        # The engine sends a variable's key only where it stays secret, unless it is given by hand:
        # to name it beside the address is that.
        return _config(options, {**fields, "api_key": os.environ[variable]})


def _config_or_hint(options: argparse.Namespace, fields: dict[str, Any]) -> Config:
    try:
        return _config(options, fields)
    except ie.InvalidRequestError as error:
        _config(options, {**fields, "api_key": ""})  # raises, unless it was about the key
        raise ie.InvalidRequestError(
            f"{error}\nhere: --key-from VARIABLE sends the key in that variable, --key-from '' none"
        ) from None

"""What an OpenAI-compatible upstream is like: one immutable value, checked when it is made.

What is known of a provider is data (``presets.py``): a preset is this value with some fields filled
in, and nothing else asks who the provider is.

A pickle holds no key: whoever unpickles reads the environment again (``secret.py``).
"""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import attrs

from inferd_engine.errors import InvalidRequestError
from inferd_engine.presets import PRESETS
from inferd_engine.proto.v1 import check_integer
from inferd_engine.secret import (
    Secret,
    hide_secrets,
    to_dict,
    to_masked,
    to_masked_or_none,
    to_secret,
)
from inferd_engine.wire.openai_request import THINKING_STYLES
from inferd_engine.wire.openai_urls import keeps_secrets, split_base_url, without_query
from inferd_engine.wire.sse import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

BASE_URL_VARIABLE = "OPENAI_BASE_URL"
API_KEY_VARIABLE = "OPENAI_API_KEY"
_SPLITTING = (False, True, "inside")
_LONGEST = 1e9  # seconds, 30 years: sockets refuse much more
_OPENAI = "https://api.openai.com"
_NOT_A_KEY = re.compile(r"[^\x21-\x7e]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2 "token"
_HEADER_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|")


def _key_from_environment(config: OpenAiCompatConfig) -> Secret:
    variable = config.api_key_variable
    return Secret(os.environ.get(variable, "") if variable else "", variable)


def _to_base_url(value: str | None) -> str:
    return os.environ.get(BASE_URL_VARIABLE) or _OPENAI if value is None or value == "" else value


def _check_base_url(config: OpenAiCompatConfig, _: Any, value: str) -> None:  # noqa: ANN401
    if not isinstance(value, str):
        msg = f"base_url is a {type(value).__name__}: it has to be a str"
        raise InvalidRequestError(msg)
    split_base_url(value)
    key = config.api_key
    if key and key.source and not keeps_secrets(value):
        msg = (
            f"the key in {key.source} is not sent to an upstream without https: "
            "pass api_key explicitly if that is what you want, or api_key='' to send none"
        )
        raise InvalidRequestError(msg)


def _check_key(_: Any, __: Any, value: Secret) -> None:  # noqa: ANN401 - attrs' signature
    if _NOT_A_KEY.search(value):
        place = value.source or "api_key"
        msg = (
            f"{place} holds a blank, a line end or a character beyond ASCII: "
            "look whether it was copied whole (it is not shown here)"
        )
        raise InvalidRequestError(msg)


def _check_headers(_: Any, __: Any, value: Mapping[str, str]) -> None:  # noqa: ANN401
    for name, content in value.items():
        if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
            msg = "headers holds a name that is no header name (RFC 9110, 5.6.2)"
            raise InvalidRequestError(msg)
        if not (isinstance(content, str) and _HEADER_VALUE.fullmatch(content)):
            msg = f"headers[{name!r}] is no str that a header can hold (RFC 9110, 5.5)"
            raise InvalidRequestError(msg)


def _check_header_name(_: Any, field: Any, value: str) -> None:  # noqa: ANN401
    if not (isinstance(value, str) and _HEADER_NAME.fullmatch(value)):
        msg = f"{field.name} is {value!r}: that is no header name (RFC 9110, 5.6.2)"
        raise InvalidRequestError(msg)


def _check_word(_: Any, field: Any, value: object) -> None:  # noqa: ANN401 - attrs' signature
    if not isinstance(value, str):
        msg = f"{field.name} is {value!r}: it has to be a str"
        raise InvalidRequestError(msg)


def _check_pattern(_: Any, field: Any, value: str) -> None:  # noqa: ANN401 - attrs' signature
    try:
        re.compile(value)
    except (re.error, TypeError):
        msg = f"{field.name} is {value!r}: it has to be a regular expression"
        raise InvalidRequestError(msg) from None


def _check_one_of(*choices: object) -> Any:  # noqa: ANN401 - an attrs validator
    def check(_: Any, field: Any, value: object) -> None:  # noqa: ANN401
        if value not in choices:
            known = ", ".join(map(repr, choices))
            msg = f"{field.name} is {value!r}: take one of {known}"
            raise InvalidRequestError(msg)

    return check


def _check_name(_: Any, field: Any, value: str) -> None:  # noqa: ANN401 - attrs' signature
    if not isinstance(value, str) or not value:
        msg = f"{field.name} is {value!r}: it has to be a str that is not empty"
        raise InvalidRequestError(msg)


def _check_proxies(_: Any, __: Any, value: Mapping[str, str] | None) -> None:  # noqa: ANN401
    for scheme, proxy in (value or {}).items():
        if scheme == "no_proxy":
            continue
        try:
            host = urlsplit(proxy if "://" in proxy else f"http://{proxy}").hostname
        except (TypeError, ValueError):
            host = None
        if not host:
            msg = f"proxies[{scheme!r}] is no address of a proxy (it is not shown here)"
            raise InvalidRequestError(msg)


def _check_seconds(_: Any, field: Any, value: float | None) -> None:  # noqa: ANN401
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < value <= _LONGEST):
        msg = f"{field.name} is {value!r}: it has to be seconds above 0, or None for no limit"
        raise InvalidRequestError(msg)


def _check_count(low: int) -> Any:  # noqa: ANN401 - an attrs validator
    def check(_: Any, field: Any, value: int) -> None:  # noqa: ANN401
        check_integer(field.name, value, low, f"a whole number, {low} or more", required=True)

    return check


def _seconds(default: float | None) -> Any:  # noqa: ANN401 - an attrs field
    return attrs.field(default=default, validator=_check_seconds)


@attrs.frozen(slots=True, kw_only=True)
class OpenAiCompatConfig:
    """Say where the upstream is and what it is like.

    Args:
        base_url: With or without ``/v1``; ``OPENAI_BASE_URL`` or OpenAI if None.  Without a path
            ``/v1/chat/completions`` is asked; with one, ``/chat/completions`` below it.
        api_key: Sent as ``Authorization: Bearer …``; ``OPENAI_API_KEY`` if None, and that goes
            only to https or to this machine.  Empty: no header.
        api_key_variable: The variable of the environment that ``api_key`` is read from if None.
        api_key_header: Where the key goes, alone, if not into ``Authorization``.
        model: The upstream's name of the model.
        timeout: Seconds for the whole request; None sets no limit, here and below.
        connect_timeout: Seconds for TCP and TLS.
        first_token_timeout: Seconds from sending to the first text, thought or tool call.
        idle_timeout: Seconds of silence between events with data.
        buffer: Undelivered events that are read ahead; 0 for no worker thread.
        max_event_bytes: The largest event, JSON body or sum of tool calls that is no error.
        max_tokens_field: ``"max_tokens"`` or ``"max_completion_tokens"``.
        include_usage: Ask for usage (``stream_options``); some upstreams refuse to be asked.
        thinking_style: The upstream's words for a request's ``thinking``: ``"reasoning_effort"``
            (OpenAI), ``"reasoning"`` (OpenRouter), ``"thinking"`` (DeepSeek, Z.ai),
            ``"enable_thinking"`` (DashScope), ``"chat_template_kwargs"`` (vLLM, llama.cpp).
        replay_thinking_as: The field in which the upstream wants its thoughts back, such as
            ``"reasoning_content"``; empty: they are not sent.
        split_think_tags: Take ``<think>…</think>`` out of the text, as thinking; ``"inside"`` if
            answers begin inside of a thought.
        short_tool_call_ids: Write tool call ids anew, with nine letters and digits.
        strict_turns: Merge messages of one speaker; let the assistant speak after tool results.
        tool_name_pattern: A regular expression that names of tools have to match.
        vision: Send images.
        audio: Send sounds.
        headers: Sent with every request.
        extra_body: Merged into the body of every request.
        verify: As in requests; None follows ``REQUESTS_CA_BUNDLE``.
        cert: As in requests.
        proxies: As in requests; None follows ``HTTPS_PROXY`` and ``NO_PROXY``.
        max_connections: Idle connections that are kept; more streams than that still work.

    Raises:
        InvalidRequestError: A field cannot be used; the message names it.
    """

    api_key_variable: str = attrs.field(default=API_KEY_VARIABLE, validator=_check_word)
    api_key: Secret = attrs.field(
        default=attrs.Factory(_key_from_environment, takes_self=True),
        converter=to_secret,
        validator=_check_key,
    )
    base_url: str = attrs.field(
        default=None,
        converter=_to_base_url,
        validator=_check_base_url,
        repr=lambda url: repr(without_query(url)),
    )
    model: str = attrs.field(default="gpt-4o-mini", validator=_check_name)
    timeout: float | None = _seconds(300.0)
    connect_timeout: float | None = _seconds(10.0)
    first_token_timeout: float | None = _seconds(None)
    idle_timeout: float | None = _seconds(None)
    buffer: int = attrs.field(default=512, validator=_check_count(0))
    max_event_bytes: int = attrs.field(default=MAX_EVENT_BYTES, validator=_check_count(1))
    max_tokens_field: str = attrs.field(default="max_tokens", validator=_check_name)
    include_usage: bool = True
    thinking_style: str = attrs.field(
        default="reasoning_effort", validator=_check_one_of(*THINKING_STYLES)
    )
    replay_thinking_as: str = attrs.field(default="", validator=_check_word)
    split_think_tags: bool | Literal["inside"] = attrs.field(
        default=False, validator=_check_one_of(*_SPLITTING)
    )
    short_tool_call_ids: bool = False
    strict_turns: bool = False
    tool_name_pattern: str = attrs.field(default="", validator=_check_pattern)
    vision: bool = False
    audio: bool = False
    api_key_header: str = attrs.field(default="Authorization", validator=_check_header_name)
    headers: Mapping[str, str] = attrs.field(
        factory=dict, converter=to_masked, validator=_check_headers
    )
    extra_body: Mapping[str, Any] = attrs.field(factory=dict, converter=to_dict)
    verify: bool | str | None = None
    cert: str | tuple[str, str] | None = None
    proxies: Mapping[str, str] | None = attrs.field(
        default=None, converter=to_masked_or_none, validator=_check_proxies
    )
    max_connections: int = attrs.field(default=256, validator=_check_count(1))

    @classmethod
    def preset(cls, name: str, **fields: Any) -> Self:  # noqa: ANN401 - fields of this class
        """Fill in what is known of a provider or a server; the fields given win.

        Args:
            name: ``"ollama"``, ``"vllm"``, ``"openrouter"``, …: see ``presets.PRESETS``.
            fields: Those of this class; ``model`` at the least, in most cases.

        Raises:
            InvalidRequestError: There is no such preset, or it needs a ``base_url`` to be given.
        """
        try:
            known = PRESETS[name]
        except (KeyError, TypeError):
            there = ", ".join(PRESETS)
            msg = f"there is no preset {name!r}: take one of {there}"
            raise InvalidRequestError(msg) from None
        hide_secrets(fields)
        if "base_url" not in known and not fields.get("base_url"):
            msg = f"the preset {name!r} needs a base_url: every account has its own"
            raise InvalidRequestError(msg)
        return cls(**{**known, **fields})

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)
        if self.api_key is None:
            object.__setattr__(self, "api_key", _key_from_environment(self))
        attrs.validate(self)  # the key is that of this environment now


def _hiding(make: Callable[..., None]) -> Callable[..., None]:
    """Wrap a constructor, so that a traceback through it shows no secret among its arguments."""

    @functools.wraps(make)
    def init(self: OpenAiCompatConfig, **fields: Any) -> None:  # noqa: ANN401 - the fields
        hide_secrets(fields)
        if fields.get("api_key") is None:
            fields.pop("api_key", None)  # the environment's
        make(self, **fields)

    return init


OpenAiCompatConfig.__init__ = _hiding(OpenAiCompatConfig.__init__)  # type: ignore[method-assign]

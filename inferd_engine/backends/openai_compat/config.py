"""What an OpenAI-compatible upstream is like: one immutable value, checked when it is made.

What is known of a provider is data (``presets.py``): a preset is this value with some fields filled
in, and nothing else asks who the provider is.

What is secret in it is hidden (``secret.py``) and checked (``credentials.py``).  A pickle holds
no secret: a key that came from a variable is read from it again, all else is left out, and the
first call of the copy says so.  Unpickling never raises: it would break a pool of processes.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from typing import TYPE_CHECKING, Any, Literal

import attrs

from inferd_engine.backends.openai_compat.presets import PRESETS
from inferd_engine.backends.over_http.credentials import (
    check_base_url,
    check_header_name,
    check_headers,
    check_key,
    check_proxies,
    check_way,
    key_from_environment,
)
from inferd_engine.errors import InvalidRequestError
from inferd_engine.proto.values import check_integer
from inferd_engine.secrets.secret import (
    Secret,
    hide_secrets,
    is_harmless,
    revealed,
    to_address,
    to_dict,
    to_headers,
    to_key,
    to_proxies,
)
from inferd_engine.wire.http.urls import without_query
from inferd_engine.wire.openai.request import THINKING_STYLES
from inferd_engine.wire.sse.decoder import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self, Unpack

    from inferd_engine.backends.openai_compat.fields import OpenAiCompatFields, PresetName

BASE_URL_VARIABLE = "OPENAI_BASE_URL"
API_KEY_VARIABLE = "OPENAI_API_KEY"
_SPLITTING = (False, True, "inside")
_LONGEST = 1e9  # seconds, 30 years: sockets refuse much more
_OPENAI = "https://api.openai.com"


def _to_base_url(value: str | None) -> str:
    is_unset = value is None or value == ""
    url: str = to_address(os.environ.get(BASE_URL_VARIABLE) or _OPENAI if is_unset else value)
    return url


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


def _to_verify(value: str | os.PathLike[str] | bool | None) -> bool | str | None:  # noqa: FBT001
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _to_cert(value: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> Any:  # noqa: ANN401 - what is no path is left for the check to name
    if isinstance(value, (list, tuple)):
        return tuple(map(_to_cert, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _check_verify(_: Any, __: Any, value: object) -> None:  # noqa: ANN401 - attrs' signature
    # An empty str would switch verification off.
    if value is not None and not isinstance(value, bool) and not (isinstance(value, str) and value):
        msg = f"verify is {value!r}: it has to be True, False, or the path of a CA file or folder"
        raise InvalidRequestError(msg)


def _check_cert(_: Any, __: Any, value: object) -> None:  # noqa: ANN401 - attrs' signature
    paths = value if isinstance(value, tuple) and len(value) == 2 else (value,)  # noqa: PLR2004
    if value is not None and not all(isinstance(path, str) and path for path in paths):
        msg = f"cert is {value!r}: it has to be the path of a file, or two: certificate and key"
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
            only to https or to this machine, and through no proxy in clear.  Empty: no header.  A
            function without arguments gives the key anew for each call.  It reads ``***``;
            ``api_key.reveal()`` gives it.
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
        headers: Sent with every request; those that set how it is framed are refused.
        extra_body: Merged into the body of every request.
        verify: As in requests; None follows ``REQUESTS_CA_BUNDLE``.
        cert: As in requests.
        proxies: As in requests; None follows ``HTTPS_PROXY`` and ``NO_PROXY``, but never on the
            way to this machine.
        max_connections: Idle connections that are kept; more streams than that still work.
        keepalive_expiry: Seconds after which an idle connection is not used again: a firewall may
            have forgotten it without a word.
        tcp_keepalive: Seconds of silence after which the kernel asks whether the other side is
            still there; None for never.

    Raises:
        InvalidRequestError: A field cannot be used; the message names it.
    """

    api_key_variable: str = attrs.field(default=API_KEY_VARIABLE, validator=_check_word)
    api_key: Secret = attrs.field(
        default=attrs.Factory(key_from_environment, takes_self=True),
        converter=to_key,
        validator=check_key,
    )
    base_url: str = attrs.field(
        default=None,
        converter=_to_base_url,
        validator=check_base_url,
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
    api_key_header: str = attrs.field(default="Authorization", validator=check_header_name)
    headers: Mapping[str, str] = attrs.field(
        factory=dict, converter=to_headers, validator=check_headers
    )
    extra_body: Mapping[str, Any] = attrs.field(factory=dict, converter=to_dict)
    verify: bool | str | None = attrs.field(
        default=None, converter=_to_verify, validator=_check_verify
    )
    cert: str | tuple[str, str] | None = attrs.field(
        default=None, converter=_to_cert, validator=_check_cert
    )
    proxies: Mapping[str, str] | None = attrs.field(
        default=None, converter=to_proxies, validator=check_proxies
    )
    max_connections: int = attrs.field(default=256, validator=_check_count(1))
    keepalive_expiry: float | None = _seconds(60.0)
    tcp_keepalive: float | None = _seconds(60.0)

    @classmethod
    def preset(cls, name: PresetName, **given: Unpack[OpenAiCompatFields]) -> Self:
        """Fill in what is known of a provider or a server; the fields given win.

        Args:
            name: ``"ollama"``, ``"vllm"``, ``"openrouter"``, …: see ``presets.PRESETS``.
            given: Fields of this class; ``model`` at the least, in most cases.

        Raises:
            InvalidRequestError: There is no such preset, or it needs a ``base_url`` to be given.
        """
        try:
            known = PRESETS[name]
        except (KeyError, TypeError):
            there = ", ".join(PRESETS)
            close = difflib.get_close_matches(name, PRESETS, n=1) if isinstance(name, str) else ()
            meant = "".join(f" (did you mean {word!r}?)" for word in close)
            msg = f"there is no preset {name!r}{meant}: take one of {there}"
            raise InvalidRequestError(msg) from None
        fields: dict[str, Any] = {**given}
        del given  # a traceback shows it
        hide_secrets(fields)
        if "base_url" not in known and not fields.get("base_url"):
            msg = f"the preset {name!r} needs a base_url: every account has its own"
            raise InvalidRequestError(msg)
        return cls(**{**known, **fields})

    def __attrs_post_init__(self) -> None:
        check_way(self)

    def __hash__(self) -> int:
        # Of what is never secret: hashes end up in logs and in the names of files.
        return hash((type(self), without_query(self.base_url), self.model))

    def __getstate__(self) -> dict[str, Any]:
        state = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        state["headers"] = {
            name: revealed(value) if is_harmless(name) else value
            for name, value in self.headers.items()
        }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in {**state, "headers": to_headers(state["headers"])}.items():
            object.__setattr__(self, name, value)


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

"""What an OpenAI-compatible upstream is like: an ``Upstream`` with the ways that such servers have.

What is known of a provider is data (``presets.py``): a preset is this value with some fields filled
in, and nothing else asks who the provider is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from inferd_engine.backends.openai_compat.presets import PRESETS
from inferd_engine.backends.over_http.upstream import Upstream
from inferd_engine.backends.settings import check_name, check_one_of, check_pattern, check_word
from inferd_engine.wire.openai.dialect import Dialect
from inferd_engine.wire.openai.request import THINKING_STYLES

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from inferd_engine.backends.openai_compat.fields import OpenAiCompatFields, PresetName

_SPLITTING = (False, True, "inside")
_DIALECT = [field.name for field in attrs.fields(Dialect)]


@attrs.frozen(kw_only=True)
class OpenAiCompatConfig(Upstream):
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
        documents: Send documents.
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

    BASE_URL = "https://api.openai.com"
    BASE_URL_VARIABLE = "OPENAI_BASE_URL"
    API_KEY_VARIABLES = ("OPENAI_API_KEY",)
    PRESETS = PRESETS

    model: str = attrs.field(default="gpt-4o-mini", validator=check_name)
    max_tokens_field: str = attrs.field(default="max_tokens", validator=check_name)
    include_usage: bool = True
    thinking_style: str = attrs.field(
        default="reasoning_effort", validator=check_one_of(*THINKING_STYLES)
    )
    replay_thinking_as: str = attrs.field(default="", validator=check_word)
    split_think_tags: bool | Literal["inside"] = attrs.field(
        default=False, validator=check_one_of(*_SPLITTING)
    )
    short_tool_call_ids: bool = False
    strict_turns: bool = False
    tool_name_pattern: str = attrs.field(default="", validator=check_pattern)
    vision: bool = False
    audio: bool = False
    documents: bool = False

    @property
    def dialect(self) -> Dialect:
        """What a request is mapped by."""
        return Dialect(**{name: getattr(self, name) for name in _DIALECT})

    @classmethod
    def preset(cls, name: PresetName, **given: Unpack[OpenAiCompatFields]) -> Self:
        """Fill in what is known of a provider or a server; the fields given win.

        Args:
            name: ``"ollama"``, ``"vllm"``, ``"openrouter"``, …: see ``presets.PRESETS``.
            given: Fields of this class; ``model`` at the least, in most cases.

        Raises:
            InvalidRequestError: There is no such preset, or it needs a ``base_url`` to be given.
        """
        return cls._of_preset(name, given)

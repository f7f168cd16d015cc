"""What an OpenAI-compatible upstream is like: an ``Upstream`` with the ways that such servers have.

What is known of a provider is data (``presets.py``): a preset is this value with some fields filled
in, and nothing else asks who the provider is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from inferd_engine.backends.openai_compat.presets import PRESETS
from inferd_engine.backends.over_http.upstream import Upstream
from inferd_engine.backends.settings import (
    check_count,
    check_name,
    check_one_of,
    check_pattern,
    check_word,
    prefixes,
    switch,
)
from inferd_engine.frames import without_frames
from inferd_engine.wire.openai.dialect import Dialect
from inferd_engine.wire.openai.request import THINKING_STYLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self, Unpack

    from inferd_engine.backends.openai_compat.fields import OpenAiCompatFields, PresetName

_SPLITTING = (False, True, "inside")
_ENCODINGS = (None, "float", "base64")
_DIALECT = [field.name for field in attrs.fields(Dialect)]


@attrs.frozen(kw_only=True)
class OpenAiCompatConfig(Upstream):
    """Say where the upstream is and what it is like.

    Args:
        base_url: With or without ``/v1``; ``OPENAI_BASE_URL`` or OpenAI if None.  Without a path
            ``/v1/chat/completions`` is asked; with one, ``/chat/completions`` below it.
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
        encoding_format: How vectors are asked for: ``"base64"``, which costs a fraction,
            ``"float"``, or None to say nothing; either is understood.
        embed_batch_size: Texts that are sent at once; more are split.
        task_prefixes: What is put before a text, by the request's ``task``, for models that want
            it.

    Raises:
        InvalidRequestError: A field cannot be used; the message names it.
        TypeError: There is no such field; the message names what is close.
    """

    BASE_URL = "https://api.openai.com"
    BASE_URL_VARIABLE = "OPENAI_BASE_URL"
    API_KEY_VARIABLES = ("OPENAI_API_KEY",)
    PRESETS = PRESETS

    model: str = attrs.field(default="gpt-4o-mini", validator=check_name)
    max_tokens_field: str = attrs.field(default="max_tokens", validator=check_name)
    include_usage: bool = switch(default=True)
    thinking_style: str = attrs.field(
        default="reasoning_effort", validator=check_one_of(*THINKING_STYLES)
    )
    replay_thinking_as: str = attrs.field(default="", validator=check_word)
    split_think_tags: bool | Literal["inside"] = attrs.field(
        default=False, validator=check_one_of(*_SPLITTING)
    )
    short_tool_call_ids: bool = switch(default=False)
    strict_turns: bool = switch(default=False)
    tool_name_pattern: str = attrs.field(default="", validator=check_pattern)
    vision: bool = switch(default=False)
    audio: bool = switch(default=False)
    documents: bool = switch(default=False)
    encoding_format: str | None = attrs.field(default=None, validator=check_one_of(*_ENCODINGS))
    embed_batch_size: int = attrs.field(default=2048, validator=check_count(1))
    task_prefixes: Mapping[str, str] = prefixes()

    @property
    def dialect(self) -> Dialect:
        """What a request is mapped by."""
        return Dialect(**{name: getattr(self, name) for name in _DIALECT})

    @classmethod
    @without_frames
    def preset(cls, name: PresetName, **given: Unpack[OpenAiCompatFields]) -> Self:
        """Fill in what is known of a provider or a server; the fields given win.

        Args:
            name: ``"ollama"``, ``"vllm"``, ``"openrouter"``, …: see ``presets.PRESETS``.
            given: Fields of this class; ``model`` at the least, in most cases.

        Raises:
            InvalidRequestError: There is no such preset, or it needs a ``base_url`` to be given.
        """
        return cls._of_preset(name, given)

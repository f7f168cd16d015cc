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
from inferd_engine.frames import without_frames
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

"""Why answers end: the words that servers use, and ours for them.

Words are compared in one spelling: ``MAX_TOKENS``, ``max-tokens``, ``maxTokens`` and
``FINISH_REASON_MAX_TOKENS`` are one.  A word that nobody has listed is judged by its parts, because
servers say cut, blocked and failed in many ways and an answer that was must never look whole.  What
has no such part is an end like any other.  The raw word is kept beside ours.

Sources: the API references of OpenAI, Anthropic (``stop_reason``), Amazon Bedrock (Converse,
``stopReason``), Gemini (``FinishReason``), Cohere, Mistral, DashScope, watsonx.ai and xAI; the
sources of vLLM, SGLang, llama.cpp and TGI.
"""

from __future__ import annotations

import re
from typing import Any

from inferd_engine.events import StopReason
from inferd_engine.wire.text.json_shapes import word_in

_WORDS = {
    StopReason.END_TURN: (
        "stop", "end_turn", "end", "eos", "eos_token", "complete", "completed", "finished", "done",
    ),
    StopReason.STOP_SEQUENCE: ("stop_sequence", "stop_word", "word"),
    StopReason.MAX_TOKENS: ("model_length", "max_len", "max_context", "limit", "error_limit"),
    StopReason.TOOL_USE: (
        "tool_calls", "tool_use", "tool_call", "function_call", "function_calls",
    ),
    StopReason.CONTENT_FILTER: ("error_toxic", "language", "spii"),
    StopReason.ERROR: (
        "other", "no_image", "image_other", "time_limit", "incomplete", "load", "unload", "invalid",
        "insufficient_system_resource", "too_many_tool_calls", "missing_thought_signature",
    ),
}  # fmt: skip
_BY_WORD = {word: reason for reason, words in _WORDS.items() for word in words}
# What the parts of a word say, the first that fits.
_PARTS = (
    (
        StopReason.ERROR,
        re.compile(
            r"malform|unexpected|function_call_filter|error|fail|abort|cancel|interrupt|terminat|"
            r"timed?_?out|deadline|network|disconnect|crash|exception|unavailable|overload|"
            r"rate_limit|quota|preempt|repetition|partial"
        ),
    ),
    (
        StopReason.CONTENT_FILTER,
        re.compile(
            r"filter|safety|block|prohibit|sensitive|guardrail|recitation|moderat|policy|refus|"
            r"violat|inappropriate|model_armor|jailbreak|toxic"
        ),
    ),
    (
        StopReason.MAX_TOKENS,
        re.compile(r"length|limit|context|exceed|truncat|(?:^|_)(?:max|cut)(?:_|$)"),
    ),
)
_NONE = ("null", "none", "nil", "undefined", "unspecified", "not_finished", "in_progress")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS = re.compile(r"[\W_]+")
_PREFIX = re.compile(r"^(?:(?:finish|stop|done)_?reasons?_|reason_)")
_LONGEST = 200  # characters of a word that are looked at

ENDS_BY_ITSELF = (StopReason.END_TURN, StopReason.TOOL_USE, StopReason.STOP_SEQUENCE)


def finish_word(value: Any) -> str | None:
    """Return an upstream's finish word as it is; None for what says that it goes on."""
    word = word_in(value) if value else ""
    return None if not word.strip() or _in_one_spelling(word) in _NONE else word


def stop_reason_of(word: str | None) -> StopReason:
    """Map an upstream's finish word; one that nobody knows is ``end_turn``."""
    spelled = _in_one_spelling(word or "stop")
    if spelled in _BY_WORD:
        return _BY_WORD[spelled]
    said = (reason for reason, parts in _PARTS if parts.search(spelled))
    return next(said, StopReason.END_TURN)


def _in_one_spelling(word: str) -> str:
    word = _HUMP.sub("_", word[:_LONGEST]).lower()
    return _PREFIX.sub("", _SEPARATORS.sub("_", word).strip("_"))

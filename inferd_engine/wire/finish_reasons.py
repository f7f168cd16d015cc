"""Why answers end: the words that servers use, and ours for them.

Words are compared without regard to case.  A failure that is reported as a finish word alone is a
failure; a word that nobody knows is an end like any other, and the raw word is kept beside it.
"""

from __future__ import annotations

from inferd_engine.events import StopReason

_STOP_REASONS = {
    StopReason.END_TURN: ("stop", "end_turn", "end", "eos", "eos_token", "complete", "completed"),
    StopReason.STOP_SEQUENCE: ("stop_sequence",),
    StopReason.MAX_TOKENS: ("length", "max_tokens", "model_length", "max_output_tokens"),
    StopReason.TOOL_USE: ("tool_calls", "tool_use", "tool_call", "function_call"),
    StopReason.CONTENT_FILTER: (
        "content_filter",
        "content_filtered",
        "safety",
        "image_safety",
        "sensitive",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "refusal",
    ),
    StopReason.ERROR: (
        "error",
        "abort",
        "aborted",
        "cancelled",
        "failed",
        "network_error",
        "server_error",
        "timeout",
        "insufficient_system_resource",
    ),
}
_BY_WORD = {word: reason for reason, words in _STOP_REASONS.items() for word in words}
ENDS_BY_ITSELF = (StopReason.END_TURN, StopReason.TOOL_USE, StopReason.STOP_SEQUENCE)


def stop_reason_of(word: str | None) -> StopReason:
    """Map an upstream's finish word; one that nobody knows is ``end_turn``."""
    word = (word or "stop").lower()
    if "malformed_function_call" in word or word.startswith("function_call_filter"):
        return StopReason.ERROR  # Gemini: "function_call_filter: MALFORMED_FUNCTION_CALL"
    if word.startswith("content_filter"):
        return StopReason.CONTENT_FILTER  # Gemini: "content_filter: RECITATION"
    return _BY_WORD.get(word, StopReason.END_TURN)

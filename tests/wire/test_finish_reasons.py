"""Why answers end: words that say cut, blocked or failed are known in every spelling."""

import pytest

from inferd_engine.events import StopReason
from inferd_engine.wire.answer.finish_reasons import finish_word, stop_reason_of

WORDS = {
    StopReason.END_TURN: [
        *("stop", "end_turn", "eos", "eos_token", "COMPLETE", "completed", "end", "pause_turn"),
        *("REASON_STOP", "whatever comes next year", "✓"),
    ],
    StopReason.TOOL_USE: ["tool_calls", "tool_use", "TOOL_CALL", "function_call", "tool-calls"],
    StopReason.STOP_SEQUENCE: ["stop_sequence", "STOP_SEQUENCE"],
    StopReason.MAX_TOKENS: [
        *("length", "max_tokens", "model_length", "max_output_tokens", "max_completion_tokens"),
        *("model_context_window_exceeded", "context_length_exceeded", "token_limit", "limit"),
        *("ERROR_LIMIT", "REASON_MAX_LEN", "REASON_MAX_CONTEXT", "max_new_tokens", "truncated"),
        "output_limit",
    ],
    StopReason.CONTENT_FILTER: [
        *("content_filter", "content_filtered", "guardrail_intervened", "refusal", "sensitive"),
        # Gemini, FinishReason
        *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR"),
        *("ERROR_TOXIC", "content_filter: RECITATION", "blocked", "policy_violation", "moderation"),
    ],
    StopReason.ERROR: [
        *("error", "abort", "aborted", "cancelled", "USER_CANCEL", "failed", "network_error"),
        *("server_error", "timeout", "timed_out", "insufficient_system_resource", "time_limit"),
        *("malformed_model_output", "malformed_tool_use", "incomplete", "interrupted"),
        "function_call_filter: MALFORMED_FUNCTION_CALL",
        # Gemini, FinishReason
        *("OTHER", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "NO_IMAGE", "IMAGE_OTHER"),
        *("TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE"),
    ],
}
ALL = [(word, reason) for reason, words in WORDS.items() for word in words]
SPELLINGS = {
    "as it is": str,
    "lower": str.lower,
    "upper": str.upper,
    "hyphens": lambda word: word.replace("_", "-"),
    "blanks": lambda word: word.replace("_", " ").title(),
    "blanks around": lambda word: f" {word}\n",
    "prefix": lambda word: f"FINISH_REASON_{word.upper()}",
    "enum": lambda word: f"FinishReason.{word.upper()}",
    "other prefix": lambda word: f"stop-reason-{word}",
}
HUMPS = ["maxTokens", "MaxTokens", "contentFilter", "ContentFiltered", "toolUse", "endTurn"]
HUMPS += ["guardrailIntervened", "modelContextWindowExceeded", "malformedToolUse", "stopSequence"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("word", "reason"), ALL)
def test_every_word_in_every_spelling(word, reason, spelling):
    """S05, S06, S11: case, hyphens, blanks and prefixes change nothing; the word itself is kept."""
    spelled = SPELLINGS[spelling](word)
    assert stop_reason_of(spelled) is reason
    assert finish_word(spelled) == spelled


@pytest.mark.parametrize("word", HUMPS)
def test_humps(word):
    """A word in humps is the one with underscores."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in word)
    assert stop_reason_of(word) is stop_reason_of(snake.strip("_"))
    assert stop_reason_of(word) is not StopReason.END_TURN or word == "endTurn"


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", " ", "null", "None", "none", "NULL", "nil", "undefined", False, 0, {}, []),
        *("FINISH_REASON_UNSPECIFIED", "finishReasonUnspecified", "not_finished"),
        *("stop_reason: null", {"type": None}, [None]),
    ],
)
def test_words_that_are_none(value):
    """S12: what says that nothing has ended is no reason, also as a word."""
    assert finish_word(value) is None


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"type": "length", "length": 5}, "length"),
        ({"reason": "stop"}, "stop"),
        (["max_tokens"], "max_tokens"),
        (True, "True"),
        (2, "2"),
    ],
)
def test_words_in_other_places(value, word):
    """A word in an object or in a list counts: SGLang's own form has it so."""
    assert finish_word(value) == word


def test_a_long_word_is_looked_at_in_part():
    """A word of a megabyte costs no more than its beginning."""
    assert stop_reason_of("x" * 1_000_000 + "error") is StopReason.END_TURN

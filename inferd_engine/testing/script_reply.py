"""What a mock's script says, as an answer over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.testing.openai import (
    DONE,
    chunk,
    error_reply,
    tool_call_chunks,
)
from inferd_engine.testing.replies import Reply
from inferd_engine.testing.steps import Cut, Pause

if TYPE_CHECKING:
    from inferd_engine import MockConfig
    from inferd_engine.testing.steps import Step

_BUSY = 503
_FINISH_REASONS = {
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}  # all others: "stop"
_LONGEST_PAUSE = 1e6  # seconds: longer than any test


def script_reply(script: MockConfig) -> Reply:
    """Answer as a script says, in Chat Completions: for a ``BackendContract`` over HTTP.

    Args:
        script: Its tokens or events, the delay before each, where it breaks off, or the error that
            is answered instead: with its ``status``, or 503.
    """
    error = script.pre_stream_error
    if error is not None:
        headers = {}
        if (seconds := getattr(error, "retry_after", None)) is not None:
            headers["Retry-After"] = str(seconds)
        return error_reply(getattr(error, "status", 0) or _BUSY, str(error), headers=headers)
    groups = _groups_of(script)
    dropped = groups[: script.mid_stream_drop_after]
    steps: list[Step] = []
    for group in dropped:
        if script.token_delay:
            steps.append(Pause(min(script.token_delay, _LONGEST_PAUSE)))
        steps += group
    if len(dropped) < len(groups):
        return Reply([*steps, Cut()])
    if script.token_delay:
        steps.append(Pause(min(script.token_delay, _LONGEST_PAUSE)))
    return Reply([*steps, *_end_of(script), DONE])


def _groups_of(script: MockConfig) -> list[list[bytes]]:
    """Give the chunks of each event."""
    if script.events is None:
        return [[chunk(text)] for text in script.tokens]
    groups = []
    for event in script.events:
        if event.type == "text":
            groups.append([chunk(event.delta)])
        elif event.type == "thinking":
            groups.append([chunk(reasoning_content=event.delta)])
        elif event.type == "tool_use":
            groups.append(tool_call_chunks(event.name, event.input, event.tool_call_id))
    return groups


def _end_of(script: MockConfig) -> list[bytes]:
    done: Any = next((event for event in script.events or () if event.type == "done"), None)
    if done is None:
        return [chunk(finish_reason="stop")]
    reason = done.finish_reason or _FINISH_REASONS.get(str(done.stop_reason), "stop")
    ends = [chunk(finish_reason=reason)]
    if done.usage is not None:
        ends.append(chunk(usage=(done.usage.input_tokens, done.usage.output_tokens)))
    return ends

"""What a mock's script says, as an answer over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.testing.openai import (
    DONE,
    chunk,
    error_reply,
    tool_call_chunks,
)
from inferd_engine.testing.pacing import events_of, paced, refusal
from inferd_engine.testing.replies import Reply

if TYPE_CHECKING:
    from inferd_engine import MockConfig, TokenEventV2

_FINISH_REASONS = {
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}  # all others: "stop"


def script_reply(script: MockConfig) -> Reply:
    """Answer as a script says, in Chat Completions: for a ``BackendContract`` over HTTP.

    Args:
        script: Its tokens or events, the delay before each, where it breaks off, or the error that
            is answered instead: with its ``status``, or 503.
    """
    if script.pre_stream_error is not None:
        return refusal(script.pre_stream_error, error_reply)
    said = [_chunks_of(event) for event in events_of(script)]
    return Reply(paced(script, said, [*_end_of(script), DONE]))


def _chunks_of(event: TokenEventV2) -> list[bytes]:
    if event.type == "text":
        return [chunk(event.delta)]
    if event.type == "thinking":
        return [chunk(reasoning_content=event.delta)]
    if event.type == "tool_use":
        return tool_call_chunks(event.name, event.input, event.tool_call_id)
    return []


def _end_of(script: MockConfig) -> list[bytes]:
    done: Any = next((event for event in script.events or () if event.type == "done"), None)
    if done is None:
        return [chunk(finish_reason="stop")]
    reason = done.finish_reason or _FINISH_REASONS.get(str(done.stop_reason), "stop")
    ends = [chunk(finish_reason=reason)]
    if done.usage is not None:
        ends.append(chunk(usage=(done.usage.input_tokens, done.usage.output_tokens)))
    return ends

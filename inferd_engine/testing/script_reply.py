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
    from collections.abc import Callable, Iterable, Sequence

    from inferd_engine import GenerateError, MockConfig, TokenEventV2
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
    if script.pre_stream_error is not None:
        return refusal(script.pre_stream_error, error_reply)
    said = [_chunks_of(event) for event in events_of(script)]
    return Reply(paced(script, said, [*_end_of(script), DONE]))


# --- for every protocol --------------------------------------------------------------------------


def events_of(script: MockConfig) -> list[TokenEventV2]:
    """Return what a script says before its end; empty texts are said, too."""
    from inferd_engine import TextDelta  # noqa: PLC0415 - the front door, when it is needed

    if script.events is None:
        return [TextDelta(text) for text in script.tokens]
    return [event for event in script.events if event.type != "done"]


def paced(script: MockConfig, said: Iterable[Sequence[Step]], end: Sequence[Step]) -> list[Step]:
    """Return the steps of an answer with the pauses of its script, and cut where that says so.

    Args:
        script: Its delay, and where it breaks off.
        said: What each event of the script is in the protocol's bytes.
        end: How the protocol ends an answer.
    """
    pause = [Pause(min(script.token_delay, _LONGEST_PAUSE))] if script.token_delay else []
    groups = [[*pause, *group] for group in said]
    kept = groups[: script.mid_stream_drop_after]
    ending = [Cut()] if len(kept) < len(groups) else [*pause, *end]
    return [step for group in [*kept, ending] for step in group]


def refusal(error: GenerateError, reply: Callable[..., Reply]) -> Reply:
    """Answer with an error instead: with its ``status``, or 503.

    Args:
        error: That of the script.
        reply: The protocol's, as ``error_reply(status, message, headers=…)``.
    """
    headers = {}
    if (seconds := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(seconds)
    return reply(getattr(error, "status", 0) or _BUSY, str(error), headers=headers)


# --- Chat Completions ----------------------------------------------------------------------------


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

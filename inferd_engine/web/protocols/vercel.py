"""Vercel's UI message stream, version 1 (AI SDK, "Stream Protocols": the data stream protocol).

A delta for an id that was not started throws in the page, so text and thoughts are runs that are
opened and closed.  A run that an error or a stop has cut stays open: the page shows it as what it
is.  The end is ``finish``, ``error`` or ``abort``, then ``[DONE]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import inferd_engine as ie
from inferd_engine.web.errors import verdict_on
from inferd_engine.web.protocols.frames import sse_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.web.protocols.protocol import Ending

_DONE = b"data: [DONE]\n\n"
_FINISH_REASONS = {
    ie.StopReason.MAX_TOKENS: "length",
    ie.StopReason.TOOL_USE: "tool-calls",
    ie.StopReason.CONTENT_FILTER: "content-filter",
}


class Vercel:
    """Speak to ``useChat`` of the AI SDK, 5 and later.

    Args:
        message_id: Of the message that the page shows.
    """

    headers: Sequence[tuple[str, str]] = (("x-vercel-ai-ui-message-stream", "v1"),)

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self._open = ""  # the kind of the run that is open: "text" or "reasoning"
        self._runs = 0

    def start(self) -> bytes:
        """Return the frames that open a message."""
        return _frames({"type": "start", "messageId": self._message_id}, {"type": "start-step"})

    def event(self, event: ie.TokenEventV2 | ie.Token) -> bytes:
        """Return a delta, with what opens and closes its run; or a whole tool call."""
        if isinstance(event, ie.TextDelta):
            return self._delta("text", event.delta)
        if isinstance(event, ie.Token):
            return self._delta("text", event.text)
        if isinstance(event, ie.ThinkingDelta):
            return self._delta("reasoning", event.delta)
        if isinstance(event, ie.ToolUse):
            call = {
                "type": "tool-input-available",
                "toolCallId": event.tool_call_id,
                "toolName": event.name,
                "input": event.input,
            }
            return self._close() + _frames(call)
        return b""

    def end(self, ending: Ending) -> bytes:
        """Return ``finish``, ``error`` or ``abort``, and ``[DONE]``."""
        if ending is None:
            return _frames({"type": "abort", "reason": "The answer was stopped."}) + _DONE
        if isinstance(ending, ie.GenerateError):
            return _frames({"type": "error", "errorText": verdict_on(ending).message}) + _DONE
        finish: dict[str, Any] = {
            "type": "finish",
            "finishReason": _FINISH_REASONS.get(ending.stop_reason, "stop"),
        }
        if usage := usage_of(ending.usage):
            finish["messageMetadata"] = {"usage": usage}
        return self._close() + _frames({"type": "finish-step"}, finish) + _DONE

    def _delta(self, kind: str, delta: str) -> bytes:
        before = b"" if kind == self._open else self._close() + self._begin(kind)
        return before + _frames({"type": f"{kind}-delta", "id": self._id, "delta": delta})

    def _begin(self, kind: str) -> bytes:
        self._open, self._runs = kind, self._runs + 1
        return _frames({"type": f"{kind}-start", "id": self._id})

    def _close(self) -> bytes:
        kind, self._open = self._open, ""
        return _frames({"type": f"{kind}-end", "id": self._id}) if kind else b""

    @property
    def _id(self) -> str:
        return f"{self._message_id}-{self._runs}"


def usage_of(usage: ie.Usage | None) -> dict[str, int]:
    """Return what an answer cost, in the words that the AI SDK and AG-UI share."""
    if usage is None:
        return {}
    counted = {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens}
    known = {name: count for name, count in counted.items() if count is not None}
    return {**known, "totalTokens": sum(known.values())} if len(known) == len(counted) else known


def _frames(*frames: dict[str, Any]) -> bytes:
    return b"".join(map(sse_frame, frames))

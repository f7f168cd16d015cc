"""AG-UI 1.0 (docs.ag-ui.com, "Events"): what CopilotKit and other front ends read.

Messages, thoughts and tool calls are opened and closed; the last event is one ``RUN_FINISHED`` or
``RUN_ERROR``, and there is no end marker.  What is not set is absent, never null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import inferd_engine as ie
from inferd_engine.web.errors import verdict_on
from inferd_engine.web.protocols.frames import json_text, sse_frame
from inferd_engine.web.protocols.vercel import usage_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.web.protocols.protocol import Ending


class AgUi:
    """Speak AG-UI.

    Args:
        thread_id: ``threadId`` of the request (``RunAgentInput``).
        run_id: Its ``runId``.
    """

    headers: Sequence[tuple[str, str]] = ()

    def __init__(self, thread_id: str, run_id: str) -> None:
        self._run = {"threadId": thread_id, "runId": run_id}
        self._open: list[dict[str, Any]] = []  # the events that close what is open
        self._messages = 0

    def start(self) -> bytes:
        """Return ``RUN_STARTED``."""
        return _frames({"type": "RUN_STARTED", **self._run})

    def event(self, event: ie.TokenEventV2 | ie.Token) -> bytes:
        """Return a delta, with what opens and closes its message; or a whole tool call."""
        if isinstance(event, ie.TextDelta):
            return self._delta("TEXT_MESSAGE", event.delta)
        if isinstance(event, ie.Token):
            return self._delta("TEXT_MESSAGE", event.text)
        if isinstance(event, ie.ThinkingDelta):
            return self._delta("REASONING_MESSAGE", event.delta)
        if isinstance(event, ie.ToolUse):
            call = {"toolCallId": event.tool_call_id}
            return self._close() + _frames(
                {"type": "TOOL_CALL_START", **call, "toolCallName": event.name},
                {"type": "TOOL_CALL_ARGS", **call, "delta": json_text(event.input)},
                {"type": "TOOL_CALL_END", **call},
            )
        return b""

    def end(self, ending: Ending) -> bytes:
        """Return ``RUN_FINISHED`` or ``RUN_ERROR``."""
        if isinstance(ending, ie.GenerateError):
            verdict = verdict_on(ending)
            error = {"type": "RUN_ERROR", "message": verdict.message, "code": verdict.code}
            return _frames(error)
        finished: dict[str, Any] = {"type": "RUN_FINISHED", **self._run}
        if ending is None:
            finished["outcome"] = {"type": "cancelled"}
        else:
            finished["outcome"] = {"type": "success"}
            finished["result"] = {"stopReason": str(ending.stop_reason)}
            if usage := usage_of(ending.usage):
                finished["usage"] = [usage]
        return self._close() + _frames(finished)

    def _delta(self, kind: str, delta: str) -> bytes:
        is_open = bool(self._open) and self._open[0]["type"] == f"{kind}_END"
        before = b"" if is_open else self._close() + self._begin(kind)
        return before + _frames({"type": f"{kind}_CONTENT", "messageId": self._id, "delta": delta})

    def _begin(self, kind: str) -> bytes:
        self._messages += 1
        message = {"messageId": self._id}
        self._open = [{"type": f"{kind}_END", **message}]
        if kind == "TEXT_MESSAGE":
            return _frames({"type": f"{kind}_START", **message, "role": "assistant"})
        self._open.append({"type": "REASONING_END", **message})
        return _frames(
            {"type": "REASONING_START", **message},
            {"type": f"{kind}_START", **message, "role": "reasoning"},
        )

    def _close(self) -> bytes:
        closing, self._open = self._open, []
        return _frames(*closing)

    @property
    def _id(self) -> str:
        return f"{self._run['runId']}-{self._messages}"


def _frames(*frames: dict[str, Any]) -> bytes:
    return b"".join(map(sse_frame, frames))

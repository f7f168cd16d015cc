"""inferd's response frames (inferd-proto 0.2, v2/response.rs): one JSON object each.

Exactly one ``done`` or ``error`` comes, as the last; an answer that somebody has closed is a
``done`` with ``cancelled``, and a body without either was cut on its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import inferd_engine as ie
from inferd_engine.web.errors import verdict_on
from inferd_engine.web.protocols.frames import sse_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inferd_engine.web.protocols.protocol import Ending


class Inferd:
    """Speak inferd's frames.

    Args:
        id: Of the request, in every frame.
        backend: Who answered; nothing should depend on it.
        frame: Makes bytes of an object: ``sse_frame``, or ``json_line`` for NDJSON.
    """

    headers: Sequence[tuple[str, str]] = ()

    def __init__(
        self,
        id: str,  # noqa: A002 - inferd's word
        backend: str = "inferd-engine",
        frame: Callable[[Any], bytes] = sse_frame,
    ) -> None:
        self._id = id
        self._backend = backend
        self._frame = frame

    def start(self) -> bytes:
        """Return nothing: inferd begins with the first event."""
        return b""

    def event(self, event: ie.TokenEventV2 | ie.Token) -> bytes:
        """Return a ``frame`` with one block."""
        if isinstance(event, (ie.TextDelta, ie.ThinkingDelta)):
            return self._block(type=event.type, delta=event.delta)
        if isinstance(event, ie.Token):
            return self._block(type="text", delta=event.text)
        if isinstance(event, ie.ToolUse):
            return self._block(
                type=event.type,
                tool_call_id=event.tool_call_id,
                name=event.name,
                input=event.input,
            )
        return b""

    def _block(self, **block: Any) -> bytes:
        return self._frame({"type": "frame", "id": self._id, "block": block})

    def end(self, ending: Ending) -> bytes:
        """Return ``done`` or ``error``."""
        if isinstance(ending, ie.GenerateError):
            verdict = verdict_on(ending)
            error = {"code": verdict.code, "message": verdict.message}
            return self._frame({"type": "error", "id": self._id, **error})
        counted = None if ending is None else _usage_of(ending.usage)
        reason = ie.StopReason.CANCELLED if ending is None else ending.stop_reason
        return self._frame(
            {
                "type": "done",
                "id": self._id,
                "usage": counted,
                "stop_reason": str(reason),
                "backend": self._backend,
            }
        )


def _usage_of(usage: ie.Usage | None) -> dict[str, int] | None:
    """Return both counts, or None: inferd has no word for one that is not known."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}

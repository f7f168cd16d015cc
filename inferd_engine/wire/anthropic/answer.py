"""Read the body of an answer of Anthropic's Messages: bytes in, events out, whatever the body is.

What a body may turn out to be is the same for every protocol (``wire.answer.body``).  Here is
what differs: a ping is no sign of life, because it says nothing of the answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inferd_engine.wire.answer.body import AnyAnswer
from inferd_engine.wire.answer.other_protocols import MESSAGES
from inferd_engine.wire.anthropic.chunks import MessageAccumulator
from inferd_engine.wire.sse.decoder import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine._native import Implementation

_PING = re.compile(r'\s*\{\s*"type"\s*:\s*"ping"')


class Answer(AnyAnswer):
    """Feed it the body as it comes; it gives the events, and then how it ended.

    Args:
        implementation: Of the SSE decoder; None takes the best there is.
        max_event_bytes: The largest event, JSON document, or sum of tool calls that is no error.
        include_raw: Give every payload as a ``RawChunk`` before its events.
        request_id: The upstream's id of the request, for errors.
        mask: As of ``MessageAccumulator``.
    """

    protocol = MESSAGES

    def __init__(
        self,
        *,
        implementation: Implementation | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        include_raw: bool = False,
        request_id: str | None = None,
        mask: Callable[[str], str] = str,
    ) -> None:
        super().__init__(
            MessageAccumulator(max_bytes=max_event_bytes, request_id=request_id, mask=mask),
            implementation=implementation,
            max_event_bytes=max_event_bytes,
            include_raw=include_raw,
            request_id=request_id,
        )

    def _is_life(self, payload: str, event: str) -> bool:
        return event != "ping" and not _PING.match(payload)

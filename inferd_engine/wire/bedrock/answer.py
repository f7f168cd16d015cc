"""Read the body of an answer of Converse: frames of an event stream, or one JSON object.

What a body may turn out to be, and how it ends, is the same for every protocol
(``wire.answer.body``); here is how a stream is taken apart: a frame is an event by its
``:event-type``, or an error by its ``:exception-type`` or ``:error-code``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from inferd_engine.wire.answer.body import AnyAnswer
from inferd_engine.wire.answer.other_protocols import CONVERSE, EVENTS, other_protocol
from inferd_engine.wire.aws.event_stream import EventStreamDecoder
from inferd_engine.wire.bedrock.chunks import ConverseAccumulator
from inferd_engine.wire.sse.decoder import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from inferd_engine.events import TokenEventV2
    from inferd_engine.wire.aws.event_stream import Frame

# What lines of server-sent events begin with: data, event, id, retry, a comment.  A frame begins
# with its length, whose first byte is one of these from 973 MB on.
_SSE = (b"d", b"e", b"i", b"r", b":")


class Answer(AnyAnswer):
    """Feed it the body as it comes; it gives the events, and then how it ended.

    Args:
        max_event_bytes: The largest frame, JSON document, or sum of tool calls that is no error.
        include_raw: Give every payload as a ``RawChunk`` before its events.
        request_id: The upstream's id of the request, for errors.
    """

    protocol = CONVERSE

    def __init__(
        self,
        *,
        max_event_bytes: int = MAX_EVENT_BYTES,
        include_raw: bool = False,
        request_id: str | None = None,
    ) -> None:
        super().__init__(
            ConverseAccumulator(max_bytes=max_event_bytes, request_id=request_id),
            implementation=None,
            max_event_bytes=max_event_bytes,
            include_raw=include_raw,
            request_id=request_id,
        )
        self._frames = EventStreamDecoder(max_frame_bytes=max_event_bytes)

    def _check_stream(self, first: bytes) -> None:
        if first in _SSE:
            raise other_protocol(EVENTS, CONVERSE, request_id=self._request_id)

    def _take_sse(self, events: list[TokenEventV2], data: bytes) -> None:
        for frame in self._frames.feed(data):
            if not self._chunks.is_done:
                self._ingest(events, *_told(frame))

    def _take_end(self, events: list[TokenEventV2]) -> None:
        if self.kind != "sse":  # a frame that has no end is none
            super()._take_end(events)


def _told(frame: Frame) -> tuple[str, str]:
    """Return a frame's payload and its type; of an error ``"error:"`` and its type."""
    headers = frame.headers
    kind = headers.get(":message-type")
    payload = frame.payload.decode("utf-8", "replace")
    if kind == "exception":
        return payload, f"error:{headers.get(':exception-type', '')!s}"
    if kind == "error":
        said = {"message": headers.get(":error-message", "")}
        return json.dumps(said), f"error:{headers.get(':error-code', '')!s}"
    return payload, str(headers.get(":event-type", ""))

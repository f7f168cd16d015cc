"""Read the body of an answer: bytes in, events out, whatever the body turns out to be.

Goal: ``stream: true`` is answered by an event stream, by one JSON object, by JSON lines, by an
error object or by a login page, and the Content-Type does not tell which.  So the first byte that
is not blank decides: ``<`` is a page, ``{``, ``[`` and ``"`` are JSON, everything else is an event
stream.

What servers do beyond the standard is taken in here, one layer above the exact decoder: a last
event without its blank line, ``error: {…}`` as a field of its own, JSON on a line without
``data:``, a JSON body with ``data: [DONE]`` glued on.

How far it has come is one word, ``state``, which only goes on:

    unclear     it cannot be told yet what the body is: of JSON, the first document has to be whole
    clear       payloads may have come, but none that holds a token
    begun       there was a token: text, a thought, the beginning of a call
    finishing   the upstream has said why it stopped: little more can come, such as usage
    over        nothing more is wanted of the body; what is left is in ``rest()``

The end is a value, not an exception: ``ending`` is ``Done`` or the error, and what ``feed``,
``end`` and ``rest`` gave came before it.  So nothing that had arrived can be lost on the way up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from inferd_engine.errors import (
    EventTooLargeError,
    GenerateError,
    StreamInterruptedError,
    UpstreamError,
)
from inferd_engine.events import RawChunk
from inferd_engine.wire.answer.errors import READ_BODY_BYTES, html_title
from inferd_engine.wire.answer.likeness import Likeness
from inferd_engine.wire.answer.other_protocols import (
    CONVERSE,
    Spoken,
    other_protocol,
    spoken_instead,
)
from inferd_engine.wire.answer.payload_documents import DONE
from inferd_engine.wire.sse.alike import NativeAlikeEvents
from inferd_engine.wire.sse.decoder import BOM, SSEDecoder
from inferd_engine.wire.text.json_documents import JsonDocuments
from inferd_engine.wire.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine._native import Implementation
    from inferd_engine.events import Done, TokenEventV2, ToolUse
    from inferd_engine.wire.answer.likeness import Delta, Said

_BLANK = b" \t\r\n"
_SMALL = 4096  # bytes that may be looked at again with each read
_DOCUMENTS = ("{", "[{", '"{', DONE)  # what lines without a field name begin with
_EARLY = ("unclear", "clear")
_NOTHING = "the upstream ended the answer before it had sent any of it"

Kind = Literal["unknown", "sse", "json", "html"]
State = Literal["unclear", "clear", "begun", "finishing", "over"]


class Accumulator(Protocol):
    """What makes events of payloads: each protocol has its own."""

    skipped: int
    is_done: bool

    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def finish_reason(self) -> str | None: ...  # noqa: D102
    @property
    def has_begun(self) -> bool: ...  # noqa: D102

    def ingest_into(  # noqa: D102
        self, events: list[TokenEventV2], payload: str, event: str = "message"
    ) -> None: ...

    @property
    def is_told_once(self) -> bool: ...  # noqa: D102
    @property
    def is_steady(self) -> bool: ...  # noqa: D102

    def plain(self, payload: str) -> Said | None: ...  # noqa: D102

    def add_plain(self, events: list[TokenEventV2], said: Said) -> None: ...  # noqa: D102

    def flush(self) -> list[TokenEventV2]: ...  # noqa: D102

    def check_whole(self) -> None: ...  # noqa: D102

    def tool_uses(self) -> Iterator[tuple[ToolUse, int]]: ...  # noqa: D102

    def done(self) -> Done: ...  # noqa: D102


class AnyAnswer:
    """Feed it the body as it comes; it gives the events, and then how it ended.

    One that extends it says which ``protocol`` was asked for: an answer in another one is an error.

    Args:
        chunks: Makes events of payloads.
        implementation: Of the SSE decoder; None takes the best there is.
        max_event_bytes: The largest event or JSON document that is no error.
        include_raw: Give every payload as a ``RawChunk`` before its events.
        request_id: The upstream's id of the request, for errors.
    """

    protocol: ClassVar[Spoken]
    """The one that was asked for."""

    def __init__(
        self,
        chunks: Accumulator,
        *,
        implementation: Implementation | None,
        max_event_bytes: int,
        include_raw: bool,
        request_id: str | None,
    ) -> None:
        self.kind: Kind = "unknown"
        self.state: State = "unclear"
        """How far it has come."""
        self.ending: Done | GenerateError | None = None
        """How the answer ended, once ``rest()`` was taken to its end."""
        self.payloads = 0
        """How many payloads have come: signs of life, whether or not they gave an event."""
        self.skipped = 0
        """How many payloads were no JSON and were left out."""
        self._chunks = chunks
        self._sse = SSEDecoder(
            implementation=implementation, max_event_bytes=max_event_bytes, keep_unknown=True
        )
        self._documents = JsonDocuments(max_event_bytes)
        self._implementation = implementation
        self._likeness = Likeness(self._sse.implementation)
        self._held = b""  # the beginning of an event that is alike as far as it goes
        self._is_between = True  # whether what comes next begins an event
        self._max_event_bytes = max_event_bytes
        self._head = b""  # what came before the kind was known; of a page, its beginning
        self.error: GenerateError | None = None
        """What it failed with, as soon as that is known."""
        self._include_raw = include_raw
        self._request_id = request_id

    @property
    def model(self) -> str:
        """The model that answers, in the upstream's word; empty if it does not say."""
        return self._chunks.model

    def feed(self, data: bytes) -> list[TokenEventV2]:
        """Take the next bytes of the body; give the events that they finish."""
        events: list[TokenEventV2] = []
        if self.state != "over":
            try:
                if self.kind == "sse":
                    self._take_sse(events, data)
                else:
                    self._take(events, data)
            except (GenerateError, EventTooLargeError) as error:
                self.fail(error)
        return events

    def likeness(self, size: int) -> Likeness | None:
        """Return what the next events may be like, if whoever receives them may take them apart.

        What they say is for ``add()`` then.  None as long as that is not known, where an event has
        begun, and for reads of more bytes (``size``) than an event may have.
        """
        is_steady = self.state == "begun" and self._is_between and self._chunks.is_steady
        is_native = isinstance(self._likeness.alike, NativeAlikeEvents)
        can_skip = is_steady and is_native and not self._held and size <= self._max_event_bytes
        return self._likeness if can_skip else None

    @property
    def is_told_once(self) -> bool:
        """Whether one ``add()`` will do for all plain events that come in a row."""
        return self._chunks.is_told_once

    def add(self, said: list[Delta]) -> list[TokenEventV2]:
        """Take what plain events say; give ours.  Whoever received them adds to ``payloads``."""
        events: list[TokenEventV2] = []
        try:
            self._chunks.add_plain(events, (said, self._likeness.place))
        except GenerateError as error:
            self.fail(error)
        return events

    def end(self) -> list[TokenEventV2]:
        """Take the end of the body; give the events of what had no end of its own."""
        events: list[TokenEventV2] = []
        if self.state != "over":
            try:
                self._take_end(events)
            except (GenerateError, EventTooLargeError) as error:
                self.fail(error)
            self.state = "over"
        return events

    def rest(self) -> Iterator[tuple[TokenEventV2, int]]:
        """Yield what was held back to the end, each event with its size in bytes; set ``ending``.

        Tool calls are decoded one at a time, as they are asked for: together they may be as large
        as the limit, and nobody may be there to take them.
        """
        error = self.error
        try:
            for event in self._chunks.flush():
                yield event, 0
            if error is None and self.payloads == 0:
                error = StreamInterruptedError(_NOTHING, request_id=self._request_id)
            if error is None:
                self._chunks.check_whole()
                yield from self._chunks.tool_uses()
        except GenerateError as raised:
            error = error or raised
        self.ending = error or self._chunks.done()

    # --- the kinds of body -----------------------------------------------------------------------

    def _take(self, events: list[TokenEventV2], data: bytes) -> None:
        if self.kind == "unknown":
            data = self._sniff(data)
        if self.kind == "sse":
            self._take_sse(events, data)
        elif self.kind == "json":
            self._take_json(events, data)
        elif self.kind == "html":
            self._head += data
            if len(self._head) >= READ_BODY_BYTES or b"</title>" in self._head.lower():
                raise self._page_error()

    def _take_end(self, events: list[TokenEventV2]) -> None:
        if self.kind == "sse":
            self._take_sse(events, b"\n\n")  # the blank line that the last event did without
        elif self.kind == "json":
            for document in self._documents.close():
                self._ingest(events, document)
        elif self.kind == "html":
            raise self._page_error()

    def _sniff(self, data: bytes) -> bytes:
        """Find the first byte that is not blank; return all that came until then."""
        data = self._head + data
        body = data.removeprefix(BOM).lstrip(_BLANK)
        self._head = b""
        if not body or BOM.startswith(body):
            self._head = data[-len(BOM) :] if data.isspace() else data
            return b""
        first = body[:1]
        self.kind = "html" if first == b"<" else "json" if first in (b"{", b"[", b'"') else "sse"
        if self.kind != "sse":
            return body
        self._check_stream(first)
        self.state = "clear"
        return data

    def _check_stream(self, first: bytes) -> None:
        """Refuse a stream of another kind: Amazon's frames begin with their length."""
        if first == b"\0":
            raise other_protocol(CONVERSE, self.protocol, request_id=self._request_id)

    def _take_sse(self, events: list[TokenEventV2], data: bytes) -> None:
        if self._include_raw:
            self._take_unlike(events, data)
            return
        data, self._held = self._held + data, b""
        while data and self.state != "over":
            is_whole = self._is_between
            if is_whole and self._chunks.is_steady:
                data = self._take_alike(events, data)
                if not data:
                    return
            one = self._likeness.wanted(data, is_between=is_whole)
            self._take_unlike(events, one or data)
            self._is_between = not self._sse.has_pending
            if not one:
                return
            if is_whole and self._chunks.is_steady and self.state == "begun":
                self._likeness.learn(one, self.read_plain)
            data = data[len(one) :]

    def _take_alike(self, events: list[TokenEventV2], data: bytes) -> bytes:
        """Take the events that are like one before, up to the first that is not; give the rest."""
        likeness, size = self._likeness, len(data)
        if size > self._max_event_bytes:
            return data
        said = likeness.take(data)
        if said is not None:
            self.payloads += likeness.count
            self._chunks.add_plain(events, said)
            data = data[likeness.consumed :]
        # What is held is looked at again: a little, or less than comes with each read.
        if data and len(data) <= max(_SMALL, size // 2) and likeness.is_begun(data):
            self._held, data = data, b""
        return data

    def read_plain(self, event: bytes) -> Said | None:
        """Return what the bytes of an event say, wherever they come, if it is a plain one."""
        sse = SSEDecoder(implementation=self._implementation, keep_unknown=True)
        found = [*sse.feed(b"\n"), *sse.feed(event)]
        if len(found) != 1 or sse.has_pending or found[0].event in ("", "error"):
            return None
        payload = found[0].data
        return self._chunks.plain(payload) if self._is_life(payload, found[0].event) else None

    def _take_unlike(self, events: list[TokenEventV2], data: bytes) -> None:
        """Take whatever comes."""
        for found in self._sse.runs(data):
            if isinstance(found, str):
                for payload in filter(None, found.split("\n")):
                    if self.state != "over":
                        self._ingest(events, payload)
            elif not found.event:
                self._take_line(events, found.data.strip())
            elif found.data or found.event == "error":
                self._ingest(events, found.data, found.event)
            if self.state == "over":
                return

    def _take_line(self, events: list[TokenEventV2], line: str) -> None:
        """Take a line that is no field of the standard."""
        name, _, value = line.partition(":")
        if name.strip() == "error":
            self._ingest(events, value, "error")
        elif line.startswith(_DOCUMENTS):
            self._ingest(events, line)

    def _take_json(self, events: list[TokenEventV2], data: bytes) -> None:
        for document in self._documents.feed(data):
            self._ingest(events, document)
        if self._documents.stopped_at is not None:  # the rest of the body is an event stream
            self.kind = "sse"
            if self.state == "unclear":
                self.state = "clear"
            self._take_sse(events, self._documents.stopped_at)

    def _ingest(self, events: list[TokenEventV2], payload: str, event: str = "message") -> None:
        if self._is_life(payload, event):
            self.payloads += 1
        if self.state in _EARLY and (other := spoken_instead(self.protocol, payload)):
            raise other_protocol(other, self.protocol, request_id=self._request_id)
        if self._include_raw and payload != DONE:
            events.append(RawChunk(payload.encode()))
        chunks = self._chunks
        chunks.ingest_into(events, payload, event)
        self.skipped = chunks.skipped
        if chunks.is_done:
            self.state = "over"
        elif chunks.finish_reason is not None:
            self.state = "finishing"
        elif self.state != "begun":
            self.state = "begun" if chunks.has_begun else "clear"

    def _is_life(self, payload: str, event: str) -> bool:  # noqa: ARG002 - for those that extend it
        """Say whether a payload is a sign of life."""
        return True

    # --- failures --------------------------------------------------------------------------------

    def _page_error(self) -> UpstreamError:
        title = html_title(self._head.decode("utf-8", "replace"))
        return UpstreamError(
            f"the upstream sent no answer, but an {printable(title)}: "
            "check base_url, and whether a proxy wants a login",
            upstream_message=title,
            code="html_page",
            retryable=False,
            request_id=self._request_id,
        )

    def fail(self, error: GenerateError | EventTooLargeError) -> None:
        """End the answer with an error; what was given before stays given."""
        if isinstance(error, EventTooLargeError):
            error = UpstreamError(str(error), code="event_too_large", retryable=False)
        self.error = error.with_traceback(None)  # its frames hold what was kept of the answer
        self.state = "over"

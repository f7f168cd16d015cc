"""Decode ``text/event-stream``: bytes in, events out, exact at every split.

Goal: the events of the WHATWG algorithm (HTML 9.2.5 and 9.2.6, Encoding "UTF-8 decode"), whatever
the reads look like; time that grows with the bytes; memory that ends at ``max_event_bytes``.

Strategy: a *framer* finds blocks (the lines up to a blank one), natively or in Python; *fields*
says what a block means.  Both framers give the same pieces, so everything from there on exists
once, and the whole test suite runs over both.

Rules:

* an event is delivered by the byte that ends its blank line: a CR counts at once;
* what the stream did not finish is dropped, as the standard has it, and can be seen in
  ``pending`` (servers that forget the last blank line are the next layer's business);
* a line with an unknown field is nothing, unless ``keep_unknown`` asks for it: then it is given
  as an event whose ``event`` is ``""`` (no event of the standard has that) as soon as its line
  ends;
* a block larger than ``max_event_bytes``, from its first byte to its last before the blank line,
  raises, however it was cut into reads; what was decoded before is on the exception.

The default is native where the C part is there and wanted (``_native``).
"""

from __future__ import annotations

import codecs
from itertools import repeat
from typing import TYPE_CHECKING, Protocol

from inferd_engine._native import IMPLEMENTATION, IS_THERE
from inferd_engine.errors import EventTooLargeError
from inferd_engine.frames import without_frames
from inferd_engine.wire.sse.fields import Fields, ServerSentEvent
from inferd_engine.wire.sse.pure import PureFramer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine._native import Implementation
    from inferd_engine.wire.sse.fields import Piece

__all__ = [
    "BOM",
    "IMPLEMENTATION",
    "IMPLEMENTATIONS",
    "MAX_EVENT_BYTES",
    "EventTooLargeError",
    "SSEDecoder",
    "ServerSentEvent",
    "utf8_truncate",
]

MAX_EVENT_BYTES = 64 * 1024 * 1024  # inferd's own limit of a frame
BOM = b"\xef\xbb\xbf"
_MESSAGE = repeat("message")  # the type of every plain event


class _Framer(Protocol):
    @property
    def pending(self) -> bytes: ...

    @property
    def has_pending(self) -> bool: ...

    def feed(self, data: bytes) -> Iterator[Piece]: ...

    def drop(self) -> None: ...


class _FramerClass(Protocol):
    def __call__(self, max_event_bytes: int, *, keep_unknown: bool) -> _Framer: ...


def _utf8_truncate_pure(text: bytes, most: int) -> int:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(text[max(0, most - 3) : most])
    begun = decoder.getstate()[0]  # the bytes of a character that has no end before the cut
    try:
        codecs.utf_8_decode(begun + text[most : most + 1], "strict", False)  # noqa: FBT003
    except UnicodeDecodeError:
        return most  # and has none after it either: these bytes stand for themselves
    return most - len(begun)


_framers: dict[str, _FramerClass] = {"pure": PureFramer}
_truncate = _utf8_truncate_pure
if IS_THERE:
    from inferd_engine.wire.sse import native

    _framers["native"] = native.NativeFramer
    if IMPLEMENTATION == "native":
        _truncate = native.utf8_truncate

IMPLEMENTATIONS: tuple[str, ...] = tuple(sorted(_framers))
"""What is installed: ``native`` and ``pure``, or ``pure`` alone."""


def utf8_truncate(text: bytes, most: int) -> bytes:
    """Cut text at a character: the longest prefix of at most ``most`` bytes.

    Args:
        text: UTF-8; ill-formed bytes count as characters of their own (Unicode 3.9).
        most: How many bytes the prefix may have, 0 or more.
    """
    return text if most >= len(text) else text[: _truncate(text, most)]


class SSEDecoder:
    """Feed it the bytes of an event stream as they come; it gives the events that they finish.

    Args:
        implementation: ``"native"`` or ``"pure"``; None takes the best there is.
        max_event_bytes: The largest block, in bytes, that is not an error.
        keep_unknown: Also give lines with unknown fields, as events with an empty ``event``.

    Raises:
        ValueError: There is no such implementation here.
    """

    def __init__(
        self,
        *,
        implementation: Implementation | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        keep_unknown: bool = False,
    ) -> None:
        self.implementation: str = implementation or IMPLEMENTATION
        if self.implementation not in _framers:
            there = " and ".join(sorted(_framers))
            raise ValueError(f"there is no {implementation!r} implementation here, only {there}")
        self._framer = _framers[self.implementation](max_event_bytes, keep_unknown=keep_unknown)
        self._fields = Fields()
        self._head: bytes | None = b""  # what may still become a byte order mark
        self._too_large: tuple[int, int] | None = None  # not the error: its frames refer to us

    def __repr__(self) -> str:
        return f"<SSEDecoder {self.implementation}>"

    @property
    def last_event_id(self) -> str:
        """The id that the last blank line committed."""
        return self._fields.last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time that the stream set, in ms."""
        return self._fields.retry

    @property
    def pending(self) -> bytes:
        """All bytes since the last blank line: what ``close()`` would drop."""
        return (self._head or b"") + self._framer.pending

    @property
    def has_pending(self) -> bool:
        """Whether there is any, which is faster told than what."""
        return self._framer.has_pending or bool(self._head)

    @without_frames
    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes; give the events that they finish, in order.

        Raises:
            EventTooLargeError: A block is larger than allowed; its ``events`` are those that this
                call decoded before it.  The decoder gives nothing more.
        """
        events: list[ServerSentEvent] = []
        try:
            for piece in self.runs(data):
                if isinstance(piece, str):
                    last_id = repeat(self._fields.last_event_id)
                    events += map(ServerSentEvent, _MESSAGE, piece.split("\n"), last_id)
                else:
                    events.append(piece)
        except EventTooLargeError as error:
            error.events = events
            raise
        return events

    def runs(self, data: bytes) -> Iterator[str | ServerSentEvent]:
        """Decode as ``feed()`` does, but yield events of mere data as text: their data, one a line.

        That costs a fraction of an event each.  The pure decoder finds no such runs.

        Raises:
            EventTooLargeError: A block is larger than allowed; what came before it was given.
        """
        if self._too_large is not None:
            raise EventTooLargeError(*self._too_large)
        if self._head is not None:
            data = self._without_bom(data)
        fields = self._fields
        try:
            for piece in self._framer.feed(data):
                if isinstance(piece, str):
                    yield piece
                    continue
                if isinstance(piece, tuple):
                    event = fields.read_block(piece)
                else:
                    event = fields.read_line(piece)
                if event is not None:
                    yield event
        except EventTooLargeError as error:
            self._too_large = error.size, error.limit
            raise

    def close(self) -> None:
        """Drop the unfinished event: the stream is over."""
        self._head = None
        self._framer.drop()

    def _without_bom(self, data: bytes) -> bytes:
        head = (self._head or b"") + data
        if len(head) < len(BOM) and BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(BOM)

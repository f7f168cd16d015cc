"""Frame an event stream with the C part: offsets into the read, no copy of what it holds.

Goal: the cost of a read, not of an event.  ``sse_scan`` (``csrc/sse_lines.h`` is its manual) names
runs of plain events by two offsets, and ``sse_join`` gives a run's data, one a line, so that Python
runs a few lines for a whole read.  A read that ends inside an event leaves the rest in a
``bytearray``, which grows in place; the scanner remembers how far it looked, so that no byte is
scanned twice.

Rejected: one record for each line (a Python loop over every line costs more than the scan), and
``split`` or ``replace`` with the run's separator (they search for eight bytes where one would do).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine._native import CHARS, ffi, lib, new_chars
from inferd_engine.errors import EventTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.wire.sse.fields import Piece

_MORE, _LARGE = lib.SSE_MORE, lib.SSE_LARGE
_BLOCK = lib.SSE_BLOCK
_ROOM = 64  # spans for one call: a read of unlike events needs several calls, of like ones one


class NativeFramer:
    """Cut a stream into blocks, lines and runs of plain events."""

    def __init__(self, max_event_bytes: int, *, keep_unknown: bool) -> None:
        self._scanner = ffi.new("struct sse_scanner *")
        self._scanner.limit = max_event_bytes
        self._scanner.keep_unknown = keep_unknown
        self._spans = ffi.new("struct sse_span[]", _ROOM)
        self._rest = bytearray()  # the block that has no blank line yet

    @property
    def pending(self) -> bytes:
        """All bytes since the last blank line."""
        return bytes(self._rest)

    @property
    def has_pending(self) -> bool:
        """Whether there are any."""
        return bool(self._rest)

    def drop(self) -> None:
        """Forget the unfinished block."""
        old = self._scanner
        self.__init__(old.limit, keep_unknown=bool(old.keep_unknown))  # type: ignore[misc]

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Yield the pieces that these bytes finish.

        Raises:
            EventTooLargeError: A block is larger than allowed.
        """
        scanner, spans, rest = self._scanner, self._spans, self._rest
        buffer: bytes | bytearray = data
        if rest:
            rest += data
            buffer = rest
        size, offset, code = len(buffer), 0, _MORE
        with memoryview(buffer) as view, ffi.from_buffer(view) as start:
            while code == _MORE:
                code = lib.sse_scan(scanner, start + offset, size - offset, spans, _ROOM)
                for index in range(scanner.count):
                    span = spans[index]
                    kind, text = span.kind, view[offset + span.start : offset + span.end]
                    if kind < _BLOCK:
                        yield _joined(start + offset + span.start, len(text), kind)
                    elif kind == _BLOCK:
                        yield tuple(bytes(text).splitlines())
                    else:
                        yield bytes(text)
                    text.release()
                offset += scanner.consumed
        if buffer is rest:
            del rest[:offset]
        else:
            rest += data[offset:]
        if code == _LARGE:
            raise EventTooLargeError(len(rest), scanner.limit)


def _joined(run: Any, size: int, kind: int) -> str:  # a pointer
    """Return a run's data, one a line."""
    lines = new_chars(CHARS, size)
    return str(ffi.buffer(lines, lib.sse_join(run, size, kind, lines)), "utf-8", "replace")


def utf8_truncate(text: bytes, most: int) -> int:
    """Return the length of the longest prefix of at most ``most`` bytes that cuts no character."""
    length: int = lib.utf8_truncate(ffi.from_buffer(text), len(text), most)
    return length

"""Frame an event stream without the C part: an honest fallback, never more.

The strategy is the plain one: ``bytes.splitlines`` cuts at CRLF, LF and CR (and, unlike the
``str`` method, at nothing else), a blank line ends a block, and the whole block goes on.  Two
things make it exact at every split: a CR ends its line at once and an LF that comes next is
swallowed, and a line that has no end yet waits as a list of parts, so that a long line in small
reads is joined once and not copied at every read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine.errors import EventTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.wire.sse.fields import Piece

_LINE_ENDS = (b"\n", b"\r")
_KNOWN_FIELDS = (b"data", b"event", b"id")


class PureFramer:
    """Cut a stream into blocks and lines; the same pieces as the native framer, unbatched."""

    def __init__(self, max_event_bytes: int, *, keep_unknown: bool) -> None:
        self._limit = max_event_bytes
        self._keep_unknown = keep_unknown
        self._lines: list[bytes] = []  # of the block that has no blank line yet, with their ends
        self._parts: list[bytes] = []  # of the line that has no end yet
        self._size = 0  # bytes in both
        self._after_cr = False  # the last byte was a CR: an LF after it belongs to it

    @property
    def pending(self) -> bytes:
        """All bytes since the last blank line."""
        return b"".join(self._lines + self._parts)

    @property
    def has_pending(self) -> bool:
        """Whether there are any."""
        return bool(self._lines or self._parts)

    def drop(self) -> None:
        """Forget the unfinished block."""
        self._lines, self._parts, self._size = [], [], 0

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Yield the pieces that these bytes finish.

        Raises:
            EventTooLargeError: A block is larger than allowed.
        """
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
                if self._lines:
                    self._lines[-1] += b"\n"
                    self._size += 1
        for part in data.splitlines(keepends=True):
            self._after_cr = part.endswith(b"\r")
            if part.endswith(_LINE_ENDS):
                self._parts.append(part)
                line = b"".join(self._parts)
                self._parts = []
                yield from self._take_line(line, self._size + len(part))
            else:
                self._parts.append(part)
                self._size += len(part)
        self._check(self._size)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise EventTooLargeError(size, self._limit)

    def _take_line(self, line: bytes, size: int) -> Iterator[Piece]:
        """Take a whole line, with its end; with it the block has ``size`` bytes."""
        text = line.rstrip(b"\r\n")
        self._check(size - (len(line) - len(text)))
        if not text:
            block = tuple(kept.rstrip(b"\r\n") for kept in self._lines)
            self.drop()
            yield block
            return
        self._lines.append(line)
        self._size = size
        name = text[: text.find(b":")] if b":" in text else text
        if name == b"retry" or (self._keep_unknown and name and name not in _KNOWN_FIELDS):
            yield text

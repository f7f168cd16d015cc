"""Take HTTP's chunks apart: many of them in one read, and strictly.

``http.client`` reads one chunk a call, which for a stream of tokens is the largest cost of all; and
it reads sizes with ``int(line, 16)``, which takes ``-5``, ``+5``, ``1_0`` and ``0x10``, and skips
two bytes after each chunk whatever they are.  Here everything that one read gave is taken apart at
once, a size is hexadecimal digits, and a chunk ends with a line end.

What was taken apart before a mistake is given; ``error`` is the mistake from then on, and the next
call raises it.

There are two decoders, which the same tests hold alike: that of the C part, which streams use where
it is there, and the one in Python.

RFC 9112, 7.1 "Chunked Transfer Coding".
"""

from __future__ import annotations

import re
from typing import Protocol

from inferd_engine._native import IMPLEMENTATION, Implementation

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n?", re.DOTALL)
_LONGEST_LINE = 8192  # bytes of a size with its extension, or of one trailer
_MOST_TRAILERS = 100


class ChunkedDecoder(Protocol):
    """Feed it a chunked body as it comes; it gives the body."""

    is_done: bool
    """Whether the last chunk and its trailers have come."""
    surplus: bool
    """Whether bytes came after the end: the connection is out of step."""
    error: ValueError | None
    """What is wrong with the body, once something is."""

    def feed(self, data: bytes) -> bytes:
        """Return the body's bytes in these.

        Raises:
            ValueError: The body was wrong before these bytes.
        """

    def look(self) -> None:
        """Look at how the body goes on, after somebody else has taken some of it apart."""


def chunked_decoder(implementation: Implementation = IMPLEMENTATION) -> ChunkedDecoder:
    """Make a decoder of chunks; by default of the implementation that decodes event streams."""
    if implementation == "native":
        from inferd_engine.wire.http.chunks_native import NativeChunkedDecoder  # noqa: PLC0415

        return NativeChunkedDecoder()
    return PureChunkedDecoder()


class PureChunkedDecoder:
    """Take chunks apart in Python."""

    def __init__(self) -> None:
        self.is_done = False
        self.surplus = False
        self.error: ValueError | None = None
        self._left = 0  # bytes of the chunk that are still to come
        self._line = b""  # of a line that has no end yet
        self._expects = self._take_size
        self._trailers = 0

    def feed(self, data: bytes) -> bytes:
        """Return the body's bytes in these."""
        if self.error is not None:
            raise self.error
        body: list[bytes] = []
        position, size = 0, len(data)
        try:
            while position < size:
                if self._left:
                    end = position + self._left
                    body.append(data[position:end])
                    self._left = max(0, end - size)
                    position = min(end, size)
                elif self.is_done:
                    self.surplus = True
                    break
                else:
                    position = self._take_line(data, position)
        except ValueError as error:
            self.error = error
        return b"".join(body)

    def look(self) -> None:
        """There is nobody else."""

    def _take_line(self, data: bytes, position: int) -> int:
        """Take a line, or the beginning of one; give where the next byte is."""
        end = data.find(b"\n", position) + 1
        if len(self._line) + (end or len(data)) - position > _LONGEST_LINE:
            raise ValueError(f"a line between chunks has more than {_LONGEST_LINE} bytes")
        self._line += data[position : end or len(data)]
        if not end:
            return len(data)
        line, self._line = self._line, b""
        self._expects(line)
        return end

    def _take_size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise ValueError("a chunk's size is not a hexadecimal number")
        self._left = int(match[1], 16)
        self._expects = self._take_end if self._left else self._take_trailer

    def _take_end(self, line: bytes) -> None:
        if line not in (b"\r\n", b"\n"):
            raise ValueError("a chunk does not end where its size says")
        self._expects = self._take_size

    def _take_trailer(self, line: bytes) -> None:
        self._trailers += 1
        if line in (b"\r\n", b"\n"):
            self.is_done = True
        elif self._trailers > _MOST_TRAILERS:
            raise ValueError(f"the body has more than {_MOST_TRAILERS} trailers")

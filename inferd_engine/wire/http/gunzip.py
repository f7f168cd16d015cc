"""Decompress a body that came as gzip although nobody announced it.

Some proxies compress an event stream and forget the header.  The first two bytes tell.  What comes
out is given piece by piece, so that a bomb costs time and no memory.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x1f\x8b"
_WINDOW = 31  # zlib's word for a gzip header and the largest window
PIECE = 65536  # bytes that come out at once


class Gunzip:
    """Feed it a body as it comes; it gives the body, decompressed if it was gzip."""

    def __init__(self) -> None:
        self._head: bytes | None = b""  # what came before it was known
        self._unzip: zlib._Decompress | None = None

    @property
    def is_active(self) -> bool:
        """Whether the body is gzip, so that more may come out without more going in."""
        return self._unzip is not None

    @property
    def is_passive(self) -> bool:
        """Whether the body is known not to be gzip: ``feed()`` would give what it gets."""
        return self._head is None and self._unzip is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what these bytes make, in pieces of at most 64 KiB where they were compressed.

        Raises:
            zlib.error: They are no gzip after all.
        """
        if self._head is not None:
            data = self._head + data
            self._head = None
            if data in (b"", MAGIC[:1]):
                self._head = data
                return
            if data.startswith(MAGIC):
                self._unzip = zlib.decompressobj(_WINDOW)
        if self._unzip is None:
            yield data
            return
        piece = b""
        while data or len(piece) == PIECE:  # a full piece: zlib may hold more of it back
            piece = self._unzip.decompress(data, PIECE)
            yield piece
            data = self._unzip.unconsumed_tail
            if self._unzip.eof:  # another member may follow
                data = self._unzip.unused_data.lstrip(b"\0")  # members may be padded
                self._unzip = zlib.decompressobj(_WINDOW)

"""Read from a socket with the C part: wait, receive and take chunks apart in one call."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from inferd_engine._native import CHARS, ffi, lib, new_chars

if TYPE_CHECKING:
    import socket

    from inferd_engine.wire.http.chunks_native import NativeChunkedDecoder

WORKS: bool = bool(lib.SOCKET_READ_WORKS)
_MORE = lib.HTTP_CHUNKS_MORE
_NOTHING = -errno.EAGAIN
_read = lib.socket_read_unlocked


class NativeReader:
    """The one of the C part (``csrc/socket_read.h`` is its manual)."""

    def __init__(
        self, sock: socket.socket, decoder: NativeChunkedDecoder | None, most: int
    ) -> None:
        self._fileno = sock.fileno  # asked before each read: a socket that was closed has none
        self._decoder = decoder
        self._chunks = ffi.NULL if decoder is None else decoder.chunks
        self._most = most
        self._count = 0  # that the last read gave

    @property
    def taken(self) -> int:
        """How many bytes the last read received and looked at, framing included."""
        return max(0, self._count) if self._decoder is None else self._chunks.consumed

    def read(self, size: int, seconds: float) -> bytes | None:
        """Return what comes next; None if it is nothing yet, empty at the end."""
        decoder = self._decoder
        if decoder is not None and decoder.error is not None:
            raise decoder.error
        most = min(size, self._most)
        block = new_chars(CHARS, most)  # not kept: thousands of streams wait, and few read
        count = _read(self._fileno(), seconds, self._chunks, block, most)
        self._count = count
        if count < 0:
            if count == _NOTHING:
                return None
            raise OSError(-count, os.strerror(-count))
        if decoder is not None and self._chunks.status != _MORE:
            decoder.look()
            if count == 0 and decoder.error is not None:
                raise decoder.error
        body: bytes = ffi.buffer(block, count)[:]
        return body

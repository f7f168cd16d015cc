"""Read from a socket with the C part: wait, receive and take chunks apart in one call."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from inferd_engine._native import CHARS, ffi, lib, new_chars
from inferd_engine.net._short_way_native import SocketWay

if TYPE_CHECKING:
    import socket

    from inferd_engine.net.socket_reader import Plain
    from inferd_engine.wire.http.chunks_native import NativeChunkedDecoder

WORKS: bool = bool(lib.SOCKET_READ_WORKS)
_MORE = lib.HTTP_CHUNKS_MORE
_NOTHING = -errno.EAGAIN
_read = lib.socket_read_unlocked


class NativeReader:
    """The one of the C part (``csrc/socket_read.h`` is its manual)."""

    def __init__(self, sock: socket.socket, decoder: NativeChunkedDecoder | None) -> None:
        self._fileno = sock.fileno  # asked before each read: a socket that was closed has none
        self._decoder = decoder
        self._chunks = ffi.NULL if decoder is None else decoder.chunks
        self._count = 0  # that the last read gave
        self.left: bytes | Exception | None = None
        """What the short way has left for the next read."""

    @property
    def taken(self) -> int:
        """How many bytes the last read received and looked at, framing included."""
        return max(0, self._count) if self._decoder is None else self._chunks.consumed

    def read(self, size: int, seconds: float) -> bytes | None:
        """Return what comes next; None if it is nothing yet, empty at the end."""
        decoder, chunks = self._decoder, self._chunks
        if decoder is not None and decoder.error is not None:
            raise decoder.error
        left, self.left = self.left, None
        if isinstance(left, Exception):
            raise left
        if left is not None:
            body, self._count = left, len(left)
        else:
            block = new_chars(CHARS, size)  # not kept: thousands of streams wait, and few read
            count = self._count = _read(self._fileno(), seconds, chunks, block, size)
            if count == _NOTHING:
                return None
            if count < 0:
                raise OSError(-count, os.strerror(-count))
            body = ffi.buffer(block, count)[:]
        if decoder is not None and chunks.status != _MORE:
            decoder.look()
            if not body and decoder.error is not None:
                raise decoder.error
        return body

    def short_way(self, plain: Plain) -> SocketWay:
        """Return the way past all that looks after a body, for events that are alike."""
        return SocketWay(self, self._fileno(), self._decoder, plain)

"""Read from a socket with the C part: wait, receive and take chunks apart in one call."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from inferd_engine._native import CHARS, ffi, lib, new_chars
from inferd_engine.net.socket_reader import SIFTED

if TYPE_CHECKING:
    import socket

    from inferd_engine.net.socket_reader import Block, Sieve
    from inferd_engine.wire.http.chunks_native import NativeChunkedDecoder

WORKS: bool = bool(lib.SOCKET_READ_WORKS)
_MORE = lib.HTTP_CHUNKS_MORE
_NOTHING = -errno.EAGAIN
_read = lib.socket_read_unlocked
_read_texts = lib.socket_texts_unlocked


class NativeReader:
    """The one of the C part (``csrc/socket_read.h`` is its manual)."""

    def __init__(self, sock: socket.socket, decoder: NativeChunkedDecoder | None) -> None:
        self._fileno = sock.fileno  # asked before each read: a socket that was closed has none
        self._decoder = decoder
        self._chunks = ffi.NULL if decoder is None else decoder.chunks
        self._count = 0  # that the last read gave

    @property
    def taken(self) -> int:
        """How many bytes the last read received and looked at, framing included."""
        return max(0, self._count) if self._decoder is None else self._chunks.consumed

    def read(self, size: int, seconds: float, sieve: Sieve | None = None) -> Block | None:
        """Return what comes next; None if it is nothing yet, empty at the end."""
        decoder, chunks = self._decoder, self._chunks
        if decoder is not None and decoder.error is not None:
            raise decoder.error
        before = len(sieve.held) if sieve is not None and sieve.held else 0
        if sieve is None or 2 * before > size:
            sieve, before = None, 0
            block = new_chars(CHARS, size)  # not kept: thousands of streams wait, and few read
            count = _read(self._fileno(), seconds, chunks, block, size)
        else:
            block, part, held = new_chars(CHARS, 2 * size), sieve.part, sieve.held
            count = _read_texts(self._fileno(), seconds, chunks, part, held, before, block, size)
        self._count = count
        if count < 0:
            if count == _NOTHING:
                return None
            raise OSError(-count, os.strerror(-count))
        if decoder is not None and chunks.status != _MORE:
            sieve = None  # what is sifted goes on
            decoder.look()
            if count == 0 and decoder.error is not None:
                raise decoder.error
        if sieve is not None and part.count:
            sieve.count, sieve.consumed = part.count, part.consumed
            sieve.block, sieve.received = block, count
            sieve.found = ffi.buffer(block + (before + count), part.written)
            return SIFTED
        body: bytes = ffi.buffer(block + before, count)[:]
        return body

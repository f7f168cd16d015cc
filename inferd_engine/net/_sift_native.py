"""Take what was received apart with the C part: out of its chunks, and by a sieve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine._native import CHARS, ffi, lib, new_chars
from inferd_engine.net.socket_reader import SIFTED

if TYPE_CHECKING:
    from inferd_engine.net.socket_reader import Block, Sieve
    from inferd_engine.wire.http.chunks_native import NativeChunkedDecoder

_MORE = lib.HTTP_CHUNKS_MORE


def sift(data: bytes, decoder: NativeChunkedDecoder | None, sieve: Sieve) -> Block:
    """Return what a sieve makes of bytes that were received, or those of the body in them."""
    count, before = len(data), len(sieve.held)
    block = new_chars(CHARS, 2 * (before + count))  # what is held, the body, the texts
    body = block + before
    goes_on = True
    if decoder is None:
        ffi.memmove(body, data, count)
    else:
        count = lib.http_dechunk(decoder.chunks, data, count, body)
        goes_on = decoder.chunks.status == _MORE
        if not goes_on:
            decoder.look()
    written = 0
    if count and goes_on:
        ffi.memmove(block, sieve.held, before)
        written = lib.alike_texts(sieve.part, block, before + count, body + count)
    if not written:
        rest: bytes = ffi.buffer(body, count)[:]
        return rest
    sieve.count, sieve.consumed = sieve.part.count, sieve.part.consumed
    sieve.block, sieve.received = block, count
    sieve.found = ffi.buffer(body + count, written)
    return SIFTED

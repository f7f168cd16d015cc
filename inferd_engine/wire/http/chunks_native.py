"""Take HTTP's chunks apart with the C part: a whole read in one call."""

from __future__ import annotations

from inferd_engine._native import CHARS, ffi, lib, new_chars

_MORE, _END = lib.HTTP_CHUNKS_MORE, lib.HTTP_CHUNKS_END
_MISTAKES = {
    lib.HTTP_CHUNKS_SIZE: "a chunk's size is not a hexadecimal number",
    lib.HTTP_CHUNKS_BOUNDARY: "a chunk does not end where its size says",
    lib.HTTP_CHUNKS_LINE: "a line between chunks is too long",
    lib.HTTP_CHUNKS_TRAILERS: "the body has too many trailers",
}


class NativeChunkedDecoder:
    """The one of the C part (``csrc/http_chunks.h`` is its manual)."""

    def __init__(self) -> None:
        self.is_done = False
        self.surplus = False
        self.error: ValueError | None = None
        self.chunks = ffi.new("struct http_chunks *")
        """Its state; whoever lets the C part change it calls ``look()`` after that."""

    def feed(self, data: bytes) -> bytes:
        """Return the body's bytes in these."""
        if self.error is not None:
            raise self.error
        size = len(data)
        out = new_chars(CHARS, size)
        body: bytes = ffi.buffer(out, lib.http_dechunk(self.chunks, data, size, out))[:]
        self.look()
        return body

    def look(self) -> None:
        """Look at how the body goes on."""
        status = self.chunks.status
        if status == _END:
            self.is_done = True
            self.surplus = bool(self.chunks.surplus)
        elif status != _MORE:
            self.error = ValueError(_MISTAKES[status])

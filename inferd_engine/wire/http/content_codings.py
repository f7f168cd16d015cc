"""Undo what an upstream did to a body beyond what was asked: compression that its header names.

Every request asks for ``identity``, and some servers, edges and proxies compress all the same; some
leave the header on what they have decompressed, or write ``none`` or ``UTF-8`` into it.  The rules:

* codings are undone in the reverse of the order in which the header lists them; those that are none
  are left out;
* a body that begins as an answer in clear does is in clear, whatever the header says;
* gzip that no header names is known by its first bytes (``gunzip``);
* Brotli and Zstandard are decoded if a library for them is there; else, and for codings that nobody
  knows, the error names the coding;
* what comes out is given in pieces, so that a bomb costs time and no memory.

RFC 9110, 8.4.1 "Content Codings"; RFC 9659 (a window of no more than 8 MB for zstd).  Rejected:
urllib3's decoders, which take ``identity`` in a list for deflate, pass unknown codings on as they
are, and do not know the package zstandard.
"""

from __future__ import annotations

import importlib
import zlib
from typing import TYPE_CHECKING, Any, Protocol

from inferd_engine.errors import UpstreamError
from inferd_engine.wire.http.gunzip import PIECE, Gunzip
from inferd_engine.wire.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NO_CODINGS = ("", "identity", "none", "null", "utf-8", "utf8", "binary", "8bit", "text", "plain")
_BLANK = b" \t\r\n"
# The first two bytes of event streams, JSON and pages; what is compressed begins otherwise.
_CLEAR = (
    *(b'{"', b"{\n", b"{\r", b"{ ", b"{}", b'"{', b"[{", b"[\n", b"[\r", b"[ ", b"[]", b"[D"),
    *(b"da", b"ev", b"id", b"re", b": ", b":\n", b":\r", b"::", b"<!", b"<h", b"<H", b"<?"),
)
_STEP = "pip install 'inferd-engine[compression]' to have it decoded"
_SLICE = 64  # bytes: what comes out of so many zstd blocks (16, of 128 KiB each) is bearable
_WINDOW_LOG = 23  # 8 MB
_MOST = 5  # codings on top of each other; more are an attack


class Coding(Protocol):
    """Undoes codings: feed it a body as it comes; it gives the body without them."""

    @property
    def is_active(self) -> bool:
        """Whether more may come out without more going in."""

    @property
    def is_passive(self) -> bool:
        """Whether ``feed()`` would give what it gets."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Return what these bytes make, in pieces: of 64 KiB, of 2 MiB at the most.

        Raises:
            UpstreamError: The coding cannot be undone here.
            ValueError: The body does not have the coding that its header names.
            zlib.error: Likewise.
        """


def undoing(header: str) -> Coding:
    """Return what undoes the codings of a body.

    Args:
        header: The value of Content-Encoding.
    """
    names = [name.strip().lower() for name in header.split(",")]
    names = [name for name in names if name not in _NO_CODINGS]
    if not names:
        return Gunzip()
    if len(names) > _MOST:
        names = [",".join(names)]  # which nobody knows
    return _Codings([*map(_coding, reversed(names)), Gunzip()])


class _Codings:
    """Undoes several codings, one after the other."""

    def __init__(self, codings: list[Coding]) -> None:
        self._codings = codings

    @property
    def is_active(self) -> bool:
        return any(coding.is_active for coding in self._codings)

    @property
    def is_passive(self) -> bool:
        return all(coding.is_passive for coding in self._codings)

    def feed(self, data: bytes) -> Iterator[bytes]:
        return self._through(data, 0)

    def _through(self, data: bytes, place: int) -> Iterator[bytes]:
        if place == len(self._codings):
            yield data
            return
        for piece in self._codings[place].feed(data):
            yield from self._through(piece, place + 1)


def _coding(name: str) -> Coding:
    return Gunzip() if name in ("gzip", "x-gzip") else _Announced(name)


class _Announced:
    """Undoes a coding that has no first bytes of its own, unless the body is in clear."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._head: bytes | None = b""  # what came before it was known
        self._unpack: Callable[[bytes], Iterator[bytes]] | None = None

    @property
    def is_active(self) -> bool:
        return self._unpack is not None

    @property
    def is_passive(self) -> bool:
        return self._head is None and self._unpack is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._head is not None:
            data = self._head + data
            begins = data.lstrip(_BLANK)[:2]
            if len(begins) < 2:  # noqa: PLR2004
                self._head = data
                return
            self._head = None
            if begins not in _CLEAR:
                self._unpack = _unpacker(self._name, data)
        if self._unpack is None:
            yield data
            return
        try:
            yield from self._unpack(data)
        except Exception as error:  # noqa: BLE001 - each library has a class of its own
            raise ValueError(
                f"the body is not {self._name!r}, as its header says: {error}"
            ) from None


def _unpacker(name: str, head: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """Return what undoes a coding.

    Raises:
        UpstreamError: There is nothing that could.
    """
    if name == "deflate":
        return _inflate(head)
    step = "turn compression off in the upstream or in what is before it"
    if name == "br":
        found = unbrotli()
        step = _STEP
    elif name == "zstd":
        found = unzstd()
        step = _STEP
    else:
        found = None
    if found is None:
        raise UpstreamError(
            f"the upstream sent its answer in the coding {printable(name, 40)!r}, unasked: {step}",
            code="content_coding",
            retryable=False,
        )
    return found


def _inflate(head: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """Undo deflate: as the standard has it, with a zlib header, or as many send it, without."""
    has_header = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0
    inflate = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)

    def unpack(data: bytes) -> Iterator[bytes]:
        piece = b""
        while data or len(piece) == PIECE:
            piece = inflate.decompress(data, PIECE)
            yield piece
            data = inflate.unconsumed_tail

    return unpack


def unbrotli() -> Callable[[bytes], Iterator[bytes]] | None:
    """Yield what undoes Brotli; None if there is no library for it."""
    library = _imported("brotlicffi", "brotli")
    if library is None:
        return None
    unbrotli = library.Decompressor()
    if not hasattr(unbrotli, "can_accept_more_data"):
        return None  # an older one cannot stop in the middle of a bomb

    def unpack(data: bytes) -> Iterator[bytes]:
        piece = unbrotli.process(data, output_buffer_limit=PIECE)
        while piece:  # it may hold more back, also where it says that it can take more
            yield piece
            piece = unbrotli.process(b"", output_buffer_limit=PIECE)

    return unpack


def unzstd() -> Callable[[bytes], Iterator[bytes]] | None:
    """Return what undoes Zstandard; None if there is no library for it."""
    library = _imported("compression.zstd", "backports.zstd")
    if library is not None:
        return _Frames(library).unpack
    library = _imported("zstandard")
    return None if library is None else _SlicedFrames(library).unpack


class _Frames:
    """Unpacks zstd with the standard library's module, or its backport."""

    def __init__(self, library: Any) -> None:  # a module
        self._library = library
        self._unzstd = self._begun()

    def _begun(self) -> Any:  # the library's
        limit = {self._library.DecompressionParameter.window_log_max: _WINDOW_LOG}
        return self._library.ZstdDecompressor(options=limit)

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while data or not self._unzstd.needs_input:
            if self._unzstd.eof:  # another frame may follow
                self._unzstd = self._begun()
            yield self._unzstd.decompress(data, PIECE)
            data = self._unzstd.unused_data if self._unzstd.eof else b""
            if self._unzstd.eof and not data:
                return


class _SlicedFrames:
    """Unpacks zstd with the package zstandard, which gives all at once: so it gets little."""

    def __init__(self, library: Any) -> None:  # a module
        self._library = library
        self._unzstd = self._begun()

    def _begun(self) -> Any:  # the library's
        return self._library.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG).decompressobj()

    def unpack(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _SLICE):
            part = data[start : start + _SLICE]
            while part:
                if self._unzstd.eof:  # another frame may follow
                    self._unzstd = self._begun()
                yield self._unzstd.decompress(part)
                part = self._unzstd.unused_data if self._unzstd.eof else b""


def _imported(*names: str) -> Any:  # a module
    """Return the first of these modules that is installed."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None

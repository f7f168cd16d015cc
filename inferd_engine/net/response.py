"""Receive an answer: headers through http.client, the body past it.

Everything that comes in goes through one door, which looks at the flag and at the clocks before
each read (``_GuardedFile``): the answer of a CONNECT proxy, status lines, headers, 1xx answers,
chunk sizes and the body.  So a cancel is seen whatever the connection made of it, and no trickle
outlasts a deadline.

http.client reads the status line and the headers through it.  The body is received here, all chunks
of one read at once, taken apart strictly: what http.client and urllib3 do for each chunk costs more
than all that comes after.

Whether the connection may serve another request is known here in part (``is_clean``): the body has
come to its end, everybody finds that end at the same place (``wire/http/framing.py``), and nothing
that came is left: neither in the reader of the headers nor behind the last chunk.

The exchange is passed by a thread-local, because a request is sent in one thread and ``requests``
has no way through for it.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import math
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

from urllib3.util.wait import wait_for_read

from inferd_engine.net.deadlines import SLICE
from inferd_engine.net.socket_reader import BLOCK, can_be_waited_for, socket_reader
from inferd_engine.wire.http.chunks import chunked_decoder
from inferd_engine.wire.http.framing import framing_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.net.exchange import Exchange
    from inferd_engine.net.socket_reader import Plain, ShortWay, SocketReader
    from inferd_engine.wire.http.chunks import ChunkedDecoder

_BODILESS = (101, 204, 304)  # RFC 9112, 6.3
# What had come when time was up is given all the same: as much as the kernel may hold, and for as
# long as it takes to read that when it is not made to be slow.
_GRACE = 4 * 1024 * 1024  # bytes
_GRACE_SECONDS = 0.05

_local = threading.local()


def current_exchange() -> Exchange | None:
    """Return the exchange that this thread serves."""
    return getattr(_local, "exchange", None)


@contextlib.contextmanager
def serving(exchange: Exchange) -> Iterator[None]:
    """Let the connections that this thread uses inside the block belong to an exchange."""
    before = current_exchange()  # a finalizer or a log handler may ask something in between
    _local.exchange = exchange
    try:
        yield
    finally:
        _local.exchange = before


class _GuardedFile(io.RawIOBase):
    """The one door through which bytes come in: flag and deadlines first, then the socket.

    Headers are read through it as a file, in small steps; the body is received whole reads at a
    time.
    """

    _reader: SocketReader

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw = raw
        self._sock = sock
        self.is_tls = isinstance(sock, ssl.SSLSocket)
        self._exchange = exchange
        self._grace = _GRACE
        self._grace_end = 0.0
        self._late = math.inf
        self.is_shut = False
        """Give nothing more as a file, so that what its reader has buffered can be taken."""
        self.is_over = False
        """Whether the other side has closed, as far as the file has been read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # a writable buffer
        if self.is_shut:
            return None
        exchange, sock = self._exchange, self._sock
        count: int | None = exchange.in_time(sock, sock.recv_into, buffer)
        if not count:
            exchange.check()  # an end of file after a cancel is none
            self.is_over = count == 0
        return count

    def wait(self) -> None:
        """Wait until there is something to read, or time is up."""
        exchange, sock = self._exchange, self._sock
        if not isinstance(sock, socket.socket):
            return  # a layer of TLS that cannot be looked through
        while not getattr(sock, "pending", int)():
            exchange.check()
            left = exchange.deadlines.left()
            if wait_for_read(sock, timeout=SLICE if left is None else max(0.0, min(left, SLICE))):
                return
            if left is not None and left <= SLICE:
                return

    def descriptor(self) -> int | None:
        """Return the socket's descriptor, where nobody stands between it and what is received."""
        return self._sock.fileno() if can_be_waited_for(self._sock) else None

    def is_pending(self) -> bool:
        """Whether TLS holds what it has decrypted already."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def has_left(self) -> bool:
        """Whether the short way has left something that was received."""
        return self._reader.left is not None

    def expect_body(self, chunks: ChunkedDecoder | None) -> None:
        """Receive a body from now on, by itself or in chunks."""
        self._reader = socket_reader(self._sock, chunks)

    def short_way(self, plain: Plain) -> ShortWay | None:
        """Return the way past all of this, unless it is late: what comes then has to be counted."""
        return self._reader.short_way(plain) if self._late == math.inf else None

    def receive(self, size: int, give_up: float | None) -> bytes | None:
        """Return what one read gives, empty at the end; None if nothing came until ``give_up``.

        When time is up, what has come already is given first, without waiting: nobody may have
        read for a while.  A read wakes after a slice: what was thrown into the thread meanwhile is
        raised then, and a signal that came just before it is handled.  A socket may keep its
        timeout as long as slices are whole; setting it is a system call.

        Raises:
            TimeoutError: Time is up, and what had come until then was given.
        """
        exchange = self._exchange
        while True:
            if exchange.cancelled:
                exchange.check()
            left = exchange.deadlines.left()
            is_late = left is not None and left <= 0
            seconds = SLICE if left is None or left > SLICE else left
            if give_up is not None:  # -inf is now
                seconds = min(seconds, give_up - time.monotonic()) if give_up > 0 else 0.0
            data = self._reader.read(size, seconds)
            if is_late:
                self._take_from_grace(data, -(left or 0.0))
            elif self._late != math.inf:
                self._late = math.inf
            if data is not None:
                if not data:
                    exchange.check()  # an end of file after a cancel is none
                return data
            if give_up is not None and time.monotonic() >= give_up:
                return None

    def _take_from_grace(self, data: bytes | None, late: float) -> None:
        """Count what came when time was up, framing too.

        Args:
            data: What came.
            late: Seconds since time was up; less than before if it is another clock's.

        Raises:
            TimeoutError: It was nothing, or more than may be.
        """
        if late < self._late:
            self._grace_end = time.monotonic() + _GRACE_SECONDS
        self._late = late
        taken = self._reader.taken
        if self._grace <= 0 or (data is None and not taken) or time.monotonic() > self._grace_end:
            raise TimeoutError
        self._grace -= taken

    def close(self) -> None:
        self._raw.close()
        super().close()


class GuardedResponse(http.client.HTTPResponse):
    """Read an answer, or that of a CONNECT proxy, through the guarded file.

    http.client reads the status line and the headers.  The body is received here, because what
    http.client and urllib3 do for each chunk of it costs more than all that comes after.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._exchange = current_exchange()
        self.is_clean = False
        """Whether the body has ended, where it had to end, and nothing had come behind it."""
        if self._exchange is not None:
            self._chunks: ChunkedDecoder | None = None
            self._file = _GuardedFile(self.fp.detach(), sock, self._exchange)
            self.fp = io.BufferedReader(self._file)
            self._has_buffer = True  # as far as is known
            self._exchange.receiver = self

    def _read_status(self) -> tuple[str, int, str]:
        """Skip answers that announce another: http.client knows 100 alone."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not _is_interim(status):
                return version, status, reason
            http.client.parse_headers(self.fp)

    def begin(self) -> None:
        """Read up to the body, and see to it that a doubtful one is the last on its connection."""
        super().begin()
        if self._exchange is None:
            return
        if self._file.is_over and 200 <= self.status < 300:  # noqa: PLR2004 - HTTP
            # http.client takes an end of file for the end of headers; a refusal is told even so.
            raise http.client.IncompleteRead(b"")
        headers = self.headers
        _mask_what_is_no_header(headers, self._exchange)
        framing = framing_of(
            headers.get_all("transfer-encoding", ()), headers.get_all("content-length", ())
        )
        if self.status in _BODILESS:
            self.chunked, self.length = False, 0
        else:
            self.chunked = framing.is_chunked
            self.length = None if framing.is_chunked else framing.length
        if not framing.is_certain or self.status == http.client.SWITCHING_PROTOCOLS:
            self.will_close = True
        self._chunks = chunked_decoder() if self.chunked else None
        self._file.expect_body(self._chunks)

    def _end(self) -> None:
        """Let go of the file at the end of the body."""
        surplus = self._chunks is not None and self._chunks.surplus
        self.is_clean = not (surplus or self._buffered())
        self._close_conn()  # type: ignore[attr-defined]

    def wait(self) -> None:
        """Wait for the next bytes outside of all parsing: an exception in here changes nothing."""
        if not self.has_more():
            self._file.wait()

    def descriptor(self) -> int | None:
        """Return the connection's descriptor, if it tells when there is something to receive."""
        return self._file.descriptor() if self.fp is not None else None

    def has_more(self) -> bool:
        """Whether ``receive()`` has something though the connection may be silent."""
        chunks = self._chunks
        is_done = self.length == 0 if chunks is None else chunks.is_done or chunks.error is not None
        if is_done or self.fp is None or (self._has_buffer and self._buffered()):
            return True
        return self._file.has_left() or (self._file.is_tls and self._file.is_pending())

    def _buffered(self) -> bool:
        """Whether something came together with the headers that was not taken yet."""
        if self._has_buffer:
            self._file.is_shut = True
            self._has_buffer = bool(self.fp.peek(1))
        return self._has_buffer

    def short_way(self, plain: Plain) -> ShortWay | None:
        """Return the way past all of this, where only what comes can tell where the body ends."""
        is_bare = self.length is None and not self.has_more()
        return self._file.short_way(plain) if is_bare else None

    def receive(self, give_up: float | None = None) -> bytes | None:
        """Return what one read of the connection gives, taken out of its framing; empty at the end.

        None says that nothing came until ``give_up``.
        """
        if self.fp is None:
            return b""
        chunks = self._chunks
        if chunks is None:
            return self._receive_plain(give_up)
        try:
            if self._has_buffer and self._buffered():
                body = chunks.feed(self.fp.read1(BLOCK))
                if body:
                    return body
            if not chunks.is_done:
                received = self._file.receive(BLOCK, give_up)
                if received or received is None:
                    return received
        except ValueError as error:
            raise http.client.HTTPException(str(error)) from None
        if not chunks.is_done:
            raise http.client.IncompleteRead(b"")
        # Only now: where urllib3 decompresses, it lets the connection go as soon as the file is
        # closed, and what is above has to see the last bytes first.
        self._end()
        return b""

    def _receive_plain(self, give_up: float | None) -> bytes | None:
        """Receive a body of known length, or one that ends with its connection."""
        size = BLOCK if self.length is None else min(self.length, BLOCK)
        data: bytes | None = b""
        if size and self._buffered():
            data = self.fp.read1(size)
        elif size:
            data = self._file.receive(size, give_up)
        if self.length is not None:
            if data == b"" and self.length:
                raise http.client.IncompleteRead(b"", self.length)
            self.length -= len(data or b"")
        if data == b"":
            self._end()
        return data

    def read1(self, n: int = -1) -> bytes:
        """Return what one read gives, to urllib3, which decompresses it."""
        if self._exchange is None:
            return super().read1(n)
        return self.receive() or b""


def _mask_what_is_no_header(headers: http.client.HTTPMessage, exchange: Exchange) -> None:
    """Mask what could not be parsed: urllib3 logs it."""
    if headers.defects or headers.get_payload():
        headers.set_payload(exchange.mask.text(str(headers.get_payload())))
        headers.defects = [type(defect)() for defect in headers.defects]


def _is_interim(status: int) -> bool:
    """Whether another answer follows; 101 is none of these, it ends HTTP."""
    return 102 <= status < 200  # noqa: PLR2004 - HTTP

"""Connections of urllib3 that can be ended from outside and keep their deadlines.

Goal: everything that blocks between ``connect()`` and the last byte asks one ``Exchange`` first:
was I cancelled, and how long may I wait?  Three places of urllib3 and http.client are enough:

* ``_new_conn`` makes the socket: here the kill handle is made before ``connect()``, and all
  addresses of a host share one connect budget (urllib3 gives each the whole);
* ``response_class`` reads everything that comes, the answer of a CONNECT proxy, status lines,
  headers, 1xx answers, chunk sizes and the body: its file asks the exchange before each read and
  gives the socket what is left of the deadlines, so that no trickle outlasts them; and it receives
  the body itself, all chunks of one read at once, taken apart strictly;
* ``_put_conn`` takes a connection back into the pool: here the stream stops owning it.

The exchange is passed by a thread-local, because a request is sent in one thread and ``requests``
has no way through for it.  Rejected: a watchdog thread (needs waking itself), ``raw.shutdown()``
of urllib3 (unsafe on TLS), per-read timeouts (no deadline at all).

``_new_conn`` and ``_put_conn`` are not public.  Where they are missing, because another package
has replaced urllib3, ``is_supported()`` is false and the plain adapter of requests is used: all
works but cancelling, which then waits for the next byte.
"""

from __future__ import annotations

import _socket
import contextlib
import http.client
import io
import os
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import requests.adapters
import urllib3.connection
import urllib3.connectionpool
import urllib3.util.connection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.wait import wait_for_read

from inferd_engine.wire.http_chunks import chunked_decoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.exchange import Exchange

_BLOCK = 65536  # bytes: many small HTTP chunks in one system call
_SLICE = 5.0  # seconds after which a read looks at the clocks
_KERNELS_SLICE = struct.pack("ll", int(_SLICE), 0)  # a struct timeval
_SHORTEST = 0.001  # seconds: 0 would mean something else to a socket

_local = threading.local()


def _current() -> Exchange | None:
    return getattr(_local, "exchange", None)


@contextlib.contextmanager
def serving(exchange: Exchange) -> Iterator[None]:
    """Let the connections that this thread uses inside the block belong to an exchange."""
    _local.exchange = exchange
    try:
        yield
    finally:
        _local.exchange = None


def is_supported() -> bool:
    """Whether urllib3 is the one that these classes were made for."""
    return issubclass(urllib3.connection.HTTPConnection, http.client.HTTPConnection) and all(
        hasattr(cls, name)
        for cls, name in (
            (urllib3.connection.HTTPConnection, "_new_conn"),
            (urllib3.connectionpool.HTTPConnectionPool, "_put_conn"),
        )
    )


def _is_kernels(sock: socket.socket) -> bool:
    """Whether a blocking read of this socket blocks in the kernel, and takes a ``struct timeval``.

    gevent's sockets, which stand in for Python's, do neither; Windows takes milliseconds.
    """
    return os.name == "posix" and isinstance(sock, _socket.socket)


class _GuardedFile(io.RawIOBase):
    """The one door through which bytes come in: flag and deadlines first, then the socket.

    Headers are read through it as a file, in small steps; the body is received whole reads at a
    time.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw = raw
        self._sock = sock
        self._exchange = exchange
        self._timeout: float | None = None  # that the socket was given for the body
        self.is_shut = False
        """Give nothing more as a file, so that what its reader has buffered can be taken."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - a writable buffer
        if self.is_shut:
            return None
        exchange = self._exchange
        exchange.check()
        self._sock.settimeout(exchange.deadlines.left_or_raise())
        count: int | None = self._raw.readinto(buffer)
        if not count:
            exchange.check()  # an end of file after a cancel is none
        return count

    def wait(self) -> None:
        """Wait until there is something to read, or time is up."""
        self._exchange.check()
        sock = self._sock
        if isinstance(sock, socket.socket) and not getattr(sock, "pending", int)():
            left = self._exchange.deadlines.left()
            wait_for_read(sock, timeout=None if left is None else max(left, 0.0))

    def receive(self, size: int, timeout: float | None) -> bytes | None:
        """Give what one read gives, empty at the end; None if nothing came within ``timeout``.

        A read wakes every few seconds to look at the clocks, so that as long as much time is left
        the socket keeps its timeout: setting it is a system call for each event.
        """
        exchange, sock = self._exchange, self._sock
        give_up = None if timeout is None else time.monotonic() + timeout
        while True:
            if exchange.cancelled:
                exchange.check()
            left = exchange.deadlines.left_or_raise()
            if left is None or left > _SLICE:
                left = _SLICE
            if give_up is not None:
                left = max(min(left, give_up - time.monotonic()), _SHORTEST)
            if left != self._timeout:
                self._timeout = left
                self._set_timeout(left)
            try:
                data = sock.recv(size)
            except (TimeoutError, BlockingIOError):
                if give_up is not None and time.monotonic() >= give_up:
                    return None
                continue
            if not data:
                exchange.check()  # an end of file after a cancel is none
            return data

    def _set_timeout(self, seconds: float) -> None:
        """Let a read end in so many seconds.

        With a timeout of Python's, a read is two system calls, and each lets go of the interpreter
        lock and has to get it back.  The kernel's own timeout needs one; it is coarse, and so it
        is only for the clocks.
        """
        sock = self._sock
        sock.settimeout(seconds)
        if seconds == _SLICE and type(sock) is socket.socket and _is_kernels(sock):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _KERNELS_SLICE)
                sock.settimeout(None)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _GuardedResponse(http.client.HTTPResponse):
    """Read an answer, or that of a CONNECT proxy, through the guarded file.

    http.client reads the status line and the headers.  The body is received here, because what
    http.client and urllib3 do for each chunk of it costs more than all that comes after.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        self._exchange = _current()
        if self._exchange is not None:
            self._chunks = chunked_decoder()
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

    def wait(self) -> None:
        """Wait for the next bytes outside of all parsing: an exception in here changes nothing."""
        if self.fp is not None and not self._chunks.is_done and not self._buffered():
            self._file.wait()

    def _buffered(self) -> bool:
        """Whether something came together with the headers that was not taken yet."""
        if self._has_buffer:
            self._file.is_shut = True
            self._has_buffer = bool(self.fp.peek(1))
        return self._has_buffer

    def receive(self, timeout: float | None = None) -> bytes | None:
        """Give what one read of the connection gives, taken out of its framing; empty at the end.

        None says that nothing came within ``timeout`` seconds.
        """
        if self.fp is None:
            return b""
        if not self.chunked:
            return self._receive_plain(timeout)
        while not self._chunks.is_done:
            if self._has_buffer:
                data = self._take(_BLOCK, timeout)
            else:
                data = self._file.receive(_BLOCK, timeout)
            if data is None:
                return None
            if not data:
                raise http.client.IncompleteRead(b"")
            try:
                body = self._chunks.feed(data)
            except ValueError as error:
                raise http.client.HTTPException(str(error)) from None
            if body:
                return body
        # Only now: the connection goes back as soon as the file is closed, and what is above has
        # to see the last bytes first.
        if self._chunks.surplus and self._exchange is not None:
            self._exchange.reusable = False
        self._close_conn()  # type: ignore[attr-defined]
        return b""

    def _receive_plain(self, timeout: float | None) -> bytes | None:
        """Receive a body of known length, or one that ends with its connection."""
        if self.length is None:
            data = self._take(_BLOCK, timeout)
        else:
            data = self._take(min(self.length, _BLOCK), timeout) if self.length else b""
            if data == b"" and self.length:
                raise http.client.IncompleteRead(b"", self.length)
            self.length -= len(data or b"")
        if data == b"":
            self._close_conn()  # type: ignore[attr-defined]
        return data

    def _take(self, size: int, timeout: float | None) -> bytes | None:
        return self.fp.read1(size) if self._buffered() else self._file.receive(size, timeout)

    def read1(self, n: int = -1) -> bytes:
        """Do the same for urllib3, which decompresses what it gets."""
        return super().read1(n) if self._exchange is None else self.receive() or b""


def _is_interim(status: int) -> bool:
    """Whether another answer follows; 101 is none of these, it ends HTTP."""
    return 102 <= status < 200  # noqa: PLR2004 - HTTP


class _OwnedConnection(urllib3.connection.HTTPConnection):
    """A connection that knows which exchange it serves."""

    response_class = _GuardedResponse
    _exchange: Exchange | None = None
    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        exchange = _current()
        if exchange is None:
            return super()._new_conn()
        exchange.deadlines.connecting()
        self._exchange = exchange
        try:
            sock = self._connect_to_any(exchange)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            msg = f"Connection to {self.host} timed out"
            raise ConnectTimeoutError(self, msg) from error
        except OSError as error:
            msg = f"Failed to establish a new connection: {error}"
            raise NewConnectionError(self, msg) from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    def _connect_to_any(self, exchange: Exchange) -> socket.socket:
        """Connect to the first address that answers, within one budget for all of them."""
        failure: OSError = OSError("the name has no address")
        family = urllib3.util.connection.allowed_gai_family()
        host = self._dns_host.strip("[]")
        for kind, *_, address in _addresses(host, self.port, family):
            exchange.check()
            left = exchange.deadlines.left()
            if left is not None and left <= 0:
                raise TimeoutError from failure
            sock = socket.socket(kind, socket.SOCK_STREAM)
            try:
                self._take_over(exchange, sock.dup())
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(left)
                sock.connect(address)
            except OSError as error:
                sock.close()
                exchange.end()
                exchange.check()
                failure = error
            else:
                return sock
        raise failure

    def _take_over(self, exchange: Exchange, handle: socket.socket) -> None:
        self._exchange, self._handle = exchange, handle
        exchange.give_handle(handle)

    def _tunnel(self) -> None:
        super()._tunnel()
        self._give_time_left()

    def _give_time_left(self) -> None:
        """Let the socket's own timeout bound what does not go through the guarded file."""
        exchange = self._exchange
        if exchange is not None and self.sock is not None:
            left = exchange.deadlines.left()
            self.sock.settimeout(None if left is None else max(left, 0.001))

    def connect(self) -> None:
        super().connect()
        exchange = self._exchange
        if exchange is not None:
            exchange.check()
            exchange.deadlines.sending()
            self._give_time_left()

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - urllib3's own
        exchange = _current()
        if exchange is not None and self._exchange is None and self._handle is not None:
            self._take_over(exchange, self._handle)  # it comes from the pool
            exchange.deadlines.sending()
        self._give_time_left()
        super().request(*args, **kwargs)

    def give_back(self) -> bool:
        """End the ownership of the exchange; False if the connection is not to be used again."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return True
        if not exchange.reusable:
            self._handle = None  # it stays with the exchange, which may still be ended
            return False
        self._handle = exchange.take_handle()
        return self._handle is not None

    def close(self) -> None:
        # An answer without length closes its connection while the body is still read: then the
        # handle stays with the exchange, which closes it at its end.
        if self._exchange is None and self._handle is not None:
            self._handle.close()
        self._exchange = self._handle = None
        super().close()


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[Any]:
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)


class _OwnedTLSConnection(_OwnedConnection, urllib3.connection.HTTPSConnection):
    """The same, with TLS on top of the socket that the handle was made from."""


class _OwningPool(urllib3.connectionpool.HTTPConnectionPool):
    """A pool that takes no connection back that was ended, or whose answer was cut."""

    ConnectionCls = _OwnedConnection

    def _put_conn(self, conn: Any) -> None:  # noqa: ANN401 - urllib3's own
        if isinstance(conn, _OwnedConnection) and not conn.give_back():
            conn.close()
        super()._put_conn(conn)


class _OwningTLSPool(_OwningPool, urllib3.connectionpool.HTTPSConnectionPool):
    ConnectionCls = _OwnedTLSConnection


_POOLS = {"http": _OwningPool, "https": _OwningTLSPool}


class OwningAdapter(requests.adapters.HTTPAdapter):
    """An adapter of requests whose connections belong to exchanges, through proxies too."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - requests' own
        """Let direct connections be ours."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401 - requests' own
        """Let connections through proxies be ours; SOCKS has classes of its own."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

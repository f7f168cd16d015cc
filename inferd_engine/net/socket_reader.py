"""Read from a socket, so that the read ends in time, and take the body out of its framing.

Goal: hand the interpreter's lock over as seldom as can be.  Beside threads that compute, getting it
back takes milliseconds, and among many streams it costs more than all parsing.

Strategy: with the C part a read is one call, which waits, receives and takes HTTP's chunks apart
without the lock (``csrc/socket_read.h`` is its manual).  In Python the socket's own timeout ends
it, which costs a hand-over more, over TLS two, and works everywhere: over TLS (``tls_records.py``),
on a socket whose ``recv`` somebody has replaced (gevent, eventlet, whoever records traffic), on
Windows, without the C part.

Rejected: the kernel's timeout (SO_RCVTIMEO) below ``socket.recv``, which begins anew with every
signal, so that a profiler's signals let no deadline pass.
"""

from __future__ import annotations

import _socket  # what the interpreter itself put there, whoever has replaced socket's names
import ssl
from typing import TYPE_CHECKING, Any, Protocol

from inferd_engine._native import IMPLEMENTATION

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from inferd_engine.wire.http.chunks import ChunkedDecoder

BLOCK = 65536  # bytes of a read at the most: many small HTTP chunks in one system call
_SHORTEST = 0.001  # seconds: 0 would mean something else to sockets that others have made
NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Plain(Protocol):
    """What plain events are like, and how to read what they say."""

    alike: Any
    """Its ``part`` is a ``struct alike_events *``."""
    decode: Callable[[Any], list[Any]]
    """Makes of their texts what they say; a ``ValueError`` says that they cannot be read."""

    def have_found(self, count: int, /) -> None:
        """Take note that so many events were like that."""


class ShortWay(Protocol):
    """Gives what plain events say, in one step from the socket, while nothing else comes."""

    part: Any
    """Its ``struct socket_texts *``, for whoever receives ahead; None where nobody may."""

    @property
    def bytes(self) -> int:
        """How many bytes of the body have come this way."""

    @property
    def events(self) -> int:
        """How many events these were."""

    @property
    def received(self) -> int:
        """How many bytes of the body came last, if any did."""

    @property
    def has_left(self) -> bool:
        """Whether the reader has something now."""

    def read(self, seconds: float) -> list[Any] | None:
        """Wait until something comes, and give what it says; None if that is not to be had here.

        Args:
            seconds: 0 or less does not wait.
        """

    def turn_back(self) -> None:
        """Leave the way, and to the reader what was received ahead."""


class SocketReader(Protocol):
    """Where the bytes of a body come in; for one thread at a time."""

    left: bytes | Exception | None
    """What the short way has left for the next read."""

    @property
    def taken(self) -> int:
        """How many bytes the last read received and looked at, framing included."""

    def read(self, size: int, seconds: float) -> bytes | None:
        """Return what comes next; None if it is nothing yet, empty at the end.

        Nothing yet is the answer when time is up, but also before: after a signal, and when framing
        came and nothing else.  Whoever asks looks at the clock.

        Args:
            size: How many bytes are received at the most, framing included: 1 up to ``BLOCK``.
            seconds: How long to wait; 0 or less takes what has come already.

        Raises:
            OSError: The connection broke.
            ValueError: The framing is wrong; what came before that was given.
        """

    def short_way(self, plain: Plain) -> ShortWay | None:
        """Return the way past all that looks after a body, for events that are alike.

        What comes and is anything else is left for the next ``read()``.  None if there is no way.
        """


def socket_reader(sock: socket.socket, chunks: ChunkedDecoder | None) -> SocketReader:
    """Make the best one for a socket; with ``chunks``, for a body in HTTP's chunks."""
    recv = getattr(type(sock), "recv", None)
    if IMPLEMENTATION == "native" and recv is _socket.socket.recv:
        from inferd_engine.net._socket_reader_native import WORKS, NativeReader  # noqa: PLC0415

        if WORKS:
            return NativeReader(sock, chunks)  # type: ignore[arg-type]  # both are native
    reader = PythonReader(sock, chunks)
    if _is_plain_tls(sock):
        from inferd_engine.net.tls_records import TLSRecords  # noqa: PLC0415

        reader.recv = TLSRecords(sock).recv
    return reader


def can_be_waited_for(sock: socket.socket) -> bool:
    """Whether a socket's descriptor tells when there is something to read, but for what TLS holds.

    Not where somebody has replaced its ``recv`` and may hold back what has come.
    """
    return getattr(type(sock), "recv", None) is _socket.socket.recv or _is_plain_tls(sock)


def _is_plain_tls(sock: socket.socket) -> bool:
    """Whether it is the interpreter's own TLS socket, which reads as that does."""
    is_own = isinstance(sock, ssl.SSLSocket) and type(sock).recv is ssl.SSLSocket.recv
    return is_own and ssl.SSLSocket.__module__ == "ssl"


class PythonReader:
    """The one in Python: the socket's timeout is set only when it has to be another."""

    def __init__(self, sock: socket.socket, chunks: ChunkedDecoder | None) -> None:
        self._sock = sock
        self._chunks = chunks
        self._timeout: float | None = None
        self._is_plain = can_be_waited_for(sock)  # so that it may be asked without waiting
        self.recv: Callable[[int], bytes] = sock.recv
        """Receives, as the socket does."""
        self.left: bytes | Exception | None = None
        """What the short way has left for the next read."""
        self.taken = 0

    def read(self, size: int, seconds: float) -> bytes | None:
        """Return what comes next; None if it is nothing yet, empty at the end."""
        chunks = self._chunks
        if chunks is not None and chunks.error is not None:
            raise chunks.error
        if self.left is not None:
            return self._take_left()
        data = self.receive(size, seconds)
        if not data or chunks is None:
            return data
        body = chunks.feed(data)
        if not body and chunks.error is not None:
            raise chunks.error
        return body if body or chunks.is_done else None

    def _take_left(self) -> bytes:
        """Return what the short way has left, which is out of its chunks."""
        (left, self.left), chunks = (self.left, None), self._chunks
        if isinstance(left, Exception):
            raise left
        if chunks is not None:
            chunks.look()
            if not left and chunks.error is not None:
                raise chunks.error
        return left or b""

    def receive(self, size: int, seconds: float) -> bytes | None:
        """Return what comes next, framing included; None if it is nothing yet, empty at the end."""
        seconds = 0.0 if seconds <= 0 and self._is_plain else max(seconds, _SHORTEST)
        if seconds != self._timeout:
            self._timeout = seconds
            self._sock.settimeout(seconds)
        self.taken = 0
        try:
            data = self.recv(size) or b""  # urllib3's TLS inside of TLS ends with 0
        except TimeoutError as error:
            if error.errno is not None:  # the kernel's: the peer is gone
                raise
            return None
        except NOTHING_YET:
            return None
        self.taken = len(data)
        return data

    def short_way(self, plain: Plain) -> ShortWay | None:
        """Return the way past all that looks after a body, for events that are alike."""
        if IMPLEMENTATION != "native":
            return None
        from inferd_engine.net._short_way_native import RecordsWay  # noqa: PLC0415

        return RecordsWay(self, self._chunks, plain)  # type: ignore[arg-type]  # a native decoder

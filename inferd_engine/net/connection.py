"""Connections of urllib3 that can be ended from outside and keep their deadlines.

Goal: everything that blocks between ``connect()`` and the last byte asks one ``Exchange`` first:
was I cancelled, and how long may I wait?  A few places of urllib3 and http.client are enough:

* ``_new_conn`` makes the socket (``dialing.py``), with the kill handle from the first moment.  Only
  looking up the name cannot be ended: ``getaddrinfo`` waits as long as the resolver does;
* ``send`` and ``response_class`` (``response.py``) do all writing and reading, a slice at a time;
* ``_put_conn`` takes a connection back into the pool (``pool.py``): here the exchange stops owning
  it; ``QueueCls`` keeps it until it is used again (``idle.py``).

Whether a connection is used again is decided in one place, ``give_back()``, and everybody has to
agree: the reader of the answer that it was whole, its receiver that it had ended and that nothing
came behind it, the layers of TLS that they hold nothing, and the kill handle by being still there.

Rejected: a watchdog thread (needs waking itself), ``raw.shutdown()`` of urllib3 (unsafe on TLS),
per-read timeouts (no deadline at all), and sending a request again, however sure it may seem that
nobody has seen it.

Nobody promises most of these names; ``footing.py`` checks that they are there, and without them a
request goes the public way (``interception.py``).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

import urllib3.connection
import urllib3.util.connection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from inferd_engine.net.dialing import dial
from inferd_engine.net.hidden_head import HiddenHead
from inferd_engine.net.response import GuardedResponse, current_exchange
from inferd_engine.net.tls import has_unread, patient_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inferd_engine.net.exchange import Exchange
    from inferd_engine.net.idle import Idle

_RECORD = 16384  # bytes that TLS encrypts and writes at once
_ERROR = 400  # the first status that tells of one
_PROBES = 4  # that go unanswered, over as many seconds as came before them in silence


class OwnedConnection(urllib3.connection.HTTPConnection):
    """A connection that knows which exchange it serves."""

    response_class = GuardedResponse
    home: Idle | None = None
    """Where it waited before it was taken out for this exchange; None for a fresh one."""
    idle_since = 0.0
    _exchange: Exchange | None = None
    _handle: socket.socket | None = None
    _head: HiddenHead | None = None
    """What is secret in the head that is being made."""
    _probed_after: float | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # urllib3's own
        # What a program has put there, and not what was there when urllib3 was imported.
        kwargs.setdefault(
            "socket_options", urllib3.connection.HTTPConnection.default_socket_options
        )
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        exchange = current_exchange()
        if exchange is None:
            return super()._new_conn()
        exchange.deadlines.connecting()
        try:
            sock = self._connect_to_any(exchange)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out") from error
        except OSError as error:
            raise NewConnectionError(
                self, f"Failed to establish a new connection: {error}"
            ) from error
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock

    def _connect_to_any(self, exchange: Exchange) -> socket.socket:
        """Connect to whichever address of the host answers first."""
        return self._dial(exchange, getattr(self, "_dns_host", self.host), self.port)

    def _dial(self, exchange: Exchange, host: str, port: int) -> socket.socket:
        family = getattr(urllib3.util.connection, "allowed_gai_family", lambda: 0)()
        found = socket.getaddrinfo(host.strip("[]"), port, family, socket.SOCK_STREAM)
        try:
            sock, handle = dial(exchange, found, self.socket_options or ())
        except BaseException:
            exchange.end()
            exchange.check()
            raise
        self._exchange, self._handle = exchange, handle
        self._probe(exchange.tcp_keepalive, handle)
        return sock

    def _probe(self, seconds: float | None, handle: socket.socket) -> None:
        """Let the kernel probe in silence, as far as it can and the program has not said how."""
        self._probed_after = seconds
        said = {option[:2] for option in self.socket_options or ()}
        for level, name, value in _probing(seconds):
            if (level, name) not in said:
                with contextlib.suppress(OSError):
                    handle.setsockopt(level, name, value)

    def _tunnel(self) -> None:
        super()._tunnel()
        self._give_time_left()

    def _give_time_left(self) -> None:
        """Let the socket's own timeout bound what does not go through the exchange."""
        exchange = self._exchange
        if exchange is not None and self.sock is not None:
            self.sock.settimeout(exchange.deadlines.left_or_raise())

    def send(self, data: Any) -> None:  # http.client's own
        """Send in pieces of a TLS record, and no longer at a time than a slice."""
        exchange, sock = self._exchange, self.sock
        if exchange is None or sock is None or not isinstance(data, bytes):
            super().send(data)
            return
        sys.audit("http.client.send", self, data)
        head, self._head = self._head, None
        rest = head.filled(data) if head is not None else memoryview(data)
        while rest:
            piece = rest[:_RECORD]
            if isinstance(sock, socket.socket):
                rest = rest[exchange.in_time(sock, sock.send, piece) :]
            else:  # a layer that cannot go on where time has interrupted it
                exchange.check()
                self._give_time_left()
                sock.sendall(piece)
                rest = rest[len(piece) :]

    def connect(self) -> None:
        """Connect, to a host that has made no promise yet."""
        self.home = None
        super().connect()
        exchange = self._exchange
        if exchange is not None:
            exchange.check()
            exchange.deadlines.sending()
            self._give_time_left()

    def request(self, *args: Any, **kwargs: Any) -> None:  # urllib3's own
        """Send a request, for the exchange of this thread."""
        exchange = current_exchange()
        if exchange is not None and self._exchange is None and self._handle is not None:
            self._serve(exchange, self._handle)
        if self.sock is None:
            self.connect()  # before the head is made, which http.client would hold meanwhile
        self._give_time_left()
        with self._on_trial():
            super().request(*args, **kwargs)

    def _serve(self, exchange: Exchange, handle: socket.socket) -> None:
        """Belong to an exchange, fresh from the pool."""
        self._exchange = exchange
        exchange.give_handle(handle)
        exchange.deadlines.sending()
        if exchange.tcp_keepalive != self._probed_after:
            self._probe(exchange.tcp_keepalive, handle)

    def getresponse(self) -> Any:  # urllib3's own
        """Wait for the status line and the headers."""
        with self._on_trial():
            response = super().getresponse()
        if self.sock is None and response.status >= _ERROR:
            self._doubt()  # an error, and the last: who knows what it is the answer to
        return response

    @contextlib.contextmanager
    def _on_trial(self) -> Iterator[None]:
        """Take note of a peer that closes what it promised to keep, at the end of its answer."""
        try:
            yield
        except (ConnectionError, ssl.SSLEOFError):
            if self._exchange is None or not self._exchange.cancelled:
                self._doubt()
            raise

    def set_tunnel(
        self,
        host: str,
        port: int | None = None,
        headers: Mapping[str, str] | None = None,
        scheme: str = "http",
    ) -> None:
        """Tunnel through a proxy, which is told what is secret when it is sent."""
        if current_exchange() is not None:
            self._head = HiddenHead()
            headers = self._head.without(headers)
        super().set_tunnel(host, port, headers, scheme)

    def putrequest(self, *args: Any, **kwargs: Any) -> None:  # urllib3's own
        """Begin a request's head."""
        if self._exchange is not None:
            self._head = HiddenHead(self._exchange.query)
        super().putrequest(*args, **kwargs)

    def putheader(self, header: str, *values: str) -> None:  # type: ignore[override]
        """Add a header, out of sight if it is secret."""
        if self._head is None or not self._head.take(header, *values):
            super().putheader(header, *values)

    def _doubt(self) -> None:
        """Keep no more connections to this address, if this one was given back a moment ago."""
        if self.home is not None and self.home.is_moment_after(self):
            self.home.distrust()

    def give_back(self) -> bool:
        """End the ownership of the exchange; say whether the connection may be used again."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return False
        receiver, self._handle = exchange.receiver, None  # it stays with the exchange
        if not exchange.is_whole or receiver is None or not receiver.is_clean:
            return False
        if self.sock is None or has_unread(self.sock):
            return False
        self._handle = exchange.take_handle()
        return self._handle is not None

    def close(self) -> None:
        """Close the connection, and the handle if no exchange has it."""
        # An answer without length closes its connection while the body is still read: then the
        # handle stays with the exchange, which closes it at its end.
        if self._exchange is None and self._handle is not None:
            self._handle.close()
        self._exchange = self._handle = self._head = None
        super().close()


def _probing(seconds: float | None) -> list[tuple[int, int, int]]:
    """Return the socket options that find out about a peer that has gone without a word.

    After so many seconds of silence the kernel asks, and after as many again it gives up.  That
    keeps NATs from forgetting the connection while a model thinks, too.  ``TCP_USER_TIMEOUT``
    would also bound how long a peer may not read, which may be long for good reasons.
    """
    if seconds is None:
        return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)]
    idle = min(max(1, round(seconds)), 32767)  # the most that Linux takes: 9 hours
    values = {
        "TCP_KEEPIDLE": idle,
        "TCP_KEEPALIVE": idle,  # its name on macOS
        "TCP_KEEPINTVL": max(1, idle // _PROBES),
        "TCP_KEEPCNT": _PROBES,
    }
    known = [(getattr(socket, name, None), value) for name, value in values.items()]
    options = [(socket.IPPROTO_TCP, name, value) for name, value in known if name is not None]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *options]


class OwnedTLSConnection(OwnedConnection, urllib3.connection.HTTPSConnection):
    """The same, with TLS on top of the socket that the handle was made from."""

    def connect(self) -> None:
        """Connect and shake hands."""
        if self.ssl_context is None:
            self.ssl_context = patient_context(self)
        super().connect()

"""Connections of urllib3 that can be ended from outside and keep their deadlines.

Goal: everything that blocks between ``connect()`` and the last byte asks one ``Exchange`` first:
was I cancelled, and how long may I wait?  Three places of urllib3 and http.client are enough:

* ``_new_conn`` makes the socket: here the kill handle is made before ``connect()``, and all
  addresses of a host share one connect budget (urllib3 gives each the whole);
* ``response_class`` reads everything that comes (``receiving.py``);
* ``_put_conn`` takes a connection back into the pool: here the stream stops owning it.

Rejected: a watchdog thread (needs waking itself), ``raw.shutdown()`` of urllib3 (unsafe on TLS),
per-read timeouts (no deadline at all).

``_new_conn`` and ``_put_conn`` are not public.  Where they are missing, because another package
has replaced urllib3, ``is_supported()`` is false and the plain adapter of requests is used: all
works but cancelling, which then waits for the next byte.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
import sys
from typing import TYPE_CHECKING, Any

import requests.adapters
import urllib3.connection
import urllib3.connectionpool
import urllib3.util.connection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from inferd_engine.hidden_head import HiddenHead
from inferd_engine.receiving import GuardedResponse, current_exchange
from inferd_engine.secret import HeaderValue, revealed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.exchange import Exchange

_RECORD = 16384  # bytes that TLS encrypts and writes at once


def is_supported() -> bool:
    """Whether urllib3 is the one that these classes were made for."""
    return issubclass(urllib3.connection.HTTPConnection, http.client.HTTPConnection) and all(
        hasattr(cls, name)
        for cls, name in (
            (urllib3.connection.HTTPConnection, "_new_conn"),
            (urllib3.connectionpool.HTTPConnectionPool, "_put_conn"),
        )
    )


class _OwnedConnection(urllib3.connection.HTTPConnection):
    """A connection that knows which exchange it serves."""

    response_class = GuardedResponse
    _exchange: Exchange | None = None
    _handle: socket.socket | None = None
    _head: HiddenHead | None = None
    """What is secret in the head that is being made."""

    def _new_conn(self) -> socket.socket:
        exchange = current_exchange()
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
                sock.settimeout(exchange.deadlines.left_or_raise())  # for the handshake
            except BaseException as error:
                sock.close()
                exchange.end()
                exchange.check()
                if not isinstance(error, OSError):
                    raise
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
            self.sock.settimeout(exchange.deadlines.left_or_raise())

    def send(self, data: Any) -> None:  # noqa: ANN401 - http.client's own
        """Send in pieces of a TLS record: each write of one may take the whole timeout."""
        exchange = self._exchange
        if exchange is None or self.sock is None or not isinstance(data, bytes):
            super().send(data)
            return
        head, self._head = self._head, None
        pieces = head.filled(data) if head is not None else memoryview(data)
        for start in range(0, len(pieces), _RECORD):
            exchange.check()
            self._give_time_left()
            super().send(pieces[start : start + _RECORD])

    def connect(self) -> None:
        super().connect()
        exchange = self._exchange
        if exchange is not None:
            exchange.check()
            exchange.deadlines.sending()
            self._give_time_left()

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - urllib3's own
        exchange = current_exchange()
        if exchange is not None and self._exchange is None and self._handle is not None:
            self._take_over(exchange, self._handle)  # it comes from the pool
            exchange.deadlines.sending()
        if self.sock is None:
            self.connect()  # before the head is made, which http.client would hold meanwhile
        self._give_time_left()
        super().request(*args, **kwargs)

    def set_tunnel(
        self,
        host: str,
        port: int | None = None,
        headers: Mapping[str, str] | None = None,
        scheme: str = "http",
    ) -> None:
        if current_exchange() is not None:
            self._head = HiddenHead()
            headers = self._head.without(headers)
        super().set_tunnel(host, port, headers, scheme)

    def putrequest(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - urllib3's own
        if self._exchange is not None:
            self._head = HiddenHead(self._exchange.query)
        super().putrequest(*args, **kwargs)

    def putheader(self, header: str, *values: str) -> None:  # type: ignore[override]
        if self._head is None or not self._head.take(header, *values):
            super().putheader(header, *values)

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
        self._exchange = self._handle = self._head = None
        super().close()


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list[Any]:
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)


class _OwnedTLSConnection(_OwnedConnection, urllib3.connection.HTTPSConnection):
    """The same, with TLS on top of the socket that the handle was made from."""


class _Idle:
    """A pool's idle connections, the newest first: a ``queue.LifoQueue`` without its lock.

    A signal handler that raises while that lock is being taken may leave it taken, and then every
    later request of the pool waits for ever.  A list's ``append`` and ``pop`` need none.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._connections: list[Any] = []

    def put(self, connection: Any, *_: object, **__: object) -> None:  # noqa: ANN401 - urllib3's own
        if len(self._connections) >= self._maxsize:
            raise queue.Full
        self._connections.append(connection)

    def get(self, *_: object, **__: object) -> Any:  # noqa: ANN401 - urllib3's own
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        return len(self._connections)


class _OwningPool(urllib3.connectionpool.HTTPConnectionPool):
    """A pool that takes no connection back that was ended, or whose answer was cut."""

    ConnectionCls = _OwnedConnection
    QueueCls = _Idle  # type: ignore[assignment]  # it need not be a queue

    def _put_conn(self, conn: Any) -> None:  # noqa: ANN401 - urllib3's own
        if isinstance(conn, _OwnedConnection) and not conn.give_back():
            conn.close()
        super()._put_conn(conn)


class _OwningTLSPool(_OwningPool, urllib3.connectionpool.HTTPSConnectionPool):
    ConnectionCls = _OwnedTLSConnection


_POOLS = {"http": _OwningPool, "https": _OwningTLSPool}


class OwningAdapter(requests.adapters.HTTPAdapter):
    """An adapter of requests whose connections belong to exchanges, through proxies too."""

    def close(self) -> None:
        """Close the idle connections now, whoever still refers to their pool."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in list(manager.pools.keys()):
                with contextlib.suppress(KeyError):
                    manager.pools[key].close()
        super().close()

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

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ANN401 - requests' own
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,  # noqa: ANN401 - requests' own
    ) -> Any:  # noqa: ANN401 - requests' own
        """Find a pool; a proxy's password is told here and in no frame that lasts."""
        told = {scheme: revealed(proxy) for scheme, proxy in (proxies or {}).items()}
        return super().get_connection_with_tls_context(request, verify, told, cert)

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Hide what is said to a proxy."""
        return {name: HeaderValue(value) for name, value in super().proxy_headers(proxy).items()}

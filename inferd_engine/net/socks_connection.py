"""Connections through a SOCKS proxy; it needs PySocks (the extra ``socks``).

The socket to the proxy is made as every other one (``dialing.py``): any of the proxy's addresses,
and a kill handle from the first moment.  PySocks speaks with the proxy then, over a socket class of
ours that waits within the deadlines, a slice at a time; it would give each read the whole timeout.
What it leaves is a plain socket again, which is read like every other one.

SOCKS4: local DNS; SOCKS4a: the proxy's.  SOCKS5: local DNS; ``socks5h``: the proxy's (RFC 1928).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import socks
from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection
from urllib3.exceptions import ProxyError

from inferd_engine.net.connection import OwnedConnection, OwnedTLSConnection
from inferd_engine.net.response import current_exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine.net.exchange import Exchange

_PORT = 1080  # that of SOCKS, by IANA's register


class _Talk(socks.socksocket):  # type: ignore[misc]  # it has no types
    """A socket that PySocks speaks with the proxy over."""

    def recv_into(self, *arguments: Any) -> int:  # socket's own
        """Receive within the deadlines: all that PySocks reads comes in here."""
        exchange = current_exchange()
        receive: Callable[..., int] = super().recv_into
        return exchange.in_time(self, receive, *arguments) if exchange else receive(*arguments)


class _ThroughSocks(OwnedConnection):
    """What both kinds share: the way to the host."""

    _socks_options: Any

    def _connect_to_any(self, exchange: Exchange) -> socket.socket:
        options = self._socks_options
        try:
            plain = self._dial(exchange, options["proxy_host"], options["proxy_port"] or _PORT)
        except (TimeoutError, ConnectionAbortedError):
            raise
        except OSError as error:
            raise ProxyError("Cannot connect to proxy", error) from error
        try:
            with _Talk(plain.family, plain.type, plain.proto, fileno=plain.detach()) as talk:
                talk.settimeout(exchange.deadlines.left_or_raise())
                self._ask(talk)
                left = exchange.deadlines.left_or_raise()
                sock = socket.socket(fileno=talk.detach())
        except BaseException:
            exchange.end()
            exchange.check()
            raise
        sock.settimeout(left)  # for what follows and is not read through the exchange
        return sock

    def _ask(self, talk: _Talk) -> None:
        """Ask the proxy for the host.

        Raises:
            ConnectionError: It does not connect, in words that hold no credentials.
            OSError: The connection to it broke, or its answer took too long.
        """
        options = self._socks_options
        version = options["socks_version"]
        talk.set_proxy(
            version, None, None, options["rdns"], options["username"], options["password"]
        )
        host = getattr(self, "_dns_host", self.host).strip("[]")
        refusal = ""
        try:
            talk._proxy_negotiators[version](talk, host, self.port)  # noqa: SLF001 - its only door
        except socks.ProxyError as error:
            refusal = f"the SOCKS proxy does not connect: {error}"
        if refusal:  # as it is told: without what PySocks says to itself
            raise ConnectionError(refusal)


class SocksConnection(_ThroughSocks, SOCKSConnection):
    """A connection in clear, through a SOCKS proxy."""


class SocksTLSConnection(_ThroughSocks, OwnedTLSConnection, SOCKSHTTPSConnection):
    """The same, with TLS to the host."""

"""Pools whose connections belong to exchanges, and the adapter of requests that makes them.

A pool here is never closed under anybody's feet: ``OwningAdapter.close()`` closes what is idle and
lets nothing become idle any more, and whoever is on the way to a connection gets one.
"""

from __future__ import annotations

import contextlib
import queue
from typing import TYPE_CHECKING, Any

import requests
import requests.adapters
import requests.exceptions
import urllib3.connectionpool

from inferd_engine.net.connection import OwnedConnection, OwnedTLSConnection
from inferd_engine.net.idle import Idle
from inferd_engine.secrets.secret import HeaderValue, revealed

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOCKS = ("socks4", "socks4a", "socks5", "socks5h")


class OwningPool(urllib3.connectionpool.HTTPConnectionPool):
    """A pool that takes back only connections that may be used again."""

    ConnectionCls = OwnedConnection
    QueueCls = Idle  # type: ignore[assignment]  # it need not be a queue

    def _put_conn(self, conn: Any) -> None:  # urllib3's own
        if conn is None:
            return
        try:
            if self.pool is not None and conn.give_back():
                self.pool.put(conn)
                return
        except queue.Full:
            pass
        conn.close()


class _OwningTLSPool(OwningPool, urllib3.connectionpool.HTTPSConnectionPool):
    ConnectionCls = OwnedTLSConnection


_POOLS = {"http": OwningPool, "https": _OwningTLSPool}


def _pools_through(proxy: str) -> dict[str, Any]:
    """Return the pools for a proxy; SOCKS has connections of its own."""
    scheme = proxy.partition(":")[0].lower()
    if not scheme.startswith("socks"):
        return _POOLS
    if scheme not in _SOCKS:
        raise requests.exceptions.InvalidSchema(
            f"{scheme} is not a kind of SOCKS proxy: take one of {', '.join(_SOCKS)}"
        )
    try:
        from inferd_engine.net import socks_connection as through  # noqa: PLC0415 - it is an extra
    except ImportError:
        through = None  # type: ignore[assignment]
    if through is None:
        raise requests.exceptions.InvalidSchema(
            "a SOCKS proxy needs PySocks: pip install 'inferd-engine[socks]'"
        )
    clear, tls = through.SocksConnection, through.SocksTLSConnection
    return {
        "http": type("SocksPool", (OwningPool,), {"ConnectionCls": clear}),
        "https": type("SocksTLSPool", (_OwningTLSPool,), {"ConnectionCls": tls}),
    }


class OwningAdapter(requests.adapters.HTTPAdapter):
    """An adapter of requests whose connections belong to exchanges, through proxies too."""

    keeps_secrets = True
    """Whether its connections know how to send what is hidden from everybody else."""

    def close(self) -> None:
        """Close the idle connections now, whoever still refers to their pool."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in list(manager.pools.keys()):
                with contextlib.suppress(KeyError):
                    idle = manager.pools[key].pool
                    if isinstance(idle, Idle):
                        idle.close()
        super().close()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # requests' own
        """Let direct connections be ours."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # requests' own
        """Let connections through proxies be ours."""
        pools = None if proxy in self.proxy_manager else _pools_through(proxy)
        manager = super().proxy_manager_for(proxy, **kwargs)
        if pools is not None:
            manager.pool_classes_by_scheme = pools
        return manager

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # requests' own
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,  # requests' own
    ) -> Any:  # requests' own
        """Find a pool; a proxy's password is told here and in no frame that lasts."""
        told = {scheme: revealed(proxy) for scheme, proxy in (proxies or {}).items()}
        return super().get_connection_with_tls_context(request, verify, told, cert)

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Hide what is said to a proxy."""
        return {name: HeaderValue(value) for name, value in super().proxy_headers(proxy).items()}


class LoneAdapter(requests.adapters.HTTPAdapter):
    """requests' own adapter, with a connection for each call: for a urllib3 that we do not know.

    Which of its connections are fit for another call cannot be told there.
    """

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # requests' own
        """Send a request over a connection that is closed after its answer."""
        request.headers["Connection"] = "close"
        return requests.adapters.HTTPAdapter().send(request, *args, **kwargs)

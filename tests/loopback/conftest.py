"""A real upstream on loopback for each test, and a backend that asks it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import textwrap
import threading

import pytest
import trustme
from http_proxy import Proxy
from socks_proxy import SocksProxy

import inferd_engine as ie
from inferd_engine.testing import Upstream

SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority of our own: a server's context, and the file to trust."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return server, str(path)


# Ways to an upstream: in clear, with TLS, and both through a proxy (which forwards or tunnels) and
# through one that speaks SOCKS.
WAYS = ["http", "https", "proxy", "tunnel", "socks", "socks-tls"]
RARE_WAYS = ["tls-tunnel"]  # a tunnel to which TLS is spoken too: TLS inside of TLS
WITH_TLS = ("https", "tunnel", "socks-tls", "tls-tunnel")


def proxy_of(way, stack, context):
    """Give the proxy for a way and its address, or None twice."""
    if way in ("proxy", "tunnel", "tls-tunnel"):
        proxy = stack.enter_context(Proxy(context=context if way == "tls-tunnel" else None))
        return proxy, proxy.url
    if way.startswith("socks"):
        proxy = stack.enter_context(SocksProxy())
        return proxy, proxy.url("socks4a" if way == "socks-tls" else "socks5h")
    return None, None


@pytest.fixture
def ask_by(ask, authority):
    """Give a backend that asks an upstream in one of the ways."""
    with contextlib.ExitStack() as stack:

        def make(way, *replies, **options):
            context, trusted = authority
            if way in WITH_TLS:
                options = {"ssl_context": context, "verify": trusted, **options}
            proxy, url = proxy_of(way, stack, context)
            if proxy is not None:
                options["proxies"] = {"http": url, "https": url}
            backend = ask(*replies, **options)
            backend.proxy = proxy
            return backend

        yield make


@pytest.fixture
def ask():
    """Give a backend that asks an upstream with these replies; both are closed at the end.

    The backend has the upstream as its attribute ``upstream``.
    """
    with contextlib.ExitStack() as stack:

        def make(*replies, **options):
            serving = {
                name: options.pop(name)
                for name in ("otherwise", "models", "ssl_context")
                if name in options
            }
            upstream = stack.enter_context(Upstream(*replies, **serving))
            settings = {"base_url": upstream.url, "api_key": "", "timeout": 20.0, **options}
            backend = stack.enter_context(ie.OpenAiCompat(**settings))
            backend.upstream = upstream
            return backend

        yield make


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def buffer(request):
    """Run a test with a worker and without one."""
    return request.param


@pytest.fixture
def dead_end():
    """Give a URL where connections are neither accepted nor refused."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = server.getsockname()
        for _ in range(4):  # a backlog of 0 holds one or two; then SYNs are dropped
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


def open_files():
    """Give how many descriptors this process has open."""
    folder = pathlib.Path("/proc/self/fd")
    return len([*folder.iterdir()]) if folder.is_dir() else 0


def start(program, *arguments):
    """Start a program in an interpreter of its own, with buffered output as users have it."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env=clean,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Deaf:
    """A server that reads a request's beginning and no more, until it is told to."""

    def __init__(self, context):
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.arrived = threading.Event()
        self.listens = threading.Event()
        self.gone = threading.Event()
        self.received = 1000
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            peer, _ = self._listener.accept()
            with peer if self._context is None else self._wrapped(peer) as peer:
                peer.settimeout(SOON)
                assert peer.recv(1000)
                self.arrived.set()
                self.listens.wait(SOON)
                while data := peer.recv(1 << 20):
                    self.received += len(data)
        self.gone.set()

    def _wrapped(self, peer):
        return self._context.wrap_socket(peer, server_side=True)

    def close(self):
        self.listens.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(SOON)


@pytest.fixture(params=WAYS)
def deaf(request, authority):
    """A backend whose upstream does not read, in each way to it; the server is ``server``."""
    context, trusted = authority
    has_tls = request.param in WITH_TLS
    with contextlib.ExitStack() as stack:
        server = Deaf(context if has_tls else None)
        stack.callback(server.close)
        proxy, url = proxy_of(request.param, stack, context)
        proxies = {} if proxy is None else {"http": url, "https": url}
        backend = ie.OpenAiCompat(
            base_url=f"{'https' if has_tls else 'http'}://127.0.0.1:{server.port}",
            api_key="",
            verify=trusted,
            proxies=proxies,
        )
        backend.server = server
        yield stack.enter_context(backend)

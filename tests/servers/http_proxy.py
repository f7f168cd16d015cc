"""A small HTTP proxy on loopback: it forwards, it tunnels, and it can leave a client waiting."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit


def _head_from(client):
    """Receive a request's head."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(65536)
        if not data:
            raise ConnectionError
        head += data
    return head


class Proxy:
    """Serve as a proxy until the ``with`` block ends.

    Args:
        stalls: Take a request and never answer it.
        refuses: Answer a CONNECT with 407, or with this status and reason.
        context: Speak TLS with the clients.
    """

    def __init__(self, *, stalls=False, refuses=False, context=None):
        self.heads: list[str] = []
        self._stalls = stalls
        self._refuses = refuses
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.client_gone = threading.Event()
        self.arrived = threading.Event()
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, name="test-upstream-proxy")
        thread.daemon = True
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(client)
            self._start(self._serve, client)

    def _serve(self, client):
        upstream = None
        try:
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            head = _head_from(client)
            self.heads.append(head.decode("latin-1"))
            self.arrived.set()
            method, target, _ = head.split(b" ", 2)
            if self._stalls:
                while client.recv(65536):
                    pass
                return
            if method == b"CONNECT":
                if self._refuses:
                    asks = "407 Proxy Authentication Required"
                    status = self._refuses if isinstance(self._refuses, str) else asks
                    client.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
                    return
                host, _, port = target.decode().rpartition(":")
                upstream = socket.create_connection((host, int(port)))
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                parts = urlsplit(target.decode())
                upstream = socket.create_connection((parts.hostname, parts.port))
                upstream.sendall(head.replace(target, parts.path.encode(), 1))
            for connection in (client, upstream):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(upstream)
            self._start(self._pipe, upstream, client)
            self._pipe(client, upstream)
        except OSError:
            pass
        finally:
            self.client_gone.set()
            for connection in filter(None, (client, upstream)):
                connection.close()
                self._open.discard(connection)

    def _pipe(self, source, target):
        """Copy until one side goes, then let the other side know."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for connection in (source, target):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

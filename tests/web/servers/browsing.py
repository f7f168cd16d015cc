"""A browser's side of one answer, over a bare socket: it can leave in every way."""

from __future__ import annotations

import socket
import struct
import time

SOON = 20.0  # seconds: an upper bound, on a loaded machine


class Tab:
    """A request and its answer, as far as they are read."""

    def __init__(self, port, said="Hi", path="/chat", kind="text/plain"):
        self.began = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SOON)
        body = said.encode()
        self.socket.sendall(
            (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
                f"Accept-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode()
            + body
        )
        self.seen = b""

    def read_until(self, wanted):
        """Read until this has come; give how many seconds after the request."""
        while wanted not in self.seen:
            data = self.socket.recv(65536)
            assert data, f"the answer ended: {self.seen!r}"
            self.seen += data
        return time.monotonic() - self.began

    def read_all(self):
        """Read to the end of a chunked answer, or of the connection."""
        while not self.seen.endswith(b"\r\n0\r\n\r\n"):
            data = self.socket.recv(65536)
            if not data:
                break
            self.seen += data
        return self.seen

    def close(self, *, reset=False):
        """Leave: the tab is closed, or the browser is killed."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

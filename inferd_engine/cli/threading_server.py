"""The standard library's WSGI server, with a thread for each answer and an end to everything.

``wsgiref`` waits for a client for ever.  Here a request has to be whole in time, and a client has
to take what is written.  Answers are HTTP/1.0: the end of the connection is the end of a stream.
"""

from __future__ import annotations

import contextlib
import io
import socketserver
import threading
import time
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

REQUEST_SECONDS = 60.0  # for a whole request: 64 MiB need 9 Mbit/s
WRITE_SECONDS = 60.0  # that a client may take nothing
_DRAIN_SECONDS = 5.0  # for the rest of a request that is too large: else its answer is lost
_READ = 1 << 16


class _Reader(io.RawIOBase):
    """What a client sends, until its time is up."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = time.monotonic() + REQUEST_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # a writable buffer
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Writer(io.RawIOBase):
    """What a client is sent, as long as it takes it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # a buffer
        self._connection.settimeout(WRITE_SECONDS)
        self._connection.sendall(data)
        return len(data)


class _Handler(WSGIRequestHandler):
    """One request, one answer."""

    protocol_version = "HTTP/1.1"  # so that a client that asks whether to go on is told
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._reader = _Reader(self.connection)
        self.rfile = io.BufferedReader(self._reader, _READ)
        self.wfile = _Writer(self.connection)  # type: ignore[assignment]

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # whoever has left is told nothing
            try:
                self._answer()
            except TimeoutError:
                self.send_error(408)

    def _answer(self) -> None:
        self.raw_requestline = self.rfile.readline(_READ + 1)
        if len(self.raw_requestline) > _READ:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
        elif self.parse_request():
            answering = _Answering(
                self.rfile,
                self.wfile,  # type: ignore[arg-type]
                self.get_stderr(),
                {**self.get_environ(), "inferd_engine.socket": self.connection},
                multiprocess=False,
            )
            answering.request_handler = self  # type: ignore[attr-defined]
            answering.run(self.server.get_app())  # type: ignore[attr-defined]
            if getattr(answering, "status", "").startswith("413"):
                self._drain()

    def _drain(self) -> None:
        self._reader.deadline = time.monotonic() + _DRAIN_SECONDS
        while self.rfile.read1(_READ):
            pass

    def log_message(self, *_: object) -> None:
        """Log nothing: a request may hold what nobody is to read."""


class _Answering(ServerHandler):
    server_software = "inferd-engine"

    def log_exception(self, exc_info: Any) -> None:  # of sys.exc_info()
        """Log what is our fault, and not that a client has left."""
        if not isinstance(exc_info[1], OSError):
            super().log_exception(exc_info)


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, app: Callable[..., Any], listener: socket.socket, threads: int) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()
        self.set_app(app)
        self._room = threading.BoundedSemaphore(threads)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._room.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def shutdown_request(self, request: Any) -> None:
        """Close the connection: everything has been sent."""
        self.close_request(request)

    def handle_error(self, *_: object) -> None:
        """Say nothing: it was a client's connection."""


def server_of(
    app: Callable[..., Any],
    listener: socket.socket,
    *,
    threads: int,
    max_body: int,  # noqa: ARG001 - the application looks at it
) -> Callable[[], None]:
    """Return what serves an application.

    Args:
        app: Called in a thread for each request.
        listener: Bound, and listening.
        threads: Answers at once.
        max_body: Bytes of a request.
    """
    return _Server(app, listener, threads).serve_forever

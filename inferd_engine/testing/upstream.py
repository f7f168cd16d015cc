"""A real HTTP server on loopback that speaks chat completions as it is told to.

One thread for each connection, plain sockets, no framework: a test has to be able to say which
byte comes when, and to see when the client goes.  While the server waits it watches the client's
side of the connection too, so that ``Received.gone`` is set within a millisecond of its end.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import http.server
import json
import selectors
import socket
import struct
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from inferd_engine.testing.replies import (
    Gate,
    Pause,
    Reply,
    Reset,
    Stall,
    Step,
    Trickle,
    echo,
    error_reply,
    json_reply,
)

if TYPE_CHECKING:
    import io
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

_REASONS = http.server.BaseHTTPRequestHandler.responses


class Received:
    """One request that the upstream received, and what became of its reply.

    Attributes:
        method: ``"POST"`` or ``"GET"``.
        path: With its query.
        headers: Names in lower case.
        body: The bytes that were posted.
        sent: How many bytes of the reply the client's side has taken.
        finished: Set when the reply was sent whole.
        gone: Set when the client went before that.
    """

    def __init__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.sent = 0
        self.finished = threading.Event()
        self.gone = threading.Event()

    @functools.cached_property
    def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body, decoded."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<Received {self.method} {self.path}>"


class _Gone(Exception):  # noqa: N818 - it is no error
    """The client has gone, or the reply is over before its end."""


class Upstream:
    """Serve replies to ``/v1/chat/completions`` until the ``with`` block ends.

    Args:
        replies: Given in this order; after the last one ``otherwise`` answers.
        otherwise: Makes a reply from a request; by default the user's words are echoed.
        models: What ``/v1/models`` lists.
        api_key: If given, every request has to carry it.
        ssl_context: Speak https with it.
    """

    def __init__(
        self,
        *replies: Reply,
        otherwise: Callable[[Received], Reply] = echo,
        models: Sequence[str] = ("test-model",),
        api_key: str = "",
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[Received] = []
        """Every request so far, in the order in which they came."""
        self.connections = 0
        """How many connections were accepted."""
        self._replies = deque(replies)
        self._otherwise = otherwise
        self._models = models
        self._api_key = api_key
        self._tls = ssl_context
        self._arrived = threading.Condition()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []  # those that may still run
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def enqueue(self, *replies: Reply) -> None:
        """Add replies for the next requests."""
        self._replies.extend(replies)

    def wait_for_request(self, number: int = 1, timeout: float = 10.0) -> Received:
        """Wait until so many requests have come; give the last of them.

        Raises:
            TimeoutError: They did not come in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= number, timeout):
                msg = f"{len(self.requests)} of {number} requests came within {timeout} s"
                raise TimeoutError(msg)
            return self.requests[number - 1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving: every connection is closed, every thread ends."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5.0)

    # --- connections -----------------------------------------------------------------------------

    def _start(self, target: Callable[..., None], *args: Any) -> None:  # noqa: ANN401
        thread = threading.Thread(target=target, args=args, name="test-upstream", daemon=True)
        thread.start()
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        plain = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.add(connection)
            with connection, connection.makefile("rb") as reader:
                while received := self._read_request(reader):
                    if not _Conversation(connection, received).give(self._reply_to(received)):
                        return
        except (OSError, ValueError):
            pass  # the client has gone, or never was one
        finally:
            self._open -= {plain, connection}
            plain.close()

    def _read_request(self, reader: io.BufferedIOBase) -> Received | None:
        line = reader.readline(65536)
        if not line:
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = http.client.parse_headers(reader)
        named = {name.lower(): value for name, value in headers.items()}
        body = reader.read(int(named.get("content-length", 0)))
        received = Received(method, path, named, body)
        with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        return received

    def _reply_to(self, received: Received) -> Reply:
        path = received.path.partition("?")[0]
        if self._api_key and received.headers.get("authorization") != f"Bearer {self._api_key}":
            return error_reply(401, "Incorrect API key provided.")
        if received.method == "GET" and path == "/v1/models":
            listed = [{"id": model, "object": "model", "created": 0} for model in self._models]
            return json_reply({"object": "list", "data": listed})
        if received.method != "POST" or path != "/v1/chat/completions":
            return json_reply({"detail": "Not Found"}, 404)
        return self._replies.popleft() if self._replies else self._otherwise(received)


class _Conversation:
    """Give one reply over one connection."""

    def __init__(self, connection: socket.socket, received: Received) -> None:
        self._connection = connection
        self._received = received

    def give(self, reply: Reply) -> bool:
        """Take all steps; say whether the connection may be used again."""
        try:
            for step in reply.before:
                self._take(step)
            self._write_head(reply)
            chunked = reply.framing == "chunked"
            for step in reply.steps:
                self._take(step, b"%x\r\n%s\r\n" if chunked else None)
            if chunked:
                self._write(b"0\r\n\r\n")
        except _Gone:
            return False
        except OSError:
            self._received.gone.set()
            return False
        self._received.finished.set()
        return reply.framing in ("chunked", "length")

    def _write_head(self, reply: Reply) -> None:
        if reply.framing == "raw":
            return
        headers = {"Content-Type": "text/event-stream", **reply.headers}
        if reply.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        elif reply.framing == "length":
            size = sum(len(step) for step in reply.steps if isinstance(step, bytes))
            headers["Content-Length"] = str(size)
        else:
            headers["Connection"] = "close"
        reason, _ = _REASONS.get(reply.status, ("Unknown", ""))
        lines = [f"HTTP/1.1 {reply.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def _write(self, data: bytes) -> None:
        self._connection.sendall(data)
        self._received.sent += len(data)

    def _take(self, step: Step, frame: bytes | None = None) -> None:
        if isinstance(step, bytes):
            self._write(frame % (len(step), step) if frame and step else step)
        elif isinstance(step, Trickle):
            self._trickle(step, frame)
        elif isinstance(step, Pause):
            self._watch(step.seconds)
        elif isinstance(step, Gate):
            self._watch(None, step.reader)
        elif isinstance(step, Stall):
            self._watch(None)
        else:
            self._leave(reset=isinstance(step, Reset))

    def _trickle(self, step: Trickle, frame: bytes | None) -> None:
        while True:
            for byte in step.data:
                piece = bytes([byte])
                self._write(frame % (1, piece) if frame else piece)
                self._watch(step.seconds)
            if not step.forever:
                return

    def _watch(self, seconds: float | None, gate: socket.socket | None = None) -> None:
        """Wait for the time or the gate; the client may go meanwhile."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for watched in filter(None, (self._connection, gate)):
                selector.register(watched, selectors.EVENT_READ)
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return
                ready = [key.fileobj for key, _ in selector.select(left)]
                if gate in ready:
                    return
                if ready and not self._is_there():
                    self._received.gone.set()
                    raise _Gone

    def _is_there(self) -> bool:
        """Whether the client still is: what it may send meanwhile is of no interest."""
        try:
            return bool(self._connection.recv(65536))
        except OSError:
            return False

    def _leave(self, *, reset: bool) -> None:
        if reset:
            linger = struct.pack("ii", 1, 0)  # RST instead of FIN
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._connection.close()
        raise _Gone

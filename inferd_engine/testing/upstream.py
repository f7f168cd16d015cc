"""A real HTTP server on loopback that speaks chat completions as it is told to.

One thread for each connection, plain sockets, no framework: a test has to be able to say which
byte comes when, and to see when the client goes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from inferd_engine.testing.conversation import converse
from inferd_engine.testing.openai import echo, error_reply
from inferd_engine.testing.replies import Reply, json_reply
from inferd_engine.testing.steps import Reset, kind_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from inferd_engine.testing.received import Received

# Where else a client of ours posts: one base URL has them all, and a script's replies go there too.
_OTHER_PATHS = ("/v1/embeddings", "/v1/messages")
_BACKLOG = 1024  # connections that wait to be accepted: more than a test opens at once


class Upstream:
    """Serve replies to what is posted until the ``with`` block ends.

    Args:
        replies: Given in this order to what is posted to ``path``, ``/v1/embeddings`` and
            ``/v1/messages``; after the last one ``otherwise`` answers, at ``path`` alone.
        otherwise: Makes a reply from a request; by default the user's words are echoed.
        models: What ``/v1/models`` lists.
        api_key: If given, every request has to carry it.
        tls: Speak https: True with a certificate that is made on the spot (extra ``testing``),
            which ``ca_file`` vouches for; or with a context of yours.
        unix: Listen at a Unix socket instead of a port.
        path: Where requests are posted, as it is sent; another protocol has another one.
        ssl_context: An older name of ``tls``.

    Raises:
        TypeError: One of them is of a wrong type.
        ValueError: It could not be served.
        ImportError: ``tls=True`` without trustme.
    """

    def __init__(
        self,
        *replies: Reply,
        otherwise: Callable[[Received], Reply] = echo,
        models: Sequence[str] = ("test-model",),
        api_key: str = "",
        tls: bool | ssl.SSLContext = False,
        unix: bool = False,
        path: str = "/v1/chat/completions",
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        tls = tls or ssl_context or False
        if unix and (tls or not hasattr(socket, "AF_UNIX")):
            raise ValueError(f"unix=True {'speaks no TLS' if tls else 'needs an AF_UNIX'}")
        _check_settings(otherwise, models, api_key, path)
        self.requests: list[Received] = []
        """Every request so far, in the order in which they came."""
        self.connections = 0
        """How many connections were accepted."""
        self.ca_file = ""
        """What a client has to trust (``OpenAiCompat(verify=…)``) with ``tls=True``; else empty."""
        self.port = 0
        """Where it listens on 127.0.0.1; 0 at a Unix socket."""
        self.url: str
        """The base URL, without a path: ``http``, ``https`` or ``http+unix``."""
        self._unix = unix
        self._tls: ssl.SSLContext | None = None
        self._replies: deque[Reply] = deque()
        self.enqueue(*replies)
        self._otherwise = otherwise
        self._models = models
        self._api_key = api_key
        self._path = path
        self._arrived = threading.Condition()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []  # those that may still run
        with contextlib.ExitStack() as stack:
            folder = ""
            if unix or tls:
                import tempfile  # noqa: PLC0415 - seldom wanted, and it loads much

                scratch = tempfile.TemporaryDirectory(
                    prefix="upstream-", ignore_cleanup_errors=True
                )
                folder = stack.enter_context(scratch)
            if tls:
                from inferd_engine.testing.tls import server_context  # noqa: PLC0415 - loads ssl

                self._tls, self.ca_file = server_context(tls, folder)
            self._listener = stack.enter_context(_listen(folder if unix else None))
            self._held = stack.pop_all()
        name = self._listener.getsockname()
        if unix:
            self.url = f"http+unix://{quote(name, safe='')}"
        else:
            self.port = name[1]
            self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    @property
    def unused(self) -> tuple[Reply, ...]:
        """The replies that no request has come for yet."""
        return tuple(self._replies)

    def enqueue(self, *replies: Reply) -> None:
        """Add replies for the next requests.

        Raises:
            TypeError: One of them is not a ``Reply``.
            ValueError: It could not be served here.
        """
        for number, reply in enumerate(replies):
            self._check_reply(reply, f"replies[{number}]")
        self._replies.extend(replies)

    def wait_for_request(self, number: int = 1, timeout: float = 10.0) -> Received:
        """Wait until so many requests have come; return the last of them.

        Raises:
            TimeoutError: They did not come in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= number, timeout):
                came = len(self.requests)
                raise TimeoutError(f"{came} of {number} requests came within {timeout} s")
            return self.requests[number - 1]

    def __repr__(self) -> str:
        return f"<Upstream {self.url}>"

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
        self._held.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):  # the socket's own: TLS is of no interest any more
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5.0)

    # --- connections -----------------------------------------------------------------------------

    def _start(self, target: Callable[..., None], *args: Any) -> None:
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
            if not self._unix:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                # In two steps: close() has to end a handshake that the client does not go on with.
                connection = self._tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
                self._open.add(connection)
                connection.do_handshake()
            with connection:
                converse(connection, self._answer)
        except OSError:
            pass  # the client has gone
        finally:
            self._open -= {plain, connection}
            connection.close()

    def _answer(self, received: Received) -> Reply:
        with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        return self._reply_to(received)

    def _reply_to(self, received: Received) -> Reply:
        path = received.path.partition("?")[0]
        if self._api_key and received.headers.get("authorization") != f"Bearer {self._api_key}":
            return error_reply(401, "Incorrect API key provided.")
        if received.method == "GET" and path == "/v1/models":
            listed = [{"id": model, "object": "model", "created": 0} for model in self._models]
            return json_reply({"object": "list", "data": listed})
        if received.method == "POST" and self._replies and path in (self._path, *_OTHER_PATHS):
            return self._replies.popleft()
        if received.method != "POST" or path != self._path:
            return json_reply({"detail": "Not Found"}, 404)
        return self._ask_otherwise(received)

    def _ask_otherwise(self, received: Received) -> Reply:
        """Return what ``otherwise`` makes; what goes wrong there is told to the client."""
        try:
            reply = self._otherwise(received)
            self._check_reply(reply, "what otherwise returned")
        except Exception as error:  # noqa: BLE001 - a test's function
            return error_reply(500, f"the test's upstream: {type(error).__name__}: {error}")
        return reply

    def _check_reply(self, reply: object, place: str) -> None:
        if not isinstance(reply, Reply):
            advice = ": text_reply(…) makes one" if isinstance(reply, str) else ""
            raise TypeError(f"{place} is {kind_of(reply)}, not a Reply{advice}")
        if self._unix and any(isinstance(step, Reset) for step in (*reply.before, *reply.steps)):
            raise ValueError(f"{place} has a Reset(), which a Unix socket does not know: use Cut()")


def _check_settings(otherwise: object, models: object, api_key: object, path: object) -> None:
    """Refuse what the server would fall over when it is asked."""
    if not callable(otherwise):
        advice = ": give it as the last reply, or lambda received: …"
        raise TypeError(f"otherwise is {kind_of(otherwise)}, not a function of a request{advice}")
    if isinstance(models, str) or not all(isinstance(model, str) for model in models):  # type: ignore[attr-defined]
        raise TypeError("models is not a list of str")
    if not isinstance(api_key, str):
        raise TypeError(f"api_key is {kind_of(api_key)}, not a str")
    if not isinstance(path, str):
        raise TypeError(f"path is {kind_of(path)}, not a str")
    if not path.startswith("/") or "?" in path:
        raise ValueError(f"path is {path!r}: begin it with /, and leave the query out")


def _listen(folder: str | None) -> socket.socket:
    """Return a listener on a port of 127.0.0.1; or at a Unix socket in a folder."""
    if folder is None:
        return socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(f"{folder}/upstream.sock")
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ValueError(f"{folder} takes no Unix socket ({error}): set TMPDIR") from None
    return listener

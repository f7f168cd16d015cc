"""The client of an answer: whether it is still there, and whether it reads.

PEP 3333 has no way to ask.  Some servers let an application see the socket or tell it themselves;
where none does, only a write finds out, which an answer that is given whole does not make.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    import inferd_engine as ie
    from inferd_engine.web.body import Body

_SOCKETS = ("inferd_engine.socket", "gunicorn.socket", "werkzeug.socket")


GLANCE = 0.5  # seconds between looks at whether a client still waits


def way_to_ask(environ: dict[str, Any]) -> Callable[[], bool] | None:
    """Return what tells whether a WSGI request's client has left; None where its server does not.

    Args:
        environ: Of the request.
    """
    asked: Callable[[], bool] | None = environ.get("waitress.client_disconnected")
    if asked is not None:
        return asked
    for name in _SOCKETS:
        if name in environ:
            connection = environ[name]
            return lambda: _has_ended(connection)
    return None


@contextlib.contextmanager
def watched(is_gone: Callable[[], bool] | None, token: ie.CancelToken) -> Iterator[None]:
    """Cancel what goes on inside when its client leaves.

    A call waits for its upstream's headers, and many send them with the first token: after
    minutes, if the prompt is long.

    Args:
        is_gone: What ``way_to_ask()`` gave; None: nobody can be asked.
        token: What is called inside carries it.
    """
    over = threading.Event()

    def watch(is_gone: Callable[[], bool]) -> None:
        while not over.wait(GLANCE):
            if is_gone():
                token.cancel()
                return

    if is_gone is not None:
        with contextlib.suppress(RuntimeError):  # no thread can be had: then it is not seen
            threading.Thread(
                target=watch, args=(is_gone,), name="inferd-engine-client", daemon=True
            ).start()
    try:
        yield
    finally:
        over.set()


def _has_ended(connection: socket.socket) -> bool:
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            if not selector.select(0):
                return False
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
    except ValueError:  # TLS, where nothing can be peeked at
        return False


class WatchedBody:
    """A body whose stream ends when its client stops reading.

    A body is asked for its next chunk a heartbeat after the last one at the latest, unless its
    server waits for a client that does not take what was written.

    Args:
        body: Given to the client.
        token: What its stream was asked with.
        patience: Seconds that a client may read nothing.
    """

    def __init__(self, body: Body, token: ie.CancelToken, patience: float) -> None:
        self._body = body
        self._token = token
        self._patience = patience
        self._watched_since = float("-inf")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._body)
        now = time.monotonic()
        if now - self._watched_since > self._patience / 4:  # often enough, and not for each chunk
            self._watched_since = now
            self._token.cancel_after(self._patience)
        return chunk

    def close(self) -> None:
        """Stop the answer and its upstream."""
        self._body.close()

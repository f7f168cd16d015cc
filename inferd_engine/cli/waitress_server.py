"""waitress, set so that streams leave at once and nobody holds it up.

It reads requests without a thread for each; what it lacks is an end to one that trickles in.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.utilities import Error

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

REQUEST_SECONDS = 60.0  # for a whole request: 64 MiB need 9 Mbit/s
_SPARE_CONNECTIONS = 200  # that wait for their turn, beside those that are answered
_HELD_BACK = 64 << 10  # bytes that waitress keeps for a client; beyond that, the stream waits


class _RequestTimeoutError(Error):
    code = 408
    reason = "Request Timeout"


class _BoundedParser(HTTPRequestParser):
    """A request that has to be whole in time."""

    def __init__(self, adj: Any) -> None:  # waitress's settings
        super().__init__(adj)
        self._began = time.monotonic()

    def received(self, data: bytes) -> int:
        """Take what came; refuse what comes too late."""
        taken: int = super().received(data)
        if not self.completed and time.monotonic() - self._began > REQUEST_SECONDS:
            if not self.headers_finished:
                self.parse_header(b"GET / HTTP/1.0\r\n")
            self.error = _RequestTimeoutError("the request did not come in time")
            self.completed = True
        return taken


class _BoundedChannel(HTTPChannel):
    parser_class = _BoundedParser


def server_of(
    app: Callable[..., Any], listener: socket.socket, *, threads: int, max_body: int
) -> Callable[[], None]:
    """Return what serves an application.

    Args:
        app: Called in one of the threads for each request.
        listener: Bound, and listening.
        threads: Answers at once.
        max_body: Bytes of a request; one that is not much larger is left to the application.
    """
    logging.getLogger("waitress").setLevel(logging.ERROR)  # a queue that grows is no news
    server = create_server(
        app,
        sockets=[listener],
        threads=threads,
        connection_limit=threads + _SPARE_CONNECTIONS,
        max_request_body_size=4 * max_body,
        channel_request_lookahead=1,  # so that it sees a client leave during an answer
        outbuf_high_watermark=_HELD_BACK,
        send_bytes=1,
        recv_bytes=1 << 16,
        asyncore_use_poll=True,
        ident="inferd-engine",
    )
    # One socket makes one server, of the other class.
    server.channel_class = _BoundedChannel  # type: ignore[union-attr]
    return server.run

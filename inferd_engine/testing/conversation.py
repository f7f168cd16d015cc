"""One connection: a request is read, its reply is given, and so on until somebody leaves."""

from __future__ import annotations

import http.client
import http.server
from typing import TYPE_CHECKING

from inferd_engine.testing.peer import Left, Peer
from inferd_engine.testing.received import Received
from inferd_engine.testing.replies import with_default

if TYPE_CHECKING:
    import io
    import socket
    from collections.abc import Callable, Iterable, Mapping

    from inferd_engine.testing.replies import Reply
    from inferd_engine.testing.steps import Step

_REASONS = http.server.BaseHTTPRequestHandler.responses


def converse(connection: socket.socket, reply_to: Callable[[Received], Reply]) -> None:
    """Answer every request of a connection; return when it may not be used again."""
    with connection.makefile("rb") as reader:
        while received := _read_request(reader):
            if not _give(reply_to(received), connection, received):
                return


def _read_request(reader: io.BufferedIOBase) -> Received | None:
    """Return the next request; None: there is no other, or it is not HTTP."""
    line = reader.readline(65536)
    if not line:
        return None
    try:
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = http.client.parse_headers(reader)
        named = {name.lower(): value for name, value in headers.items()}
        body = _read_body(reader, named)
    except (ValueError, http.client.HTTPException):
        return None  # it never was a client
    return Received(method, path, named, body)


def _read_body(reader: io.BufferedIOBase, headers: Mapping[str, str]) -> bytes:
    """Return a request's body, which some clients send in chunks."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return reader.read(int(headers.get("content-length", 0)))
    body = b""
    while size := int(reader.readline(65536).partition(b";")[0], 16):
        body += reader.read(size)
        reader.readline(65536)
    http.client.parse_headers(reader)  # the trailers, or the blank line alone
    return body


def _give(reply: Reply, connection: socket.socket, received: Received) -> bool:
    """Take all steps; return whether the connection may be used again."""
    peer = Peer(connection, received)
    chunked = reply.framing == "chunked"
    try:
        _take(reply.before, peer)
        if reply.framing != "raw":
            peer.send(_head_of(reply))
        peer.chunked = chunked
        _take(reply.steps, peer)
        peer.chunked = False
        if chunked:
            peer.send(b"0\r\n\r\n")
    except Left:
        return False
    except OSError:
        received.mark_gone()
        return False
    received.finished.set()
    return reply.framing in ("chunked", "length")


def _take(steps: Iterable[Step], peer: Peer) -> None:
    for step in steps:
        if isinstance(step, bytes):
            peer.send(step)
        else:
            step.take(peer)


def _head_of(reply: Reply) -> bytes:
    """Return the status line and the headers; those of the framing are ours."""
    framing = {
        "chunked": ("Transfer-Encoding", "chunked"),
        "length": ("Content-Length", str(reply.size)),
        "close": ("Connection", "close"),
    }[reply.framing]
    given = with_default(reply.headers, "Content-Type", "text/event-stream")
    headers = [item for item in given.items() if item[0].lower() != framing[0].lower()]
    reason, _ = _REASONS.get(reply.status, ("Unknown", ""))
    lines = [f"HTTP/1.1 {reply.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in [*headers, framing]]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")

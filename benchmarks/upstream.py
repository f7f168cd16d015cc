"""The upstream that clients are measured against: ``python upstream.py`` prints its address.

With the path of a certificate and its key, in one PEM file, it speaks TLS.

It runs in a process of its own and does as little as it can.  A request's model says what to send:

    burst:COUNT:SIZE             COUNT events of about SIZE bytes, as fast as the socket takes them
    paced:COUNT:RATE[:STREAMS[:WHOSE]]   COUNT events, RATE a second, each in a TCP segment of its
                                 own, with the time of its sending in it, as soon as STREAMS answers
                                 have been asked for in these very words (``pacer.py``)
    stalled:COUNT                COUNT events at once, then nothing until the client goes

Every event is an HTTP chunk of its own, and every answer ends with ``[DONE]``.  At ``/messages``
events are those of Anthropic's Messages, and the end is theirs.  At ``/embeddings`` vectors are
given, in the encoding that was asked for.
"""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import ssl
import sys
import threading

from limits import raise_limits
from pacer import Pacer
from streams import chunk, message_end, message_event
from vectors import PACKED, WRITTEN

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\nCache-Control: no-cache\r\n\r\n"
)
END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
BLOCK = 64 * 1024  # bytes that a burst sends at once, about
_FRAME = len(chunk(""))  # bytes of a chunk without its text


def chunked(data: bytes) -> bytes:
    """Give bytes as an HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(content: str, *, is_message: bool = False) -> bytes:
    """Give an event in an HTTP chunk of its own."""
    data = message_event(content) if is_message else b"data: " + chunk(content) + b"\n\n"
    return chunked(data)


def small_event(size: int, *, is_message: bool = False) -> bytes:
    """Give an event of about this size, also where OpenAI's frame alone is larger."""
    if size > _FRAME or is_message:  # the same words in either protocol
        return event("x" * max(1, size - _FRAME), is_message=is_message)
    data = b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % (b"x" * max(1, size - 40))
    return chunked(data)


@functools.cache
def burst_blocks(count: int, size: int, *, is_message: bool = False) -> tuple[bytes, ...]:
    """Give a burst in blocks, made before anything is measured."""
    one = small_event(size, is_message=is_message)
    each = max(1, BLOCK // len(one))
    whole, rest = divmod(count, each)
    return (*(one * each,) * whole, one * rest)


def answer(connection: socket.socket, model: str, pacer: Pacer, *, is_message: bool) -> None:
    """Send the events of an answer, but not its end."""
    kind, *numbers = model.split(":")
    if kind == "burst":
        count, size = map(int, numbers)
        for block in burst_blocks(count, size, is_message=is_message):
            connection.sendall(block)
    elif kind == "paced":
        pacer.send(connection, functools.partial(event, is_message=is_message), model)
    elif kind == "stalled":
        connection.sendall(event(" hello", is_message=is_message) * int(numbers[0]))
        connection.recv(1)


def whole(body: bytes) -> bytes:
    """Give an answer that is no stream."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def read_request(reader) -> tuple[bytes, dict] | None:
    """Read one request, its first line and its body; None when the client is gone."""
    length = 0
    first = reader.readline()
    while line := reader.readline():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if line == b"\r\n":
            return first, json.loads(reader.read(length))
    return None


def serve(connection: socket.socket, tls: ssl.SSLContext | None, pacer: Pacer) -> None:
    """Answer the requests of one connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        stack.enter_context(connection)
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(connection, server_side=True))
        reader = stack.enter_context(connection.makefile("rb"))
        while (request := read_request(reader)) is not None:
            first, body = request
            if b"/embeddings" in first:
                connection.sendall(whole(PACKED if "base64" in body.values() else WRITTEN))
                continue
            is_message = b"/messages" in first
            connection.sendall(HEAD)
            answer(connection, body["model"], pacer, is_message=is_message)
            connection.sendall(chunked(message_end()) + b"0\r\n\r\n" if is_message else END)


def main() -> None:
    """Serve until the process is killed."""
    burst_blocks(20_000, 290)
    burst_blocks(20_000, 290, is_message=True)
    scheme, tls = "http", None
    for certificate in sys.argv[1:]:
        scheme, tls = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    raise_limits()
    pacer = Pacer()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        print(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/v1", flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection, tls, pacer), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())

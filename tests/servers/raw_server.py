"""A server on loopback that answers in bytes of the test's choice, and keeps the connection."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import threading

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


class Close:
    """Close the connection after so many seconds; what is sent after it is answered by a reset."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds


class RawServer:
    """Serve until the ``with`` block ends.

    Args:
        answer: Gives what to send for a request, piece by piece, from what was asked (the text of
            the last message) and how many requests came before it on its connection.  A piece is
            bytes, seconds to wait, ``Close``, or a function that is given the connection.
        context: For TLS.
    """

    def __init__(self, answer, context=None):
        self._answer = answer
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self.asked: list[str] = []
        self.counts: list[int] = []  # of requests, by connection
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, name="test-upstream-raw")
        thread.daemon = True
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.counts.append(0)
            self._start(self._serve, connection, len(self.counts) - 1)

    @property
    def connections(self):
        """How many there were."""
        return len(self.counts)

    def _serve(self, connection, place):
        with contextlib.suppress(OSError, ValueError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._open.add(connection)
            with connection, connection.makefile("rb") as reader:
                number = 0
                while reader.readline():
                    length = http.client.parse_headers(reader)["Content-Length"]
                    question = json.loads(reader.read(int(length)))["messages"][-1]["content"]
                    self.asked.append(question)
                    self.counts[place] += 1
                    for piece in self._answer(question, number):
                        if isinstance(piece, bytes):
                            connection.sendall(piece)
                        elif isinstance(piece, Close):
                            self._over.wait(piece.seconds)
                            return
                        elif callable(piece):
                            piece(connection)
                        else:
                            self._over.wait(piece)
                    number += 1
        self._open.discard(connection)
        connection.close()


def answer_body(text):
    """Give a whole answer as one JSON document."""
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()


def http_answer(body, *headers, kind="application/json"):
    """Give an answer with these headers; without any, it has its length."""
    lines = headers or (f"Content-Length: {len(body)}",)
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {kind}", *lines, "", ""])
    return head.encode() + body


def chunked(*bodies):
    """Give a body in HTTP's chunks, one for each piece."""
    return b"".join(b"%x\r\n%s\r\n" % (len(body), body) for body in bodies) + b"0\r\n\r\n"

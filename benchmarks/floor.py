"""What Python cannot go below: epoll, ``recv``, ``bytes.split``, and msgspec into a struct.

The loop that one would write by hand for this upstream alone: it knows no framing, endings, errors
or deadlines.
"""

from __future__ import annotations

import json
import select
import socket
from typing import TYPE_CHECKING

from clients import body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from window import Window


class Floor:
    """Read answers in one thread."""

    def __init__(self, address: str) -> None:
        import msgspec

        delta = msgspec.defstruct("Delta", [("content", str)])
        choice = msgspec.defstruct("Choice", [("delta", delta)])
        chunk = msgspec.defstruct("Chunk", [("choices", tuple[choice])])
        self._decode = msgspec.json.Decoder(chunk).decode
        host, _, port = address.split("/")[2].partition(":")
        self._address = host, int(port)

    def drain(self, model: str) -> int:
        """Read an answer; give how many events it had."""
        return sum(1 for _ in self._texts([model]))

    def read(self, models: list[str], window: Window) -> None:
        """Read an answer of each model."""
        for text in self._texts(models):
            window.take(text)

    def _texts(self, models: list[str]) -> Iterator[str]:
        poll, decode = select.epoll(), self._decode
        socks, rests = {}, {}
        for model in models:
            sock = self._ask(model)
            socks[sock.fileno()], rests[sock.fileno()] = sock, b""
            poll.register(sock.fileno(), select.EPOLLIN)
        while socks:
            for fileno, _ in poll.poll():
                data = socks[fileno].recv(65536)
                if not data:
                    raise ConnectionError("the upstream is gone")
                *events, rests[fileno] = (rests[fileno] + data).split(b"\n\n")
                for event in events:
                    if event.endswith(b"[DONE]"):
                        poll.unregister(fileno)
                        socks.pop(fileno).close()
                        break
                    yield decode(event[event.index(b"{") :]).choices[0].delta.content

    def _ask(self, model: str) -> socket.socket:
        data = json.dumps(body(model)).encode()
        sock = socket.create_connection(self._address)
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
            % (len(data), data)
        )
        return sock

"""Ask a real upstream on behalf of a client, pass on what it sends, and keep it with its times.

The connection's own thread gives the client what has come, and watches whether the client is still
there; another thread reads the upstream.  When the client goes the upstream is cut off: a cassette
does not go on paying for an answer that nobody wants.

The upstream is asked to send nothing compressed, so that the file can be read and searched; gzip
that comes all the same is undone, and what else comes is refused.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import struct
import threading
import time
import urllib.parse
import zlib
from collections import deque
from typing import TYPE_CHECKING

from inferd_engine.testing.peer import Left
from inferd_engine.testing.raw_answers import LAST_CHUNK, head_bytes, refusal
from inferd_engine.testing.steps import Action, Gate
from inferd_engine.testing.tape import Interaction, Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.testing.peer import Peer
    from inferd_engine.testing.received import Received
    from inferd_engine.testing.scrubbing import Scrubber
    from inferd_engine.testing.tape import Ending

_BLOCK = 65536  # bytes: what one read takes at the most
_CONNECT_SECONDS = 10.0
# An answer that is whole but for its end is given that long to end when the client has gone: many
# leave at [DONE], and whether the end is recorded should not be a matter of luck.
_GRACE = 0.2  # seconds
_HOP_BY_HOP = {
    *("connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization"),
    *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "accept-encoding"),
}


class Unrecordable(Exception):  # noqa: N818 - it becomes the cassette's error
    """There is nothing to be recorded: no connection, or bytes that cannot be searched."""


class Address:
    """Where an upstream is, and what belongs to its base URL.

    Raises:
        ValueError: It is not an address of a server.
    """

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(str(url))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"upstream is a URL like https://api.openai.com, not {_shown(str(url))!r}"
            )
        if parts.username is not None:
            raise ValueError(
                "upstream has a user in its URL: let the client send an Authorization header"
            )
        self.is_tls = parts.scheme == "https"
        self.host: str = parts.hostname
        self.port = parts.port
        self.path = parts.path.rstrip("/")
        self.query = parts.query

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection."""
        connection: http.client.HTTPConnection
        if self.is_tls:
            trusted = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
            connection = http.client.HTTPSConnection(
                self.host,
                self.port,
                timeout=_CONNECT_SECONDS,
                context=ssl.create_default_context(cafile=trusted or None),
            )
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=_CONNECT_SECONDS)
        connection.connect()
        assert connection.sock is not None  # noqa: S101 - it is connected
        connection.sock.settimeout(None)  # how long is too long is the client's to say
        return connection

    def target(self, path: str) -> str:
        """Give a request's target there: its path, with the query of the base URL."""
        return path + (("&" if "?" in path else "?") + self.query if self.query else "")


class _Bell(Gate):
    """A gate that may be opened again and again: once for every ring."""

    def ring(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.send(b".")

    def take(self, peer: Peer) -> None:
        super().take(peer)
        self.reader.recv(1)

    def hang_up(self) -> None:
        """Let whoever rings go on: nobody listens any more."""
        self.reader.close()


class Recording(Action):
    """Pass one request on, and keep what becomes of it.

    Args:
        address: The real upstream.
        received: The client's request.
        request: The same, as it is compared.
        scrubber: Says what is given on of an answer's headers.

    Attributes:
        interaction: What is recorded.
        failure: Why it cannot be; empty if it can.
    """

    def __init__(
        self, address: Address, received: Received, request: Request, scrubber: Scrubber
    ) -> None:
        self.interaction = Interaction(request)
        self.failure = ""
        self._address = address
        self._received = received
        self._scrubber = scrubber
        self._bell = _Bell()
        self._pieces: deque[bytes | Response] = deque()
        self._ended = threading.Event()
        self._is_left = False
        self._socket: socket.socket | None = None
        self._started = time.monotonic()

    def take(self, peer: Peer) -> None:
        """Give the client what comes; stop the upstream when the client goes."""
        reader = threading.Thread(target=self._read, name="test-upstream-recorder", daemon=True)
        reader.start()
        try:
            self._pass_on(peer)
        except (Left, OSError):
            if not self._ended.wait(_GRACE):
                self.interaction.how, self.interaction.ended = "cancelled", self._now()
            raise
        finally:
            self._cut_off()
            self._bell.hang_up()
            reader.join(timeout=5.0)

    def _pass_on(self, peer: Peer) -> None:
        has_begun = False
        while True:
            self._bell.take(peer)
            if not self._pieces:
                break
            piece = self._pieces.popleft()
            if isinstance(piece, Response):
                peer.send(head_bytes(piece))
                peer.chunked = piece.framing == "chunked"
            else:
                peer.send(piece)
            has_begun = True
        is_chunked, peer.chunked = peer.chunked, False
        if self.failure and not has_begun:
            peer.send(refusal(self.failure))
        elif self.failure or self.interaction.how != "eof":
            peer.leave(reset=self.interaction.how == "reset")
        elif is_chunked:
            peer.send(LAST_CHUNK)

    def _cut_off(self) -> None:
        self._is_left = True  # first: a reader that is about to have a connection looks after that
        if self._socket is not None:
            # With a reset: an upstream that waits for room would not notice an end for seconds.
            linger = struct.pack("ii", 1, 0)
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._socket.shutdown(socket.SHUT_RDWR)

    def _now(self) -> float:
        return time.monotonic() - self._started

    # --- the upstream's side, in a thread of its own ---------------------------------------------

    def _read(self) -> None:
        how: Ending = "cut"
        try:
            self._ask()
            how = "eof"
        except (http.client.HTTPException, ssl.SSLError):
            pass  # it ends before its end; RemoteDisconnected is a reset to Python alone
        except ConnectionError:
            how = "reset"
        except Unrecordable as error:
            self.failure = str(error)
        except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
            self.failure = f"recording failed: {error!r}"
        if self.interaction.how != "cancelled":
            self.interaction.how, self.interaction.ended = how, self._now()
        self._ended.set()
        self._bell.ring()

    def _ask(self) -> None:
        received = self._received
        headers = {n: v for n, v in received.headers.items() if n not in _HOP_BY_HOP}
        try:
            connection = self._address.connect()
        except OSError as error:
            raise Unrecordable(
                f"upstream cannot be reached at {self._address.host}: {error}"
            ) from error
        self._socket = connection.sock
        with contextlib.closing(connection):
            if self._is_left:
                return
            self._started = time.monotonic()
            connection.request(
                received.method,
                self._address.target(received.path),
                received.body or None,
                {**headers, "Accept-Encoding": "identity", "Connection": "close"},
            )
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            self._scrubber.learn_answer(response.getheaders())
            coding = named.get("content-encoding", "identity").lower()
            undo = _Undo(coding)
            head = self._head_of(response, named, coding)
            self.interaction.response = head
            self._put(head)
            self._read_body(response, undo)

    def _head_of(
        self, response: http.client.HTTPResponse, named: Mapping[str, str], coding: str
    ) -> Response:
        head = Response(self._now(), response.status, self._scrubber.headers(named))
        if response.length is not None and coding == "identity":
            head.framing, head.length = "length", response.length
        elif not response.chunked and coding == "identity":
            head.framing = "close"
        return head

    def _read_body(self, response: http.client.HTTPResponse, undo: _Undo) -> None:
        left = response.length
        while left != 0:
            block = response.read1(_BLOCK if left is None else min(_BLOCK, left))
            if not block:
                break
            left = None if left is None else left - len(block)
            if plain := undo(block):
                self.interaction.chunks.append((self._now(), plain))
                self._put(plain)
        if left:
            raise http.client.IncompleteRead(b"", left)

    def _put(self, piece: bytes | Response) -> None:
        self._pieces.append(piece)
        self._bell.ring()


class _Undo:
    """Undo a coding, block by block."""

    def __init__(self, coding: str) -> None:
        if coding not in ("identity", "gzip", "x-gzip", "deflate"):
            raise Unrecordable(
                f"upstream compresses with {coding}, unasked: what it says cannot be searched"
            )
        is_plain = coding == "identity"
        self._inflate = None if is_plain else zlib.decompressobj(zlib.MAX_WBITS | 32)

    def __call__(self, block: bytes) -> bytes:
        return block if self._inflate is None else self._inflate.decompress(block)


def _shown(url: str) -> str:
    return url.partition("?")[0].rpartition("@")[2][:80]

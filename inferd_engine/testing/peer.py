"""The client's end of a connection: what the actions of a reply use.

While it waits it watches the client's side too, so that ``Received.gone`` is set within a
millisecond of its end.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferd_engine.testing.received import Received


class Left(Exception):  # noqa: N818 - it is no error
    """The client has gone, or the reply is over before its end."""


class Peer:
    """Send to a client, wait beside it, leave it."""

    def __init__(self, connection: socket.socket, received: Received) -> None:
        self._connection = connection
        self._received = received
        self.chunked = False
        """Whether ``send()`` makes an HTTP chunk of what it is given."""

    def send(self, data: bytes) -> None:
        """Send bytes of the body.

        Raises:
            OSError: The client has gone.
        """
        if not data:
            return  # an empty chunk would be the last
        framed = b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data
        self._connection.sendall(framed)
        self._received.sent += len(framed)

    def wait(self, seconds: float | None, gate: socket.socket | None = None) -> None:
        """Wait for the time, or until the gate can be read.

        Args:
            seconds: None: for ever.
            gate: A socket.

        Raises:
            Left: The client went meanwhile.
        """
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
                    self._received.mark_gone()
                    raise Left

    def leave(self, *, reset: bool = False) -> None:
        """Close the connection.

        Args:
            reset: With RST instead of FIN.

        Raises:
            Left: Always.
        """
        if reset:
            linger = struct.pack("ii", 1, 0)
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._connection.close()
        raise Left

    def _is_there(self) -> bool:
        """Return whether the client still is: what it may send meanwhile is of no interest."""
        try:
            return bool(self._connection.recv(65536))
        except OSError:
            return False

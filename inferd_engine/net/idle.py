"""A pool's idle connections: which are kept, and which are fit to be used again.

A request that was sent on a dead connection has failed, and is never sent again.  So whoever takes
one out looks first:

* Has something happened on it?  The peer has closed it, or said what nobody had asked for.
* Has it been idle for too long (``keepalive_expiry``)?  Firewalls and NATs forget a connection
  without a word, and what is sent into it then is answered by nothing.

One fault cannot be seen in time.  Some servers promise to keep a connection and close it with the
end of each answer (llama.cpp's does so after streams, 20 to 120 µs after the last byte): a call
that follows at once is on its way already.  So these are remembered: once a connection was found
closed within a moment of its being given back, whether by who took it out or by a call that failed
on it, no connection to this address is kept for a while.  So it is with a server that says
something in that moment, whatever it is: it is not the answer to the next call.  A call that was on
its way already takes it for its own; if it is an error that ends the connection, it is told, and no
other call meets the like.

It stands in for the ``queue.LifoQueue`` of urllib3, without its lock: a signal handler that raises
while that is being taken may leave it taken, and then every later request of the pool waits for
ever.  A list's ``append`` and ``pop`` need none, and the rest are plain assignments.
"""

from __future__ import annotations

import math
import queue
import time
from typing import Any

from inferd_engine.net.response import current_exchange

# Seconds after its answer in which no server closes a connection that it means to keep: gunicorn,
# the most impatient of the usual ones, waits 2.
A_MOMENT = 1.0
# Seconds for which an address is not trusted: at the worst, one call in five minutes is lost to it.
DISTRUST = 300.0


class Idle:
    """The idle connections to one address, the newest first.

    Args:
        maxsize: How many are kept.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._connections: list[Any] = []
        self._distrusted_until = -math.inf

    def put(self, connection: Any, *_: object, **__: object) -> None:  # urllib3's
        """Keep a connection; None, with which urllib3 counts, is nothing to keep.

        Raises:
            queue.Full: There is no room, or it is not wanted.
        """
        if connection is None:
            return
        connection.idle_since = time.monotonic()
        connection.home = self
        self._connections.append(connection)
        # Looked at after that: whoever closes them all either sees this one, or is seen here.
        if connection.idle_since < self._distrusted_until or self.qsize() > self._maxsize:
            try:
                self._connections.remove(connection)
            except ValueError:
                return  # somebody has taken it, or closed it
            raise queue.Full

    def get(self, *_: object, **__: object) -> Any:  # urllib3's own
        """Return the newest that is fit; those that are not are closed.

        Raises:
            queue.Empty: There is none.
        """
        while True:
            try:
                connection = self._connections.pop()
            except IndexError:
                raise queue.Empty from None
            if self._is_fit(connection):
                return connection
            connection.close()

    def qsize(self) -> int:
        """How many there are."""
        return len(self._connections)

    def close(self) -> None:
        """Close them all, and keep none from now on."""
        self._maxsize = 0
        self._clear()

    def is_moment_after(self, connection: Any) -> bool:  # one of urllib3's
        """Whether it was given back only a moment ago."""
        return time.monotonic() - float(connection.idle_since) < A_MOMENT

    def distrust(self) -> None:
        """Take note that the peer does not keep what it promises; what is still here is doomed."""
        self._distrusted_until = time.monotonic() + DISTRUST
        self._clear()

    def _is_fit(self, connection: Any) -> bool:  # one of urllib3's
        if not connection.is_connected:
            if self.is_moment_after(connection):
                self.distrust()
            return False
        exchange = current_exchange()
        limit = None if exchange is None else exchange.keepalive_expiry
        return limit is None or time.monotonic() - connection.idle_since <= limit

    def _clear(self) -> None:
        while self._connections:
            try:
                connection = self._connections.pop()
            except IndexError:
                return  # somebody else has taken the last one
            connection.close()

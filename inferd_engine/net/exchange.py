"""One request on the wire, and the handle that ends it in any phase.

Goal: a thread that is blocked connecting, shaking hands, waiting for headers or reading the body
is woken in under a millisecond, by any other thread, by a signal handler or by a finalizer.

Strategy: a *kill handle*, a ``dup()`` of the plain TCP socket made before ``connect()``, and
``shutdown(SHUT_RDWR)`` on it.  It wakes every blocking call in every phase and touches no TLS
state: ``SSLSocket.shutdown`` drops the TLS layer, so that ciphertext is given out as body and the
next request goes out in clear; ``close()`` wakes nobody.

Who may do what: anyone may pull the handle; only the thread that reads closes the connection.  The
handle is a token in a slot.  Taking it out is atomic, and whoever has it owns it:

* a cancel that gets it shuts the connection down; it can then never go back to the pool, because
  the pool looks for the handle and does not find it;
* a pool that gets it has its connection back; a cancel that comes later finds an empty slot and
  hits nobody, least of all the next request on that connection.

While several addresses of a host are tried at once, there is a handle for each.

The flag is set before the handle is pulled, and looked at after every blocking call: a body
without length looks like a clean end of file when its connection is shut down.

Nothing waits on a socket for longer than a slice (``in_time``): an exception that another thread
throws into this one (``PyThreadState_SetAsyncExc``: time limits of task queues, notebooks) is
raised by the interpreter, and so only when the waiting returns to it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from inferd_engine.secrets.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine.net.deadlines import Deadlines
    from inferd_engine.net.socket_reader import Plain, ShortWay
    from inferd_engine.secrets.secret import Secret

_Done = TypeVar("_Done")


class Receiver(Protocol):
    """Where the bytes of an answer's body come in."""

    is_clean: bool
    """Whether the body has ended, where it had to end, and nothing had come behind it."""

    def wait(self) -> None:
        """Wait until there are some, outside of all parsing: what is raised in here costs none."""

    def descriptor(self) -> int | None:
        """Return what is readable when some have come; None where nothing tells."""

    def has_more(self) -> bool:
        """Whether ``receive()`` has something though the connection may be silent."""

    def receive(self, give_up: float | None = None) -> bytes | None:
        """Return the next of them, empty at the end; None if none came until ``give_up``.

        ``give_up`` is a moment, by ``time.monotonic()``.
        """

    def short_way(self, plain: Plain) -> ShortWay | None:
        """Return the way past all of this, while nothing but such events may be to come."""


# Whoever waits to send to us learns of the end by a reset.  After shutdown() alone the window stays
# shut: an upstream that was blocked by it hears nothing until its next probe, seconds later.
_RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class Exchange:
    """What a request and its answer share between threads: a flag, the clocks, the handle.

    Args:
        deadlines: The clocks.
        keepalive_expiry: Seconds after which an idle connection is not used for it; None for ever.
        tcp_keepalive: Seconds of silence after which the kernel probes its connection; None: never.
    """

    __slots__ = (
        "__weakref__",
        "_handles",
        "_pid",
        "cancelled",
        "deadlines",
        "is_whole",
        "keepalive_expiry",
        "mask",
        "query",
        "receiver",
        "tcp_keepalive",
    )

    def __init__(
        self,
        deadlines: Deadlines,
        *,
        keepalive_expiry: float | None = None,
        tcp_keepalive: float | None = None,
    ) -> None:
        self.cancelled = False
        self.is_whole = False
        """Whether the answer was whole, in the eyes of whoever read it; see ``keep()``."""
        self.deadlines = deadlines
        self.keepalive_expiry = keepalive_expiry
        self.tcp_keepalive = tcp_keepalive
        self.receiver: Receiver | None = None
        """Receives the body, once there is one, and if its connection is one of ours."""
        self.mask = Mask()
        """Takes what the call knows and nobody is shown out of what becomes an error."""
        self.query: Secret | None = None
        """The query of the address, if the connection alone is to know it."""
        self._handles: list[socket.socket] = []
        self._pid = os.getpid()

    def keep(self) -> None:
        """Say that the answer was whole: as far as that goes, its connection may be used again."""
        self.is_whole = True

    def cancel(self) -> None:
        """Set the flag and wake whoever is blocked on the connection; never blocks.

        In a forked child nothing happens: the connection is the parent's.
        """
        if self._pid != os.getpid():
            return
        self.cancelled = True
        self._pull()

    def _pull(self) -> None:
        while (handle := self.take_handle()) is not None:
            with contextlib.suppress(OSError):  # it has gone by itself
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                handle.shutdown(socket.SHUT_RDWR)
            handle.close()

    def give_handle(self, handle: socket.socket) -> None:
        """Let the exchange be ended through this handle too.

        Raises:
            ConnectionAbortedError: It was ended before.
        """
        self._handles.append(handle)
        self.check()

    def take_handle(self) -> socket.socket | None:
        """Take a handle out; None if somebody else has, or there is none."""
        try:
            return self._handles.pop()
        except IndexError:
            return None

    def withdraw(self, handle: socket.socket) -> None:
        """Close this handle, unless a cancel has it: then that does."""
        with contextlib.suppress(ValueError):
            self._handles.remove(handle)
            handle.close()

    def check(self) -> None:
        """Check the flag.

        Raises:
            ConnectionAbortedError: The exchange was ended.
        """
        if self.cancelled:
            self._pull()
            raise ConnectionAbortedError("cancelled")

    def in_time(
        self,
        sock: Any,  # a socket, or whatever serves as one
        act: Callable[..., _Done],
        *arguments: Any,  # those of act
    ) -> _Done:
        """Do what waits on a socket, a slice at a time, until it is done or time is up.

        Args:
            sock: Its timeout is set to what may be waited.
            act: Raises a ``TimeoutError`` when that has passed, and can then be called again.
            arguments: Those of ``act``.

        Raises:
            ConnectionAbortedError: The exchange was ended.
            TimeoutError: Time is up.
        """
        while True:
            self.check()
            sock.settimeout(self.deadlines.slice_or_raise())
            try:
                return act(*arguments)
            except TimeoutError as error:
                if error.errno is not None:  # the kernel's: the peer is gone
                    raise

    def end(self) -> None:
        """Close the handles that are still here: they would keep the connection open."""
        self.receiver = None
        while (handle := self.take_handle()) is not None:
            with contextlib.suppress(OSError):  # it has gone by itself
                if self._pid == os.getpid():
                    handle.shutdown(socket.SHUT_RDWR)  # a forked child may hold the connection too
            handle.close()

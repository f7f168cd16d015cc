"""What one thread waits for: descriptors that become readable, a bell, and the clock.

Where there is epoll it is asked directly: ``selectors`` makes an object of every answer, which is
as much again.  Elsewhere ``selectors`` takes the best that the system has (``_Selector``).
Where threads are greenlets no descriptor is waited for, and the bell is one of theirs: a selector
would stop them all.

A ring comes from any thread, signal handler or finalizer.  It takes no lock, and it costs a system
call only while somebody waits: whoever is about to wait says so first and looks after that whether
something has come.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

from inferd_engine._native import IMPLEMENTATION
from inferd_engine.stream.consumer import are_threads_greenlets
from inferd_engine.stream.turn import Bell

if TYPE_CHECKING:
    from inferd_engine.stream.merged import Merged

_READABLE = getattr(select, "EPOLLIN", selectors.EVENT_READ)


class _Selector:
    """``selectors`` in the clothes of epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.register = self._selector.register
        self.unregister = self._selector.unregister
        self.close = self._selector.close

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return [(key.fd, mask) for key, mask in self._selector.select(timeout)]


class Waiter:
    """Wait for descriptors and the bell; for one thread at a time, but for ``ring()``."""

    def __init__(self) -> None:
        self.rung: deque[int] = deque()
        """What was said when the bell was rung; whoever waits takes it out."""
        self._is_waiting = False
        self._members: dict[int, Merged] = {}  # by descriptor
        self._poll: Any = select.epoll() if hasattr(select, "epoll") else _Selector()
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)  # noqa: FBT003 - its only argument
        self._poll.register(self._reader.fileno(), _READABLE)

    def watch(self, fileno: int, member: Merged) -> None:
        """Wait for a descriptor, too; ``member`` is given when it is readable."""
        before = self._members.get(fileno)
        if before is not None:  # its connection has been closed since: the number is another's now
            self.forget(fileno, before)
        self._members[fileno] = member
        self._poll.register(fileno, _READABLE)

    def forget(self, fileno: int, member: Merged) -> None:
        """Wait for a descriptor no more, unless it is another stream's by now."""
        if self._members.get(fileno) is not member:
            return
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._poll.unregister(fileno)
        del self._members[fileno]

    def expect(self, fileno: int, way: Any) -> None:
        """Receive what comes for a descriptor, too, where that can be done; see ``Source.way``."""

    def wait(self, seconds: float) -> list[Merged]:
        """Wait until something is readable, the bell rings or time is up; give whose they are.

        Args:
            seconds: 0 or less does not wait.
        """
        self._is_waiting = True
        try:
            found = self._poll.poll(0.0 if seconds <= 0 or self.rung else seconds)
        finally:
            self._is_waiting = False
        return self._without_bell([self._members.get(fileno) for fileno, _ in found])

    def _without_bell(self, ready: list[Merged | None]) -> list[Merged]:
        """Silence the bell if it is among what is ready; give whose the others are."""
        members = [member for member in ready if member is not None]
        if len(members) < len(ready):
            with contextlib.suppress(BlockingIOError):
                self._reader.recv(4096)
        return members

    def ring(self, key: int) -> None:
        """Wake who waits, and tell what for."""
        self.rung.append(key)
        if self._is_waiting:
            with contextlib.suppress(OSError):  # full: it is awake; closed: nobody is there
                self._writer.send(b"!")

    def close(self) -> None:
        """Let go of what it waits with."""
        self._poll.close()
        self._reader.close()
        self._writer.close()


class GreenWaiter(Waiter):
    """Wait for the bell alone, as greenlets have to."""

    def __init__(self) -> None:
        self.rung = deque()
        self._bell = Bell()

    def forget(self, fileno: int, member: Merged) -> None:
        """There is none."""

    def wait(self, seconds: float) -> list[Merged]:
        """Wait until the bell rings or time is up."""
        self._bell.wait(0.0 if self.rung else seconds)
        return []

    def ring(self, key: int) -> None:
        """Wake who waits, or who will, and tell what for."""
        self.rung.append(key)
        self._bell.ring()

    def close(self) -> None:
        """There is nothing to let go of."""


def waiter() -> Waiter:
    """Return the one for the threads that there are."""
    if are_threads_greenlets():
        return GreenWaiter()
    if IMPLEMENTATION == "native":
        from inferd_engine.many.merging._waiter_native import WORKS, NativeWaiter  # noqa: PLC0415

        if WORKS:
            return NativeWaiter()
    return Waiter()

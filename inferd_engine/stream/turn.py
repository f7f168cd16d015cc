"""A right that one thread has at a time, and a bell that wakes one: without a lock to leave behind.

Any line of a consumer may be struck by an exception (a signal handler's, one that is thrown into
its thread, no memory), and any thread may die of one.  A lock that it had stays locked then, and
whoever comes next waits for ever.  So who has what is told by name here: a thread that comes again
is let in, and what a dead thread had goes to the next that asks.

Rejected: to take over what has been held for long.  Beside threads that compute, a lock may be held
for longer than any patience, by a thread that is well.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Protocol


class Holder(Protocol):
    """Who may have a turn: a thread, or what stands for whichever thread comes next."""

    def is_alive(self) -> bool:
        """Whether it may give up by itself what it has."""


class Turn:
    """The right to do something, such as to read; nobody waits for it.

    It is one attribute, taken with ``setdefault``, given up with ``del``: each is atomic.  Where a
    call counts, both are done in place::

        if turn.__dict__.setdefault("holder", me) is me or turn.take(me):
            ...
        if turn.holder is me:
            del turn.holder
    """

    holder: Holder | None = None
    """Who has it, or died with it."""

    def __init__(self) -> None:
        self._heirs: dict[Holder, Holder] = {}  # of those who died with it

    def take(self, me: Holder) -> bool:
        """Take it for this thread; False if a living one has it that is another."""
        holder: Holder = self.__dict__.setdefault("holder", me)
        if holder is me:
            return True
        if holder.is_alive() or self._heirs.setdefault(holder, me) is not me:
            return False
        self.holder = me  # nobody else may change it: the dead have one heir
        return True

    def give(self, me: Holder) -> None:
        """Give it up, if this thread has it."""
        if self.holder is me:
            del self.holder


class Bell:
    """Wake a thread: from any other one, a signal handler or a finalizer.

    A ring that comes while nobody waits is heard by the next who does; several are heard as one.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()  # taken, but from a ring until it is heard
        self._lock.acquire()

    def ring(self) -> None:
        """Wake who waits, or who will."""
        with contextlib.suppress(RuntimeError):  # it was rung before, and not heard yet
            self._lock.release()

    def wait(self, seconds: float) -> None:
        """Wait until it is rung or time is up; 0 or less does not wait."""
        self._lock.acquire(timeout=max(0.0, seconds))

"""Wait with the C part: for all descriptors, and receive from those that are ready, in one call.

The interpreter's lock is let go of once, for the wait and for every socket that is read after it.
What was received lies in one room, which is used again with the next call: so by then every source
has read its own (``Source.way``), or was told to keep it (``Source.turn_back()``).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from inferd_engine._native import CHARS, ffi, lib, new_chars
from inferd_engine.many.merging.waiter import Waiter

if TYPE_CHECKING:
    from inferd_engine.stream.merged import Merged

WORKS: bool = bool(lib.SOCKETS_TEXTS_WORKS)
_MOST = 256  # that one call tells of; the others are told of by the next
_ROOM = 512 * 1024  # bytes: 8 KiB for each of 32 answers, and what they say
_wait = lib.sockets_texts_unlocked
_numbers = ffi.unpack


class NativeWaiter(Waiter):
    """Wait for descriptors and the bell, and receive."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, Any] = {}  # the ways, for C
        self._ready = ffi.new("int[]", _MOST)
        self._room = new_chars(CHARS, _ROOM)
        self._all = ffi.new("struct sockets_texts *")
        self._all.epoll = self._poll.fileno()
        self._all.ready, self._all.most = self._ready, _MOST
        self._all.room, self._all.size = self._room, _ROOM
        self._make_place(_MOST)

    def _make_place(self, length: int) -> None:
        """Have a place for descriptors below this one."""
        ways = ffi.new("struct socket_texts *[]", length)
        for fileno, way in self._kept.items():
            ways[fileno] = way.part
        self._all.ways, self._all.ways_len, self._ways = ways, length, ways

    def expect(self, fileno: int, way: Any) -> None:
        """Receive what comes for a descriptor by this way; None leaves it where it is."""
        if fileno < 0 or way is None or way.part is None:
            if fileno in self._kept:
                self._ways[fileno] = ffi.NULL  # first: nothing in there outlives what is kept
                del self._kept[fileno]
        elif self._kept.get(fileno) is not way:
            if fileno >= len(self._ways):
                self._make_place(2 * fileno)
            self._kept[fileno], self._ways[fileno] = way, way.part

    def forget(self, fileno: int, member: Merged) -> None:
        """Wait for a descriptor no more, unless it is another stream's by now."""
        if self._members.get(fileno) is member:
            self.expect(fileno, None)
        super().forget(fileno, member)

    def wait(self, seconds: float) -> list[Merged]:
        """Wait until something is readable, the bell rings or time is up; give whose they are."""
        self._is_waiting = True
        try:
            if seconds > 0 and self.rung:
                seconds = 0.0
            count = _wait(self._all, seconds)
        finally:
            self._is_waiting = False
        if count < 0:
            raise OSError(-count, os.strerror(-count))
        if not count:
            return []
        ready: list[Any] = [*map(self._members.get, _numbers(self._ready, count))]
        return self._without_bell(ready) if None in ready else ready

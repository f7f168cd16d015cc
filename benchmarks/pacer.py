"""Events of many answers, each sent when its time has come, by one thread.

Strategy: a heap of who is next.  Answers that ask for the same are a group: the first event of each
is sent at once, and the others when the last of the group has begun, evenly spread.  So whoever
measures from the last first event on leaves out how requests are started; and how answers end, too,
because none of them ends before all have had their last event.

Rejected: a thread for each answer, which wakes all of them at the same moments, and at a thousand
answers costs more than the client that is measured.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

FIRST = "0"  # the text of an answer's first event; that of the others is the time of their sending
SETTLE = 0.5, 0.001  # seconds until whoever has many first events waits for more: for all, for each


class _Group:
    """Answers that begin, and end, together."""

    def __init__(self) -> None:
        self.members: list[socket.socket] = []
        self.left = 0
        self.over = threading.Event()


class Pacer:
    """Send what is due, in a thread of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, _Answer]] = []
        self._number = itertools.count()  # of an entry: answers cannot be compared
        self._gathering: dict[str, _Group] = {}
        threading.Thread(target=self._run, daemon=True).start()

    def send(self, connection: socket.socket, event: Callable[[str], bytes], model: str) -> None:
        """Send one answer; return when all that ask for the same model have theirs."""
        count, rate, *rest = model.split(":")[1:]
        connection.sendall(event(FIRST))
        with self._changed:
            group = self._gathering.setdefault(model, _Group())
            group.members.append(connection)
            if len(group.members) == int(rest[0] if rest else 1):
                del self._gathering[model]
                self._begin(group, event, int(count) - 1, 1 / float(rate))
        group.over.wait()

    def _begin(self, group: _Group, event: Callable[[str], bytes], count: int, gap: float) -> None:
        streams = group.left = len(group.members)
        settle = SETTLE[0] + SETTLE[1] * streams if streams > 1 else 0.0
        begin = time.monotonic() + settle
        for number, connection in enumerate(group.members):
            answer = _Answer(group, connection, event, count, gap)
            entry = (begin + gap * number / streams, next(self._number), answer)
            heapq.heappush(self._due, entry)
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due:
                    self._changed.wait()
                moment, _, answer = self._due[0]
                left = moment - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                heapq.heappop(self._due)
            if answer.send():
                entry = (moment + answer.gap, next(self._number), answer)
                with self._changed:
                    heapq.heappush(self._due, entry)


class _Answer:
    """What is left to send to one client."""

    def __init__(
        self,
        group: _Group,
        connection: socket.socket,
        event: Callable[[str], bytes],
        count: int,
        gap: float,
    ) -> None:
        self._group, self._connection, self._event = group, connection, event
        self._left, self.gap = count, gap

    def send(self) -> bool:
        """Send one event; say whether there are more."""
        self._left -= 1
        try:
            self._connection.sendall(self._event(str(time.monotonic_ns())))
        except OSError:  # the client is gone
            self._left = 0
        if self._left > 0:
            return True
        self._group.left -= 1
        if not self._group.left:
            self._group.over.set()
        return False

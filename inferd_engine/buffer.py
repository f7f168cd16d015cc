"""The bounded queue between a stream's worker and its consumer: batches in, batches out.

Goal: one hand-over for all that one read gave, and for all that came while the consumer was busy:
waking a thread costs more than parsing what it is woken for.  ``queue.Queue`` keeps the bound and
does the waiting; its own hooks (``_init``, ``_qsize``, ``_put``, ``_get``), made for subclasses,
let it count events while a put adds many and a get takes all.

The bound is for what is queued and what the consumer has taken but not given yet, together: each
side gets half.  So the worker can fill one half while the consumer empties the other, and neither
waits for the last event of a batch.

Invariants, under the queue's ``mutex``: ``queue`` holds what was put and not taken, in order, at
most ``maxsize`` events and ``MAX_BYTES``, or one event; ``bytes`` is its size; ``piece`` is the
count and size of what waits to be put.  ``ready`` belongs to the consumer: ``get()`` moves the
whole of ``queue`` there with one assignment, which no signal handler can cut in two, so that an
exception which a handler raises on the way out of ``get()`` loses no event.
"""

from __future__ import annotations

import queue
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 4 * 1024 * 1024  # of queued events, half of what may be undelivered
_LEAKED = 0.2  # seconds: a lock that is still taken then has been left behind
_SLICE = 0.05  # seconds: how often a worker that waits for room looks whether it is still wanted


if TYPE_CHECKING:
    _Queue = queue.Queue[Any]
elif "gevent.monkey" in sys.modules:
    # gevent puts a queue of its own in place, without these hooks; the standard one works on
    # gevent's locks, which are in place as well.
    _Queue = sys.modules["gevent.monkey"].get_original("queue", "Queue")
else:
    _Queue = queue.Queue


class EventBuffer(_Queue):
    """A queue that is filled and emptied by the batch.

    Args:
        most: Events that may be undelivered, those among them that the consumer has taken.
    """

    def __init__(self, most: int) -> None:
        super().__init__(max(1, most // 2))

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - the hook's signature
        self.queue: list[Any] = []
        self.bytes = 0
        self.piece = (0, 0)
        self.ready: list[Any] = []

    def _qsize(self) -> int:
        count = len(self.queue)
        if not count or self.maxsize == sys.maxsize:
            return count
        fits = count + self.piece[0] <= self.maxsize and self.bytes + self.piece[1] <= MAX_BYTES
        return count if fits else max(count, self.maxsize)

    def _put(self, item: tuple[list[Any], int]) -> None:
        self.queue += item[0]
        self.bytes += item[1]
        self.piece = (0, 0)

    def _get(self) -> None:
        self.ready, self.queue, self.bytes = self.queue, [], 0

    def hand_over(self, events: list[Any], size: int, gives_up: Callable[[], object]) -> bool:
        """Put events, at most ``maxsize`` at once, and wait while there is no room.

        Args:
            events: In order; those that were put are taken out of the list.
            size: Their size in bytes.
            gives_up: Asked before every wait, which is short; something true ends the waiting.

        Returns:
            Whether all of them were put.
        """
        self.recover()  # close() may have been interrupted inside of lift()
        while events:
            piece = events[: self.maxsize]
            while True:
                self.piece = (len(piece), size)
                try:
                    self.put((piece, size), timeout=_SLICE)
                    break
                except queue.Full:
                    if gives_up():
                        return False
            del events[: len(piece)]
            size = 0  # it was counted with the first piece
        return True

    def lift(self) -> None:
        """Lift the bound, and wake a worker that waits for room, if that takes no waiting.

        Whoever calls may be a signal handler or a finalizer on the thread that holds the lock: then
        it is left to the worker to look, a few milliseconds later.
        """
        self.maxsize = sys.maxsize
        if self.mutex.acquire(blocking=False):
            try:
                self.not_full.notify()
            finally:
                self.mutex.release()

    def recover(self) -> None:
        """Let go of the lock if an exception on the way out of ``get()`` has left it locked.

        ``Condition.__enter__`` is Python: a signal handler may raise after it took the lock and
        before ``with`` knows of it.  The worker, the only other user, holds it for microseconds.
        """
        self.mutex.acquire(timeout=_LEAKED)
        self.mutex.release()

    def put_beyond(self, events: list[Any]) -> None:
        """Put what must not wait: the end, and what came before it when time is up."""
        self.recover()
        self.maxsize = sys.maxsize
        self.put((events, 0))

"""The bounded queue between a stream's worker and its consumer: batches in, batches out.

Goal: one hand-over for all that one read gave, and for all that came while the consumer was busy:
waking a thread costs more than parsing what it is woken for.  ``queue.Queue`` keeps the bound; the
hooks that it has for subclasses (``_init``, ``_qsize``, ``_put``, ``_get``) let it count events
while a put adds many and a get takes all.

The bound is for what is queued and what the consumer has taken but not given yet, together: each
side gets half.  So the worker can fill one half while the consumer empties the other, and neither
waits for the last event of a batch.

Nobody waits in here: who finds no room, or nothing to take, waits for a bell (``turn.py``) and
comes again.  So an exception that leaves the lock locked strikes inside of ``offer()`` or
``take()``, and the thread that it struck, and no other, lets go of it: it is a lock that knows its
holder.

Invariants, under the queue's ``mutex``: ``queue`` holds what was put and not taken, in order, at
most ``maxsize`` events and ``MAX_BYTES``, or one event; ``bytes`` is its size; ``piece`` is the
count and size of what waits to be put.  ``ready`` belongs to the consumer: ``_get()`` moves the
whole of ``queue`` there with one assignment, which no signal handler can cut in two, so that an
exception which a handler raises on the way out loses no event.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

from inferd_engine.stream.reading import EndMark

if TYPE_CHECKING:
    from inferd_engine.stream.reading import Ending

MAX_BYTES = 4 * 1024 * 1024  # of queued events, half of what may be undelivered


if TYPE_CHECKING:
    _Queue = queue.Queue[Any]
elif queue.Queue.__module__ == "queue":
    _Queue = queue.Queue
# gevent and eventlet put queues of their own in place, without these hooks; the standard one works
# on the locks that they have put in place as well.
elif "gevent.monkey" in sys.modules:
    _Queue = sys.modules["gevent.monkey"].get_original("queue", "Queue")
else:
    _Queue = sys.modules["eventlet.patcher"].original("queue").Queue


class EventBuffer(_Queue):
    """A queue that is filled and emptied by the batch; one thread puts at a time, one takes.

    Args:
        most: Events that may be undelivered, those among them that the consumer has taken.
    """

    def __init__(self, most: int) -> None:
        super().__init__(max(1, most // 2))
        self.mutex = threading.RLock()  # type: ignore[assignment]  # a lock all the same
        # Nobody waits for any of these: one will do, and there are thousands of buffers.
        self.not_empty = self.not_full = self.all_tasks_done = threading.Condition(self.mutex)

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - the hook's signature
        self.queue: list[Any] = []
        self.bytes = 0
        self.piece = (0, 0)
        self.ready: list[Any] = []

    def _qsize(self) -> int:
        count = len(self.queue)
        if not count or not self.maxsize:
            return count
        fits = count + self.piece[0] <= self.maxsize and self.bytes + self.piece[1] <= MAX_BYTES
        return count if fits else max(count, self.maxsize)

    def _put(self, item: tuple[list[Any], int]) -> None:
        self.queue += item[0]
        self.bytes += item[1]
        self.piece = (0, 0)

    def _get(self) -> None:
        self.ready, self.queue, self.bytes = self.queue, [], 0

    def offer(self, events: list[Any], size: int) -> bool:
        """Put events if there is room for all of them, or if there are no others; say whether.

        Args:
            events: In order, at most ``maxsize``.
            size: Their size in bytes.
        """
        self.piece = (len(events), size)
        if self.full():
            return False
        self.put((events, size), block=False)
        return True

    def take(self) -> bool:
        """Move all there is into ``ready``, if ``ready`` is empty; say whether there is any."""
        if not self.ready and self.queue:
            self.get(block=False)
        return bool(self.ready)

    def put_beyond(self, events: list[Any]) -> None:
        """Put what must not wait: the end, and what came before it when time is up."""
        self.maxsize = 0
        self.put((events, 0), block=False)

    def end(self, ending: Ending) -> None:
        """Put the end, after which nothing comes."""
        self.put_beyond([EndMark(ending)])

    def recover(self) -> None:
        """Let go of the lock where an exception has left this thread with it."""
        with contextlib.suppress(RuntimeError):  # this thread does not have it (any more)
            while True:
                self.mutex.release()

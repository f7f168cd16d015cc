"""The bounded queue between a stream's worker and its consumer: batches in, batches out.

Goal: one hand-over for all that one read gave, and for all that came while the consumer was busy:
waking a thread costs more than parsing what it is woken for.  ``queue.Queue`` keeps the bound and
does the waiting; its own hooks (``_init``, ``_qsize``, ``_put``, ``_get``), made for subclasses,
let it count events while a put adds many and a get takes all.

Invariants, under the queue's ``mutex``: ``queue`` holds what was put and not taken, in order, and
``bytes`` is its size.  ``ready`` belongs to the consumer: ``get()`` moves the whole of ``queue``
there with one assignment, which no signal handler can cut in two, so that an exception which a
handler raises on the way out of ``get()`` loses no event.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 8 * 1024 * 1024  # of undelivered events, however many of them are allowed
_SLICE = 0.02  # seconds: how often a worker that waits for room looks whether it is still wanted


class EventBuffer(queue.Queue[Any]):
    """A queue of at most ``maxsize`` events and 8 MiB, filled and emptied by the batch."""

    def _init(self, maxsize: int) -> None:  # noqa: ARG002 - the hook's signature
        self.queue: list[Any] = []
        self.bytes = 0
        self.ready: list[Any] = []

    def _qsize(self) -> int:
        count = len(self.queue)
        return count if self.bytes < MAX_BYTES else max(count, self.maxsize)

    def _put(self, item: tuple[list[Any], int]) -> None:
        self.queue += item[0]
        self.bytes += item[1]

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
        while events:
            piece = events[: self.maxsize]
            while True:
                try:
                    self.put((piece, size), timeout=_SLICE)
                    break
                except queue.Full:
                    if gives_up():
                        return False
            del events[: len(piece)]
            size = 0  # it was counted with the first piece
        return True

    def put_beyond(self, events: list[Any]) -> None:
        """Put what must not wait: the end, and what came before it when time is up."""
        self.maxsize = 0
        self.put((events, 0))

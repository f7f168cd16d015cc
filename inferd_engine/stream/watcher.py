"""Who sees that a consumer stays away, and has a worker read for it: one thread for all streams.

Goal: a stream whose consumer keeps up costs no thread.  Most do: what they do with a token takes
less time than the next one takes to come, and they read for themselves.

Strategy: naps.  After each of them the watcher looks at every stream that has no worker yet: has
its consumer read since, or is it reading now?  One that has not, for a whole nap, gets its worker
as soon as there is anything to read, and is watched no more.  The first naps after a stream was
opened are short, each one after them twice as long, up to half a second: a consumer that came will
come again.

Rules:

* it refers to consumers, never to streams, so that dropping a stream can be seen; a stream that
  ends is let go of by whoever ends it (``discard()``);
* it asks a source whether anything has come, or a clock has run out, as whoever reads it would:
  with the turn.  A consumer that comes in that moment has a worker started: it waits for nobody.  A
  merge that comes is rung for, and a stream that ends is let go of here (``settle()``);
* it starts with the first stream, and leaves when it has had nothing to watch for a moment: who
  opens one stream after the other has one thread started and no more;
* a thread that cannot be started is nothing that a stream fails of: its consumer reads for itself.
  Only what is read ahead of it is less then, and the next nap tries again.

Rejected: a worker for each stream that sleeps until it is needed (a thread and 17 KiB for each, and
two wakings a second), and a heap of moments at which to look (the naps tell the same).
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from typing import TYPE_CHECKING

from inferd_engine.errors import InternalError
from inferd_engine.stream.turn import Bell, Turn
from inferd_engine.stream.worker import start, start_worker

if TYPE_CHECKING:
    from inferd_engine.stream.consumer import Consumer
    from inferd_engine.stream.reading import Reading
    from inferd_engine.stream.source import Source

_SHORTEST = 0.02  # seconds
_LONGEST = 0.5
_LINGER = 0.05
_NEVER = -1  # looked at


class Watcher:
    """Watch the consumers of this process."""

    def __init__(self) -> None:
        self._visits: dict[Consumer, int] = {}  # how many there were when it was last looked at
        self._has_newcomer = False
        self._nap = _LINGER
        self._bell = Bell()
        self._turn = Turn()  # to watch; what a dead thread had goes to the next

    def add(self, consumer: Consumer) -> None:
        """Watch a consumer whose stream has a buffer and no worker; from any thread."""
        self._visits[consumer] = _NEVER
        self._has_newcomer = True
        holder = self._turn.holder
        if holder is None or not holder.is_alive():
            self._start()
        elif self._nap > _LINGER:
            self._bell.ring()

    def discard(self, consumer: Consumer) -> None:
        """Watch a consumer no more; from any thread, a signal handler or a finalizer."""
        was_watched = self._visits.pop(consumer, None) is not None
        if was_watched and not self._visits and self._nap > _LINGER:
            self._bell.ring()  # it leaves the sooner

    def _start(self) -> None:
        thread = threading.Thread(target=self._watch, name="inferd-engine-watcher", daemon=True)
        if self._turn.take(thread):
            with contextlib.suppress(RuntimeError):
                start(thread)

    def _watch(self) -> None:
        """Look at all of them after each nap: the watcher's whole life."""
        me, was_idle = threading.current_thread(), False
        try:
            while self._turn.holder is me:
                is_first, self._has_newcomer = self._has_newcomer, False
                is_idle = not self._visits
                if is_idle and was_idle:
                    break
                was_idle = is_idle
                longer = _SHORTEST if is_first else min(2 * self._nap, _LONGEST)
                self._nap = _LINGER if is_idle else longer
                self._bell.wait(self._nap)
                for consumer, visits in self._visits.copy().items():  # while others come and go
                    self._look(consumer, visits)
        finally:
            self._turn.give(me)
        if self._visits:
            self._start()  # for one that came while this thread was about to go

    def _look(self, consumer: Consumer, visits: int) -> None:
        """Have a worker read for a consumer if it has not come since it was last looked at."""
        reading = consumer.reading
        holder = consumer.entry.holder
        if reading.is_over or consumer.worker is not None:
            self._visits.pop(consumer, None)
        elif reading.visits != visits or (holder is not None and holder.is_alive()):
            self._visits[consumer] = reading.visits
            self._has_newcomer = self._has_newcomer or visits == _NEVER  # once more, soon
        elif consumer.buffer is not None and not self._is_silent(reading):
            try:
                start_worker(reading, consumer.buffer, consumer)
            except InternalError:
                return  # there is no thread to be had
            self._visits.pop(consumer, None)

    def _is_silent(self, reading: Reading) -> bool:
        """Whether a worker would find nothing to read, as far as the source can tell."""
        me = threading.current_thread()
        if not reading.turn.take(me):
            return True  # its consumer is just reading
        try:
            return reading.is_over or not _has_something(reading.source)
        finally:
            reading.turn.give(me)
            reading.arrival.ring()  # a merge may have found it taken, or whoever has ended it
            if reading.endings:
                reading.settle()


def _has_something(source: Source) -> bool:
    """Whether something has come, or a clock has run out; true of a source that cannot tell."""
    try:
        fileno = source.fileno() if source.can_wait else None
        if fileno is None or source.due() <= time.monotonic():
            return True
        return fileno >= 0 and _is_readable(fileno)
    except Exception:  # noqa: BLE001 - somebody else's: whoever reads will tell
        return True


def _is_readable(fileno: int) -> bool:
    """Whether something has come for a descriptor."""
    if not hasattr(select, "poll"):
        return bool(select.select([fileno], [], [], 0)[0])
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))


watcher = Watcher()
"""That of this process."""


def _begin_anew() -> None:
    watcher.__init__()  # type: ignore[misc]  # the thread is the parent's, and so are the streams


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)

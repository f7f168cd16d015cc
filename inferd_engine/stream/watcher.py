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
* it asks a source for its clocks and its descriptor as whoever reads it would: with the turn.  A
  consumer that comes in that moment waits for it (``is_asked``), a merge that comes is rung for,
  and a stream that ends is let go of here (``settle()``);
* all descriptors are looked at together, without a turn: that a number may be another connection's
  by then costs a look, or a worker that was not needed;
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
                self._look_at_all()
        finally:
            self._turn.give(me)
        if self._visits:
            self._start()  # for one that came while this thread was about to go

    def _look_at_all(self) -> None:
        """Have workers read for those that stay away, where there is something to read."""
        silent: dict[int, Consumer] = {}
        for consumer, visits in self._visits.copy().items():  # while others come and go
            fileno = self._look(consumer, visits)
            if fileno >= 0:
                silent[fileno] = consumer
        for fileno in _readable([*silent]):
            consumer = silent[fileno]
            if self._visits.get(consumer) == consumer.reading.visits:
                self._have_read(consumer)

    def _look(self, consumer: Consumer, visits: int) -> int:
        """See to a consumer that has not come since it was last looked at.

        Returns:
            The descriptor that tells whether something has come for it; -1 if nobody need ask.
        """
        reading = consumer.reading
        holder = consumer.entry.holder
        if reading.is_over or consumer.worker is not None:
            self._visits.pop(consumer, None)
        elif reading.visits != visits or (holder is not None and holder.is_alive()):
            self._visits[consumer] = reading.visits
            self._has_newcomer = self._has_newcomer or visits == _NEVER  # once more, soon
        elif consumer.buffer is not None:
            fileno = self._ask(reading)
            if fileno is not None:
                return fileno
            self._have_read(consumer)
        return -1

    def _ask(self, reading: Reading) -> int | None:
        """Return what tells whether a worker would find anything; None if it would, or may."""
        me = threading.current_thread()
        reading.is_asked = True
        try:
            if not reading.turn.take(me):
                return -1  # its consumer is just reading
            return -1 if reading.is_over else _silent_fileno(reading.source)
        finally:
            reading.turn.give(me)
            reading.is_asked = False
            reading.arrival.ring()  # a merge may have found it taken, or whoever has ended it
            if reading.endings:
                reading.settle()

    def _have_read(self, consumer: Consumer) -> None:
        """Have a worker read for a consumer."""
        if consumer.buffer is not None:
            with contextlib.suppress(InternalError):  # no thread to be had: it is tried again
                start_worker(consumer.reading, consumer.buffer, consumer)
                self._visits.pop(consumer, None)


def _silent_fileno(source: Source) -> int | None:
    """Return the descriptor of a source that has nothing by itself, -1 if the clock alone tells.

    None if a clock has run out, something is here already, or it cannot tell.
    """
    try:
        fileno = source.fileno() if source.can_wait else None
        return None if fileno is None or source.due() <= time.monotonic() else fileno
    except Exception:  # noqa: BLE001 - somebody else's: whoever reads will tell
        return None


def _readable(filenos: list[int]) -> list[int]:
    """Return those for which something has come, or that are gone, as far as that can be told."""
    if not filenos:
        return []
    try:
        if not hasattr(select, "poll"):
            return select.select(filenos, [], [], 0)[0]
        poll = select.poll()
        for fileno in filenos:
            poll.register(fileno, select.POLLIN)
        return [fileno for fileno, _ in poll.poll(0)]
    except (OSError, ValueError):  # select() cannot say which is gone, or they are too many for it
        return filenos


watcher = Watcher()
"""That of this process."""


def _begin_anew() -> None:
    watcher.__init__()  # type: ignore[misc]  # the thread is the parent's, and so are the streams


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)

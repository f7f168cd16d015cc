"""The consumer's side of a stream: what it takes in, and where from.

A consumer that waits reads for itself, unless it is not its turn (``reading.py`` tells whose it
is); then it waits for what the worker puts into the buffer.  One thread at a time is in here, which
the stream sees to.

An exception that a signal handler raises in here, or that is thrown into a greenlet, loses no
event.  What was received is moved by assignments alone, between which nothing strikes; and where
such an exception may come, the reading itself is left to the worker, or done after a wait that may
be interrupted without harm.

Nobody is waited for without end: whoever waits for the worker looks, every so often, whether it
still lives and whether time is up.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
import types
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import InternalError
from inferd_engine.stream import here
from inferd_engine.stream.reading import CLOSED, EndMark
from inferd_engine.stream.turn import Turn
from inferd_engine.stream.worker import start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.events import Event
    from inferd_engine.stream.buffer import EventBuffer
    from inferd_engine.stream.reading import Ending, Reading

# Seconds of waiting at the most before a consumer looks around: what is thrown into its thread is
# raised only then.
_SLICE = 0.5
_MOMENT = 0.0001  # seconds: what the watcher has the turn for
_OVERDUE = 0.5  # seconds after the deadline: a worker that has not told it then never will

_SIGNALS = tuple(signal.valid_signals())
_HARMLESS = (None, signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
# The one of C: signal.getsignal takes 20 times as long, to make an enum of the answer.
_getsignal = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)


def are_threads_greenlets() -> bool:
    """Whether gevent or eventlet has put greenlets in the place of threads.

    An exception may be thrown into one wherever it waits (``gevent.Timeout``).
    """
    return not isinstance(threading.get_ident, types.BuiltinFunctionType)


class _Calm:
    """The signal handlers that were found to be harmless, when they were looked at one by one."""

    handlers: list[object] = []  # noqa: RUF012 - the one there is


def _has_handlers() -> bool:
    """Whether a signal has a handler of the program's own: it may raise at any place.

    Handlers run in the main thread alone.  That of Python itself raises ``KeyboardInterrupt``,
    which closes the stream anyway.
    """
    handlers = [*map(_getsignal, _SIGNALS)]
    is_calm = all([handler in _HARMLESS for handler in handlers])  # noqa: C419 - half the time
    if is_calm:
        _Calm.handlers = handlers
    return not is_calm


class Consumer:
    """Take in the events of one stream.

    Args:
        reading: The source, and whose turn it is.
        buffer: What the worker fills; None if there is none.
    """

    def __init__(self, reading: Reading, buffer: EventBuffer | None) -> None:
        self.reading = reading
        """The source, and whose turn it is."""
        self.buffer = buffer
        """What the worker fills; None if there is none."""
        self._is_greenlet = are_threads_greenlets()
        self._late_since: float | None = None  # how long the deadline is known to have passed
        self.entry = Turn()
        """The right to be in here; it says whose it is, ``is_inside`` that it is used."""
        self.is_inside = False
        self.worker: threading.Thread | None = None
        """Who fills the buffer, once somebody has to."""
        self.events: Iterator[Event] = iter(())
        """What was taken in and not given yet."""
        self.taken = 0
        """How many events went into ``events`` so far."""
        self.final: Ending | None = None
        """The ending, once all before it is in ``events``."""

    def receive(self, me: threading.Thread, timeout: float | None) -> int | None:
        """Move what comes next into ``events`` and ``final``; give how many, None if time is up.

        There are none when all have been taken in, or somebody has closed the stream.

        Args:
            me: The thread that asks.
            timeout: Seconds; None waits as long as it takes.
        """
        buffer, reading = self.buffer, self.reading
        if self.final is not None or reading.endings:
            return 0
        give_up = None if timeout is None else time.monotonic() + timeout
        if buffer is None or not (buffer.ready or buffer.queue):
            is_exposed = self._is_greenlet or (
                me is here.main_thread
                and [*map(_getsignal, _SIGNALS)] != _Calm.handlers
                and _has_handlers()
            )
            if buffer is not None and (is_exposed or not reading.source.can_wait):
                self._call_worker(buffer)
            else:
                turn = reading.turn
                try:
                    has_turn = turn.__dict__.setdefault("holder", me) is me or self._insist(me)
                    if has_turn and reading.released_at is None and not (buffer and buffer.queue):
                        return self._read_here(give_up, is_exposed=is_exposed)
                finally:
                    if turn.holder is me:
                        del turn.holder
        if buffer is None:
            self.final = CLOSED  # who else has the turn, or had, is whoever closed the stream
            return 0
        return self.take_ahead(buffer, give_up)

    def take_ahead(self, buffer: EventBuffer, give_up: float | None) -> int | None:
        """Move likewise what the worker has read ahead; wait for it until it is time to give up."""
        batch = self._await(buffer, give_up)
        if not batch:
            return None if self.final is None else 0
        final: Ending | None = None
        while batch and isinstance(batch[-1], EndMark):  # two, if a worker's start was struck
            final, batch = batch[-1].ending, batch[:-1]
        events, count = iter(batch), len(batch)
        taken = self.taken + count
        self.events, buffer.ready, self.taken, self.final = events, [], taken, final
        return count

    def _call_worker(self, buffer: EventBuffer) -> None:
        """Have the worker read.

        Raises:
            InternalError: There is none, and no thread can be started.
        """
        if self.worker is None:
            start_worker(self.reading, buffer, self)
        else:
            self.reading.call_reader()

    def _insist(self, me: threading.Thread) -> bool:
        """Tell the worker that its turn is wanted; say whether it has none, or no more."""
        reading = self.reading
        while not reading.turn.take(me):
            if not reading.is_asked or self.worker is not None:
                break
            time.sleep(_MOMENT)
        else:
            return True
        reading.is_awaited = True
        if not reading.turn.take(me):
            return False
        reading.is_awaited = False
        return True

    def _await(self, buffer: EventBuffer, give_up: float | None) -> list[Any]:
        """Wait until the worker has put something into the buffer, or time is up; give it.

        Raises:
            InternalError: There is no worker, and no thread can be started.
        """
        reading = self.reading
        try:
            while not buffer.take():
                seconds = _SLICE if give_up is None else min(_SLICE, give_up - time.monotonic())
                if seconds > 0:
                    if self.worker is None and not (reading.posts or reading.is_over):
                        self._call_worker(buffer)  # whoever was about to start it could not
                    reading.arrival.wait(seconds)
                if not buffer.queue and (self._is_forsaken(buffer) or seconds <= 0):
                    break
            if reading.wants_room:
                reading.wants_room = False
                reading.alarm.ring()
        except BaseException as error:
            buffer.recover()
            if isinstance(error, RuntimeError) and error.__context__ is not None:
                # threading.Condition, struck between its lines, complains about the lock: what
                # struck it is what counts.
                raise error.__context__ from None
            raise
        finally:
            reading.is_awaited = False
        return buffer.ready

    def _is_forsaken(self, buffer: EventBuffer) -> bool:
        """Whether nothing more is to be had of the worker.

        The stream is closed, or the worker is dead, or long past the deadline.
        """
        reading, worker, now = self.reading, self.worker, time.monotonic()
        if reading.endings:
            self.final = CLOSED  # the worker may be in a read that nothing wakes
            return True
        late = reading.source.out_of_time()
        if late is not None and self._late_since is None:
            self._late_since = now
        is_overdue = self._late_since is not None and now - self._late_since > _OVERDUE
        is_replaced = not reading.posts and reading.outcome is None  # by who reads instead
        is_alive = is_replaced or worker is None or worker.is_alive()
        if is_alive and not is_overdue:
            return False
        if buffer.queue:
            return False  # its last words
        reading.cancel()
        if not is_alive:
            reading.check_torn()
        self.final = reading.outcome or late or InternalError("the stream's worker has died")
        return True

    def _read_here(self, give_up: float | None, *, is_exposed: bool) -> int | None:
        """Read in the consumer's own thread, until there are events or time is up."""
        reading = self.reading
        source = reading.source
        reading.visits += 1
        if reading.is_torn:
            reading.check_torn()
        if not source.minds_itself:
            source.back()
        events: list[Event] = []
        try:
            while not (events or reading.outcome or reading.endings):
                if is_exposed:
                    source.wait()  # what strikes in here leaves all as it was
                events = reading.step(give_up)
                if give_up is not None and not events and time.monotonic() >= give_up:
                    break
        except BaseException:
            source.away()
            reading.check_struck()
            raise
        if not (events or reading.outcome or reading.endings):
            return None  # and is still waiting: the clocks of silence go on
        if not source.minds_itself:
            source.away()
        given, count = iter(events), len(events)
        taken = self.taken + count
        final = reading.outcome or (CLOSED if reading.endings else None)
        self.events, self.taken, self.final, reading.is_torn = given, taken, final, False
        if final is not None:
            reading.release()
            reading.alarm.ring()  # the worker has nothing to do any more
        return count

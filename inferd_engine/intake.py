"""The consumer's side of a stream: what it takes in, and where from.

A consumer that waits reads for itself, unless it is not its turn (``reading.py`` tells whose it
is); then it waits for what the worker puts into the buffer.  One thread at a time is in here, which
the stream sees to.

An exception that a signal handler raises in here loses no event.  What was received is moved by
assignments alone, between which no handler runs; and while a handler may raise, the reading itself
is left to the worker, or done after a wait that may be interrupted without harm.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from inferd_engine.reading import TORN, EndMark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.buffer import EventBuffer
    from inferd_engine.events import Event
    from inferd_engine.reading import Ending, Reading

_SIGNALS = tuple(signal.valid_signals())
_HARMLESS = (None, signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
# The one of C: signal.getsignal takes 20 times as long, to make an enum of the answer.
_getsignal = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)
_main_thread = threading.main_thread().ident


def _know_main_thread() -> None:
    global _main_thread  # noqa: PLW0603 - the child's is the thread that forked
    _main_thread = threading.main_thread().ident


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_know_main_thread)


def _is_exposed_to_handlers(thread: int) -> bool:
    """Whether a signal handler of the program's own may raise in this thread, at any place.

    Handlers run in the main thread alone.  That of Python itself raises ``KeyboardInterrupt``,
    which closes the stream anyway.
    """
    if thread != _main_thread:
        return False
    return any([handler not in _HARMLESS for handler in map(_getsignal, _SIGNALS)])  # noqa: C419


class Intake:
    """Take in the events of one stream.

    Args:
        reading: The source, and whose turn it is.
        buffer: What the worker fills; None if there is none.
    """

    def __init__(self, reading: Reading, buffer: EventBuffer | None) -> None:
        self._reading = reading
        self._buffer = buffer
        self.events: Iterator[Event] = iter(())
        """What was taken in and not given yet."""
        self.taken = 0
        """How many events went into ``events`` so far."""
        self.final: Ending | None = None
        """The ending, once all before it is in ``events``."""

    def receive(self, me: int, timeout: float | None) -> int | None:
        """Move what comes next into ``events`` and ``final``; give how many, None if time is up.

        Args:
            me: The thread that asks.
            timeout: Seconds; None waits as long as it takes.
        """
        buffer, reading = self._buffer, self._reading
        give_up = None if timeout is None else time.monotonic() + timeout
        if buffer is None:
            return self._read_here(None, is_exposed=_is_exposed_to_handlers(me))
        if not buffer.ready and not buffer.queue:
            if _is_exposed_to_handlers(me) or not reading.source.can_wait:
                reading.call_reader()
            else:
                try:
                    if self._take_turn(buffer):
                        return self._read_here(give_up, is_exposed=False)
                finally:
                    reading.give_turn()
        if not buffer.ready:
            self._get(buffer, timeout)
        batch = buffer.ready
        if not batch:
            return None
        if isinstance(batch[-1], EndMark):
            self.final = batch[-1].ending
            batch = batch[:-1]
        taken = self.taken + len(batch)
        self.events = iter(batch)
        buffer.ready = []
        self.taken = taken
        return len(batch)

    def _take_turn(self, buffer: EventBuffer) -> bool:
        """Take the turn to read, unless the worker has it, or has left something to take first."""
        reading = self._reading
        if not reading.take_turn():
            reading.is_awaited = True
            # Once more: the worker may just have given it up, before it saw that it is awaited.
            if not reading.take_turn():
                return False
            reading.is_awaited = False
        return not buffer.queue and reading.ended_at is None

    def _get(self, buffer: EventBuffer, timeout: float | None) -> None:
        """Wait until the worker has put something into the buffer, or time is up."""
        try:
            buffer.get(timeout=timeout)
        except queue.Empty:
            pass
        except BaseException as error:
            buffer.recover()
            if isinstance(error, RuntimeError) and error.__context__ is not None:
                # threading.Condition, struck while it takes its lock back, complains about the
                # lock: what the handler raised is what counts.
                raise error.__context__ from None
            raise
        finally:
            self._reading.is_awaited = False

    def _read_here(self, give_up: float | None, *, is_exposed: bool) -> int | None:
        """Read in the consumer's own thread, until there are events or time is up."""
        reading = self._reading
        source = reading.source
        reading.visits += 1
        source.back()
        try:
            while True:
                if is_exposed:
                    source.wait()  # here a signal handler may raise and leave all as it was
                self.final = TORN
                found = source.read(give_up)
                self.final = source.ending
                if found is None:
                    return None  # and is still waiting: the clocks of silence go on
                events = found[0]
                if events or self.final is not None:
                    break
        except BaseException:
            source.away()
            raise
        source.away()
        if reading.first_event_at is None and events:
            reading.first_event_at = time.monotonic()
        self.events = iter(events)
        self.taken += len(events)
        if self.final is not None:
            reading.release()
            reading.wake()  # the worker has nothing to do any more
        return len(events)

"""What a stream and its worker share: the source, whose turn it is to read, how it all ended.

Waking a thread costs more than all parsing.  So a consumer that waits reads for itself, in its own
thread (``consumer.py``), and the worker (``worker.py``) takes over when nobody has read for a
while: then it reads ahead, as far as the buffer allows, until the consumer is back and waits.  Who
may read is told by the *turn* (``turn.py``):

* whoever reads the source, or closes it, has the turn; whoever has not can only cancel;
* the worker puts events into the buffer only while it has the turn, and the consumer reads for
  itself only while the buffer is empty: so events stay in order;
* whoever comes to the end closes the source with the turn, and makes the end known before the turn
  is free: in the buffer, or as what the consumer took in;
* whoever gives the turn up looks whether the stream has ended meanwhile, and closes the source if
  it has (``settle()``): so a reader that is late never finds a closed source;
* a consumer that finds the turn taken tells (``is_awaited``), looks once more, and waits for the
  buffer; the worker gives up the turn, and looks whether it is awaited after that.  So one of the
  two always sees the other.

A read that an exception leaves half done has torn the stream (``is_torn``): what it had taken off
the connection is lost, and what comes next cannot be told.  Whoever has the turn next, consumer or
worker, ends the stream with an error.

Where a read cannot be told to end in time (``can_wait`` is false), the worker is the only reader.
So it is where an exception may be thrown into a consumer that waits, and be caught there: in the
main thread while a signal has a handler of the program's own, and where threads are greenlets.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Protocol, Union

from inferd_engine.errors import GenerateError, InternalError
from inferd_engine.stream.turn import Bell, Turn

if TYPE_CHECKING:
    from inferd_engine.events import Done, Event


class Source(Protocol):
    """Where a stream's events come from.  One thread at a time reads; any thread may cancel."""

    ending: Done | GenerateError | None
    """How it ended; None while ``read()`` has more to give."""
    started: float
    """When the request began, by ``time.monotonic()``."""

    @property
    def bytes(self) -> int:
        """How much of the body was read."""

    @property
    def can_wait(self) -> bool:
        """Whether ``wait()`` waits, and ``read()`` gives up in time."""

    def wait(self) -> None:
        """Wait until ``read()`` need not wait; whatever is raised in here changes nothing."""

    def read(self, give_up: float | None = None) -> tuple[list[Event], int] | None:
        """Wait for what comes next; give its events, maybe none, and their size in bytes.

        Sets ``ending`` at the end.  None says that nothing came until ``give_up``, a moment by
        ``time.monotonic()``.
        """

    def away(self) -> None:
        """Take note that nobody reads: the consumer is busy."""

    def back(self) -> None:
        """Take note that reading goes on."""

    def out_of_time(self) -> GenerateError | None:
        """Give the error if the whole request has taken too long."""

    def cancel(self) -> None:
        """Wake the reader for good: no lock, no waiting, from any thread."""

    def close(self) -> None:
        """Let go of the connection; called once, by the thread that has the turn."""


class Closed:
    """The ending of a stream that somebody closed."""


CLOSED = Closed()
Ending = Union["Done", GenerateError, Closed]


class EndMark:
    """The last thing in a buffer."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class Reading:
    """What a stream and its worker both refer to: the source, whose turn it is, how it ended."""

    __slots__ = (
        "alarm",
        "arrival",
        "ended_at",
        "endings",
        "failure",
        "first_event_at",
        "is_awaited",
        "is_torn",
        "source",
        "turn",
        "visits",
        "wants_room",
    )

    def __init__(self, source: Source) -> None:
        self.source = source
        self.turn = Turn()
        """The right to read the source, and to close it."""
        self.endings: dict[str, Ending] = {}
        """How it ended, under ``"ending"``, once the consumer knows or somebody has closed it."""
        self.failure: GenerateError | None = None
        """What went wrong in a read that should not have."""
        self.is_torn = False
        """Whether a read was begun whose events are not safe yet."""
        self.first_event_at: float | None = None
        self.ended_at: float | None = None
        self.visits = 0
        """How often the consumer has read for itself."""
        self.is_awaited = False
        """Whether the consumer, who could read for itself, waits for what the worker reads."""
        self.wants_room = False
        """Whether the worker waits for room in the buffer."""
        self.alarm = Bell()
        """Wakes the worker."""
        self.arrival = Bell()
        """Wakes a consumer that waits for the worker."""

    def take(self, give_up: float | None = None) -> tuple[list[Event], int] | None:
        """Read once, with the turn: the one step of the consumer and of the worker.

        Whoever has put the events in a safe place says so: ``is_torn = False``.  A fault, whatever
        it is, becomes ``failure``; what somebody threw into a waiting thread goes on up.
        """
        source = self.source
        self.is_torn = True
        try:
            found = source.read(give_up)
        except Exception as error:
            if getattr(source, "is_waiting", False) and type(error).__module__ != "builtins":
                raise
            self.fail(error)
            return [], 0
        if found is None or not found[0]:
            self.is_torn = False
        elif self.first_event_at is None:
            self.first_event_at = time.monotonic()
        return found

    def fail(self, error: BaseException) -> None:
        """End the stream with a fault of ours, whoever's thread it struck."""
        if self.failure is None:
            what = f"{type(error).__name__}: {error}"
            failure = InternalError(f"reading the answer failed: {what}")
            failure.__cause__ = error
            clean = getattr(self.source, "clean", None)  # where there are secrets to be kept
            self.failure = failure if clean is None else clean(failure)
        self.source.cancel()

    def check_torn(self) -> None:
        """End the stream if an exception has left a read half done; for whoever has the turn."""
        if self.is_torn and self.failure is None:
            self.failure = InternalError("reading the answer was interrupted in the middle")
            self.source.cancel()

    @property
    def ending(self) -> Done | GenerateError | None:
        """How the reading ended; None while there is more to read."""
        return self.failure or self.source.ending

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to read, or nobody who wants it."""
        return bool(self.endings) or self.ending is not None

    def call_reader(self) -> None:
        """See to it that somebody reads: wake the worker if nobody has the turn."""
        if not self.turn:
            self.alarm.ring()

    def release(self) -> None:
        """Close the source, once; for whoever has the turn."""
        if self.ended_at is None:
            self.ended_at = time.monotonic()
            with contextlib.suppress(Exception):  # how it ended is known, and has to be told
                self.source.close()

    def settle(self) -> None:
        """Close the source of an ended stream, unless somebody reads it, who will do so then."""
        me = threading.current_thread()
        if self.ended_at is None and self.turn.take(me):
            try:
                self.release()
            finally:
                self.turn.give(me)

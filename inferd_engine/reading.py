"""What a stream and its worker share: the source, whose turn it is to read, how it all ended.

Waking a thread costs more than all parsing.  So a consumer that waits reads for itself, in its own
thread (``intake.py``), and the worker (``worker.py``) takes over when nobody has read for a while:
then it reads ahead, as far as the buffer allows, until the consumer is back and waits.  Who may
read is told by the *turn*:

* whoever reads the source, or closes it, has the turn; it is one dict entry, taken with
  ``setdefault`` and given up with ``pop``, so that it can be asked who has it, and no signal
  handler can leave it behind unseen;
* the worker puts events into the buffer only while it has the turn, and the consumer reads for
  itself only while the buffer is empty: so events stay in order;
* whoever comes to the end closes the source with the turn, and makes the end known before the turn
  is free: in the buffer, or as what the consumer took in;
* a consumer that finds the turn taken tells (``is_awaited``), looks once more, and waits for the
  buffer; the worker gives up the turn, and looks whether it is awaited after that.  So one of the
  two always sees the other.

Where a read cannot be told to end in time (``can_wait`` is false), the worker is the only reader.
So it is in the main thread while a signal has a handler of the program's own: what that raises in
the middle of reading would cost the event that is being read.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Protocol, Union

from inferd_engine.errors import GenerateError

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
TORN = Closed()  # by an exception in the middle of a read: what comes next cannot be told
Ending = Union["Done", GenerateError, Closed]


class EndMark:
    """The last thing in a buffer."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class Reading:
    """What a stream and its worker both refer to: the source, whose turn it is, how it ended."""

    __slots__ = (
        "_alarm",
        "ended_at",
        "endings",
        "first_event_at",
        "is_awaited",
        "source",
        "turn",
        "visits",
    )

    def __init__(self, source: Source) -> None:
        self.source = source
        self.endings: dict[str, Ending] = {}
        self.first_event_at: float | None = None
        self.ended_at: float | None = None
        self.visits = 0
        """How often the consumer has read for itself."""
        self.is_awaited = False
        """Whether the consumer, who could read for itself, waits for what the worker reads."""
        self.turn: dict[str, int] = {}
        """Who reads, as ``{"reader": thread}``; see ``take_turn()``."""
        self._alarm = threading.Lock()  # taken, but for a moment after wake()
        self._alarm.acquire()

    def take_turn(self) -> bool:
        """Take the right to read; False if somebody else has it."""
        me = threading.get_ident()
        return self.turn.setdefault("reader", me) == me

    def give_turn(self) -> None:
        """Give the right to read up, if this thread has it."""
        if self.turn.get("reader") == threading.get_ident():
            self.turn.pop("reader", None)

    def call_reader(self) -> None:
        """See to it that somebody reads: wake the worker if nobody has the turn."""
        if not self.turn:
            self.wake()

    def sleep(self, seconds: float) -> None:
        """Let the worker wait, until it is woken or the time is over."""
        self._alarm.acquire(timeout=seconds)

    def wake(self) -> None:
        """Wake the worker; from any thread, a signal handler or a finalizer."""
        with contextlib.suppress(RuntimeError):  # it was woken before, and did not come to it yet
            self._alarm.release()

    def take(self) -> tuple[list[Event], int] | None:
        """Read from the source; for the worker, when it has the turn."""
        found = self.source.read()
        if self.first_event_at is None and found is not None and found[0]:
            self.first_event_at = time.monotonic()
        return found

    def release(self) -> None:
        """Close the source, once; for whoever has the turn."""
        if self.ended_at is None:
            self.ended_at = time.monotonic()
            with contextlib.suppress(Exception):  # how it ended is known, and has to be told
                self.source.close()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to read, or nobody who wants it."""
        return bool(self.endings) or self.source.ending is not None

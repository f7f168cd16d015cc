"""One stream among many that one thread reads: what comes is taken in, and nothing is waited for.

Goal: a thread that waits for many sources at once has no worker to wake, and no thread to be woken
by, for as many of them as can be waited for together.

Rules:

* whoever reads many streams has the *entry* of each, so that nobody else iterates over it, and the
  *turn* of those that it reads itself, from its first read to the end.  Both are held by a name
  that stands for whichever thread comes next (``_Hold``); one at a time, which ``Merge`` sees to;
* a source that says what to wait for (``Source.fileno()``) is **led**: read in the thread that has
  waited for all.  A worker that it has is dismissed: it leaves when it has handed over what it was
  about to read, and what it had read ahead is given first;
* every other source is read by its worker, which gets one if it has none, and whose bell tells that
  something has come: ``Reading.arrival`` is replaced before the buffer is looked at for the first
  time, so that a ring is either heard or what it was for is seen;
* the source is released only after it is waited for no more (``end()``): a descriptor that is
  closed while somebody waits for it may be another connection's a moment later.

An exception may strike any line in here, as anywhere: what was taken in is moved by assignments
alone, and a read that was struck half-way ends the answer with an error (``Reading.check_torn``).
"""

from __future__ import annotations

import math
import operator
import time
from typing import TYPE_CHECKING, Any, Protocol

from inferd_engine.errors import GenerateError
from inferd_engine.frames import drop_frames
from inferd_engine.stream.buffer import EventBuffer
from inferd_engine.stream.consumer import are_threads_greenlets
from inferd_engine.stream.reading import CLOSED
from inferd_engine.stream.turn import Bell
from inferd_engine.stream.watcher import watcher
from inferd_engine.stream.worker import start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from inferd_engine.events import Event
    from inferd_engine.stream.token_stream import TokenStream

_MERGED = "the stream is in a merge: iterate over that, there is one consumer at a time"
_TAKEN = (
    "the stream is in a merge already, or is being read by somebody else: one consumer at a time"
)
_NOW = -math.inf  # for who reads without waiting
_LOOK = 0.5  # seconds after which to see whether a worker is still alive, and in time


class Rings(Protocol):
    """What takes the place of the bell that a worker rings, and whoever closes the stream."""

    def ring(self) -> None:
        """Wake who waits, or who will; from any thread, signal handler or finalizer."""


class _Hold:
    """Who has an entry and a turn while no thread has: nobody inherits from it."""

    __slots__ = ()

    def is_alive(self) -> bool:
        return True


class _Kept:
    """What was taken in of a stream that is merged: nobody who iterates over it is given any."""

    __slots__ = ("events",)

    def __init__(self) -> None:
        self.events: Iterator[Event | GenerateError] = iter(())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        raise RuntimeError(_MERGED)

    def __length_hint__(self) -> int:
        return operator.length_hint(self.events)


class Merged:
    """Read one stream without waiting; for one thread at a time.

    Args:
        stream: Nobody else iterates over it from now on.

    Raises:
        RuntimeError: Somebody does.
    """

    __slots__ = (
        "_ahead",
        "_consumer",
        "_has_bell",
        "_hold",
        "_is_led",
        "_kept",
        "_reading",
        "endings",
        "fileno",
        "given",
        "is_ready",
        "key",
        "planned",
        "source",
        "stream",
        "watched",
    )

    def __init__(self, stream: TokenStream) -> None:
        self.stream = stream
        self.endings = stream._endings  # noqa: SLF001 - one of us, here and below
        self._reading = stream._reading  # noqa: SLF001
        self._consumer = stream._consumer  # noqa: SLF001
        self.source = self._reading.source
        self._hold = _Hold()
        self._has_bell = False
        self._is_led = False
        self._ahead: EventBuffer | None = None  # in which a dismissed worker may have left some
        self._kept: Any = _Kept()  # in the place of the consumer's events
        self.given: Iterator[Event | GenerateError] = iter(())
        """What was taken in and is to be given, an error too."""
        self.is_ready = False
        """Whether there is nothing to do but to ``read()``."""
        self.fileno = -1
        """What to wait for; -1 if the bell and the clock tell."""
        self.key = -1
        """What whoever merges knows it by; and the rest is their own, too."""
        self.watched = -1
        self.planned = math.inf
        entry, is_inside = self._consumer.entry, self._consumer.is_inside
        if is_inside or not entry.take(self._hold):
            raise RuntimeError(_TAKEN)
        watcher.discard(self._consumer)

    def let_go(self) -> None:
        """Let others iterate over the stream, before anything was read here."""
        self._consumer.entry.give(self._hold)
        if self._consumer.buffer is not None and self._consumer.worker is None:
            watcher.add(self._consumer)

    @property
    def has_some(self) -> bool:
        """Whether there is something to give."""
        return operator.length_hint(self.given) > 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be read."""
        return self._consumer.final is not None or bool(self.endings)

    @property
    def is_closed(self) -> bool:
        """Whether somebody has closed the stream: then what was taken in is dropped."""
        return self.endings.get("ending") is CLOSED

    def due(self) -> float:
        """Return the moment by ``time.monotonic()`` at which to come again, whatever happens."""
        if self.is_over or self._ahead is not None:
            return 0.0
        return self.source.due() if self._is_led else time.monotonic() + _LOOK

    # --- taking in -------------------------------------------------------------------------------

    def read(self) -> bool:
        """Take in what one read gives, where ``is_ready`` says so; say whether that is anything."""
        reading, consumer = self._reading, self._consumer
        try:
            events = reading.step(_NOW)
        except BaseException:
            reading.check_struck()
            raise
        if events:
            given, taken = iter(events), consumer.taken + len(events)
            self.given = self._kept.events = given
            consumer.taken, reading.is_torn = taken, False
        if events and self.source.is_calm:
            return True
        if reading.outcome is not None:
            consumer.final = reading.outcome
            self.is_ready = False
        elif not self.source.can_wait:
            self._follow()
        return bool(events)

    def take(self, bell: Rings) -> None:
        """Take in what has come, however that is to be done; for when nothing is left to give.

        Args:
            bell: Rung when something comes that no descriptor tells of.
        """
        reading = self._reading
        self.is_ready = False
        if not self._has_bell:
            reading.arrival = bell  # type: ignore[assignment]  # nobody waits for it
            self._has_bell = True
        self._keep()
        if self.has_some or self.is_over:
            return
        buffer = self._consumer.buffer
        can_lead = self._is_led or self._dismiss()
        if not self._is_led and buffer is not None and (buffer.ready or buffer.queue):
            self._take_ahead(buffer)
        elif can_lead and (self._is_led or self._lead()):
            if self._ahead is not None and (self._ahead.ready or self._ahead.queue):
                self._take_ahead(self._ahead)
                return
            self._ahead = None
            if reading.is_torn:
                reading.check_torn()
            if reading.outcome is not None:
                self._consumer.final = reading.outcome
                return
            self.is_ready = True
            self.read()
        elif not reading.posts and reading.outcome is None and not can_lead:
            self._start_worker()
        else:
            self._take_ahead(buffer)

    def turn_back(self) -> None:
        """Let the source keep what was received ahead: a strike has come before the read."""
        self.is_ready = False
        if self._is_led:  # else a worker may be reading: nothing is received ahead for it
            self.source.turn_back()

    def _keep(self) -> None:
        """Let nobody else have what was taken in."""
        events, kept = self._consumer.events, self._kept
        if events is not kept and not self.has_some:  # nor may that be lost which is to be given
            self._kept.events = self.given = events
            self._consumer.events = kept

    def _fileno(self) -> int | None:
        """Return what to wait for; None if a worker has to read."""
        fileno = self.source.fileno() if self.source.can_wait else None
        return None if fileno is None or (fileno >= 0 and are_threads_greenlets()) else fileno

    def _dismiss(self) -> bool:
        """Let a worker go whose source can be waited for; say whether it can."""
        if self._fileno() is None:
            return False
        self._reading.posts.clear()
        self._reading.alarm.ring()
        return True

    def _lead(self) -> bool:
        """Read from now on, if the worker has left; it rings when it has given the turn up."""
        reading = self._reading
        if not reading.turn.take(self._hold):
            return False
        # Only now: before, somebody may have closed the stream, and with it the descriptor.
        fileno = self._fileno() if reading.released_at is None else None
        if fileno is None:
            reading.turn.give(self._hold)
            return False
        self._ahead, self.fileno = self._consumer.buffer, fileno
        self.source.back()
        self._is_led = True
        return True

    def _follow(self) -> None:
        """Leave the reading to a worker: the source turned out to be one that wants it."""
        self.is_ready = self._is_led = False
        self.fileno = -1
        self._reading.turn.give(self._hold)

    def _take_ahead(self, buffer: EventBuffer | None) -> None:
        """Take in what the worker has read."""
        if buffer is not None:
            self._consumer.take_ahead(buffer, _NOW)
            self._keep()

    def _start_worker(self) -> None:
        """Have a worker read, where nobody else can."""
        reading, consumer = self._reading, self._consumer
        consumer.buffer = consumer.buffer or EventBuffer(1)
        try:
            start_worker(reading, consumer.buffer, consumer)
        except GenerateError as error:
            reading.outcome = consumer.final = error.with_traceback(None)

    # --- the end ---------------------------------------------------------------------------------

    def end(self) -> bool:
        """Release the source of an answer that is over, as far as that is to be done here.

        And if all that came before was given, let there be to give how it ended: ``Done``, or the
        error; of a stream that somebody has closed there is nothing.  Say whether it was.
        """
        reading, stream = self._reading, self.stream
        if self._is_led or reading.turn.take(self._hold):
            reading.release()
            reading.alarm.ring()
        if self.has_some and not self.is_closed:
            return False
        reading.arrival = Bell()  # the other one refers to more than a stream that is over
        ending = stream._conclude()  # noqa: SLF001
        if isinstance(ending, GenerateError) and not stream._is_told:  # noqa: SLF001
            drop_frames(ending.with_traceback(None))
            self._consumer.events = iter(())
            self.given, stream._is_told = iter((ending,)), True  # noqa: SLF001
        elif ending is CLOSED:
            self.given = self._consumer.events = iter(())
        else:
            self._keep()
        return True


def can_be_led(stream: TokenStream) -> bool:
    """Whether a stream can be waited for beside others: else a thread of its own reads it."""
    source = stream._reading.source  # noqa: SLF001 - one of us
    return source.can_wait and source.fileno() is not None and not are_threads_greenlets()

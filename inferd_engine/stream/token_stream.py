"""One answer as it comes: an iterator that can be closed from anywhere.

Who does what::

    source  ─read()─►  consumer, while it waits
    (HTTP, mock)       (the user's thread)
            ─read()─►  worker  ─hand_over()─►  EventBuffer  ─get()─►  consumer, when it is back
                       (daemon)                (bounded)

The worker is started when it is needed, which one thread sees for all streams (``watcher.py``).
Whose turn it is to read is told in ``reading.py``, who may end a stream in ``lifetime.py``.
Neither the worker nor what it shares with the stream refers to the stream, so that dropping it can
be seen.  With ``buffer=0`` there is no worker, and none for an answer that is collected at once
(``collecting()``): its consumer never goes away.  A source that nothing can wake, or that cannot be
read for a limited time, has one from the start.

Rejected: a generator (one that was never started never runs its ``finally``, and one that a signal
handler raised through is over, so that a cut answer looks whole).
"""

from __future__ import annotations

import operator
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import attrs

from inferd_engine.cancel import bounded
from inferd_engine.errors import (
    GenerateError,
    InternalError,
    RequestCancelledError,
    UnsupportedError,
)
from inferd_engine.events import Completion, Done, StreamStats
from inferd_engine.frames import drop_frames, without_frames
from inferd_engine.reprs import shortened
from inferd_engine.stream import here
from inferd_engine.stream.buffer import EventBuffer
from inferd_engine.stream.consumer import Consumer
from inferd_engine.stream.gathering import check_whole, keep_partial, unhurried
from inferd_engine.stream.iterators import HeartbeatIterator, TextIterator
from inferd_engine.stream.lifetime import Lifetime
from inferd_engine.stream.reading import CLOSED, Reading
from inferd_engine.stream.watcher import watcher
from inferd_engine.stream.worker import is_collecting, start_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from inferd_engine.cancel import Cancellable, CancelToken, LiveSet
    from inferd_engine.events import Event
    from inferd_engine.notebook.page import Fold
    from inferd_engine.stream.reading import Ending
    from inferd_engine.stream.source import Source


_SHOWN = 50  # characters of a request id in a repr


class TokenStream(Lifetime):
    """Iterate over it to get the events of one answer; close it to stop the upstream.

    Events come in the upstream's order, then one ``Done``, then the iteration ends.  If the answer
    fails, all that was received comes first, then the error is raised.  After ``close()`` the
    iteration ends without ``Done``.  One thread at a time may iterate; any thread may close.

    Attributes:
        request_id: The upstream's id of the request, or the caller's own.
        response_headers: The answer's headers, names in lower case.
    """

    def __init__(
        self,
        source: Source,
        *,
        buffer: int,
        live: LiveSet[Cancellable],
        cancel: CancelToken | None = None,
        request_id: str | None = None,
        response_headers: Mapping[str, str] | None = None,
    ) -> None:
        reading = Reading(source)
        self._is_collected = is_collecting()
        has_worker = (buffer and not self._is_collected) or not source.can_wake
        self._buffer = EventBuffer(buffer or 1) if has_worker else None
        self._is_told = False  # whether the consumer was given the ending: Done, or the error
        self._completion: Completion | None = None
        self.request_id = request_id
        self.response_headers: Mapping[str, str] = response_headers or {}
        super().__init__(reading, Consumer(reading, self._buffer), live, cancel)
        try:
            self._join()
            source.away()  # until somebody reads
            if self._buffer is not None and not (source.can_wait and source.can_wake):
                start_worker(reading, self._buffer, self._consumer)
            elif self._buffer is not None:
                watcher.add(self._consumer)
        except BaseException:
            self.close()
            raise

    # --- iterating -------------------------------------------------------------------------------

    def __iter__(self) -> TokenStream:
        return self

    def __next__(self) -> Event:
        try:
            while True:
                events = self._consumer.events
                for event in events:
                    return event
                if not self._refill(events, None):
                    break
        except BaseException as error:
            drop_frames(error)
            raise
        raise StopIteration

    def _refill(self, given: Iterator[Event], timeout: float | None) -> bool:
        """Wait until there are events; False if time is up or the stream has ended.

        Args:
            given: Those that were taken in before, all of which were given.
            timeout: Seconds; None waits as long as it takes.

        An exception that a signal handler raises in here loses no event: what was received is
        moved by assignments alone, between which no handler runs.
        """
        if self._pid != here.pid:
            raise InternalError(
                "this stream belongs to the process that was forked: make a new one in this one"
            )
        me, consumer = threading.current_thread(), self._consumer
        entry = consumer.entry
        has_entry = entry.__dict__.setdefault("holder", me) is me or entry.take(me)
        if not has_entry or consumer.is_inside:
            if self._endings:
                return False  # whoever has closed it is letting go of the source
            raise RuntimeError("the stream is being read by somebody else: one consumer at a time")
        try:
            consumer.is_inside = True
            if consumer.events is not given:
                return True  # another thread has refilled since this one looked
            received = consumer.receive(me, timeout)
            if received is None:
                return False
            return received > 0 or self._finish()
        except KeyboardInterrupt:
            self.close()
            raise
        finally:
            consumer.is_inside = False
            if entry.holder is me:
                del entry.holder
            if self._endings:
                self._end_refill()

    def _end_refill(self) -> None:
        """Leave an ended stream as it has to be left."""
        if self.cancelled:
            self._consumer.events = iter(())  # closed in between: what is left is dropped
        self._reading.settle()
        self._reading.alarm.ring()

    def _finish(self) -> bool:
        """End the stream, and tell once how."""
        ending = self._conclude()
        if isinstance(ending, Done):
            return operator.length_hint(self._consumer.events) > 0
        if isinstance(ending, GenerateError) and not self._is_told:
            self._is_told = True
            raise ending.with_traceback(None)
        return False

    def _conclude(self) -> Ending:
        """End the stream, unless somebody has closed it; return how it has ended.

        ``Done`` is among the events then, if nobody was given it yet.
        """
        consumer = self._consumer
        final = CLOSED if isinstance(consumer.final, RequestCancelledError) else consumer.final
        if isinstance(final, Done) and not self._is_told:
            events, taken = iter((final,)), consumer.taken + 1
            consumer.events, self._is_told, consumer.taken = events, True, taken
        ending = self._endings.setdefault("ending", final or CLOSED)
        self._leave()
        if isinstance(ending, GenerateError) and not self._is_told:
            ending.request_id = ending.request_id or self.request_id
            if consumer.taken and not self._is_collected:
                ending.retryable = False  # half an answer was given: only the caller can start over
        return ending

    def poll(self, timeout: float) -> Event | None:
        """Wait for the next event, but not for longer than ``timeout`` seconds.

        Returns:
            The event; None when nothing came in time, and at once when the stream has ended.

        Raises:
            UnsupportedError: The backend was made with ``buffer=0``: there is no worker.
            TypeError: ``timeout`` is not a number.
            GenerateError: The answer failed.
        """
        try:
            self._need_worker()
            deadline = time.monotonic() + bounded("timeout", timeout)
            while True:
                events = self._consumer.events
                for event in events:
                    return event
                if not self._refill(events, max(0.0, deadline - time.monotonic())):
                    return None
        except BaseException as error:
            drop_frames(error)
            raise

    @without_frames
    def with_heartbeat(self, seconds: float) -> HeartbeatIterator:
        """Iterate over the events, and give None whenever nothing came for that long.

        Closing the iterator closes the stream; leaving it by ``break`` or dropping it does not.

        Raises:
            UnsupportedError: The backend was made with ``buffer=0``: there is no worker.
        """
        self._need_worker()
        return HeartbeatIterator(self, bounded("seconds", seconds))

    def _need_worker(self) -> None:
        if self._buffer is None:
            raise UnsupportedError("there is no worker here: make the backend with buffer above 0")

    # --- the answer as a whole -------------------------------------------------------------------

    def text(self) -> TextIterator:
        """Iterate over the text alone.

        Closing the iterator closes the stream; leaving it by ``break`` or dropping it does not.

        Raises:
            StreamInterruptedError: The answer was cut, or the upstream gave it up.
            GenerateError: As from iterating; ``partial`` holds what came before.
        """
        return TextIterator(self)

    @without_frames
    def collect(self) -> Completion:
        """Wait for the whole answer, and give it; what was iterated over before is not in it.

        Raises:
            RequestCancelledError: Somebody closed the stream.
            StreamInterruptedError: The answer was cut, or the upstream gave it up.
            GenerateError: As from iterating; ``partial`` holds what came before.
        """
        return self._collected(None)

    def _collected(self, rest: Callable[[float], object] | None) -> Completion:
        """Do what ``collect()`` says.

        Args:
            rest: Waits for as many seconds as it is given, between two reads; for whoever wants
                nothing but the whole answer: what came meanwhile is read at once.
        """
        if self._completion is not None:
            return self._completion
        seen: list[Event] = []
        try:
            if rest is None:
                seen += self
            else:
                seen += unhurried(self, self._consumer, self._reading.started, rest)
        except GenerateError as error:
            keep_partial(error, seen)
            raise
        return self._whole(seen)

    def _whole(self, seen: list[Event]) -> Completion:
        """Return the answer that was seen, if it is whole.

        Raises:
            GenerateError: It is not; ``partial`` holds what came.
        """
        try:
            if self.cancelled:
                raise RequestCancelledError(
                    "the stream was closed before the answer was whole", request_id=self.request_id
                )
            self.check_whole()
        except GenerateError as error:
            keep_partial(error, seen)
            raise
        self._completion = attrs.evolve(
            Completion.of(seen),
            done=self.done,
            model=self._reading.source.model,
            request_id=self.request_id,
            stats=self.stats,
        )
        return self._completion

    def display(
        self, *, thinking: Fold = "folded", plain: bool = False, trust: bool = False
    ) -> Completion:
        """Show the answer in a notebook while it comes, and give it; elsewhere print it.

        Args:
            thinking: The thoughts: ``"folded"``, ``"open"`` or ``"hidden"``.
            plain: Show the text as it is, instead of as Markdown.
            trust: Let the Markdown load images and run what is in it: whoever wrote what the model
                has read may have had it written.

        Raises:
            GenerateError: As from ``collect()``; what had come stays on the page.
        """
        from inferd_engine.notebook.live import display  # noqa: PLC0415 - only where it is used

        self._completion = display(self, self._next_within, thinking, plain=plain, trust=trust)
        return self._completion

    def _next_within(self, seconds: float) -> Event | None:
        """Do what ``poll()`` does, without a worker too: then it may take longer."""
        events = self._consumer.events
        event = next(events, None)
        if event is None and self._refill(events, seconds):
            event = next(self._consumer.events, None)
        return event

    def check_whole(self) -> None:
        """Raise if the answer failed, or if the upstream gave it up: it is not to look whole.

        Raises:
            GenerateError: As from iterating.
            StreamInterruptedError: The upstream's own finish word was a failure.
        """
        ending = self._endings.get("ending")
        check_whole(ending, self.request_id, retryable=self._is_collected)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a stream reads a connection of its own process and cannot be pickled or copied: "
            "collect() it, and send what that returns"
        )

    def __repr__(self) -> str:
        ending = self._endings.get("ending")
        state = "streaming" if ending is None else type(ending).__name__.strip("_").lower()
        shown = shortened(self.request_id or "", _SHOWN)[1:-1]  # escapes what cannot be printed
        return f"<TokenStream {shown}{' ' if shown else ''}{state}>"

    # --- what is known ---------------------------------------------------------------------------

    @property
    def stats(self) -> StreamStats:
        """What it took so far."""
        reading = self._reading
        first, end, started = reading.first_event_at, reading.released_at, reading.started
        return StreamStats(
            ttft=None if first is None else first - started,
            duration=(time.monotonic() if end is None else end) - started,
            events=self._consumer.taken - operator.length_hint(self._consumer.events),
            bytes=reading.source.bytes,
            skipped=reading.source.skipped,
        )

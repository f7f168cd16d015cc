"""One answer as it comes: an iterator that can be closed from anywhere.

Who does what::

    source  ─read()─►  consumer, while it waits
    (HTTP, mock)       (the user's thread)
            ─read()─►  worker  ─hand_over()─►  EventBuffer  ─get()─►  consumer, when it is back
                       (daemon)                (bounded)

States, and who may move them::

    streaming ──► finished   the consumer, when it comes to Done
              ──► failed     the consumer, when it comes to the error
              ──► closed     anyone: close(), the last reference, a token, stop(), the exit

The first ending wins and is kept: ``dict.setdefault`` decides, which is atomic.  What wakes whom:

* ``close()`` sets the ending, cancels the source and rings both bells.  It takes no lock, because a
  signal handler or a finalizer may run on the thread that holds it.
* The cancelled source wakes whoever reads; a bell wakes the worker that waits for its turn or for
  room, and the consumer that waits for the worker.
* The end mark is put beyond the bound: it never waits.

Whose turn it is to read is told in ``reading.py``.  Neither the worker nor what it shares with the
stream refers to the stream, so that dropping it can be seen.  With ``buffer=0`` there is no worker,
and none for an answer that is collected at once (``collecting()``): its consumer never goes away.

Rejected: a generator (one that was never started never runs its ``finally``, and one that a signal
handler raised through is over, so that a cut answer looks whole); ``weakref.finalize`` (``__del__``
does the same, and can say where the stream was made).
"""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING

import attrs

from inferd_engine.errors import (
    GenerateError,
    InternalError,
    RequestCancelledError,
    StreamInterruptedError,
    UnsupportedError,
)
from inferd_engine.events import Completion, Done, StopReason, StreamStats
from inferd_engine.stream.buffer import EventBuffer
from inferd_engine.stream.consumer import Consumer
from inferd_engine.stream.iterators import HeartbeatIterator, TextIterator
from inferd_engine.stream.lifetime import open_streams
from inferd_engine.stream.reading import CLOSED, Reading
from inferd_engine.stream.turn import Turn
from inferd_engine.stream.worker import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from inferd_engine.cancel import Cancellable, CancelToken, LiveSet
    from inferd_engine.events import Event
    from inferd_engine.notebook.page import Fold
    from inferd_engine.stream.reading import Source


_numbers = itertools.count(1)
_SHOWN = 64  # characters of a request id in a repr
_local = threading.local()


@contextlib.contextmanager
def collecting() -> Iterator[None]:
    """Let streams that this thread opens inside the block have no worker: it collects them here.

    A thread more would only wait, and cannot be had at all while the interpreter ends.
    """
    before = getattr(_local, "is_collecting", False)
    _local.is_collecting = True
    try:
        yield
    finally:
        _local.is_collecting = before


class TokenStream:
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
        self._reading = Reading(source)
        self._pid = os.getpid()
        self._told = False  # whether the consumer was given the ending: Done, or the error
        self._iterating = Turn()  # one thread at a time
        self._is_reading = False
        self._is_collected = getattr(_local, "is_collecting", False)
        self._buffer = EventBuffer(buffer) if buffer and not self._is_collected else None
        self._consumer = Consumer(self._reading, self._buffer)
        self._groups = (open_streams, live)
        self._token = cancel
        self.request_id = request_id
        self.response_headers: Mapping[str, str] = response_headers or {}
        self._completion: Completion | None = None
        self._endings = self._reading.endings  # the last: now it can be closed
        try:
            for group in self._groups:
                group.add(self)
            if cancel is not None:
                cancel.join(self)
            source.away()  # until somebody reads
            if self._buffer is not None:
                self._start_worker(self._buffer)
        except BaseException:
            self.close()
            raise

    def _start_worker(self, buffer: EventBuffer) -> None:
        worker = threading.Thread(
            target=read_ahead,
            args=(self._reading, buffer),
            name=f"inferd-engine-worker-{next(_numbers)}",
            daemon=True,
        )
        self._consumer.worker = worker
        try:
            worker.start()
        except RuntimeError as error:
            if error.__context__ is not None:
                raise error.__context__ from None  # a handler's: see ``Consumer._await``
            msg = f"no worker thread can be started ({error}): buffer=0 streams without one"
            raise InternalError(msg, retryable=True) from error

    # --- iterating -------------------------------------------------------------------------------

    def __iter__(self) -> TokenStream:
        return self

    def __next__(self) -> Event:
        while True:
            for event in self._consumer.events:
                return event
            if not self._refill(None):
                raise StopIteration

    def _refill(self, timeout: float | None) -> bool:
        """Wait until there are events; False if time is up or the stream has ended.

        An exception that a signal handler raises in here loses no event: what was received is
        moved by assignments alone, between which no handler runs.
        """
        if self._pid != os.getpid():
            msg = "this stream belongs to the process that was forked: make a new one in this one"
            raise InternalError(msg)
        me = threading.current_thread()
        if not self._iterating.take(me) or self._is_reading:
            if self._endings:
                return False  # whoever has closed it is letting go of the source
            msg = "the stream is being read by somebody else: one consumer at a time"
            raise RuntimeError(msg)
        try:
            self._is_reading = True
            if operator.length_hint(self._consumer.events):
                return True  # another thread has refilled since this one looked
            if self._consumer.final is None and not self._endings:
                received = self._consumer.receive(me, timeout)
                if received is None:
                    return False
                if received or self._consumer.final is None:
                    return True
            return self._finish()
        except KeyboardInterrupt:
            self.close()
            raise
        finally:
            self._is_reading = False
            self._iterating.give(me)
            if self._endings:
                self._end_refill()

    def _end_refill(self) -> None:
        """Leave an ended stream as it has to be left."""
        if self.cancelled:
            self._consumer.events = iter(())  # closed in between: what is left is dropped
        self._reading.settle()
        self._reading.alarm.ring()

    def _finish(self) -> bool:
        """End the stream, unless somebody has closed it; tell the ending once."""
        consumer = self._consumer
        final = CLOSED if isinstance(consumer.final, RequestCancelledError) else consumer.final
        if isinstance(final, Done) and not self._told:
            events = iter((final,))
            consumer.events, self._told, consumer.taken = events, True, consumer.taken + 1
        ending = self._endings.setdefault("ending", final or CLOSED)
        self._leave()
        if isinstance(ending, Done):
            return operator.length_hint(consumer.events) > 0
        if isinstance(ending, GenerateError) and not self._told:
            ending.request_id = ending.request_id or self.request_id
            if consumer.taken and not self._is_collected:
                ending.retryable = False  # half an answer was given: only the caller can start over
            self._told = True
            raise ending
        return False

    def poll(self, timeout: float) -> Event | None:
        """Wait for the next event, but not for longer than ``timeout`` seconds.

        Returns:
            The event; None when nothing came in time, and at once when the stream has ended.

        Raises:
            UnsupportedError: The backend was made with ``buffer=0``: there is no worker.
        """
        self._need_worker()
        deadline = time.monotonic() + min(timeout, threading.TIMEOUT_MAX / 2)
        while True:
            for event in self._consumer.events:
                return event
            if not self._refill(max(0.0, deadline - time.monotonic())):
                return None

    def with_heartbeat(self, seconds: float) -> HeartbeatIterator:
        """Iterate over the events, and give None whenever nothing came for so many seconds.

        Closing the iterator closes the stream; leaving it by ``break`` or dropping it does not.

        Raises:
            UnsupportedError: The backend was made with ``buffer=0``: there is no worker.
        """
        self._need_worker()
        return HeartbeatIterator(self, seconds)

    def _need_worker(self) -> None:
        if self._buffer is None:
            msg = "there is no worker here: make the backend with buffer above 0"
            raise UnsupportedError(msg)

    # --- the answer as a whole -------------------------------------------------------------------

    def text(self) -> TextIterator:
        """Iterate over the text alone.

        Closing the iterator closes the stream; leaving it by ``break`` or dropping it does not.

        Raises:
            StreamInterruptedError: The answer was cut, or the upstream gave it up.
            GenerateError: As from iterating; ``partial`` holds what came before.
        """
        return TextIterator(self)

    def collect(self) -> Completion:
        """Wait for the whole answer, and give it; what was iterated over before is not in it.

        Raises:
            RequestCancelledError: Somebody closed the stream.
            StreamInterruptedError: The answer was cut, or the upstream gave it up.
            GenerateError: As from iterating; ``partial`` holds what came before.
        """
        if self._completion is not None:
            return self._completion
        seen: list[Event] = []
        try:
            seen += self
            if self.cancelled:
                msg = "the stream was closed before the answer was whole"
                raise RequestCancelledError(msg, request_id=self.request_id)
            self.check_whole()
        except GenerateError as error:
            error.partial = error.partial or Completion.of(seen)
            raise
        self._completion = attrs.evolve(
            Completion.of(seen),
            done=self.done,
            model=getattr(self._reading.source, "model", ""),
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
        return next(self._consumer.events, None) if self._refill(seconds) else None

    def check_whole(self) -> None:
        """Raise if the answer failed, or if the upstream gave it up: it is not to look whole.

        Raises:
            GenerateError: As from iterating.
            StreamInterruptedError: The upstream's own finish word was a failure.
        """
        ending = self._endings.get("ending")
        if isinstance(ending, GenerateError):
            raise ending
        if self.done is not None and self.done.stop_reason is StopReason.ERROR:
            msg = f"the upstream gave the answer up, in its words: {self.done.finish_reason}"
            raise StreamInterruptedError(msg, retryable=False, request_id=self.request_id)

    # --- ending early ----------------------------------------------------------------------------

    def close(self) -> None:
        """Stop the answer and its upstream; from any thread, at any time, as often as you like.

        On return the connection is shut down.  A consumer that waits is woken and its iteration
        ends; what was not delivered is dropped.  Closing a finished stream does nothing.
        """
        if self._pid != os.getpid():
            return  # a forked child: the connection is its parent's
        if self._endings.setdefault("ending", CLOSED) is CLOSED:
            reading = self._reading
            reading.source.cancel()
            reading.alarm.ring()
            reading.arrival.ring()
            self._consumer.events = iter(())
            self._leave()
            if not self._is_served():
                reading.settle()

    def cancel(self) -> None:
        """Do what ``close()`` does: a token or a backend ends the stream."""
        self.close()

    def disown(self) -> None:
        """Give nothing more, in a forked child: what was taken in is for the parent's consumer."""
        self._consumer.events = iter(())

    def _leave(self) -> None:
        for group in self._groups:
            group.discard(self)
        if self._token is not None:
            self._token.leave(self)

    def _is_served(self) -> bool:
        """Whether there is a thread that reads or is about to, and so closes the source."""
        worker = self._worker
        return self._is_reading or (worker is not None and worker.is_alive())

    @property
    def _worker(self) -> threading.Thread | None:
        return self._consumer.worker

    def wait_released(self, timeout: float) -> None:
        """Wait until the worker is gone, for at most ``timeout`` seconds."""
        worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            worker.join(max(0.0, timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        endings = getattr(self, "_endings", None)  # None if the constructor did not come that far
        if os is None:  # at exit a packed program takes this module apart before its streams
            return
        if endings is None or self._pid != os.getpid():
            return
        if endings:
            if self.cancelled:  # by a close() that may have been interrupted half-way
                self._reading.source.cancel()
            if not self._is_served():
                self._reading.release()  # as may have been what should have done this
            return
        self.close()
        warnings.warn(
            "a stream was dropped before its end; close it, or use it in a with statement",
            ResourceWarning,
            stacklevel=2,
            source=self._reading,  # made here too; CPython 3.11 finds no trace of `self`
        )

    def __repr__(self) -> str:
        ending = self._endings.get("ending")
        state = "streaming" if ending is None else type(ending).__name__.strip("_").lower()
        shown = repr((self.request_id or "")[:_SHOWN])[1:-1]  # escapes what cannot be printed
        return f"<TokenStream {shown} {state}>"

    # --- what is known ---------------------------------------------------------------------------

    @property
    def done(self) -> Done | None:
        """The ``Done`` that was given; None before it, and for an answer that failed."""
        ending = self._endings.get("ending")
        return ending if isinstance(ending, Done) else None

    @property
    def ended(self) -> bool:
        """Whether it is over: finished, failed or closed."""
        return bool(self._endings)

    @property
    def cancelled(self) -> bool:
        """Whether somebody closed it before its end."""
        return self._endings.get("ending") is CLOSED

    @property
    def stats(self) -> StreamStats:
        """What it took so far."""
        reading = self._reading
        first, end = reading.first_event_at, reading.ended_at
        started = reading.source.started
        return StreamStats(
            ttft=None if first is None else first - started,
            duration=(time.monotonic() if end is None else end) - started,
            events=self._consumer.taken - operator.length_hint(self._consumer.events),
            bytes=reading.source.bytes,
            skipped=getattr(reading.source, "skipped", 0),  # most sources skip nothing
        )

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

* ``close()`` sets the ending, cancels the source and lifts the buffer's bound.  It never waits for
  the buffer's lock, because a signal handler or a finalizer may run on the thread that holds it.
* The cancelled source wakes whoever reads.  If that is the worker, the lifted bound wakes it out of
  its wait for room too (or, if the lock was taken just then, it looks by itself a few milliseconds
  later), and it puts the end mark, which wakes the consumer.
* The end mark is put beyond the bound: it never waits.

Whose turn it is to read is told in ``reading.py``.  Neither the worker nor what it shares with the
stream refers to the stream, so that dropping it can be seen.  With ``buffer=0`` there is no worker.

Rejected: a generator (one that was never started never runs its ``finally``, and one that a signal
handler raised through is over, so that a cut answer looks whole); ``weakref.finalize`` (``__del__``
does the same, and can say where the stream was made).
"""

from __future__ import annotations

import atexit
import itertools
import operator
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING

import attrs

from inferd_engine.buffer import EventBuffer
from inferd_engine.cancel import LiveSet
from inferd_engine.errors import (
    GenerateError,
    InternalError,
    RequestCancelledError,
    StreamInterruptedError,
    UnsupportedError,
)
from inferd_engine.events import Completion, Done, StopReason, TextDelta, Token
from inferd_engine.intake import Intake
from inferd_engine.reading import CLOSED, TORN, Reading
from inferd_engine.worker import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from inferd_engine.cancel import CancelToken
    from inferd_engine.events import Event
    from inferd_engine.reading import Source


_numbers = itertools.count(1)


@attrs.frozen(slots=True)
class StreamStats:
    """What a stream took so far.

    Args:
        ttft: Seconds from the request to the first event; None before it.
        duration: Seconds from the request to the end, or to now.
        events: How many events the consumer was given.
        bytes: How many bytes of the body were read.
        skipped: How many payloads were no JSON and were left out.
    """

    ttft: float | None
    duration: float
    events: int
    bytes: int
    skipped: int = 0


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
        live: LiveSet,
        cancel: CancelToken | None = None,
        request_id: str | None = None,
        response_headers: Mapping[str, str] | None = None,
    ) -> None:
        self._reading = Reading(source)
        self._pid = os.getpid()
        self._told = False  # whether the consumer was given the ending: Done, or the error
        # The one consumer that waits or reads.  A lock would stay locked when a signal handler
        # raises just after it was taken; an owner that comes again is let in.
        self._reader: dict[str, int] = {}
        self._is_reading = False
        self._buffer = EventBuffer(buffer) if buffer else None
        self._intake = Intake(self._reading, self._buffer)
        self._worker: threading.Thread | None = None
        self._groups = [_all_streams, live]
        self._token = cancel
        self.request_id = request_id
        self.response_headers: Mapping[str, str] = response_headers or {}
        self._completion: Completion | None = None
        self._endings = self._reading.endings  # the last: now it can be closed
        for group in self._groups:
            group.add(self)
        if cancel is not None:
            cancel.join(self)
        source.away()  # until somebody reads
        if self._buffer is not None:
            self._start_worker(self._buffer)

    def _start_worker(self, buffer: EventBuffer) -> None:
        self._worker = threading.Thread(
            target=read_ahead,
            args=(self._reading, buffer),
            name=f"inferd-engine-worker-{next(_numbers)}",
            daemon=True,
        )
        try:
            self._worker.start()
        except BaseException as error:
            self._give_up_worker(self._worker)
            if isinstance(error, RuntimeError) and error.__context__ is not None:
                raise error.__context__ from None  # a handler's: see ``Intake._get``
            if isinstance(error, RuntimeError):
                msg = f"no worker thread can be started ({error}): buffer=0 streams without one"
                raise InternalError(msg, retryable=True) from error
            raise

    def _give_up_worker(self, worker: threading.Thread) -> None:
        """Close the stream, whose worker may or may not have been started."""
        self.close()
        if not worker.is_alive() and self._reading.take_turn():
            self._worker = None
            self._reading.release()
            self._reading.give_turn()

    # --- iterating -------------------------------------------------------------------------------

    def __iter__(self) -> TokenStream:
        return self

    def __next__(self) -> Event:
        while True:
            for event in self._intake.events:
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
        me = threading.get_ident()
        if self._reader.setdefault("thread", me) != me or self._is_reading:
            if self._endings:
                return False  # whoever has closed it is letting go of the source
            msg = "the stream is being read by somebody else: one consumer at a time"
            raise RuntimeError(msg)
        try:
            self._is_reading = True
            if operator.length_hint(self._intake.events):
                return True  # another thread has refilled since this one looked
            if self._intake.final is None and not self._endings:
                received = self._intake.receive(me, timeout)
                if received is None:
                    return False
                if received or self._intake.final is None:
                    return True
            return self._finish()
        except KeyboardInterrupt:
            self.close()
            raise
        finally:
            self._is_reading = False
            self._reader.pop("thread", None)
            if self._endings:
                self._end_refill()

    def _end_refill(self) -> None:
        """Leave an ended stream as it has to be left."""
        if self.cancelled:
            self._intake.events = iter(())  # closed in between: what is left is dropped
        self._release_if_unread()
        self._reading.wake()

    def _finish(self) -> bool:
        """End the stream, unless somebody has closed it; tell the ending once."""
        intake = self._intake
        final = CLOSED if isinstance(intake.final, RequestCancelledError) else intake.final
        if final is TORN:
            final = InternalError("reading the answer was interrupted in the middle")
        if isinstance(final, Done) and not self._told:
            events = iter((final,))
            intake.events, self._told, intake.taken = events, True, intake.taken + 1
        ending = self._endings.setdefault("ending", final or CLOSED)
        self._leave()
        if isinstance(ending, Done):
            return operator.length_hint(intake.events) > 0
        if isinstance(ending, GenerateError) and not self._told:
            ending.request_id = ending.request_id or self.request_id
            if intake.taken:
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
            for event in self._intake.events:
                return event
            if not self._refill(max(0.0, deadline - time.monotonic())):
                return None

    def with_heartbeat(self, seconds: float) -> Iterator[Event | None]:
        """Iterate over the events, and give None whenever nothing came for so many seconds.

        Raises:
            UnsupportedError: The backend was made with ``buffer=0``: there is no worker.
        """
        self._need_worker()
        return self._beat(seconds)

    def _beat(self, seconds: float) -> Iterator[Event | None]:
        while True:
            event = self.poll(seconds)
            if event is None and self.ended:
                return
            yield event

    def _need_worker(self) -> None:
        if self._buffer is None:
            msg = "there is no worker here: make the backend with buffer above 0"
            raise UnsupportedError(msg)

    # --- the answer as a whole -------------------------------------------------------------------

    def text(self) -> Iterator[str]:
        """Iterate over the text alone.

        Raises:
            StreamInterruptedError: The answer was cut, or the upstream gave it up.
            GenerateError: As from iterating; ``partial`` holds what came before.
        """
        seen: list[Event] = []
        try:
            for event in self:
                seen.append(event)
                if isinstance(event, TextDelta):
                    yield event.delta
                elif isinstance(event, Token):
                    yield event.text
            self._check_whole()
        except GenerateError as error:
            error.partial = error.partial or Completion.of(seen)
            raise

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
            self._check_whole()
        except GenerateError as error:
            error.partial = error.partial or Completion.of(seen)
            raise
        self._completion = attrs.evolve(Completion.of(seen), done=self.done)
        return self._completion

    def _check_whole(self) -> None:
        """Refuse to let a cut answer look whole."""
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
            self._reading.source.cancel()
            if self._buffer is not None:
                self._buffer.lift()
            self._reading.wake()
            self._intake.events = iter(())
            self._leave()
            self._release_if_unread()

    def cancel(self) -> None:
        """Do what ``close()`` does: a token or a backend ends the stream."""
        self.close()

    def _leave(self) -> None:
        for group in self._groups:
            group.discard(self)
        if self._token is not None:
            self._token.leave(self)

    def _release_if_unread(self) -> None:
        """Without a worker, close the source of an ended stream, if nobody is reading it."""
        me = threading.get_ident()
        if self._buffer is not None or not self._endings or self._is_reading:
            return
        if self._reader.setdefault("thread", me) == me:
            try:
                self._reading.release()
            finally:
                self._reader.pop("thread", None)

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
        if endings is None or self._pid != os.getpid():
            return
        if endings:
            if self.cancelled:  # by a close() that may have been interrupted half-way
                self._reading.source.cancel()
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
        return f"<TokenStream {self.request_id or ''} {state}>"

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
            events=self._intake.taken - operator.length_hint(self._intake.events),
            bytes=reading.source.bytes,
            skipped=getattr(reading.source, "skipped", 0),  # most sources skip nothing
        )


_all_streams = LiveSet()
_EXIT_GRACE = 0.5  # seconds that all workers together are given when the interpreter ends


def _disown_all() -> None:
    """In a forked child: what the parent's consumers have taken is the parent's."""
    for member in _all_streams:
        if isinstance(member, TokenStream):
            member._intake.events = iter(())  # noqa: SLF001 - one of us


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


@atexit.register
def _close_all() -> None:
    """Close what is still open, so that upstreams hear of it and no worker is cut off."""
    streams = [member for member in _all_streams if isinstance(member, TokenStream)]
    for stream in streams:
        stream.close()
    deadline = time.monotonic() + _EXIT_GRACE
    for stream in streams:
        stream.wait_released(deadline - time.monotonic())

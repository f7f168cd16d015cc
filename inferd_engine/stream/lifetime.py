"""The life of a stream beside its events: who may end it, and what becomes of it then.

States, and who may move them::

    streaming ──► finished   the consumer, when it comes to Done
              ──► failed     the consumer, when it comes to the error
              ──► closed     anyone: close(), the last reference, a token, stop(), the exit

The first ending wins and is kept.  What wakes whom:

* ``close()`` sets the ending, cancels the source and rings both bells.  It takes no lock, because a
  signal handler or a finalizer may run on the thread that holds it.
* The cancelled source wakes whoever reads; a bell wakes the worker that waits for its turn or for
  room, and the consumer that waits for the worker.

A stream belongs to the process that made it.  In a forked child it gives nothing, and closes
nothing: the connection is its parent's.  When the interpreter ends, what is open is closed, so that
upstreams hear of it and no worker is cut off.

Rejected: ``weakref.finalize`` (``__del__`` does the same, and can say where the stream was made).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING

from inferd_engine.cancel import LiveSet
from inferd_engine.events import Done
from inferd_engine.frames import without_frames
from inferd_engine.stream.reading import CLOSED, Closed
from inferd_engine.stream.watcher import watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from inferd_engine.cancel import Cancellable, CancelToken
    from inferd_engine.errors import GenerateError
    from inferd_engine.stream.consumer import Consumer
    from inferd_engine.stream.reading import Reading

    Listener = Callable[[Done | GenerateError | None], None]

_EXIT_GRACE = 0.5  # seconds that all workers together are given when the interpreter ends


class Lifetime:
    """What a stream is apart from its events: something that ends, and that anybody may close."""

    def __init__(
        self,
        reading: Reading,
        consumer: Consumer,
        live: LiveSet[Cancellable],
        cancel: CancelToken | None,
    ) -> None:
        self._pid = os.getpid()
        self._reading = reading
        self._consumer = consumer
        self._groups = (open_streams, live)
        self._token = cancel
        self._listeners: list[Listener] = []
        self._endings = reading.endings  # the last: now it can be closed

    def _join(self) -> None:
        """Let the backend, the token and the exit end the stream."""
        for group in self._groups:
            group.add(self)
        if self._token is not None:
            self._token.join(self)

    def _leave(self) -> None:
        """Let go of what joined: the stream has ended."""
        watcher.discard(self._consumer)
        for group in self._groups:
            group.discard(self)
        if self._token is not None:
            self._token.leave(self)
        self._tell()

    @without_frames
    def on_end(self, listener: Listener) -> None:
        """Have somebody told, once, how the stream has ended; at once if it has.

        Args:
            listener: It is given the ``Done`` or the error that the consumer came to, or None if
                the stream was closed.  Whoever ends the stream calls it, a signal handler or a
                finalizer too: it takes no lock, waits for nothing, and raises nothing.

        Raises:
            TypeError: ``listener`` is not a function.
        """
        if not callable(listener):
            kind = type(listener).__name__
            raise TypeError(f"listener is of type {kind}: give a function of how it has ended")
        self._listeners.append(listener)
        if self._endings:  # after adding: either the end tells it, or it is told here
            self._tell()

    def _tell(self) -> None:
        ending = self._endings.get("ending")
        while self._listeners:
            with contextlib.suppress(IndexError):  # another thread was quicker
                self._listeners.pop()(None if isinstance(ending, Closed) else ending)

    def close(self) -> None:
        """Stop the answer and its upstream; from any thread, at any time, as often as you like.

        On return the connection is shut down.  A consumer that waits is woken and its iteration
        ends; what was not delivered is dropped.  Closing a finished stream does nothing.
        """
        if self._pid != os.getpid():
            return  # a forked child: the connection is its parent's
        if self._endings.setdefault("ending", CLOSED) is CLOSED:
            reading = self._reading
            reading.cancel()
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

    def _is_served(self) -> bool:
        """Whether there is a thread that reads or is about to, and so releases the source."""
        worker = self._worker
        return self._consumer.is_inside or (worker is not None and worker.is_alive())

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
                self._reading.cancel()
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


open_streams: LiveSet[Lifetime] = LiveSet()
"""The streams of this process that have not ended."""


def _disown_all() -> None:
    for stream in open_streams:
        stream.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


@atexit.register
def _close_all() -> None:
    """Close what is still open, so that upstreams hear of it and no worker is cut off."""
    streams = list(open_streams)
    for stream in streams:
        stream.close()
    deadline = time.monotonic() + _EXIT_GRACE
    for stream in streams:
        stream.wait_released(deadline - time.monotonic())

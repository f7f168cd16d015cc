"""End calls and streams from anywhere: a token that many of them may carry.

Goal: ``cancel()`` may be called from any thread, from a signal handler and from a finalizer, so it
takes no lock: it sets a flag, then walks over a copy of what is live.  Whoever joins adds itself
first and looks at the flag after, so that one of the two always sees the other.

``cancel_after`` needs a clock that nobody is blocked on.  A thread keeps it, but only while there
are both a deadline and something to cancel; with the last call it goes.  Rejected: a ``Timer`` for
each token, which would outlive the streams that it was for.

Whoever waits for a token keeps the time itself: it waits on a lock of its own, of which a cancel
lets go, and a deadline that moves has it look again.  Rejected: one ``Condition`` for all who wait,
whose lock a signal handler would find taken by its own thread.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
import time
import weakref
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, TypeVar

from inferd_engine.errors import InternalError
from inferd_engine.frames import without_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Cancellable(Protocol):
    """What can be ended early, from any thread."""

    def cancel(self) -> None:
        """Set a flag and wake whoever waits; never block."""


Member = TypeVar("Member", bound=Cancellable)

# Seconds of one wait for a lock.  Windows lets no Ctrl-C interrupt it.
_PIECE = 0.1 if os.name == "nt" else threading.TIMEOUT_MAX


def bounded(name: str, seconds: float) -> float:
    """Return how long to wait at the most, as the system's clocks can bear it.

    Raises:
        TypeError: It is not a number.
        ValueError: It is NaN.
    """
    try:
        is_nan = math.isnan(seconds)
    except TypeError:
        kind = type(seconds).__name__
        raise TypeError(f"{name} is of type {kind}: it has to be a number of seconds") from None
    if is_nan:
        raise ValueError(f"{name} is NaN: it has to be a number of seconds")
    return min(seconds, threading.TIMEOUT_MAX / 2)


class LiveSet(Generic[Member]):
    """A set that keeps nothing alive and may be walked while anybody changes it.

    ``dict`` operations with ``int`` keys and ``list(dict.values())`` are atomic in CPython: no lock
    is needed, and so none can be held by the thread that a signal interrupted.
    """

    def __init__(self, on_empty: Callable[[], None] | None = None) -> None:
        self._members: dict[int, weakref.ref[Member]] = {}
        self._on_empty = on_empty

    def add(self, member: Member) -> None:
        """Add a member, until it is discarded or nobody else refers to it."""
        key = id(member)
        self._members[key] = weakref.ref(member, lambda _: self._forget(key))

    def discard(self, member: Member) -> None:
        """Take a member out; nothing happens if it is not there."""
        self._forget(id(member))

    def _forget(self, key: int) -> None:
        self._members.pop(key, None)
        if not self._members and self._on_empty is not None:
            self._on_empty()

    def __iter__(self) -> Iterator[Member]:
        for reference in list(self._members.values()):
            member = reference()
            if member is not None:
                yield member

    def __bool__(self) -> bool:
        return bool(self._members)


class _Waiter:
    """Somebody who waits for a token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # taken, but from a ring until it is heard
        self._lock.acquire()

    def cancel(self) -> None:
        """Wake it."""
        with contextlib.suppress(RuntimeError):  # it was rung before, and not heard yet
            self._lock.release()

    def wait(self, seconds: float) -> None:
        """Wait until it is woken, but not for longer than ``seconds``."""
        self._lock.acquire(timeout=max(0.0, min(seconds, _PIECE)))  # below 0 it waits for ever


class CancelToken:
    """Give it to calls, and end them all with one ``cancel()`` from anywhere.

    A call that has no stream yet raises ``RequestCancelledError``; a stream ends as if it had been
    closed.  A token that was cancelled stays so: calls made with it later are refused at once.
    """

    def __init__(self) -> None:
        self._cancelled = False
        self._deadline: float | None = None
        self._timers: dict[int, threading.Thread] = {}  # by process, at most one of each
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._live: LiveSet[Cancellable] = LiveSet(on_empty=self._ring)
        self._waiting: LiveSet[_Waiter] = LiveSet()

    def __repr__(self) -> str:
        return f"<CancelToken{' cancelled' if self.cancelled else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a CancelToken ends calls of its own process and cannot be pickled or copied: "
            "make one where the call is made, or give the backend a timeout"
        )

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel()`` was called, or the time of ``cancel_after()`` has passed."""
        if not self._cancelled and self._deadline is not None:
            self._cancelled = time.monotonic() >= self._deadline
        return self._cancelled

    def cancel(self) -> None:
        """End every call and stream that carries the token; never blocks."""
        self._cancelled = True
        self._look_again()
        for member in self._live:
            member.cancel()

    @without_frames
    def cancel_after(self, seconds: float) -> None:
        """Cancel after a number of seconds, unless that was asked for again in between.

        Raises:
            TypeError: ``seconds`` is not a number.
            ValueError: It is NaN.
            InternalError: The thread that keeps the time cannot be started; raised from the next
                call with this token, too.
        """
        self._deadline = time.monotonic() + bounded("seconds", seconds)
        self._look_again()
        self._ring()
        self._keep_time()

    @without_frames
    def wait(self, seconds: float) -> bool:
        """Wait until the token is cancelled, but not for longer than ``seconds``.

        It is a ``time.sleep()`` that a cancel ends, and Ctrl-C does too; no thread is started.

        Args:
            seconds: How long to wait at the most; 0 or less does not wait.

        Returns:
            Whether the token is cancelled; False when the time is over.

        Raises:
            TypeError: ``seconds`` is not a number.
            ValueError: It is NaN.
        """
        until = time.monotonic() + bounded("seconds", seconds)
        waiter = _Waiter()
        self._waiting.add(waiter)  # before looking: a cancel sees the waiter, or is seen
        try:
            while not self.cancelled:
                now, deadline = time.monotonic(), self._deadline
                if now >= until:
                    return False
                waiter.wait((until if deadline is None else min(until, deadline)) - now)
        finally:
            self._waiting.discard(waiter)
        return True

    def join(self, member: Cancellable) -> None:
        """Let a call or stream be ended by this token."""
        self._live.add(member)
        if self.cancelled:
            member.cancel()
        self._keep_time()

    def leave(self, member: Cancellable) -> None:
        """Let go of a call or stream that is over."""
        self._live.discard(member)

    def _look_again(self) -> None:
        """Wake whoever waits for the token, to look at it and at the clock."""
        for waiter in self._waiting:
            waiter.cancel()

    def _ring(self) -> None:
        if self._timers:
            self._bell.put(None)

    def _keep_time(self) -> None:
        """Have a thread that keeps the time, if there is any to keep."""
        if self._deadline is None or self._cancelled or not self._live:
            return
        process = os.getpid()  # a forked child has none of its parent's threads
        if process in self._timers:
            return
        timer = threading.Thread(target=self._watch, name="inferd-engine-timer", daemon=True)
        if self._timers.setdefault(process, timer) is timer:
            try:
                timer.start()
            except BaseException as error:
                self._timers.pop(process, None)
                if not isinstance(error, RuntimeError):
                    raise
                raise InternalError(
                    f"no thread can be started that keeps the time of cancel_after(): {error}",
                    retryable=True,
                ) from error

    def _watch(self) -> None:
        while self._live and not self.cancelled and self._deadline is not None:
            try:
                self._bell.get(timeout=max(0.0, self._deadline - time.monotonic()))
            except queue.Empty:
                continue
        if self.cancelled:
            self.cancel()
        self._timers.pop(os.getpid(), None)
        self._keep_time()  # for a call that joined while this thread was about to go

"""Work in a thread of its own, for whoever waits for it.

What llama.cpp does outside of a stream, loading and making vectors, takes from milliseconds to
minutes, all of it in C, where no Ctrl-C is heard.  So a thread does it, and those who asked wait,
each until it is cancelled or out of time; when nobody waits any more, the work ends.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from inferd_engine.backends.llamacpp.library import AbortFlag
from inferd_engine.errors import DeadlineError, GenerateError, InternalError
from inferd_engine.stream.turn import Bell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferd_engine.cancel import Cancellable, CancelToken, LiveSet
    from inferd_engine.errors import DeadlinePhase

_SLICE = 0.5  # seconds of waiting at the most, before looking around
Result = TypeVar("Result")


class Limit(NamedTuple):
    """How long a call may take, which of its clocks that is, and when it was made."""

    seconds: float | None = None
    phase: DeadlinePhase = "total"
    began: float = 0.0


class Waiter:
    """A call that waits for such work; anybody may end that, and so may the clock.

    Args:
        limit: How long it waits.
    """

    def __init__(self, limit: Limit) -> None:
        self.bell = Bell()
        self.is_cancelled = False
        self._limit = limit

    def left(self, what: str) -> float:
        """Return how many seconds there are left.

        Raises:
            DeadlineError: None are.
        """
        seconds, phase, began = self._limit
        if seconds is None:
            return math.inf
        left = began + seconds - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"{what} took longer than {seconds} s", phase=phase)
        return left

    def cancel(self) -> None:
        """Let the call wait no more."""
        self.is_cancelled = True
        self.bell.ring()


@contextlib.contextmanager
def waiting(
    live: LiveSet[Cancellable], cancel: CancelToken | None, limit: Limit
) -> Iterator[Waiter]:
    """Have a waiter that a backend's ``stop()`` and a caller's token can cancel.

    Args:
        live: What the backend cancels when it is stopped.
        cancel: The caller's token.
        limit: How long the call may take.
    """
    waiter = Waiter(limit)
    live.add(waiter)
    if cancel is not None:
        cancel.join(waiter)
    try:
        yield waiter
    finally:
        live.discard(waiter)
        if cancel is not None:
            cancel.leave(waiter)


class Apart(Generic[Result]):
    """Work that is done in a thread of its own, as long as somebody waits for it.

    Args:
        work: What is done; it looks at the flag, and ends when that is set.
        what: Its name, for the thread and for errors.
    """

    def __init__(self, work: Callable[[AbortFlag], Result], what: str) -> None:
        self._work = work
        self._what = what
        self._waiters: dict[int, Waiter] = {}
        self.flag = AbortFlag()
        self.result: Result | None = None
        self.error: GenerateError | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"inferd-engine-llamacpp-{what}", daemon=True
        )

    def start(self) -> None:
        """Begin.

        Raises:
            InternalError: No thread can be started.
        """
        try:
            self._thread.start()
        except RuntimeError as error:
            raise InternalError(
                f"no thread can be started for {self._what}: {error}", retryable=True
            ) from error

    def _run(self) -> None:
        try:
            self.result = self._work(self.flag)
        except GenerateError as error:
            self.error = error.with_traceback(None)
        except BaseException as error:  # noqa: BLE001 - whoever waits has to hear of it
            self.error = InternalError(f"{self._what} failed: {type(error).__name__}: {error}")
            self.error.__cause__ = error
        for waiter in list(self._waiters.values()):
            waiter.bell.ring()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.result is not None or self.error is not None

    def wait(self, waiter: Waiter) -> None:
        """Wait until it is over, or the waiter is cancelled.

        Raises:
            DeadlineError: The waiter's time is up.
        """
        self._waiters[id(waiter)] = waiter
        try:
            while not (self.is_over or waiter.is_cancelled):
                waiter.bell.wait(min(_SLICE, waiter.left(self._what)))
        finally:
            self._waiters.pop(id(waiter), None)
            if not self._waiters and not self.is_over:
                self.flag.set()

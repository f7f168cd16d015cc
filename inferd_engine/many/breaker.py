"""Whether a backend is to be asked: not after it has failed thrice, until one try shows it well.

States, and who may move them::

    closed     everybody is let in
      │ the third failure within 60 s, with no whole answer in between
      ▼
    open       nobody is let in, for 30 s
      │ the clock
      ▼
    half-open  one is let in: the try
      ├─► closed   its answer came to its end
      ├─► open     it failed
      └─► half-open, for the next: it was given up by whoever asked

A call counts when it is over, and a stream is over when its consumer has come to its end: what
breaks in the middle is a failure, and what has not ended yet says nothing.

Rules:

* A call that was let in before the breaker opened says nothing about a backend that has failed
  since: neither does it close the breaker, nor keep it open for longer.
* There is no lock.  A call may be over in a signal handler or a finalizer, on the thread that would
  hold it.  An opening is an object of its own, put in place by one assignment; its door is a dict
  in which the first is the one that is let in (``setdefault`` is atomic).  So whoever opens a
  breaker at the same moment as another does what is done already.
* A forked child has doors of its own: whoever tries in its parent never tells it how that went.
* A pass that is lost, because something struck in the wrong place, is given up.

Three, 60 and 30 are inferd's: a burst that a healthy server does not make, and a pause in which a
server may be started again.  Rejected: to count failures of all time among successes (a busy
backend that loses one call of a hundred would be open half of the time).
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURES = 3
WINDOW = 60.0  # seconds
PAUSE = 30.0  # seconds


class _Opening:
    """The time for which a breaker is open, and the door behind it."""

    __slots__ = ("door", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.door: dict[int, object] = {}  # by process: who tries


class Breaker:
    """Let calls in, or not.

    Args:
        clock: Gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=FAILURES)
        self._opening: _Opening | None = None

    def enter(self) -> Pass | None:
        """Let a call in; None if it is not."""
        opening = self._opening
        if opening is None:
            return Pass(self, None)
        if self._clock() < opening.until:
            return None
        mark = object()  # not the pass: one that is lost has to be seen to be
        is_mine = opening.door.setdefault(os.getpid(), mark) is mark
        return Pass(self, opening) if is_mine else None

    def wait(self) -> float | None:
        """Return the seconds until it lets somebody in; None if it does now.

        While somebody tries it may be any time: then it is 0.
        """
        opening = self._opening
        if opening is None:
            return None
        left = opening.until - self._clock()
        return left if left > 0 else (0.0 if os.getpid() in opening.door else None)

    def _open(self) -> None:
        self._failures.clear()
        self._opening = _Opening(self._clock() + PAUSE)

    def _close(self) -> None:
        self._failures.clear()
        self._opening = None

    def _count(self) -> bool:
        """Count a failure; say whether it is one too many."""
        now = self._clock()
        self._failures.append(now)
        times = self._failures.copy()
        return len(times) == FAILURES and now - times[0] <= WINDOW


class Pass:
    """A call that was let in: say how it went, once it is over; what is said first counts."""

    __slots__ = ("_breaker", "_opening", "_process", "_uses")

    def __init__(self, breaker: Breaker, opening: _Opening | None) -> None:
        self._breaker = breaker
        self._opening = opening  # whose door it came through
        self._process = os.getpid()
        self._uses = [True]

    @property
    def is_try(self) -> bool:
        """Whether this is the one call that a half-open breaker has let in."""
        return self._opening is not None

    def succeeded(self) -> bool:
        """Say that the answer came to its end; return whether that has closed the breaker."""
        if self._is_used() or self._is_late():
            return False
        self._breaker._close()  # noqa: SLF001 - the other half of the same thing
        return self.is_try

    def failed(self) -> bool:
        """Say that the backend has failed; return whether that has opened the breaker."""
        if self._is_used() or self._is_late():
            return False
        if self.is_try or self._breaker._count():  # noqa: SLF001 - likewise
            self._breaker._open()  # noqa: SLF001 - likewise
            return True
        return False

    def given_up(self) -> None:
        """Say that nobody waits for the answer any more, or that it says nothing."""
        if not self._is_used() and self._opening is not None:
            self._opening.door.pop(self._process, None)

    def __del__(self) -> None:
        self.given_up()

    def _is_used(self) -> bool:
        try:
            self._uses.pop()
        except IndexError:
            return True
        return False

    def _is_late(self) -> bool:
        """Whether the breaker has opened, or closed, since this call was let in."""
        return self._opening is not self._breaker._opening  # noqa: SLF001 - likewise

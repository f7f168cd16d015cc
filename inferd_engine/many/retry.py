"""When to ask again: how often, how long to wait first, and when to give up.

Goal: one frozen value says it for a backend (``Retrying``) and for a batch (``Backend.map``), and
it is a function of its input: it looks at no clock, waits for nothing, and is given its chance.
So each of its rules is a test of one line.

Rules, in this order:

* an error that is not ``retryable`` is final: asking again would give the same;
* the last of ``attempts`` is the last;
* an upstream that names a wait (``GenerateError.retry_after``) is obeyed to the letter, and one
  that wants more than ``max_wait`` is not asked again: that is for a person to decide;
* else the wait doubles from half a second to ``max_wait``, and half of it is left to chance, so
  that a crowd that failed together does not come back together;
* what would end after ``max_elapsed`` is not begun.

Rejected: jitter over the whole wait (a wait of nothing asks a server that is down at once), and a
hook that decides (that is what tenacity and stamina are for, see docs/retries.md).
"""

from __future__ import annotations

import random as chance
from typing import TYPE_CHECKING

import attrs

from inferd_engine.backends.settings import check_count, check_delay, check_seconds
from inferd_engine.errors import GenerateError, InvalidRequestError
from inferd_engine.frames import made_without_frames, without_frames
from inferd_engine.reprs import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST = 0.5  # seconds, as openai's and anthropic's clients begin
_DOUBLINGS = 40  # of it, beyond which it is longer than any max_wait


@made_without_frames
@attrs.frozen(slots=True)
class Retry:
    """Say how often to ask, how long to wait between, and when to give up.

    Args:
        attempts: How often to ask in all, the first time included; 1 or more.
        max_wait: The longest wait between two attempts, in seconds; an upstream that names a longer
            one (``retry_after``) is not asked again.
        max_elapsed: Seconds since the first attempt began, after which none is begun; None: no
            limit.

    Raises:
        InvalidRequestError: One of them is none of that; the message names it.
    """

    attempts: int = attrs.field(default=3, validator=check_count(1))
    max_wait: float = attrs.field(default=60.0, validator=check_delay)
    max_elapsed: float | None = attrs.field(default=None, validator=check_seconds)

    __repr__ = short_repr

    @without_frames
    def pause(
        self,
        error: GenerateError,
        *,
        attempt: int,
        elapsed: float,
        random: Callable[[], float] = chance.random,  # noqa: S311 - it spreads a crowd, it hides nothing
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        Args:
            error: What the last attempt failed with.
            attempt: Which one that was, counted from 1.
            elapsed: Seconds since the first attempt began.
            random: Gives a number from 0 up to 1.

        Raises:
            TypeError: ``error`` is not a ``GenerateError``.
            InvalidRequestError: ``attempt`` is not a whole number of 1 or more.
        """
        if not isinstance(error, GenerateError):
            kind = type(error).__name__
            raise TypeError(f"error is of type {kind}: give a GenerateError")
        if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1:
            raise InvalidRequestError(
                f"attempt is {attempt!r}: it has to be a whole number, 1 or more"
            )
        if not error.retryable or attempt >= self.attempts:
            return None
        wait = error.retry_after
        if wait is None:
            longest = min(self.max_wait, _FIRST * 2 ** min(attempt - 1, _DOUBLINGS))
            wait = longest * (1 + random()) / 2
        elif wait > self.max_wait:
            return None
        if self.max_elapsed is not None and elapsed + wait > self.max_elapsed:
            return None
        return wait

"""How many requests are under way, and when the next may begin: a batch slows down as one.

Goal: one 429 is heard by all.  A request that backs off alone is replaced by its neighbours, so
that the server is as busy as before and every one of them learns the same for itself.

Rules:

* additive increase: while the limit is used, a whole round of answers raises it by one; ``"auto"``
  begins low and, until the first refusal, doubles it with each round;
* multiplicative decrease: what says that the server is overloaded, or gone, cuts the limit, once
  for all that was under way when it was cut last;
* an upstream that names a wait is obeyed by all; what a retry waits, all wait;
* where a wait was named for "too many requests", the limit goes back up to one below what was
  refused, and stays there for ten times as long: some say a minute for one request too many
  (LiteLLM's proxy), and a batch that tried it again at once would spend its time waiting.

A number of the user's own is where the limit begins, and its ceiling.  This is TCP's, for the same
reason: nobody knows what the other end bears, and it says so by refusing.

Rejected: looking at latency (a long answer is no sign of a busy server), and a bucket of tokens a
minute (limits differ by account and hour; whoever has them says ``Retry-After``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine.errors import (
    DeadlineError,
    HttpStatusError,
    NotReadyError,
    TransportError,
    UpstreamError,
)

if TYPE_CHECKING:
    from inferd_engine.errors import GenerateError

AUTO = "auto"
_AUTO_FIRST = 4  # what a small server bears, and the least that shows whether more is borne
_AUTO_MOST = 256  # connections that a backend keeps, too
_CONTENT = 10  # times a named wait: so a tenth of the time at most is waited for having tried
_CUT = 0.7  # CUBIC's: half would leave a third of a server idle that refuses at a fixed number
_TOO_MANY = 429
_BUSY = 502  # and above: bad gateway, unavailable, gateway timeout, Anthropic's 529
_BUSY_CODES = ("overload", "rate_limit", "throttl", "too_many")


class Pace:
    """Decide how many requests may be under way; a function of what it is told, time included.

    Args:
        concurrency: The most that may be under way at once, or ``"auto"``.
    """

    def __init__(self, concurrency: int | str) -> None:
        is_auto = isinstance(concurrency, str)
        self._most = _AUTO_MOST if isinstance(concurrency, str) else concurrency
        self._limit = float(_AUTO_FIRST if is_auto else self._most)
        self._is_doubling = is_auto
        self._cut_at = float("-inf")
        self._opens_at = float("-inf")
        self._refused = self._most  # what was under way, at the most, when the limit was cut last
        self._tries_at = float("-inf")  # when so much is tried again

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return int(self._limit)

    def opens_in(self, now: float) -> float:
        """Return the seconds for which nobody begins; 0 or less: begin."""
        return self._opens_at - now

    def hold(self, now: float, seconds: float, *, is_named: bool = False) -> None:
        """Let nobody begin for a while.

        Args:
            now: The time.
            seconds: How long.
            is_named: Whether the server has named it, because it was asked too often.
        """
        self._opens_at = max(self._opens_at, now + seconds)
        if is_named:
            self._tries_at = max(self._tries_at, now + seconds * _CONTENT)

    def answered(self, underway: int, now: float) -> None:
        """Hear that a request was answered.

        Args:
            underway: How many were, this one among them.
            now: The time.
        """
        most = float(self._most if now >= self._tries_at else self._refused - 1)
        if underway >= self.limit and self._limit < most:
            step = 1.0 if self._is_doubling else 1.0 / self._limit
            self._limit = min(self._limit + step, most)

    def refused(self, begun_at: float, now: float) -> None:
        """Hear that a request failed because the server is overloaded, or gone.

        Args:
            begun_at: When the request began.
            now: The time.
        """
        if begun_at > self._cut_at:
            self._refused = self.limit
            self._limit = max(1.0, self._limit * _CUT)
            self._is_doubling = False
            self._cut_at = now


def names_wait(error: GenerateError) -> bool:
    """Whether an error names a wait because the server was asked too often."""
    is_too_many = isinstance(error, HttpStatusError) and error.status == _TOO_MANY
    return is_too_many and error.retry_after is not None


def is_overload(error: GenerateError) -> bool:
    """Whether an error says that the server has too much to do, or is not there."""
    if isinstance(error, HttpStatusError):
        return error.retryable and (error.status == _TOO_MANY or error.status >= _BUSY)
    if isinstance(error, UpstreamError):
        code = (error.code or "").lower()
        return any(word in code for word in _BUSY_CODES)
    is_away = isinstance(error, (DeadlineError, TransportError, NotReadyError))
    return is_away and error.retryable

"""The clocks of one request: four limits, one of which counts at any time beside the total.

    connect      from the first address to the end of the TLS handshake, all addresses together
    first_token  from sending the request to the first token: text, a thought, a call
    idle         from one payload to the next; comments are no payload, and before the first token
                 this clock and that one run side by side
    total        the whole request, always
    linger       from the finish reason to the end: passing it is no error, the answer is there

Whoever reads from the network asks ``left()`` before every read and gives it to the socket: no
trickle can outlast that, because every read begins with what is left.

Time that the consumer spends elsewhere is not the upstream's silence.  After a payload the clock of
silence begins when somebody asks for it, which is the next read (``is_heard``); before one it has
begun, and ``away()`` stops it until then.
"""

from __future__ import annotations

import operator
import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from inferd_engine.errors import DeadlinePhase

_NEVER = float("inf")
LINGER = 5.0  # seconds: what a server needs to count tokens after its last one
SLICE = 1.0  # seconds that one wait takes at the most: what is thrown in meanwhile is raised then

Phase = Literal["connect", "first_token", "idle", "linger"]


class Deadlines:
    """Keep the clocks of one request; it begins now.

    Args:
        connect: Seconds; None sets no limit, here and below.
        first_token: Seconds.
        idle: Seconds.
        total: Seconds.
    """

    __slots__ = (
        "_away",
        "_phase",
        "_phase_end",
        "_silence",
        "_token_end",
        "heard_at",
        "is_heard",
        "limits",
        "started",
        "total_end",
    )

    def __init__(
        self,
        *,
        connect: float | None = None,
        first_token: float | None = None,
        idle: float | None = None,
        total: float | None = None,
    ) -> None:
        self.started = time.monotonic()
        self.limits: dict[str, float | None] = {
            "connect": connect,
            "first_token": first_token,
            "idle": idle,
            "total": total,
        }
        self.total_end = self.started + self._limit("total")
        self._phase: Phase = "connect"
        self._phase_end = _NEVER
        self._token_end = _NEVER  # of the first token's clock, once payloads have come without one
        self._away: float | None = None
        self._silence = _NEVER  # seconds of it that are allowed after a payload
        self.is_heard = False
        """Whether a payload has come since the clocks were looked at; set it, once there was one
        with a token in it, instead of calling ``payload()``."""
        self.heard_at = _NEVER
        """When it came, for whoever may not look for long; else the clock begins with the look."""

    def _limit(self, name: str) -> float:
        seconds = self.limits[name]
        return _NEVER if seconds is None else seconds

    def _enter(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        self._phase_end = time.monotonic() + seconds

    def connecting(self) -> None:
        """Begin the connect clock."""
        self._enter("connect", self._limit("connect"))

    def sending(self) -> None:
        """Begin the clock of the first payload."""
        self._enter("first_token", self._limit("first_token"))

    def payload(self, *, has_begun: bool = True) -> None:
        """Begin the idle clock anew: a payload has come.

        Args:
            has_begun: It held a token, or one before it did; else it is life and no more.
        """
        if has_begun:
            self._token_end = _NEVER
        elif self._phase == "first_token":
            self._token_end = self._phase_end
        if self._phase != "linger":
            self._phase, self._silence = "idle", self._limit("idle")
        self.is_heard = True

    def linger(self) -> None:
        """Begin the clock of what may come after the finish reason."""
        self._token_end = _NEVER
        self._phase, self._silence = "linger", min(LINGER, self._limit("idle"))
        self.is_heard = True

    def limit_total(self, seconds: float) -> None:
        """Let the whole request end in so many seconds at the latest."""
        self.total_end = min(self.total_end, time.monotonic() + seconds)

    def away(self) -> None:
        """Stop the clocks of silence, until they are looked at: nobody is reading."""
        if self._away is None:
            self._away = time.monotonic()

    @property
    def end(self) -> float:
        """The moment at which time is up, by ``time.monotonic()``; infinite for no limit."""
        self.left()
        return min(self._phase_end, self._token_end, self.total_end)

    def left(self) -> float | None:
        """Return the seconds that a read may take, 0 or less if time is up; None for no limit."""
        now = time.monotonic()
        if self._away is not None:
            self._phase_end += now - self._away
            self._token_end += now - self._away
            self._away = None
        if self.is_heard:
            self._phase_end = min(now, self.heard_at) + self._silence
            self.is_heard, self.heard_at = False, _NEVER
        end = min(self._phase_end, self._token_end, self.total_end)
        return None if end == _NEVER else end - now

    def left_or_raise(self) -> float | None:
        """Return the seconds that a read may take; None for no limit.

        Raises:
            TimeoutError: Time is up.
        """
        left = self.left()
        if left is not None and left <= 0:
            raise TimeoutError
        return left

    def slice_or_raise(self) -> float:
        """Return the seconds that one wait may take: what is left, and a slice at the most.

        Raises:
            TimeoutError: Time is up.
        """
        left = self.left_or_raise()
        return SLICE if left is None else min(left, SLICE)

    def passed(self) -> DeadlinePhase | Literal["linger"] | None:
        """Say which clock has run out; the first of them, if there are several."""
        self.left()
        ends: tuple[tuple[float, Phase | Literal["total"]], ...] = (
            (self._token_end, "first_token"),
            (self._phase_end, self._phase),
            (self.total_end, "total"),
        )
        end, name = min(ends, key=operator.itemgetter(0))
        return name if time.monotonic() >= end else None

    @property
    def phase(self) -> DeadlinePhase:
        """The clock that counts now, in the words of an error."""
        return "idle" if self._phase == "linger" else self._phase

    def describe(self, phase: DeadlinePhase) -> str:
        """Say in words what a clock that ran out means."""
        what = {
            "connect": "no connection within connect_timeout",
            "first_token": "no token from the upstream within first_token_timeout",
            "idle": "the upstream fell silent for longer than idle_timeout",
            "total": "the answer took longer than timeout",
        }[phase]
        limit = self.limits[phase]
        return what if limit is None else f"{what} ({limit:g} s)"

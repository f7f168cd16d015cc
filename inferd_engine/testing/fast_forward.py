"""Let time pass faster where a program waits on purpose, so that no test has to.

    with FastForward() as clock:
        with pytest.raises(ie.DeadlineError):
            backend.with_options(idle_timeout=10).complete("Hi")  # takes a tenth of a second
    assert clock.slept == []

What runs faster: the deadlines of calls, whatever backend makes them over HTTP; ``CancelToken``'s;
and ``time.sleep()``, which retries call.  What does not: the network, an upstream's ``Pause``, and
``time.monotonic()``, so that whatever measures goes on measuring what was.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from typing import TYPE_CHECKING, Any

import inferd_engine as ie

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

# A limit is made no shorter than that: what a loaded machine takes for what should take no time.
_SHORTEST = 0.25  # seconds
_SHORTEST_CONNECT = 1.0  # seconds: on loopback too, a thread has to come to accept


class FastForward:
    """Make waiting faster inside of a ``with`` block, in the whole process.

    Args:
        speed: How many times.

    Attributes:
        slept: The seconds of every ``time.sleep()`` and ``CancelToken.wait()``, as they were asked
            for.

    Raises:
        ValueError: ``speed`` is not a number from 1 up.
    """

    def __init__(self, speed: float = 100.0) -> None:
        if not isinstance(speed, (int, float)) or not 1 <= speed < math.inf:
            raise ValueError(f"speed is how many times faster, from 1 up, not {speed!r}")
        self.slept: list[float] = []
        self._speed = speed
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        from inferd_engine.net.deadlines import Deadlines  # noqa: PLC0415 - where all clocks begin

        self._replace(time, "sleep", self._sleeping)
        self._replace(ie.CancelToken, "cancel_after", self._shortened)
        if hasattr(ie.CancelToken, "wait"):
            self._replace(ie.CancelToken, "wait", self._waiting)
        self._replace(Deadlines, "__init__", self._limited)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.close()

    def _replace(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(wrap(original)))
        self._held.callback(setattr, owner, name, original)

    def _sleeping(self, sleep: Callable[[float], None]) -> Callable[[float], None]:
        def faster(seconds: float, /) -> None:
            self.slept.append(seconds)
            sleep(seconds / self._speed)

        return faster

    def _waiting(self, wait: Callable[[Any, float], bool]) -> Callable[[Any, float], bool]:
        def faster(token: Any, seconds: float) -> bool:  # a CancelToken
            self.slept.append(seconds)
            return wait(token, seconds / self._speed)

        return faster

    def _shortened(self, call: Callable[[Any, float], None]) -> Callable[[Any, float], None]:
        def faster(token: Any, seconds: float) -> None:  # a CancelToken
            call(token, seconds / self._speed)

        return faster

    def _limited(self, make: Callable[..., None]) -> Callable[..., None]:
        def faster(clocks: Any, **limits: float | None) -> None:  # Deadlines
            make(clocks, **{name: self._limit(name, limits[name]) for name in limits})

        return faster

    def _limit(self, name: str, seconds: float | None) -> float | None:
        if seconds is None:
            return None
        shortest = _SHORTEST_CONNECT if name == "connect" else _SHORTEST
        return max(seconds / self._speed, min(seconds, shortest))

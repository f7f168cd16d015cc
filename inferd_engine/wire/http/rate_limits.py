"""When to come back, as upstreams tell it that send no ``Retry-After``.

Goal: an upstream that refuses without saying ``Retry-After`` has often said all the same when to
come back.  The headers are known by what their names have in common, and their values by their
shape, so that no provider needs a line here:

* OpenAI, Azure, Groq: ``x-ratelimit-reset-requests: 6m0s``, ``-tokens: 7.66s``, as Go writes times;
* Cerebras: ``x-ratelimit-reset-tokens-minute: 11.382867``, in seconds;
* Anthropic: ``anthropic-ratelimit-input-tokens-reset: 2026-01-01T00:00:00Z`` (RFC 3339);
* OpenRouter and others: ``x-ratelimit-reset: 1741305600000``, since the epoch, maybe in ms;
* the IETF's draft: ``ratelimit-reset: 30``.

Beside each reset a ``…remaining…`` may say what is left.  A limit that has nothing left is the one
that refused; where several have not, all of them have to be reset.  Requests are counted one by
one, so that a limit of requests that has some left has refused nobody; one of tokens may have, if
it has less left than the request needs.  Of limits that tell no more, the first that is reset is
the one to wait for: to ask too early costs an attempt, to wait for a whole day loses the answer.

Others have it in their message alone: "Please try again in 20s" (OpenAI, also inside an answer),
"Please retry in 34.07s" (Gemini), "Please retry after 20 seconds" (Azure).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_WAIT = 86400.0  # seconds; an upstream that names more means no number at all

_UNITS = {
    "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9,
}  # fmt: skip
_PART = r"([0-9]{1,20}(?:[.][0-9]{0,20})?)(h|ms|m|s|us|µs|μs|ns)"
_DURATION = re.compile(rf"(?:{_PART}){{1,8}}")
_NUMBER = re.compile(r"\d{1,20}(?:\.\d*)?", re.ASCII)
_FRACTION = re.compile(r"\.\d+")
_WORDS = re.compile(
    rf"try (?:again )?(?:in|after) (?:(?P<duration>(?:{_PART}){{1,4}})(?!\w)"
    r"|(?P<number>\d{1,9}(?:\.\d{1,9})?) (?P<unit>millisecond|second|minute|hour)s?\b)",
    re.IGNORECASE | re.ASCII,
)
_UNITS_IN_WORDS = {"millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0}
_LONGEST_MESSAGE = 4096  # characters that are looked at
_SECONDS_BELOW = 1e8  # three years: a larger number counts from the epoch
_EPOCH_BELOW = 1e11  # the year 5138 in seconds: a larger number is in milliseconds


def until_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until the limit that refused a request is reset; None if none says so.

    Args:
        headers: The headers of the refusal, names in lower case.
        now: Seconds since the epoch.
    """
    found = [*_limits(headers, now)]
    empty = [seconds for seconds, left in found if left == 0]
    return max(empty) if empty else min((seconds for seconds, _ in found), default=None)


def in_words(message: str) -> float | None:
    """Return the seconds after which a message says to try again; None if it does not."""
    found = _WORDS.search(message[:_LONGEST_MESSAGE])
    if found is None:
        return None
    seconds = duration((found["duration"] or "").lower())
    if seconds is None:
        seconds = float(found["number"]) * _UNITS_IN_WORDS[found["unit"].lower()]
    return min(seconds, LONGEST_WAIT)


def _limits(headers: Mapping[str, str], now: float) -> Iterator[tuple[float, float | None]]:
    """Give for each limit that may have refused when it is reset, and what is left of it."""
    for name, value in headers.items():
        if "ratelimit" not in name or "reset" not in name:
            continue
        seconds = _seconds(value, now)
        left = _number(headers.get(name.replace("reset", "remaining"), ""))
        if seconds is not None and not ("requests" in name and left):
            yield seconds, left


def _seconds(value: str, now: float) -> float | None:
    """Return how long it is until a moment, in whichever way that is told."""
    value = value.strip()
    seconds = duration(value)
    if seconds is not None:
        return seconds
    number = _number(value)
    if number is None:
        return _since_epoch(value, now)
    if number < _SECONDS_BELOW:
        return number
    return max(0.0, (number if number < _EPOCH_BELOW else number / 1000) - now)


def duration(value: str) -> float | None:
    """Return the seconds of a time as Go writes it, ``"1m30.5s"``; None if it is none.

    Source: Go, ``time.ParseDuration``.
    """
    if not _DURATION.fullmatch(value):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, value))


def _number(value: str) -> float | None:
    value = value.strip()
    return float(value) if _NUMBER.fullmatch(value) else None


def _since_epoch(value: str, now: float) -> float | None:
    """Return the seconds until a moment as RFC 3339 writes it; one without a zone is in UTC."""
    with contextlib.suppress(ValueError, OverflowError):
        plain = _FRACTION.sub("", value.upper(), count=1).replace("Z", "+00:00")
        moment = dt.datetime.fromisoformat(plain)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.timezone.utc)
        return max(0.0, moment.timestamp() - now)
    return None

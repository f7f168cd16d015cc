"""Read what is of use in an answer's headers, whose names are in lower case here."""

from __future__ import annotations

import contextlib
import email.utils
import math
import time
from typing import TYPE_CHECKING

from inferd_engine.wire.http.rate_limits import LONGEST_WAIT, until_reset

if TYPE_CHECKING:
    from collections.abc import Mapping

# OpenAI's and most others', Anthropic's, OpenRouter's, Amazon's.
_REQUEST_IDS = ("x-request-id", "request-id", "x-generation-id", "x-amzn-requestid")
_TOO_MANY = 429  # Too Many Requests (RFC 6585)


def wait_named(
    status: int, headers: Mapping[str, str], now: float | None = None, *, said: float | None = None
) -> float | None:
    """Return the seconds that the upstream wants us to wait, in whichever way it names them.

    Args:
        status: The HTTP status; the resets of limits count where it says that one was passed.
        headers: The answer's headers, names in lower case.
        now: Seconds since the epoch, for dates.
        said: What its message says.
    """
    seconds = retry_after(headers, now)
    if seconds is None and said is not None:
        seconds = said
    if seconds is None and status == _TOO_MANY:
        seconds = until_reset(headers, time.time() if now is None else now)
    return None if seconds is None else min(seconds, LONGEST_WAIT)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds that the upstream wants us to wait, if it named any.

    Args:
        headers: The answer's headers, names in lower case.
        now: Seconds since the epoch, for an HTTP date.

    Source: RFC 9110, 10.2.3; ``retry-after-ms`` as OpenAI and Azure send it.
    """
    seconds: float | None = None
    if "retry-after" not in headers and "llm_provider-retry-after" in headers:
        # LiteLLM's proxy passes the header of the provider behind it on under this name.
        headers = {**headers, "retry-after": headers["llm_provider-retry-after"]}
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(KeyError, ValueError):
            found = float(headers[name].replace("_", "x")) * scale
            if not math.isnan(found):
                seconds = found
                break
    if seconds is None and "retry-after" in headers:
        try:
            date = email.utils.parsedate_to_datetime(headers["retry-after"])
            seconds = date.timestamp() - (time.time() if now is None else now)
        except (TypeError, ValueError, OverflowError):
            return None
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT)


def request_id_of(headers: Mapping[str, str], own: str) -> str | None:
    """Return the upstream's id of the request, or the caller's own."""
    return next(filter(None, map(headers.get, _REQUEST_IDS)), own) or None

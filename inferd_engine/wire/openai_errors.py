"""Read what an upstream says is wrong, in whatever shape it says it.

Goal: one function finds the message in every error body that compatible servers are known to
send: OpenAI's object, a bare string, a list with one object, FastAPI's ``detail`` (text or a list
of places), Mistral's nested ``message``, Fireworks' ``fault``, plain text, an HTML page.  The rule
behind it: look into the fields that hold messages, outermost first, until there is text.

An HTML page is shown by its title alone: it holds the caller's address and no news.
"""

from __future__ import annotations

import contextlib
import email.utils
import html
import json
import math
import re
import time
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import HttpStatusError, UpstreamError
from inferd_engine.wire.sse import utf8_truncate
from inferd_engine.wire.surrogates import join_surrogates

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN_BODY_BYTES = 4096  # of an error body, on the exception
READ_BODY_BYTES = 65536  # of an error body, searched for the message
_LONGEST_MESSAGE = 500  # characters of somebody else's text in a message of ours
_LONGEST_WAIT = 86400.0  # seconds; an upstream that names more means no number at all

# Where messages are kept, best first.
_FIELDS = ("error", "message", "detail", "msg", "fault", "faultstring", "reason", "errors")
_TITLE = re.compile(r"<title[^<>]*>([^<]*)</title>", re.IGNORECASE)  # no "<": linear time
_HTML = re.compile(r"<(!doctype html|html|head|body|title|center|h1|!--)", re.IGNORECASE)
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)
_RETRYABLE = frozenset({408, 409, 424, 425, 429})
_FINAL_WORDS = ("invalid", "context_length", "filter", "authentication", "permission", "quota")
_DEPTH = 8  # an error nested deeper than this has no message for people


def printable(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """Make somebody else's text safe to print in a message: no control characters, not long."""
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def find_message(value: Any, depth: int = _DEPTH) -> str:  # noqa: ANN401 - JSON
    """Find the message in a decoded error body; empty if there is none."""
    if isinstance(value, str):
        return value.strip()
    if depth == 0:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (find_message(item, depth - 1) for item in value[:5])))
    if not isinstance(value, dict):
        return ""
    for field in _FIELDS:
        if value.get(field) and (found := find_message(value[field], depth - 1)):
            raw = _provider_words(value)
            return f"{found}: {raw}" if raw and raw not in found else found
    return _provider_words(value)


def _provider_words(value: Mapping[str, Any]) -> str:
    """Give what OpenRouter passes on of the provider behind it, or Groq of the failed answer."""
    metadata = value.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else value.get("failed_generation")
    if isinstance(raw, str):
        return raw.strip()
    with contextlib.suppress(RecursionError):
        return find_message(raw, 2) or json.dumps(raw) if raw else ""
    return ""


def read_error_body(body: str) -> tuple[str, str | None]:
    """Find the message, and the code if there is one, in an error body, whatever it is."""
    try:
        value = json.loads(body, strict=False)
    except (ValueError, RecursionError):
        return (html_title(body) if _is_page(body) else body.strip()), None
    return find_message(value) or (body.strip() if value else ""), _find_code(value)


def _is_page(body: str) -> bool:
    """Whether a body is HTML, whatever it begins with."""
    return body.lstrip("\ufeff \t\r\n").startswith("<") and bool(_HTML.search(body[:1024]))


def html_title(page: str) -> str:
    """Give a page's title, which is all of it that is worth showing."""
    found = _TITLE.search(page)
    return "HTML page" + (f": {html.unescape(found[1]).strip()}" if found else "")


def upstream_error(value: Any, *, request_id: str | None = None) -> UpstreamError:  # noqa: ANN401
    """Make the error for an error object (or text) inside a 200 answer.

    Args:
        value: The decoded payload: ``{"error": …}``, a flat object, a list or plain text.
        request_id: The upstream's id of the request.
    """
    message = find_message(value) or "the upstream reported an error without a message"
    message = join_surrogates(message)
    code = _find_code(value)
    hint = " (does base_url lack /v1?)" if "unexpected endpoint" in message.lower() else ""
    return UpstreamError(
        f"the upstream reported an error: {printable(message)}{hint}",
        upstream_message=message,
        code=code,
        retryable=_is_retryable_code(code),
        request_id=request_id,
    )


def _find_code(value: Any) -> str | None:  # noqa: ANN401 - JSON
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    if not isinstance(value, dict):
        return None
    for field in ("code", "status_code", "http_status_code", "type", "error_type", "status"):
        found = value.get(field)
        if isinstance(found, (str, int)) and not isinstance(found, bool) and found:
            return None if found == "None" else str(found)
    return None


def _is_retryable_code(code: str | None) -> bool:
    """Whether an error inside an answer may pass: all but those that blame the request."""
    if code is not None and code.isdecimal() and len(code) == 3:  # noqa: PLR2004 - an HTTP status
        return is_retryable_status(int(code))
    return not any(word in (code or "") for word in _FINAL_WORDS)


def is_retryable_status(status: int) -> bool:
    """Whether the same request may succeed later, going by the HTTP status alone."""
    return status in _RETRYABLE or status >= 500  # noqa: PLR2004


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Give the seconds that the upstream wants us to wait, if it named any.

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
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_WAIT)


def request_id_of(headers: Mapping[str, str], own: str) -> str | None:
    """Give the upstream's id of the request, or the caller's own."""
    return headers.get("x-request-id") or headers.get("request-id") or own or None


def http_error(
    status: int, headers: Mapping[str, str], body: bytes, *, place: str, hint: str, own_id: str
) -> HttpStatusError:
    """Make the error for a status other than 2xx.

    Args:
        status: The HTTP status.
        headers: The answer's headers, names in lower case.
        body: The body's first 64 KiB, or less.
        place: The address that was asked, for the message.
        hint: The next step, if experience has one.
        own_id: The caller's id of the request.
    """
    message, code = read_error_body(body.decode("utf-8", "replace"))
    message = join_surrogates(message)
    should_retry = headers.get("x-should-retry", "").strip().lower()
    said = f": {printable(message)}" if message else ""
    return HttpStatusError(
        f"the upstream answered {status} to {place}{said}" + (f" ({hint})" if hint else ""),
        status=status,
        body=utf8_truncate(body, SHOWN_BODY_BYTES).decode("utf-8", "replace"),
        upstream_message=message,
        code=code,
        headers=headers,
        retry_after=retry_after(headers),
        retryable=should_retry == "true"
        or (should_retry != "false" and is_retryable_status(status)),
        request_id=request_id_of(headers, own_id),
    )

"""Make the errors for what an upstream says is wrong, inside an answer or instead of one.

What it says is found in ``error_messages``, what that means in ``error_kinds``.  Here the two
become an exception: somebody else's text made safe to print, with the next step where one is known.

An HTML page is shown by its title alone: it holds the caller's address and no news.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import HttpStatusError, UpstreamError
from inferd_engine.wire.answer.error_kinds import is_lasting, is_retryable_status, may_pass
from inferd_engine.wire.answer.error_messages import find_codes, find_message
from inferd_engine.wire.http.headers import request_id_of, wait_named
from inferd_engine.wire.http.rate_limits import in_words
from inferd_engine.wire.sse.decoder import utf8_truncate
from inferd_engine.wire.text.json_shapes import object_in
from inferd_engine.wire.text.printable import printable
from inferd_engine.wire.text.surrogates import join_surrogates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHOWN_BODY_BYTES = 4096  # of an error body, on the exception
READ_BODY_BYTES = 65536  # of an error body, searched for the message

_UNKNOWN_PATH = "unexpected endpoint"
_TITLE = re.compile(r"<title[^<>]*>([^<]*)</title>", re.IGNORECASE)  # no "<": linear time
_HTML = re.compile(r"<(!doctype html|html|head|body|title|center|h1|!--)", re.IGNORECASE)


def read_error_body(body: str) -> tuple[str, Any]:
    """Find the message in an error body, whatever it is; give it and the decoded body."""
    try:
        value = json.loads(body, strict=False)
    except (ValueError, RecursionError):
        return (html_title(body) if _is_page(body) else body.strip()), None
    return find_message(value) or (body.strip() if value else ""), value


def _is_page(body: str) -> bool:
    """Whether a body is HTML, whatever it begins with."""
    return body.lstrip("\ufeff \t\r\n").startswith("<") and bool(_HTML.search(body[:1024]))


def html_title(page: str) -> str:
    """Return a page's title, which is all of it that is worth showing."""
    found = _TITLE.search(page)
    return "HTML page" + (f": {html.unescape(found[1]).strip()}" if found else "")


def upstream_error(
    value: Any, *, request_id: str | None = None, unknown_path: str = ""
) -> UpstreamError:
    """Make the error for an error object (or text) inside a 200 answer.

    Args:
        value: The decoded payload: ``{"error": …}``, a flat object, a list or plain text.
        request_id: The upstream's id of the request.
        unknown_path: The next step where the upstream does not know the path (LM Studio).
    """
    found, code = find_message(value), _code_of(value)
    message = join_surrogates(found or "the upstream reported an error without a message")
    only = f" (code {printable(code)})" if code and not found else ""
    hint = f" ({unknown_path})" if unknown_path and _UNKNOWN_PATH in message.lower() else ""
    return UpstreamError(
        f"the upstream reported an error: {printable(message)}{only}{hint}",
        upstream_message=message,
        code=code,
        retryable=may_pass(value, message),
        retry_after=in_words(message),
        request_id=request_id,
    )


def _code_of(value: Any) -> str | None:
    return next(iter(find_codes(value)), None)


def _id_in(value: Any) -> str:
    """Return the id of a request that a body names (Anthropic); empty if it names none."""
    named = object_in(value).get("request_id")
    return named if isinstance(named, str) else ""


def too_large(what: str, size: int, limit: int, *, request_id: str | None = None) -> UpstreamError:
    """Make the error for what is larger than ``max_event_bytes``.

    Args:
        what: What it is, with its verb: ``"the body has"``.
        size: Bytes that were seen; there may be more.
        limit: Bytes that are allowed.
        request_id: The upstream's id of the request.
    """
    return UpstreamError(
        f"{what} more than {size} bytes, the limit is {limit}: "
        "raise max_event_bytes if the upstream is right",
        code="event_too_large",
        retryable=False,
        request_id=request_id,
    )


def http_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    place: str,
    hint: str,
    own_id: str,
    type_of: Callable[[Mapping[str, str], Any], str | None] | None = None,
) -> HttpStatusError:
    """Make the error for a status other than 2xx.

    Args:
        status: The HTTP status.
        headers: The answer's headers, names in lower case.
        body: The body's first 64 KiB, or less.
        place: The address that was asked, for the message.
        hint: The next step, if experience has one.
        own_id: The caller's id of the request.
        type_of: Finds the protocol's own word for the error, which is a better code than a number,
            in the headers and the decoded body.
    """
    message, value = read_error_body(body.decode("utf-8", "replace"))
    message = join_surrogates(message)
    should_retry = headers.get("x-should-retry", "").strip().lower()
    said = f": {printable(message)}" if message else ""
    return HttpStatusError(
        f"the upstream answered {status} to {place}{said}" + (f" ({hint})" if hint else ""),
        status=status,
        body=utf8_truncate(body, SHOWN_BODY_BYTES).decode("utf-8", "replace"),
        upstream_message=message,
        code=(type_of and type_of(headers, value)) or _code_of(value),
        headers=headers,
        retry_after=wait_named(status, headers, said=in_words(message)),
        retryable=should_retry == "true"
        or (
            should_retry != "false"
            and is_retryable_status(status)
            and not is_lasting(value, message)
        ),
        request_id=request_id_of(headers, _id_in(value) or own_id),
    )

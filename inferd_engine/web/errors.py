"""What the other side of a view may know of an error: a status, a word, a sentence.

An error's own message is for whoever runs the program: it may name hosts, models and settings.  So
nothing of it goes out; it is logged where it is turned into a sentence.  Who has to act decides the
status: what only the asker can mend is 400, what a wait mends 429 or 503, everything else is the
upstream's fault or ours, a refused key too.
"""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import attrs

import inferd_engine as ie

_BAD_REQUEST, _TOO_MANY, _INTERNAL = 400, 429, 500
_BAD_GATEWAY, _UNAVAILABLE, _GATEWAY_TIMEOUT = 502, 503, 504
# What upstreams answer (HTTP): the request itself is wrong; they are busy; they were too slow.
_REFUSED = (400, 413, 415, 422)
_BUSY = (503, 529)
_SLOW = (408, 504)


@attrs.frozen(slots=True)
class Verdict:
    """What may be told of an error.

    Args:
        status: The HTTP status.
        code: inferd's word for it (inferd-proto 0.2, ``ErrorCodeV2``).
        message: A sentence for whoever reads the page.
    """

    status: int
    code: str
    message: str

    def openai_error(self) -> dict[str, Any]:
        """Return it as OpenAI's error object."""
        kind = _OPENAI_TYPES.get(self.status, "api_error")
        return openai_error(self.message, kind, self.code)


_OPENAI_TYPES = {_BAD_REQUEST: "invalid_request_error", _TOO_MANY: "rate_limit_error"}


def openai_error(
    message: str,
    type: str,  # noqa: A002 - OpenAI's word
    code: str | None = None,
    param: str | None = None,
) -> dict[str, Any]:
    """Return OpenAI's error object (API reference, "Error codes")."""
    return {"message": message, "type": type, "param": param, "code": code}


_FAILED = Verdict(_BAD_GATEWAY, "backend_unavailable", "The model could not be reached.")
_BUSY_NOW = Verdict(_TOO_MANY, "queue_full", "The model is busy. Try again in a moment.")
_NOT_READY = Verdict(
    _UNAVAILABLE, "backend_unavailable", "The model is not available. Try again later."
)
_TOO_SLOW = Verdict(_GATEWAY_TIMEOUT, "backend_unavailable", "The model took too long. Try again.")
_WRONG = Verdict(_BAD_REQUEST, "invalid_request", "The request cannot be answered as it is.")
_BY_CLASS: tuple[tuple[type[ie.GenerateError], Verdict], ...] = (
    (
        ie.AttachmentUnsupportedError,
        Verdict(_BAD_REQUEST, "attachment_unsupported", "The model does not take that attachment."),
    ),
    (ie.InvalidRequestError, _WRONG),
    (ie.DeadlineError, _TOO_SLOW),
    (ie.NotReadyError, _NOT_READY),
    (
        ie.ToolCallMalformedError,
        Verdict(_BAD_GATEWAY, "tool_call_malformed", "The model's call of a tool was malformed."),
    ),
    (
        ie.StreamInterruptedError,
        Verdict(_BAD_GATEWAY, "backend_unavailable", "The answer was cut off."),
    ),
    (
        ie.RequestCancelledError,
        Verdict(_UNAVAILABLE, "backend_unavailable", "The answer was stopped."),
    ),
    (ie.TransportError, _FAILED),
    (
        ie.UnavailableError,
        Verdict(_BAD_GATEWAY, "backend_unavailable", "The model could not answer. Try again."),
    ),
)
_OURS = Verdict(_INTERNAL, "internal", "Something went wrong on our side.")


_logger = logging.getLogger("inferd_engine")


def log(error: ie.GenerateError) -> None:
    """Tell whoever runs the program what the other side is not told; an error holds no secret."""
    _logger.warning("an answer failed: %r", error)  # escaped: it may hold an upstream's words


def verdict_on(error: ie.GenerateError) -> Verdict:
    """Return what may be told of an error."""
    if isinstance(error, ie.HttpStatusError):
        return _verdict_on_status(error)
    for kind, verdict in _BY_CLASS:
        if isinstance(error, kind):
            return verdict
    return _OURS


def _verdict_on_status(error: ie.HttpStatusError) -> Verdict:
    if error.status == _TOO_MANY:  # an account that is empty will not fill while the asker waits
        return _BUSY_NOW if error.retryable else _FAILED
    if error.status in _REFUSED:
        return _WRONG
    if error.status in _BUSY:
        return _NOT_READY
    return _TOO_SLOW if error.status in _SLOW else _FAILED


@attrs.frozen(slots=True)
class ErrorResponse:
    """Answer with it what failed before the first token.

    Args:
        status: The HTTP status.
        headers: Name and value pairs.
        body: JSON in OpenAI's shape.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def error_response(error: ie.GenerateError) -> ErrorResponse:
    """Return the HTTP answer for an error that was raised before there was a stream.

    Args:
        error: As ``Backend.stream()`` raised it; its message is logged, and does not go out.
    """
    log(error)
    verdict = verdict_on(error)
    wait = getattr(error, "retry_after", None)
    headers = []
    if wait is not None and verdict.status in (_TOO_MANY, _UNAVAILABLE):
        headers.append(("Retry-After", str(max(1, math.ceil(wait)))))  # RFC 9110, 10.2.3
    return json_error(verdict.status, verdict.openai_error(), *headers)


def json_error(status: int, error: dict[str, Any], *headers: tuple[str, str]) -> ErrorResponse:
    """Return an HTTP answer with OpenAI's error object."""
    body = json.dumps({"error": error}).encode("ascii")
    common = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
    return ErrorResponse(status, (*common, *headers), body)

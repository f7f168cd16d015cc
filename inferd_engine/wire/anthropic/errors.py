"""Make the errors for what an upstream says is wrong.

What it says is found as for every other protocol (``wire.answer.errors``); the code is Anthropic's
``error.type`` (``overloaded_error``, ``rate_limit_error``, …), also where a number stands beside
it, and the id of the request may be beside the error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.wire.answer import errors
from inferd_engine.wire.anthropic.hints import NOT_SPOKEN
from inferd_engine.wire.text.json_shapes import object_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.errors import UpstreamError


def upstream_error(value: Any, *, request_id: str | None = None) -> UpstreamError:
    """Make the error for an error object (or text) inside a 200 answer.

    Args:
        value: The decoded payload: ``{"type": "error", "error": …}``, its inner object, or text.
        request_id: The upstream's id of the request.
    """
    own_id = object_in(value).get("request_id")
    error = errors.upstream_error(
        value,
        request_id=request_id or (own_id if isinstance(own_id, str) else None),
        unknown_path=NOT_SPOKEN,
    )
    error.code = type_of({}, value) or error.code
    return error


def type_of(_: Mapping[str, str], value: Any) -> str | None:
    """Return the type of an error; None if it has none.

    Args:
        value: The decoded body of a refusal, or the payload of an error inside an answer.
    """
    outer = object_in(value)
    for kind in (object_in(outer.get("error")).get("type"), outer.get("type")):
        if isinstance(kind, str) and kind not in ("", "error"):
            return kind
    return None

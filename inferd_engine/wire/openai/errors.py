"""Make the errors for what an upstream says is wrong inside an answer of Chat Completions.

What it says is found as for every other protocol (``wire.answer.errors``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.wire.answer import errors

if TYPE_CHECKING:
    from inferd_engine.errors import UpstreamError

UNKNOWN_PATH = "does base_url lack /v1?"
"""The next step where an upstream says 200, and that it does not know the path."""


def upstream_error(value: Any, *, request_id: str | None = None) -> UpstreamError:
    """Make the error for an error object (or text) inside a 200 answer.

    Args:
        value: The decoded payload: ``{"error": …}``, a flat object, a list or plain text.
        request_id: The upstream's id of the request.
    """
    return errors.upstream_error(value, request_id=request_id, unknown_path=UNKNOWN_PATH)

"""What Bedrock says is wrong: the types of its exceptions, in a stream and as statuses.

Amazon Bedrock API reference, "ConverseStream", errors; "Common Errors".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.errors import UpstreamError
from inferd_engine.wire.answer.error_messages import find_message
from inferd_engine.wire.text.json_shapes import object_in, word_in
from inferd_engine.wire.text.printable import printable
from inferd_engine.wire.text.surrogates import join_surrogates

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLAMING = ("validation", "accessdenied", "resourcenotfound", "conflict", "expiredtoken")


def upstream_error(
    kind: str, value: Mapping[str, Any], *, request_id: str | None = None
) -> UpstreamError:
    """Make the error for an exception inside a 200 answer.

    Args:
        kind: Its type, such as ``"throttlingException"``.
        value: Its payload.
        request_id: The upstream's id of the request.
    """
    message = value.get("originalMessage") or find_message(dict(value))
    message = join_surrogates(str(message or kind or "the upstream reported an error"))
    return UpstreamError(
        f"the upstream reported an error: {printable(message)}",
        upstream_message=message,
        code=kind or None,
        retryable=not kind.lower().startswith(_BLAMING),
        request_id=request_id,
    )


def type_of(headers: Mapping[str, str], value: Any) -> str | None:
    """Return the type of the error that a status stands for; None if nothing says it.

    Args:
        headers: The answer's headers, names in lower case.
        value: The decoded body: some of Amazon's gateways say it there.
    """
    named = headers.get("x-amzn-errortype") or word_in(object_in(value).get("__type"))
    kind = named.partition(":")[0].partition(",")[0]
    return kind.rpartition("#")[2].strip() or None

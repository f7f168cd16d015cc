"""The door to the mapper of requests, under the name that the contract gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.wire.openai.request import body_from

if TYPE_CHECKING:
    from inferd_engine.backends.openai_compat.config import OpenAiCompatConfig
    from inferd_engine.proto.v2 import ResolvedV2


def request_from_resolved(resolved: ResolvedV2, config: OpenAiCompatConfig) -> dict[str, Any]:
    """Return the JSON object that ``OpenAiCompat`` posts for a request.

    Args:
        resolved: The checked request.
        config: The upstream's model and ways.

    Raises:
        AttachmentUnsupportedError: A message shows what this upstream is not sent.
        NonTextToolResultError: A tool result holds something other than text.
        UnknownContentBlockError: A block has a type that nobody here knows.
        InvalidRequestError: Something else cannot be sent; the message names the place.
    """
    return body_from(resolved, config.dialect)

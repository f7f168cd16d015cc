"""Refuse a block of a message that is not sent, with its place and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine.errors import (
    AttachmentUnsupportedError,
    NonTextToolResultError,
    UnknownContentBlockError,
)
from inferd_engine.proto.v2 import UnknownBlock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.errors import InvalidRequestError
    from inferd_engine.proto.v2 import ContentBlock


def not_sent(block: ContentBlock, place: str, switches: Mapping[str, str]) -> InvalidRequestError:
    """Return the error for a block that shows what is not sent, or that nobody knows.

    Args:
        block: The block.
        place: Where it is in the request.
        switches: By the type of a block, the setting that would send it.
    """
    if isinstance(block, UnknownBlock):
        return UnknownContentBlockError(
            f"{place} has the unknown block type {block.type!r}: remove it"
        )
    switch = switches.get(block.type)
    step = f": configure {switch} if the model takes it" if switch else ""
    return AttachmentUnsupportedError(
        f"{place} is of type {block.type}, which this backend does not send{step}"
    )


def not_in_result(block: ContentBlock, place: str, taken: str) -> NonTextToolResultError:
    """Return the error for a block that no tool result may hold there.

    Args:
        block: The block.
        place: Where it is in the request.
        taken: What a result may hold.
    """
    return NonTextToolResultError(f"{place} is {block.type}: a tool result takes {taken} here")

"""Make a request of what a call was given: a prompt in any shape, and fields by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.proto.roles import Role
from inferd_engine.proto.v2 import (
    AudioBlock,
    DocumentBlock,
    ImageBlock,
    MessageV2,
    RequestV2,
    TextBlock,
    ToolResultBlock,
    VideoBlock,
    system as system_message,
)
from inferd_engine.proto.values import several
from inferd_engine.wire.openai.messages import messages_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from inferd_engine.proto.fields import RequestFields
    from inferd_engine.proto.v2 import Attachment, ContentBlock
    from inferd_engine.wire.openai.messages import Prompt

_SHOWING: dict[str, type[ImageBlock | AudioBlock | VideoBlock | DocumentBlock]] = {
    block.type: block for block in (ImageBlock, AudioBlock, VideoBlock, DocumentBlock)
}


def request_from(prompt: Prompt, system: str | None, fields: RequestFields) -> RequestV2:
    """Return the request of a call.

    Args:
        prompt: A str (one user message), or messages: ours, or dicts in OpenAI's shape.
        system: Put in front as a system message.
        fields: Of the request; attachments that no message shows are shown after the last text of
            the user.

    Raises:
        InvalidRequestError: A dict has another shape; the message names the place.
    """
    messages, shown = messages_from(prompt)
    attached = fields.get("attachments")
    given = () if attached is None else several(attached)
    messages = _showing(messages, given)
    if system is not None:
        messages = (system_message(system), *messages)
    named: dict[str, Any] = {**fields, "attachments": (*shown, *given)}
    return RequestV2(messages, **named)


def _showing(
    messages: tuple[MessageV2, ...], attachments: Sequence[Attachment]
) -> tuple[MessageV2, ...]:
    """Add blocks for those attachments that no message refers to."""
    referred = {
        block.attachment_id
        for message in messages
        if isinstance(message, MessageV2)
        for block in _all_blocks(message.content)
        if isinstance(block, (ImageBlock, AudioBlock, VideoBlock, DocumentBlock))
    }
    added = tuple(
        _SHOWING[attachment.kind](attachment.id)
        for attachment in attachments
        if getattr(attachment, "kind", None) in _SHOWING and attachment.id not in referred
    )
    if not added:
        return messages
    for at in range(len(messages) - 1, -1, -1):
        texts = _text_places(messages[at])
        if texts:
            content = messages[at].content
            after = texts[-1] + 1
            shown = attrs.evolve(messages[at], content=(*content[:after], *added, *content[after:]))
            return (*messages[:at], shown, *messages[at + 1 :])
    return (*messages, MessageV2(Role.USER, added))


def _all_blocks(content: Iterable[ContentBlock]) -> Iterator[ContentBlock]:
    for block in content:
        yield block
        if isinstance(block, ToolResultBlock):
            yield from _all_blocks(block.content)


def _text_places(message: MessageV2) -> list[int]:
    """Return where a user's message has text; whatever is no message has none."""
    if not isinstance(message, MessageV2) or message.role != Role.USER:
        return []
    return [at for at, block in enumerate(message.content) if isinstance(block, TextBlock)]

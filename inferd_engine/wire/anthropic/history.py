"""Map the messages of a request to those of Anthropic's Messages.

Goal: a history that Anthropic and every compatible server take, whichever backend it began with:

* only user and assistant speak, and take turns: messages of one role in a row are one;
* system messages go to ``system``, joined, wherever they stood;
* in a user's turn the results of tools come first; the order is kept otherwise;
* thoughts go back unchanged where they were signed; others are left out, because they are refused;
* a call's input is an object, and its id has letters, digits, ``_`` and ``-``: an id that has more
  is written anew, in the call and in its result;
* blank text is refused there: it is left out, and so is a turn that holds nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import AttachmentUnsupportedError, InvalidRequestError
from inferd_engine.proto.roles import Role
from inferd_engine.proto.v2 import (
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from inferd_engine.wire.anthropic.media import document_block, image_block
from inferd_engine.wire.request.blocks import not_in_result, not_sent
from inferd_engine.wire.request.tools import input_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferd_engine.proto.v2 import Attachment, ContentBlock, MessageV2
    from inferd_engine.wire.anthropic.dialect import Dialect

SIGNATURE, REDACTED = "signature", "redacted"
"""What ``ThinkingBlock.extra`` keeps of a thought: its signature, or all of it, unreadable."""
_SWITCHES = {"image": "vision=True", "document": "documents=True"}
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def history_from(
    messages: Sequence[MessageV2], attachments: Sequence[Attachment], dialect: Dialect
) -> tuple[str, list[dict[str, Any]]]:
    """Give ``system`` and the ``messages`` to post.

    Raises:
        InvalidRequestError: Something cannot be sent; the message names the place.
    """
    history = _History(attachments, dialect)
    for index, message in enumerate(messages):
        history.take(message, f"messages[{index}].content")
    if not history.turns:
        raise InvalidRequestError("messages holds nothing that is sent: say something as user()")
    for turn in history.turns:  # a stable sort: results first
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return "\n\n".join(history.system), history.turns


class _History:
    """What has to be known of the whole conversation while its messages are mapped."""

    def __init__(self, attachments: Sequence[Attachment], dialect: Dialect) -> None:
        self.system: list[str] = []
        self.turns: list[dict[str, Any]] = []
        self._dialect = dialect
        self._attachments: Mapping[str, Any] = {item.id: item for item in attachments}
        self._ids: dict[str, str] = {}
        self._own_ids: set[str] = set()

    def take(self, message: MessageV2, place: str) -> None:
        """Add a message to ``system`` or to the turns."""
        if message.role == Role.SYSTEM:
            self._take_system(message, place)
            return
        role = str(message.role)
        blocks: list[dict[str, Any]] = []
        for number, block in enumerate(message.content):
            if role == Role.ASSISTANT and isinstance(block, DocumentBlock):
                self._check_document(f"{place}[{number}]")
            blocks += self._block(block, f"{place}[{number}]")
        if not blocks:
            return
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] += blocks
        else:
            self.turns.append({"role": role, "content": blocks})

    def _check_document(self, place: str) -> None:
        if self._dialect.is_strict:
            raise AttachmentUnsupportedError(
                f"{place} is a document in the assistant's turn, which the API version "
                f"{self._dialect.version} refuses: show it as the user"
            )

    def _take_system(self, message: MessageV2, place: str) -> None:
        texts: list[str] = []
        for number, block in enumerate(message.content):
            if not isinstance(block, TextBlock):
                raise InvalidRequestError(
                    f"{place}[{number}] is {block.type}: a system message holds text alone"
                )
            texts.append(block.text)
        if (text := "".join(texts)).strip():
            self.system.append(text)

    def _block(self, block: ContentBlock, place: str) -> list[dict[str, Any]]:
        """Give what a block becomes: one, or none."""
        if isinstance(block, TextBlock):
            return [{"type": "text", "text": block.text}] if block.text.strip() else []
        if isinstance(block, ThinkingBlock):
            return _thought(block)
        if isinstance(block, ToolUseBlock):
            value = _object(block.input, place)
            called = {"id": self._id(block.tool_call_id), "name": block.name, "input": value}
            return [{"type": "tool_use", **called}]
        if isinstance(block, ToolResultBlock):
            return [self._result(block, place)]
        return [self._shown(block, place)]

    def _shown(self, block: ContentBlock, place: str) -> dict[str, Any]:
        if isinstance(block, ImageBlock) and self._dialect.vision:
            return image_block(self._attachments[block.attachment_id], place)
        if isinstance(block, DocumentBlock) and self._dialect.documents:
            return document_block(self._attachments[block.attachment_id])
        raise not_sent(block, place, _SWITCHES)

    def _result(self, block: ToolResultBlock, place: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for number, inner in enumerate(block.content):
            where = f"{place}.content[{number}]"
            if isinstance(inner, (ThinkingBlock, ToolUseBlock, ToolResultBlock)):
                raise not_in_result(inner, where, "text, images and documents")
            content += self._block(inner, where)
        result: dict[str, Any] = {
            "type": "tool_result",
            "tool_use_id": self._id(block.tool_call_id),
            "content": content,
        }
        if all(inner["type"] == "text" for inner in content):
            result["content"] = "".join(inner["text"] for inner in content)
        return {**result, "is_error": True} if block.is_error else result

    def _id(self, call_id: str) -> str:
        """Give a call's id as it may be sent: the same for the same call, another for another."""
        if call_id not in self._ids:
            own = _NOT_IN_IDS.sub("_", call_id)
            while own in self._own_ids:
                own += "_"
            self._ids[call_id] = own
            self._own_ids.add(own)
        return self._ids[call_id]


def _thought(block: ThinkingBlock) -> list[dict[str, Any]]:
    redacted, signature = block.extra.get(REDACTED), block.extra.get(SIGNATURE)
    if redacted and isinstance(redacted, str):
        return [{"type": "redacted_thinking", "data": redacted}]
    if signature and isinstance(signature, str):
        return [{"type": "thinking", "thinking": block.text, "signature": signature}]
    return []


def _object(value: Any, place: str) -> dict[str, Any]:
    """Give a call's input as the object that it has to be; what is none is put into one."""
    value, _ = input_of(value, place)
    return value if isinstance(value, dict) else {"input": value}

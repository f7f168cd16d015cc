"""Read the messages of programs that speak OpenAI's shape already.

``stream()`` takes a list of dicts as every other client does, so that a program can change clients
without changing its history.  Images, sounds and files in it become attachments, named by their
place.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Union

import attrs

from inferd_engine.proto.roles import Role
from inferd_engine.proto.v2 import (
    AudioAttachment,
    AudioBlock,
    DocumentAttachment,
    DocumentBlock,
    ImageAttachment,
    ImageBlock,
    MessageV2,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from inferd_engine.proto.values import kind_of, refuse
from inferd_engine.wire.openai.reasoning_details import REASONING_DETAILS
from inferd_engine.wire.openai.texts import THOUGHTS
from inferd_engine.wire.openai.tools import CUSTOM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.proto.v2 import Attachment, ContentBlock

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.USER,
}


Prompt = Union[str, MessageV2, "dict[str, Any]", "Iterable[MessageV2 | dict[str, Any]]"]


def messages_from(prompt: Prompt) -> tuple[tuple[MessageV2, ...], tuple[Attachment, ...]]:
    """Return a prompt as messages, and what they show as attachments.

    Args:
        prompt: A str (one user message), a message, or several: ours, or dicts in OpenAI's shape.

    Raises:
        InvalidRequestError: A dict has another shape; the message names the place.
    """
    if isinstance(prompt, str):
        return (MessageV2(Role.USER, prompt),), ()
    if isinstance(prompt, (MessageV2, dict)):
        prompt = (prompt,)
    if isinstance(prompt, (bytes, bytearray)):
        refuse("prompt", "is bytes: decode them to a str")
    if not isinstance(prompt, Iterable):
        refuse("prompt", f"is {kind_of(prompt)}: give a str or a list of messages")
    reader = _Reader()
    messages = tuple(
        reader.message(message, f"messages[{index}]")
        if isinstance(message, dict)
        else message  # whatever else it is, resolve() says so
        for index, message in enumerate(prompt)
    )
    return messages, tuple(reader.attachments)


class _Reader:
    """Reads messages in OpenAI's shape, and collects what they show."""

    def __init__(self) -> None:
        self.attachments: list[Attachment] = []

    def message(self, message: Mapping[str, Any], place: str) -> MessageV2:
        word = message.get("role")
        role = _ROLES.get(word) if isinstance(word, str) else None
        if role is None:
            refuse(f"{place}.role", f"is {word!r}: take {', '.join(_ROLES)}")
        content = self._content(message.get("content"), f"{place}.content")
        if word == "tool":
            call_id = message.get("tool_call_id")
            if not isinstance(call_id, str) or not call_id:
                refuse(place, "has no tool_call_id: it pairs the result with its call")
            return MessageV2(role, (ToolResultBlock(call_id, content),))
        if not content and isinstance(message.get("refusal"), str):
            content = (TextBlock(message["refusal"]),)
        calls = message.get("tool_calls") or ()
        if not isinstance(calls, (list, tuple)):
            refuse(f"{place}.tool_calls", "is not a list")
        blocks = [_call(call, f"{place}.tool_calls[{number}]") for number, call in enumerate(calls)]
        if blocks and message.get(REASONING_DETAILS):
            details = {REASONING_DETAILS: message[REASONING_DETAILS]}
            blocks[0] = attrs.evolve(blocks[0], extra={**blocks[0].extra, **details})
        if not content and not blocks:
            content = (TextBlock(""),)
        return MessageV2(role, (*_thoughts(message), *content, *blocks))

    def _content(self, content: Any, place: str) -> tuple[ContentBlock, ...]:
        if content is None or content == "":
            return ()
        if isinstance(content, str):
            return (TextBlock(content),)
        if not isinstance(content, (list, tuple)):
            refuse(place, "is neither text nor a list of parts")
        return tuple(self._part(part, f"{place}[{number}]") for number, part in enumerate(content))

    def _part(self, part: Any, place: str) -> ContentBlock:
        if isinstance(part, str):
            return TextBlock(part)
        if not isinstance(part, dict):
            refuse(place, f"is a {type(part).__name__}: give text, or a part with a type")
        for text in (part.get("text"), part.get("refusal")):
            if isinstance(text, str):
                return TextBlock(text)
        kind = part.get("type")
        if kind == "image_url":
            self.attachments.append(_image(part.get(kind), place))
            return ImageBlock(place)
        if kind == "file":
            self.attachments.append(_document(part.get(kind), place))
            return DocumentBlock(place)
        if kind != "input_audio":
            refuse(place, f"is a part of type {kind!r}: give text, image_url, input_audio or file")
        self.attachments.append(_audio(part.get(kind), place))
        return AudioBlock(place)


def _image(image: Any, place: str) -> ImageAttachment:
    image = {"url": image} if isinstance(image, str) else image
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        refuse(f"{place}.image_url", "has no url")
    return ImageAttachment.at(place, image["url"], detail=image.get("detail"))


def _audio(audio: Any, place: str) -> AudioAttachment:
    try:
        return AudioAttachment.encoded(place, base64.b64decode(audio["data"], validate=True))
    except (KeyError, TypeError, ValueError):
        refuse(f"{place}.input_audio", "has no data in base64")


def _document(file: Any, place: str) -> DocumentAttachment:
    try:
        head, _, encoded = file["file_data"].rpartition(",")  # data:application/pdf;base64,…
        data = base64.b64decode(encoded, validate=True)
    except (AttributeError, KeyError, TypeError, ValueError):
        refuse(place, "is a part of type 'file' without file_data in base64: give its bytes")
    media_type = head.removeprefix("data:").partition(";")[0]
    name = file.get("filename") or ""
    return DocumentAttachment(place, data, media_type or "application/pdf", name)


def _thoughts(message: Mapping[str, Any]) -> tuple[ThinkingBlock, ...]:
    for field in THOUGHTS:
        if isinstance(message.get(field), str) and message[field]:
            return (ThinkingBlock(message[field]),)
    return ()


def _call(call: Any, place: str) -> ToolUseBlock:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        custom = call.get(CUSTOM) if isinstance(call, dict) else None
        if isinstance(custom, dict):
            extra = {key: value for key, value in call.items() if key not in ("id", CUSTOM)}
            extra["type"] = CUSTOM
            return ToolUseBlock(
                call.get("id") or "", custom.get("name") or "", custom.get("input") or "", extra
            )
        refuse(place, "has no function")
    arguments = function.get("arguments") or "{}"
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, strict=False)
        except (ValueError, RecursionError):
            refuse(f"{place}.function.arguments", "are not JSON")
    extra = {key: value for key, value in call.items() if key not in ("id", "type", "function")}
    return ToolUseBlock(call.get("id") or "", function.get("name") or "", arguments, extra)

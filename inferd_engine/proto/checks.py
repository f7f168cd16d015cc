"""Check a version 2 request: every rule once, and the place in every message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from inferd_engine.proto.blocks import (
    KNOWN_ATTACHMENTS,
    Attachment,
    AudioAttachment,
    AudioBlock,
    ContentBlock,
    DocumentAttachment,
    DocumentBlock,
    ImageAttachment,
    ImageBlock,
    KnownAttachment,
    MessageV2,
    TextBlock,
    ThinkingBlock,
    Tool,
    ToolResultBlock,
    ToolUseBlock,
    UnknownAttachment,
    VideoAttachment,
    VideoBlock,
)
from inferd_engine.proto.media import audio_format_of, image_format_of
from inferd_engine.proto.roles import check_role
from inferd_engine.proto.tool_choice import complaint_of, names_of
from inferd_engine.proto.values import check_integer, check_sampling, kind_of, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferd_engine.proto.v2 import RequestV2

_PIXEL_BYTES, _SAMPLE_BYTES = 3, 4
_ABOVE_0 = "a whole number, 1 or more"


def check_request(request: RequestV2) -> None:
    """Check all of a request.

    Raises:
        InvalidRequestError: Something cannot be sent; the message names the place.
    """
    if not request.messages:
        refuse("messages", "is empty: give at least one message")
    if not isinstance(request.model, str):
        refuse("model", f"is {request.model!r}: it has to be a str, empty for the backend's own")
    if not isinstance(request.extra_body, Mapping):
        refuse("extra_body", f"is {kind_of(request.extra_body)}: it has to be a mapping")
    kinds = _check_attachments(request.attachments)
    names = _check_tools(request.tools)
    names.update(names_of(request.extra_body.get("tools")))
    complaint = complaint_of(request.tool_choice, names)
    if complaint is not None:
        refuse("tool_choice", complaint)
    for index, message in enumerate(request.messages):
        _check_message(message, f"messages[{index}]", kinds)
    check_sampling(request.temperature, request.top_p, request.top_k, request.max_tokens)
    check_integer("seed", request.seed, float("-inf"), "a whole number")
    _check_words(request)


def _check_attachments(attachments: Sequence[Attachment]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for index, attachment in enumerate(attachments):
        place = f"attachments[{index}]"
        if isinstance(attachment, UnknownAttachment):
            refuse(
                place,
                f"has the unknown kind {attachment.kind!r}: take image, audio, video or document",
            )
        if type(attachment) not in KNOWN_ATTACHMENTS.values():
            kinds_there = ", ".join(kind.__name__ for kind in KNOWN_ATTACHMENTS.values())
            refuse(place, f"is not an attachment: use {kinds_there}")
        if not isinstance(attachment.id, str) or not attachment.id:
            refuse(place, "has no id: give it a name that content blocks can refer to")
        if attachment.id in kinds:
            refuse(place, f"repeats the id {attachment.id!r}: ids are unique in a request")
        if attachment.data is None:
            refuse(place, "has no data: give its bytes" + _or_address(attachment))
        _check_size(attachment, place)
        kinds[attachment.id] = attachment.kind
    return kinds


def _check_size(attachment: KnownAttachment, place: str) -> None:
    if isinstance(attachment, DocumentAttachment):
        _check_document(attachment, place)
    elif isinstance(attachment, ImageAttachment) and isinstance(attachment.data, str):
        _check_address(attachment.data, place)
    else:
        _check_bytes(attachment, place)


def _check_bytes(
    attachment: ImageAttachment | AudioAttachment | VideoAttachment, place: str
) -> None:
    if not isinstance(attachment.data, (bytes, bytearray, memoryview)):
        refuse(place, "has data that is not bytes")
    size = len(attachment.data)
    if isinstance(attachment, ImageAttachment):
        if image_format_of(attachment.data):
            return  # encoded, or RGB whose first pixel looks so: then its size tells
        if attachment.width == attachment.height == 0:
            refuse(
                f"{place}.width", "is 0: give that of RGB, or encode it as PNG, JPEG, WebP or GIF"
            )
        check_integer(f"{place}.width", attachment.width, 1, _ABOVE_0, required=True)
        check_integer(f"{place}.height", attachment.height, 1, _ABOVE_0, required=True)
        wanted = attachment.width * attachment.height * _PIXEL_BYTES
        if size != wanted:
            refuse(
                place,
                f"has {size} bytes: RGB of {attachment.width} x {attachment.height} pixels "
                f"has {wanted}",
            )
    elif isinstance(attachment, AudioAttachment) and not audio_format_of(attachment.data):
        if attachment.sample_rate == 0:
            refuse(f"{place}.sample_rate", "is 0: give that of PCM, or encode it as WAV or MP3")
        check_integer(f"{place}.sample_rate", attachment.sample_rate, 1, _ABOVE_0, required=True)
        if size % _SAMPLE_BYTES:
            refuse(place, f"has {size} bytes: float32 samples have {_SAMPLE_BYTES} bytes each")


def _or_address(attachment: KnownAttachment) -> str:
    return ", or a URL" if isinstance(attachment, (ImageAttachment, DocumentAttachment)) else ""


def _check_document(document: DocumentAttachment, place: str) -> None:
    for field in ("media_type", "name"):
        if not isinstance(getattr(document, field), str):
            refuse(f"{place}.{field}", f"is {getattr(document, field)!r}: it has to be a str")
    if "/" not in document.media_type:
        refuse(f"{place}.media_type", f"is {document.media_type!r}: take 'application/pdf'")
    if isinstance(document.data, str):
        if not re.match(r"https?://\S+\Z", document.data, re.IGNORECASE):
            refuse(place, "has a str as data that is not a URL: give http:, https:, or bytes")
    elif not isinstance(document.data, (bytes, bytearray, memoryview)) or not len(document.data):
        refuse(place, "has data that is not bytes, or is empty")


def _check_address(url: str, place: str) -> None:
    if not re.match(r"(https?://|data:image/)\S+\Z", url, re.IGNORECASE):
        refuse(
            place, "has a str as data that is not a URL: give http:, https:, data:image/, or bytes"
        )


def _check_tools(tools: Sequence[Tool]) -> set[str]:
    names: set[str] = set()
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        if not isinstance(tool, Tool) or not isinstance(tool.name, str) or not tool.name:
            refuse(place, "has no name: use Tool(name, description, input_schema)")
        if tool.name in names:
            refuse(place, f"repeats the name {tool.name!r}: names are unique in a request")
        if not isinstance(tool.input_schema, Mapping):
            refuse(place, "has an input_schema that is not a mapping: give a JSON schema")
        if tool.strict is not None:
            _check_switch(f"{place}.strict", tool.strict)
        names.add(tool.name)
    return names


def _check_message(message: MessageV2, place: str, kinds: Mapping[str, str]) -> None:
    if not isinstance(message, MessageV2):
        refuse(place, f"is not a MessageV2, but {kind_of(message)}: {_remedy(message)}")
    check_role(message.role, f"{place}.role")
    if not message.content:
        refuse(f"{place}.content", "is empty: give at least one block")
    for where, block in _walk(message.content, f"{place}.content"):
        _check_block(block, where, kinds)


def _remedy(message: object) -> str:
    """Say how a message is made of what was given as one."""
    for method in ("to_message", "model_dump"):  # a Completion's; pydantic's
        if callable(getattr(message, method, None)):
            return f"take its {method}()"
    return "use user(), assistant(), system(), tool_result(), or a dict in OpenAI's shape"


def _walk(blocks: Sequence[ContentBlock], place: str) -> Iterator[tuple[str, ContentBlock]]:
    """Yield every block with its place, those inside tool results too."""
    for index, block in enumerate(blocks):
        where = f"{place}[{index}]"
        yield where, block
        if isinstance(block, ToolResultBlock):
            yield from _walk(block.content, f"{where}.content")


def _check_block(block: ContentBlock, place: str, kinds: Mapping[str, str]) -> None:
    if isinstance(block, (TextBlock, ThinkingBlock)):
        _check_text(block, place)
    elif isinstance(block, (ImageBlock, AudioBlock, VideoBlock, DocumentBlock)):
        kind = kinds.get(block.attachment_id) if isinstance(block.attachment_id, str) else None
        if kind is None:
            refuse(place, f"refers to no attachment: there is no id {block.attachment_id!r}")
        elif kind != block.type:
            refuse(place, f"wants {block.type}, but attachment {block.attachment_id!r} is {kind}")
    elif isinstance(block, (ToolUseBlock, ToolResultBlock)):
        if not isinstance(block.tool_call_id, str) or not block.tool_call_id:
            refuse(place, "has no tool_call_id: it pairs the call with its result")
        if isinstance(block, ToolUseBlock) and (not isinstance(block.name, str) or not block.name):
            refuse(place, "has no name: say which tool was called")
        if isinstance(block, ToolResultBlock):
            _check_switch(f"{place}.is_error", block.is_error)
    else:
        kind = getattr(block, "type", None)
        if not isinstance(kind, str):
            refuse(place, f"is not a block, but {kind_of(block)}: give a str, or TextBlock(…)")
        refuse(place, f"has the unknown block type {kind!r}")


def _check_text(block: TextBlock | ThinkingBlock, place: str) -> None:
    if not isinstance(block.text, str):
        refuse(place, "has a text that is not a str")
    if isinstance(block, ThinkingBlock) and not isinstance(block.extra, Mapping):
        refuse(f"{place}.extra", f"is {kind_of(block.extra)}: it has to be a mapping")


def _check_switch(place: str, value: object) -> None:
    if not isinstance(value, bool):
        refuse(place, f"is {value!r}: take a bool")


def _check_words(request: RequestV2) -> None:
    if not all(isinstance(word, str) and word for word in request.stop):
        refuse("stop", f"is {list(request.stop)!r}: every sequence has to be a str, none empty")
    if not (
        request.thinking is None
        or isinstance(request.thinking, bool)
        or request.thinking in ("low", "medium", "high")
    ):
        refuse("thinking", f"is {request.thinking!r}: take a bool, 'low', 'medium' or 'high'")
    for name in ("stream", "parallel_tool_calls"):
        if getattr(request, name) is not None:
            _check_switch(name, getattr(request, name))
    wanted = request.response_format
    if wanted is not None and not isinstance(wanted, (Mapping, str)):  # a word: as it is
        refuse(
            "response_format",
            f"is {kind_of(wanted)}: give a mapping, such as "
            '{"type": "json_schema", "schema": {…}}',
        )
    if not isinstance(request.id, str):
        refuse("id", f"is {request.id!r}: it has to be a str")

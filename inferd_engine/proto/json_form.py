"""inferd's JSON of what requests are made of (inferd 0.2, ``inferd-proto``, v2/request.rs)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.proto.blocks import (
    KNOWN_ATTACHMENTS,
    KNOWN_BLOCKS,
    Attachment,
    ContentBlock,
    MessageV2,
    Tool,
    ToolResultBlock,
    UnknownAttachment,
    UnknownBlock,
    to_blocks,
)
from inferd_engine.proto.values import refuse, take, take_list

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def if_any(name: str, items: list[Any]) -> dict[str, Any]:
    """Return a list under its name; nothing if it is empty."""
    return {name: items} if items else {}


def block_to_dict(block: ContentBlock) -> dict[str, Any]:
    """Return a block's JSON."""
    if isinstance(block, UnknownBlock):
        return {**block.fields, "type": block.type}
    fields = {f.name: getattr(block, f.name) for f in attrs.fields(type(block))}
    if isinstance(block, ToolResultBlock):
        fields["content"] = [block_to_dict(inner) for inner in block.content]
    for name in ("extra", "is_error"):  # inferd knows neither: only what is set
        if name in fields and not fields[name]:
            del fields[name]
    return {"type": block.type, **fields}


def message_to_dict(message: MessageV2) -> dict[str, Any]:
    """Return a message's JSON."""
    return {"role": str(message.role), "content": [block_to_dict(b) for b in message.content]}


def message_from_dict(data: Any, place: str) -> MessageV2:
    """Read a message."""
    role = take(data, "role", place)
    return MessageV2(role, blocks_from_json(take(data, "content", place), f"{place}.content"))


def list_or_none(data: Mapping[str, Any], key: str) -> Sequence[Any]:
    """Take a list that may be missing."""
    return take_list(data, key, "the request") if data.get(key) is not None else ()


def stop_from_json(data: Mapping[str, Any]) -> str | Sequence[str]:
    """Take the stop sequences: one, several, or none."""
    stop = data.get("stop")
    return stop if isinstance(stop, str) else list_or_none(data, "stop")


def blocks_from_json(content: Any, place: str) -> tuple[ContentBlock, ...]:
    """Read a message's content: text, or blocks."""
    if isinstance(content, str):
        return to_blocks(content)
    if not isinstance(content, list):
        refuse(place, "is neither text nor a list of blocks")
    return tuple(_block_from_dict(item, f"{place}[{i}]") for i, item in enumerate(content))


def _block_from_dict(data: Any, place: str) -> ContentBlock:
    kind = take(data, "type", place)
    block = KNOWN_BLOCKS.get(str(kind))
    if block is None:
        return UnknownBlock(str(kind), {k: v for k, v in data.items() if k != "type"})
    fields = {
        f.name: take(data, f.name, place)
        for f in attrs.fields(block)
        if f.default is attrs.NOTHING or f.name in data
    }
    if block is ToolResultBlock:
        fields["content"] = blocks_from_json(fields["content"], f"{place}.content")
    made: ContentBlock = block(**fields)
    return made


def tool_from_json(data: Any) -> Any:  # JSON; a Tool, if it is one
    """Read a tool in inferd's shape or in OpenAI's; what has neither is given as it is."""
    if not isinstance(data, dict):
        return data
    inner = data.get("function")
    fields: dict[str, Any] = inner if isinstance(inner, dict) else data
    if "name" not in fields:
        return data
    schema = fields.get("input_schema", fields.get("parameters"))
    return Tool(
        fields["name"],
        fields.get("description") or "",
        {} if schema is None else schema,
        fields.get("strict"),
    )


def tool_from_dict(data: Any, place: str) -> Tool:
    """Read a tool.

    Raises:
        InvalidRequestError: It has no name.
    """
    tool = tool_from_json(data)
    if not isinstance(tool, Tool):
        take(data, "name", place)
    made: Tool = tool
    return made


def tool_to_dict(tool: Tool) -> dict[str, Any]:
    """Return a tool's JSON; ``strict`` only if it is set."""
    return attrs.asdict(
        tool, filter=lambda field, value: field.name != "strict" or value is not None
    )


def attachment_to_dict(attachment: Attachment) -> dict[str, Any]:
    """Return an attachment's JSON: its bytes as base64, an address as ``url``."""
    if isinstance(attachment, UnknownAttachment):
        return {"kind": attachment.kind, **attachment.fields}
    fields = {f.name: getattr(attachment, f.name) for f in attrs.fields(type(attachment))}
    data = fields.pop("data")
    for name in ("detail", "name"):
        if not fields.get(name):
            fields.pop(name, None)
    if data is None:
        return {"kind": attachment.kind, **{k: v for k, v in fields.items() if v is not None}}
    if isinstance(data, str):
        return {"kind": attachment.kind, **fields, "url": data}
    return {"kind": attachment.kind, **fields, "bytes": base64.b64encode(data).decode("ascii")}


def attachment_from_dict(data: Any, place: str) -> Attachment:
    """Read an attachment; one of an unknown kind or without bytes is kept for ``resolve()``."""
    kind = take(data, "kind", place)
    attachment = KNOWN_ATTACHMENTS.get(str(kind))
    if attachment is None:
        return UnknownAttachment(str(kind), dict(data))
    attached = _attached(data, place)
    fields = {
        f.name: data.get(f.name) if attached is None else take(data, f.name, place)
        for f in attrs.fields(attachment)
        if f.name != "data" and (f.default is attrs.NOTHING or f.name in data)
    }
    made: Attachment = attachment(**fields, data=attached)
    return made


def _attached(data: Mapping[str, Any], place: str) -> Any:  # bytes, a URL, or None
    encoded = data.get("bytes")
    if encoded is None:
        url = data.get("url")
        return url if isinstance(url, str) else None
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError):
        refuse(place, "has bytes that are not base64")

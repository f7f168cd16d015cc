"""Map the messages of a request to those of OpenAI's Chat Completions.

Goal: a history that every compatible server takes.  The rules that all share:

* text blocks of a message are joined; only beside an image or a sound is the content a list;
* a tool result is a message of its own with the role ``tool`` and, where it is known, the tool's
  name; it comes before the text beside it, because servers want it right after its call;
* a call's arguments are a JSON string, an assistant's ``content`` is null only beside calls;
* thoughts are left out: most servers ignore them, some refuse them.

What upstreams differ in is asked of the ``Dialect``: ``replay_thinking_as`` names the field for
thoughts where the upstream wants them back, ``short_tool_call_ids`` writes all ids anew where only
nine letters and digits will do, ``strict_turns`` makes the speakers take turns.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import InvalidRequestError
from inferd_engine.proto.v2 import (
    AudioBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from inferd_engine.wire.openai.media import audio_part, document_part, image_part
from inferd_engine.wire.openai.reasoning_details import REASONING_DETAILS
from inferd_engine.wire.openai.tools import CUSTOM
from inferd_engine.wire.request.blocks import not_in_result, not_sent
from inferd_engine.wire.request.tools import input_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from inferd_engine.proto.v2 import Attachment, ContentBlock, MessageV2
    from inferd_engine.wire.openai.dialect import Dialect

_SWITCHES = {"image": "vision=True", "audio": "audio=True", "document": "documents=True"}
_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")
_AFTER_RESULTS = "I have read the results."  # what an assistant says where one has to speak


def history_from(
    messages: Sequence[MessageV2], attachments: Sequence[Attachment], dialect: Dialect
) -> list[dict[str, Any]]:
    """Return the ``messages`` to post.

    Raises:
        InvalidRequestError: Something cannot be sent; the message names the place.
    """
    history = _History(attachments, dialect)
    mapped: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        mapped += history.message(message, f"messages[{index}].content")
    if not mapped:
        raise InvalidRequestError(
            "messages holds thoughts alone, which are not sent: say something"
        )
    return list(_taking_turns(mapped)) if dialect.strict_turns else mapped


class _History:
    """What has to be known of the whole conversation while its messages are mapped."""

    def __init__(self, attachments: Sequence[Attachment], dialect: Dialect) -> None:
        self._dialect = dialect
        self._attachments: Mapping[str, Any] = {item.id: item for item in attachments}
        self._names: dict[str, str] = {}  # of the tools that were called, by the call's id
        self._ids = _ShortIds() if dialect.short_tool_call_ids else None

    def message(self, message: MessageV2, place: str) -> list[dict[str, Any]]:
        """Return what a message becomes: the results in it, then what is said itself."""
        results: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        parts: list[dict[str, Any]] = []
        thoughts: list[str] = []
        details: list[Any] = []
        for number, block in enumerate(message.content):
            where = f"{place}[{number}]"
            if isinstance(block, ThinkingBlock):
                thoughts.append(block.text)
            elif isinstance(block, ToolUseBlock):
                kept = block.extra.get(REASONING_DETAILS)
                details += kept if isinstance(kept, list) else ()
                calls.append(self._call(block, where))
            elif isinstance(block, ToolResultBlock):
                results.append(self._result(block, where))
            else:
                parts.append(self._part(block, where))
        if not parts and not calls and (results or thoughts):
            return results
        content = _content(parts)
        own: dict[str, Any] = {"role": str(message.role), "content": content}
        if calls:
            own["content"] = content or None
            own["tool_calls"] = calls
        if thoughts and self._dialect.replay_thinking_as:
            own[self._dialect.replay_thinking_as] = "".join(thoughts)
        if details:
            own[REASONING_DETAILS] = details
        return [*results, own]

    def _part(self, block: ContentBlock, place: str) -> dict[str, Any]:
        if isinstance(block, TextBlock):
            return {"type": "text", "text": block.text}
        if isinstance(block, ImageBlock) and self._dialect.vision:
            return image_part(self._attachments[block.attachment_id], place)
        if isinstance(block, AudioBlock) and self._dialect.audio:
            return audio_part(self._attachments[block.attachment_id], place)
        if isinstance(block, DocumentBlock) and self._dialect.documents:
            return document_part(self._attachments[block.attachment_id], place)
        raise not_sent(block, place, _SWITCHES)

    def _call(self, block: ToolUseBlock, place: str) -> dict[str, Any]:
        self._names[block.tool_call_id] = block.name
        extra = {key: value for key, value in block.extra.items() if key != REASONING_DETAILS}
        if extra.get("type") == CUSTOM:
            custom = {"name": block.name, "input": _text_of(block.input, place)}
            return {**extra, "id": self._id(block.tool_call_id), CUSTOM: custom}
        return {
            **extra,
            "id": self._id(block.tool_call_id),
            "type": "function",
            "function": {"name": block.name, "arguments": input_of(block.input, place)[1]},
        }

    def _result(self, block: ToolResultBlock, place: str) -> dict[str, Any]:
        text: list[str] = []
        for number, inner in enumerate(block.content):
            if not isinstance(inner, TextBlock):
                raise not_in_result(inner, f"{place}.content[{number}]", "text alone")
            text.append(inner.text)
        message = {
            "role": "tool",
            "tool_call_id": self._id(block.tool_call_id),
            "content": "".join(text),
        }
        if block.tool_call_id in self._names:
            message["name"] = self._names[block.tool_call_id]
        return message

    def _id(self, call_id: str) -> str:
        return call_id if self._ids is None else self._ids[call_id]


class _ShortIds(dict[str, str]):
    """Ids of nine letters and digits: the same for the same id, in every request."""

    def __missing__(self, call_id: str) -> str:
        short = call_id
        while not _SHORT_ID.fullmatch(short) or short in self.values():
            digest = hashlib.sha256(short.encode("utf-8", "surrogatepass")).digest()
            short = base64.b32encode(digest)[:9].decode("ascii")
        self[call_id] = short
        return short


def _content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _text_of(value: Any, place: str) -> str:
    """Return the input of a custom call, which is text."""
    return value if isinstance(value, str) else input_of(value, place)[1]


def _taking_turns(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Let nobody speak twice in a row, and the assistant between a tool and the user."""
    last: dict[str, Any] = {}
    for message in messages:
        role = message["role"]
        mergeable = role in ("system", "user", "assistant") and role == last.get("role")
        if mergeable and "tool_calls" not in last and "tool_calls" not in message:
            last["content"] = _merged_content(last["content"], message["content"])
            continue
        if last:
            yield last
        if role == "user" and last.get("role") == "tool":
            yield {"role": "assistant", "content": _AFTER_RESULTS}
        last = dict(message)
    yield last


def _merged_content(first: Any, second: Any) -> Any:  # text or parts
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [
        part
        for content in (first, second)
        for part in ([{"type": "text", "text": content}] if isinstance(content, str) else content)
    ]

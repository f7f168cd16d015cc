"""Read the messages of programs that speak OpenAI's shape already.

``stream()`` takes a list of dicts as every other client does, so that a program can change clients
without changing its history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from inferd_engine.errors import InvalidRequestError
from inferd_engine.proto.v1 import Role
from inferd_engine.proto.v2 import MessageV2, TextBlock, ToolResultBlock, ToolUseBlock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.proto.v2 import ContentBlock

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.USER,
}


def messages_from(
    prompt: str | MessageV2 | Iterable[MessageV2 | dict[str, Any]],
) -> tuple[MessageV2, ...]:
    """Give a prompt as messages.

    Args:
        prompt: A str (one user message), a message, or several: ours, or dicts in OpenAI's shape.

    Raises:
        InvalidRequestError: A dict has another shape; the message names the place.
    """
    if isinstance(prompt, str):
        return (MessageV2(Role.USER, prompt),)
    if isinstance(prompt, (MessageV2, dict)):
        prompt = (prompt,)
    if not isinstance(prompt, Iterable):
        _refuse("prompt", f"is a {type(prompt).__name__}: give a str or a list of messages")
    return tuple(
        message_from_openai(message, f"messages[{index}]")
        if isinstance(message, dict)
        else message  # whatever else it is, resolve() says so
        for index, message in enumerate(prompt)
    )


def message_from_openai(message: Mapping[str, Any], place: str) -> MessageV2:
    """Give one message in OpenAI's shape as ours.

    Raises:
        InvalidRequestError: It has another shape; the message names the place.
    """
    word = message.get("role")
    role = _ROLES.get(word) if isinstance(word, str) else None
    if role is None:
        _refuse(f"{place}.role", f"is {word!r}: take {', '.join(_ROLES)}")
    content = _content(message.get("content"), f"{place}.content")
    if message["role"] == "tool":
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str) or not call_id:
            _refuse(place, "has no tool_call_id: it pairs the result with its call")
        return MessageV2(role, (ToolResultBlock(call_id, content),))
    if not content and isinstance(message.get("refusal"), str):
        content = (TextBlock(message["refusal"]),)
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, (list, tuple)):
        _refuse(f"{place}.tool_calls", "is no list")
    blocks = [_call(call, f"{place}.tool_calls[{number}]") for number, call in enumerate(calls)]
    if not content and not blocks:
        content = (TextBlock(""),)
    return MessageV2(role, (*content, *blocks))


def _refuse(place: str, what: str) -> NoReturn:
    msg = f"{place} {what}"
    raise InvalidRequestError(msg)


def _content(content: Any, place: str) -> tuple[ContentBlock, ...]:  # noqa: ANN401 - JSON
    if content is None or content == "":
        return ()
    if isinstance(content, str):
        return (TextBlock(content),)
    if not isinstance(content, (list, tuple)):
        _refuse(place, "is neither text nor a list of parts")
    return tuple(_part(part, f"{place}[{number}]") for number, part in enumerate(content))


def _part(part: Any, place: str) -> ContentBlock:  # noqa: ANN401 - JSON
    if isinstance(part, str):
        return TextBlock(part)
    if isinstance(part, dict):
        for text in (part.get("text"), part.get("refusal")):
            if isinstance(text, str):
                return TextBlock(text)
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    _refuse(place, f"is a part of type {kind!r}: give text, or use blocks and attachments")


def _call(call: Any, place: str) -> ToolUseBlock:  # noqa: ANN401 - JSON
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        _refuse(place, "has no function")
    arguments = function.get("arguments") or "{}"
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, strict=False)
        except (ValueError, RecursionError):
            _refuse(f"{place}.function.arguments", "are no JSON")
    extra = {key: value for key, value in call.items() if key not in ("id", "type", "function")}
    return ToolUseBlock(call.get("id") or "", function.get("name") or "", arguments, extra)

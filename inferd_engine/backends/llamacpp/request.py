"""What a request says to a model: messages, and words for its template."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.backends.llamacpp.answer import CALL_BEGIN, CALL_END
from inferd_engine.backends.llamacpp.projector import MARKER
from inferd_engine.backends.llamacpp.tools import described, told, tools_of
from inferd_engine.proto.v2 import ImageBlock, TextBlock
from inferd_engine.wire.openai.dialect import Dialect
from inferd_engine.wire.openai.history import history_from
from inferd_engine.wire.openai.request import THINKING_STYLES

if TYPE_CHECKING:
    from inferd_engine.proto.v2 import MessageV2, ResolvedV2

_DIALECT = Dialect(
    model="",
    max_tokens_field="max_tokens",
    include_usage=False,
    thinking_style="chat_template_kwargs",
    replay_thinking_as="reasoning_content",
    short_tool_call_ids=False,
    strict_turns=False,
    tool_name_pattern="",
    vision=False,
    audio=False,
    documents=False,
    extra_body={},
)


def messages_of(request: ResolvedV2, *, knows_tools: bool) -> list[dict[str, Any]]:
    """Return the messages of a request, in OpenAI's shape.

    Args:
        request: What is asked.
        knows_tools: Whether the template tells the model of tools; if not, a system message does.

    Raises:
        InvalidRequestError: Something cannot be said to a model; the message names the place.
    """
    marked = [_with_markers(message) for message in request.messages]
    messages = history_from(marked, request.attachments, _DIALECT)
    tools = tools_of(request)
    if not tools or knows_tools:
        return messages
    messages = [_in_words(message) for message in messages]
    first = messages[0] if messages[0]["role"] == "system" else None
    content = told(tools) if first is None else f"{first['content']}\n\n{told(tools)}"
    return [{"role": "system", "content": content}, *messages[first is not None :]]


def _with_markers(message: MessageV2) -> MessageV2:
    """Return a message with a marker for each image: templates know text, and no two the same."""
    content = [
        TextBlock(MARKER) if isinstance(block, ImageBlock) else block for block in message.content
    ]
    return attrs.evolve(message, content=content)


def _in_words(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without fields that a template which knows no tools leaves out."""
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>{message['content']}</tool_response>"}
    calls = "".join(
        f'{CALL_BEGIN}{{"name": {json.dumps(call["function"]["name"])}, '
        f'"arguments": {call["function"]["arguments"]}}}{CALL_END}'
        for call in message.get("tool_calls") or ()
    )
    return {"role": message["role"], "content": (message["content"] or "") + calls}


def words_of(request: ResolvedV2) -> dict[str, Any]:
    """Return what a template is told beside the messages."""
    tools = tools_of(request)
    words: dict[str, Any] = {"tools": described(tools)} if tools else {}
    if request.thinking is not None:
        asked = THINKING_STYLES[_DIALECT.thinking_style](request.thinking)
        words |= asked["chat_template_kwargs"]
    return words

"""Map a checked request to the JSON of OpenAI's Chat Completions.

Only what the caller set is sent: servers differ in what they refuse, and a default of ours could
be a 400.  What the wire cannot carry is refused here, before a connection is opened, with the
place in the request.

* Text blocks of a message are joined; thinking blocks are left out (some servers refuse them).
* A tool result is a message of its own with the role ``tool``; it comes before the text beside it,
  because servers want it right after the call that it answers.
* A replayed call's arguments are a JSON string, an assistant's ``content`` is null only beside
  calls, ``tools`` is left out when empty and ``tool_choice`` with it.
* ``extra_body`` is merged last, object by object; where both have a value the caller's stands.

OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from inferd_engine.errors import (
    AttachmentUnsupportedError,
    InvalidRequestError,
    NonTextToolResultError,
    UnknownContentBlockError,
)
from inferd_engine.proto.v2 import (
    AudioBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    VideoBlock,
)
from inferd_engine.wire.surrogates import joined_in_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.proto.v2 import MessageV2, ResolvedV2, Tool


class RequestSettings(Protocol):
    """What the mapper needs to know of a configuration."""

    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def max_tokens_field(self) -> str: ...  # noqa: D102
    @property
    def include_usage(self) -> bool: ...  # noqa: D102
    @property
    def extra_body(self) -> Mapping[str, Any]: ...  # noqa: D102


def request_from_resolved(resolved: ResolvedV2, config: RequestSettings) -> dict[str, Any]:
    """Give the JSON object to post.

    Args:
        resolved: The checked request.
        config: The upstream's model and ways, an ``OpenAiCompatConfig``.

    Raises:
        AttachmentUnsupportedError: A message shows an image, a sound or a video.
        NonTextToolResultError: A tool result holds something else than text.
        UnknownContentBlockError: A block of a type that nobody here knows.
        InvalidRequestError: A tool call's input is nothing that JSON can hold.
    """
    streams = resolved.stream is not False
    body: dict[str, Any] = {
        "model": config.model,
        "messages": _messages(resolved.messages),
        "stream": streams,
    }
    if streams and config.include_usage:
        body["stream_options"] = {"include_usage": True}
    body |= _sampling(resolved, config.max_tokens_field)
    if resolved.tools:
        body["tools"] = [_tool(tool) for tool in resolved.tools]
        if resolved.tool_choice is not None:
            body["tool_choice"] = _tool_choice(resolved.tool_choice)
        if resolved.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = resolved.parallel_tool_calls
    try:
        whole: dict[str, Any] = joined_in_value(_merged(body, config.extra_body))
    except ValueError:
        msg = "the request holds a value that is nested too deeply"
        raise InvalidRequestError(msg) from None
    return whole


def _sampling(resolved: ResolvedV2, max_tokens_field: str) -> dict[str, Any]:
    fields = {
        "temperature": resolved.temperature,
        "top_p": resolved.top_p,
        "top_k": resolved.top_k,
        max_tokens_field: resolved.max_tokens,
        "stop": list(resolved.stop) or None,
        "seed": resolved.seed,
        "response_format": resolved.response_format,
        "reasoning_effort": _effort(resolved.thinking),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _effort(thinking: bool | str | None) -> str | None:  # noqa: FBT001 - the contract's type
    if isinstance(thinking, bool):
        return "medium" if thinking else "none"
    return thinking


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = dict(tool.input_schema or {}) or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _tool_choice(choice: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(choice, str) or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(body)
    for key, value in extra.items():
        known = merged.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        merged[key] = _merged(known, value) if both else value  # type: ignore[arg-type]
    return merged


def _messages(messages: tuple[MessageV2, ...]) -> list[dict[str, Any]]:
    names: dict[str, str] = {}  # of the tools that were called, by the call's id
    mapped: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        mapped += _message(message, f"messages[{index}].content", names)
    if not mapped:
        msg = "messages holds thoughts alone, which are not sent: say something"
        raise InvalidRequestError(msg)
    return mapped


def _message(message: MessageV2, place: str, names: dict[str, str]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    text: list[str] = []
    thoughts = 0
    for number, block in enumerate(message.content):
        where = f"{place}[{number}]"
        if isinstance(block, TextBlock):
            text.append(block.text)
        elif isinstance(block, ThinkingBlock):
            thoughts += 1
        elif isinstance(block, ToolUseBlock):
            names[block.tool_call_id] = block.name
            calls.append(_call(block, where))
        elif isinstance(block, ToolResultBlock):
            results.append(_result(block, where, names))
        elif isinstance(block, (ImageBlock, AudioBlock, VideoBlock)):
            msg = f"{where} shows {block.type}, which this backend does not send"
            raise AttachmentUnsupportedError(msg)
        else:
            msg = f"{where} has the unknown block type {block.type!r}: remove it"
            raise UnknownContentBlockError(msg)
    if not text and not calls and (results or thoughts):
        return results
    content = "".join(text)
    own: dict[str, Any] = {"role": str(message.role), "content": content}
    if calls:
        own["content"] = content or None
        own["tool_calls"] = calls
    return [*results, own]


def _call(block: ToolUseBlock, place: str) -> dict[str, Any]:
    try:
        arguments = json.dumps(block.input, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{place}.input is something that JSON cannot hold: {error}"
        raise InvalidRequestError(msg) from None
    return {
        **block.extra,
        "id": block.tool_call_id,
        "type": "function",
        "function": {"name": block.name, "arguments": arguments},
    }


def _result(block: ToolResultBlock, place: str, names: Mapping[str, str]) -> dict[str, Any]:
    text: list[str] = []
    for number, inner in enumerate(block.content):
        if not isinstance(inner, TextBlock):
            msg = f"{place}.content[{number}] is {inner.type}: this upstream takes text alone"
            raise NonTextToolResultError(msg)
        text.append(inner.text)
    message = {"role": "tool", "tool_call_id": block.tool_call_id, "content": "".join(text)}
    if block.tool_call_id in names:
        message["name"] = names[block.tool_call_id]
    return message

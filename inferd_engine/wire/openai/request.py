"""Map a checked request to the JSON of OpenAI's Chat Completions.

Only what the caller set is sent: servers differ in what they refuse, and a default of ours could
be a 400.  What the wire cannot carry is refused here, before a connection is opened, with the
place in the request.

* ``tools`` is left out when empty, and ``tool_choice`` with it, unless ``extra_body`` has tools.
* Whether to think is asked in the words of the upstream (``THINKING_STYLES``).
* ``extra_body`` is merged last, object by object; where both have a value the caller's stands.
* Halves of characters are joined or replaced: strict JSON parsers refuse them.

The history has a file of its own (``history``).  OpenAI API reference, "Create chat
completion".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import InvalidRequestError
from inferd_engine.proto.tool_choice import ANY, REQUIRED, named_in
from inferd_engine.proto.v2 import ResolvedV2, check_resolved
from inferd_engine.wire.openai.history import history_from
from inferd_engine.wire.request.merging import merged
from inferd_engine.wire.request.tools import parameters_of
from inferd_engine.wire.text.surrogates import joined_in_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine.proto.v2 import Tool
    from inferd_engine.wire.openai.dialect import Dialect

_FORMAT = "json_schema"
_FORMAT_NAME = "response"  # of a schema without one: OpenAI wants one


# --- whether to think ----------------------------------------------------------------------------


def _effort(thinking: bool | str) -> str:  # noqa: FBT001 - the contract's type
    if isinstance(thinking, bool):
        return "medium" if thinking else "none"
    return thinking


def _level(thinking: bool | str) -> dict[str, str]:  # noqa: FBT001
    """Return the level beside a switch: only if the caller named one."""
    return {"reasoning_effort": thinking} if isinstance(thinking, str) else {}


def _switch(thinking: bool | str) -> dict[str, str]:  # noqa: FBT001
    return {"type": "enabled" if thinking else "disabled"}


THINKING_STYLES: dict[str, Callable[[bool | str], dict[str, Any]]] = {
    "reasoning_effort": lambda asked: {"reasoning_effort": _effort(asked)},
    "reasoning": lambda asked: {"reasoning": {"effort": _effort(asked)}},
    "thinking": lambda asked: {"thinking": _switch(asked), **_level(asked)},
    "enable_thinking": lambda asked: {"enable_thinking": bool(asked), **_level(asked)},
    "chat_template_kwargs": lambda asked: {
        "chat_template_kwargs": {
            "enable_thinking": bool(asked),
            "thinking": bool(asked),
            **_level(asked),
        }
    },
}
"""How upstreams are told to think: OpenAI's way; OpenRouter's; DeepSeek's and Z.ai's; DashScope's;
and that of servers which hand it to the model's chat template, as vLLM, SGLang and llama.cpp:
Qwen's and GLM's templates know the first word, those of DeepSeek, Granite and Kimi the second, and
a word that a template does not know does no harm."""


def body_from(resolved: ResolvedV2, dialect: Dialect) -> dict[str, Any]:
    """Return the JSON object to post.

    Args:
        resolved: The checked request.
        dialect: The upstream's model and ways.

    Raises:
        AttachmentUnsupportedError: A message shows what this upstream is not sent: a video, or an
            image or a sound without ``vision`` or ``audio``.
        NonTextToolResultError: A tool result holds something else than text.
        UnknownContentBlockError: A block of a type that nobody here knows.
        InvalidRequestError: A tool call's input is nothing that JSON can hold, or a tool has a
            name that the upstream refuses.
    """
    check_resolved(resolved)
    streams = resolved.stream is not False
    body: dict[str, Any] = {
        "model": resolved.model or dialect.model,
        "messages": history_from(resolved.messages, resolved.attachments, dialect),
        "stream": streams,
    }
    if streams and dialect.include_usage:
        body["stream_options"] = {"include_usage": True}
    body |= _sampling(resolved, dialect.max_tokens_field)
    if resolved.thinking is not None:
        body |= THINKING_STYLES[dialect.thinking_style](resolved.thinking)
    if resolved.tools:
        body["tools"] = [
            _tool(tool, f"tools[{index}]", dialect.tool_name_pattern)
            for index, tool in enumerate(resolved.tools)
        ]
    if resolved.tools or resolved.extra_body.get("tools"):
        if resolved.tool_choice is not None:
            body["tool_choice"] = _tool_choice(resolved.tool_choice)
        if resolved.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = resolved.parallel_tool_calls
    try:
        extra = merged(dialect.extra_body, resolved.extra_body)
        whole: dict[str, Any] = joined_in_value(merged(body, extra))
    except ValueError:
        raise InvalidRequestError("the request holds a value that is nested too deeply") from None
    return whole


def _sampling(resolved: ResolvedV2, max_tokens_field: str) -> dict[str, Any]:
    fields = {
        "temperature": resolved.temperature,
        "top_p": resolved.top_p,
        "top_k": resolved.top_k,
        max_tokens_field: resolved.max_tokens,
        "stop": list(resolved.stop) or None,
        "seed": resolved.seed,
        "response_format": _response_format(resolved.response_format),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _tool(tool: Tool, place: str, name_pattern: str) -> dict[str, Any]:
    if name_pattern and not re.fullmatch(name_pattern, tool.name):
        raise InvalidRequestError(
            f"{place}.name is {tool.name!r}: this upstream takes names like {name_pattern}"
        )
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = parameters_of(tool.input_schema)
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: Any) -> Any:
    """Return a choice in OpenAI's shape; an object that is nobody's else is sent as it is."""
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    if ANY in (choice, kind):
        return REQUIRED
    is_flat = kind in ("function", "tool") and "function" not in choice  # Responses; Anthropic
    if is_flat or (isinstance(choice, str) and named_in(choice)):
        return {"type": "function", "function": {"name": named_in(choice)[0]}}
    return choice


def _response_format(wanted: Any) -> Any:
    """Return a response format in OpenAI's shape; inferd's has the schema beside the type."""
    if not isinstance(wanted, Mapping) or wanted.get("type") != _FORMAT or _FORMAT in wanted:
        return wanted
    inner = {key: value for key, value in wanted.items() if key != "type"}
    return {"type": _FORMAT, _FORMAT: {"name": _FORMAT_NAME, **inner}} if inner else wanted

"""Tools and formats: the grammar that holds an answer to them.

With ``tool_choice="auto"`` the model writes what it likes, until it begins a call: from there on
the grammar holds, so that a call's name is one that there is, and its arguments are valid.  A
choice that binds begins with the call; so does a format with its JSON.  Where the prompt has begun
a thought, that may be thought to its end first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferd_engine.backends.llamacpp.answer import CALL_BEGIN, CALL_END
from inferd_engine.backends.llamacpp.json_grammar import JsonGrammar
from inferd_engine.backends.llamacpp.json_schema.rules import quoted
from inferd_engine.errors import InvalidRequestError
from inferd_engine.proto.tool_choice import ANY, AUTO, NONE, REQUIRED, named_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.proto.v2 import ResolvedV2, Tool

_LAZY = rf"[\s\S]*?({CALL_BEGIN}[\s\S]*)"
_THOUGHT = '([^<] | "<" [^/])* "</think>" [ \\n]{0,4} '
_FREE_JSON = {"json_object": "object", "json": "object"}


def word_of(choice: Any) -> str:
    """Return what a choice says: ``"auto"``, ``"none"`` or ``"required"``."""
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    if named_in(choice) or ANY in (choice, kind):
        return REQUIRED
    return kind if kind in (AUTO, NONE, REQUIRED) else AUTO


def tools_of(request: ResolvedV2) -> tuple[Tool, ...]:
    """Return the tools that the model may call now."""
    if word_of(request.tool_choice) == NONE:
        return ()
    names = named_in(request.tool_choice)
    return tuple(tool for tool in request.tools if not names or tool.name in names)


def grammar_of(request: ResolvedV2, *, is_inside: bool) -> tuple[str, str]:
    """Return the grammar of an answer, and from where on it holds; empty if it is free.

    Args:
        request: What is asked.
        is_inside: Whether the prompt has begun a thought.

    Raises:
        InvalidRequestError: A schema cannot be read; the message names the place.
    """
    before = _THOUGHT if is_inside else ""
    tools, is_bound = tools_of(request), word_of(request.tool_choice) == REQUIRED
    if tools and (is_bound or request.response_format is None):
        grammar = JsonGrammar()
        call = " | ".join(
            _call(grammar, tool, f"tools[{index}].input_schema") for index, tool in enumerate(tools)
        )
        times = "" if request.parallel_tool_calls is False else "+"
        calls = f"(({call}) ws){times}"
        return grammar.text(f"{before}{calls}" if is_bound else calls), "" if is_bound else _LAZY
    wanted = _schema_of(request.response_format)
    if wanted is None:
        return "", ""
    grammar = JsonGrammar()
    return grammar.text(before + grammar.rule_of(wanted, "response_format.schema")), ""


def _call(grammar: JsonGrammar, tool: Tool, place: str) -> str:
    schema = {"type": "object", **tool.input_schema}
    name = quoted(json.dumps(tool.name, ensure_ascii=False))
    arguments = grammar.rule_of(schema, place)
    pairs = rf'"\"name\":" ws {name} ws "," ws "\"arguments\":" ws {arguments} ws'
    return f'"{CALL_BEGIN}" ws "{{" ws {pairs} "}}" ws "{CALL_END}"'


def _schema_of(wanted: Any) -> Any:
    """Return the schema that a response format asks for; None for text."""
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, Mapping) else wanted
    if kind == "text":
        return None
    if kind in _FREE_JSON:
        return wanted.get("schema", {"type": "object"})
    if kind == "json_schema":
        inner = wanted.get("json_schema", wanted)
        schema = inner.get("schema") if isinstance(inner, Mapping) else None
        if schema is not None:
            return schema
    raise InvalidRequestError(
        f"response_format is {wanted!r}: take {{'type': 'json_object'}} or "
        "{'type': 'json_schema', 'schema': …}"
    )


def described(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Return tools as templates want them: in OpenAI's shape."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": {"type": "object", "properties": {}, **tool.input_schema},
            },
        }
        for tool in tools
    ]


def told(tools: Sequence[Tool]) -> str:
    """Return what a model is told of tools where its template tells it nothing."""
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in described(tools))
    return (
        "You may call these tools:\n"
        f"{listed}\n"
        "To call one, write its name and its arguments as JSON:\n"
        f'{CALL_BEGIN}{{"name": "…", "arguments": {{…}}}}{CALL_END}'
    )

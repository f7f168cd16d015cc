"""Map a checked request to the JSON of Anthropic's Messages.

Only what the caller set is sent, beside ``max_tokens``, which is required there.  What the wire
cannot carry is refused here, before a connection is opened, with the place and the way out.

* System messages, wherever they stand, become ``system``; the history has a file of its own.
* Whether to think is asked in the words of the model (``THINKING_STYLES``).
* From the API version 2026-10-21 on, sampling fields are a 400: they are refused instead of
  dropped.  Servers that are compatible keep to 2023-06-01.
* Where to mark what is to be cached is found in ``caching``.
* ``extra_body`` is merged last, object by object.

Anthropic API reference, "Create a Message"; "Versioning" and its migration page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import InvalidRequestError, UnsupportedError
from inferd_engine.proto.tool_choice import ANY, AUTO, NONE, REQUIRED, named_in
from inferd_engine.proto.v2 import check_resolved
from inferd_engine.wire.anthropic.caching import mark
from inferd_engine.wire.anthropic.history import history_from
from inferd_engine.wire.request.merging import merged
from inferd_engine.wire.request.tools import parameters_of
from inferd_engine.wire.text.surrogates import joined_in_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine.proto.v2 import ResolvedV2, Tool
    from inferd_engine.wire.anthropic.dialect import Dialect

_SAMPLING = ("temperature", "top_p", "top_k")
_LEAST_BUDGET = 1024  # tokens; fewer are a 400
_WORDS = {"True": "high", "False": "low"}  # for models that always think
_BUDGETS = {"low": 1024, "medium": 2048, "high": 4096}  # as LiteLLM translates the words


# --- whether to think ----------------------------------------------------------------------------


def _effort(word: str) -> dict[str, Any]:
    return {"output_config": {"effort": word}}


def _level(thinking: bool | str) -> dict[str, Any]:  # noqa: FBT001 - the contract's type
    """Give the level beside a switch: only if the caller named one."""
    return _effort(thinking) if isinstance(thinking, str) else {}


def _switched(thinking: bool | str, on: str) -> dict[str, Any]:  # noqa: FBT001
    return {"thinking": {"type": on if thinking else "disabled"}, **_level(thinking)}


def _budget(thinking: bool | str) -> dict[str, Any]:  # noqa: FBT001
    if not thinking:
        return {"thinking": {"type": "disabled"}}
    tokens = _BUDGETS["medium" if thinking is True else str(thinking)]
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


THINKING_STYLES: dict[str, Callable[[bool | str], dict[str, Any]]] = {
    "adaptive": lambda asked: _switched(asked, "adaptive"),
    "effort": lambda asked: _effort(_WORDS.get(str(asked), str(asked))),
    "enabled": lambda asked: _switched(asked, "enabled"),
    "budget": _budget,
}
"""How models are told to think: Claude 4.6 and later; models that always think and are told how
much (kimi-k3), where True is their most and False their least; models with a switch (DeepSeek,
GLM); and models that want a number of tokens (Claude before 4.6)."""


def body_from(resolved: ResolvedV2, dialect: Dialect) -> dict[str, Any]:
    """Return the JSON object to post.

    Args:
        resolved: The checked request.
        dialect: The upstream's model and ways.

    Raises:
        AttachmentUnsupportedError: A message shows what this upstream is not sent.
        UnsupportedError: The request says what this protocol has no words for.
        InvalidRequestError: Something else cannot be sent; the message names the place.
    """
    check_resolved(resolved)
    _check_fields(resolved, dialect)
    system, messages = history_from(resolved.messages, resolved.attachments, dialect)
    body: dict[str, Any] = {
        "model": resolved.model or dialect.model,
        "max_tokens": resolved.max_tokens or dialect.max_tokens,
        "stream": resolved.stream is not False,
        **({"system": system} if system else {}),
        "messages": messages,
    }
    for name in _SAMPLING:
        if getattr(resolved, name) is not None:
            body[name] = getattr(resolved, name)
    if resolved.stop:
        body["stop_sequences"] = list(resolved.stop)
    if resolved.tools:
        body["tools"] = [_tool(tool) for tool in resolved.tools]
        body |= _tool_choice(resolved.tool_choice, resolved.parallel_tool_calls)
    if resolved.thinking is not None:
        body |= THINKING_STYLES[dialect.thinking_style](resolved.thinking)
        _fit_budget(body, resolved.max_tokens)
    body = merged(body, _response_format(resolved.response_format, dialect.spoken))
    if dialect.cache:
        mark(body, dialect.cache)
    try:
        extra = merged(dialect.extra_body, resolved.extra_body)
        whole: dict[str, Any] = joined_in_value(merged(body, extra))
    except ValueError:
        raise InvalidRequestError("the request holds a value that is nested too deeply") from None
    return whole


def _check_fields(resolved: ResolvedV2, dialect: Dialect) -> None:
    if resolved.seed is not None:
        raise UnsupportedError(
            f"seed is set, for which there is no word in {dialect.spoken}: leave it out"
        )
    if not dialect.is_strict:
        return
    for name in _SAMPLING:
        if getattr(resolved, name) is not None:
            raise UnsupportedError(
                f"{name} is set, which the API version {dialect.version} refuses: leave it out, "
                'or configure version="2023-06-01" if the model still takes it'
            )


def _fit_budget(body: dict[str, Any], most: int | None) -> None:
    """Let a number of tokens to think leave room for the answer."""
    budget = body.get("thinking", {}).get("budget_tokens")
    if budget is None:
        return
    if most is None:
        body["max_tokens"] += budget
    elif most <= _LEAST_BUDGET:
        raise InvalidRequestError(
            f"max_tokens is {most}: to think takes {_LEAST_BUDGET} of them at the least, "
            "so give more, or thinking=False"
        )
    else:
        body["thinking"]["budget_tokens"] = min(budget, most - 1)


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    strict = {} if tool.strict is None else {"strict": tool.strict}
    schema = {"type": "object", **parameters_of(tool.input_schema)}
    return {"name": tool.name, **described, "input_schema": schema, **strict}


def _tool_choice(choice: Any, parallel: bool | None) -> dict[str, Any]:  # noqa: FBT001
    """Give the choice in Anthropic's shape, with what is said of several calls at once in it."""
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    names = named_in(choice)
    if isinstance(choice, Mapping) and "allowed_tools" in choice:
        raise UnsupportedError(
            "tool_choice names several tools: give those alone as tools, and choose 'required'"
        )
    wanted: dict[str, Any]
    if kind in (REQUIRED, ANY):
        wanted = {"type": "any"}
    elif names:
        wanted = {"type": "tool", "name": names[0]}
    elif kind in (AUTO, NONE):
        wanted = {"type": kind}
    elif choice is not None:
        wanted = dict(choice)  # an object that is nobody's: the upstream says what it thinks
    elif parallel is False:
        wanted = {"type": "auto"}
    else:
        return {}
    if isinstance(choice, Mapping) and "disable_parallel_tool_use" in choice:
        wanted["disable_parallel_tool_use"] = choice["disable_parallel_tool_use"]
    if parallel is False and wanted["type"] != NONE:
        wanted["disable_parallel_tool_use"] = True
    return {"tool_choice": wanted}


def _response_format(wanted: Any, spoken: str) -> dict[str, Any]:
    """Give the schema of an answer, in OpenAI's shape or inferd's, where Anthropic wants it."""
    kind = wanted.get("type") if isinstance(wanted, Mapping) else wanted
    if kind in (None, "text"):
        return {}
    inner = wanted.get("json_schema", wanted) if isinstance(wanted, Mapping) else {}
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    if kind != "json_schema" or not isinstance(schema, Mapping):
        raise UnsupportedError(
            f"response_format is {wanted!r}, for which there is no word in {spoken}: "
            "give a schema, as in "
            '{"type": "json_schema", "schema": …}'
        )
    return {"output_config": {"format": {"type": "json_schema", "schema": dict(schema)}}}

"""What ``tool_choice`` may be, and whether it can bind the model to anything.

A word, the name of a tool, or an object: OpenAI's, with or without ``function`` around the name, or
Anthropic's.  A choice that no tool is there for would be dropped or refused by the upstream, and
the caller would take what comes for what was asked.

OpenAI API reference, "Create chat completion", ``tool_choice``; Mistral's word is ``any``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

AUTO, NONE, REQUIRED, ANY = "auto", "none", "required", "any"
_WORDS = (AUTO, NONE, REQUIRED, ANY)


def named_in(choice: Any) -> list[Any]:
    """Return the names of the tools that a choice names."""
    if isinstance(choice, str):
        return [] if choice in _WORDS else [choice]
    if not isinstance(choice, Mapping):
        return []
    allowed = choice.get("allowed_tools")
    if isinstance(allowed, Mapping):
        return [name for tool in allowed.get("tools") or () for name in named_in(tool)]
    inner = choice.get("function", choice.get("custom", choice))
    name = inner.get("name") if isinstance(inner, Mapping) else inner
    return [] if name is None else [name]


def names_of(tools: Any) -> list[Any]:
    """Return the names of tools in JSON; a tool of the upstream's own goes by its type."""
    found = tools if isinstance(tools, (list, tuple)) else ()
    return [
        name
        for tool in found
        if isinstance(tool, Mapping)
        for name in named_in(tool) or [tool.get("type")]
        if isinstance(name, str)
    ]


def complaint_of(choice: Any, names: Collection[str]) -> str | None:
    """Say why a choice cannot bind; None if it can.

    Args:
        choice: A request's ``tool_choice``.
        names: Of the request's tools, and of those in its ``extra_body``.
    """
    if choice is None:
        return None
    if not isinstance(choice, (str, Mapping)):
        return f"is {choice!r}: take 'auto', 'none', 'required', a tool's name or OpenAI's object"
    if not names and _word_of(choice) not in (AUTO, NONE):
        return (
            f"is {choice!r}, but there are no tools: give tools "
            "(those in the extra_body of a backend want their tool_choice there, too)"
        )
    for name in named_in(choice):
        if name not in names:
            return f"names {name!r}, which is not among the tools: {', '.join(sorted(names))}"
    return None


def _word_of(choice: Any) -> Any:
    return choice if isinstance(choice, str) else choice.get("type")

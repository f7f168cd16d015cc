"""Find text and thoughts in a delta, in whatever shape a server puts them there."""

from __future__ import annotations

from typing import Any

_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_text", "reasoning_details")


def joined_text(value: Any) -> str:  # noqa: ANN401 - JSON
    """Join the text in a str, in an object with ``text``, or in a list of such."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return joined_text(value.get("text") or value.get("summary"))
    if isinstance(value, list):
        return "".join(joined_text(item) for item in value if not isinstance(item, list))
    return ""


def thinking_of(delta: dict[str, Any]) -> str:
    """Give a delta's thoughts: the first field that holds any, because servers fill several."""
    for field in _THOUGHTS:
        if thoughts := joined_text(delta.get(field)):
            return thoughts
    return ""


def parts_of(content: Any, *, with_thoughts: bool) -> list[tuple[bool, str]]:  # noqa: ANN401 - JSON
    """Give the pieces of a delta's content, each with whether it is a thought.

    Args:
        content: Text, or a list of parts; parts of unknown types are left alone.
        with_thoughts: Whether parts may be thoughts: not if the delta had them in a field.
    """
    pieces: list[tuple[bool, str]] = []
    for part in content if isinstance(content, list) else (content,):
        if isinstance(part, str):
            pieces.append((False, part))
            continue
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        if kind in ("thinking", "reasoning"):
            if with_thoughts:
                thoughts = part.get("thinking") or part.get("summary") or part.get("text")
                pieces.append((True, joined_text(thoughts)))
        elif kind in ("text", "output_text", "refusal", None):
            pieces.append((False, joined_text(part.get("text") or part.get("refusal"))))
    return pieces

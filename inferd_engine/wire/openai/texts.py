"""Find text and thoughts in a delta, in whatever shape a server puts them there."""

from __future__ import annotations

from typing import Any

from inferd_engine.wire.text.json_shapes import joined_text, objects_in

THOUGHTS = ("reasoning_content", "reasoning")  # where nearly all servers put them, as a str
_THOUGHTS = (*THOUGHTS, "reasoning_text", "reasoning_details")


def thinking_of(delta: dict[str, Any]) -> str:
    """Return a delta's thoughts: the first field that holds any, because servers fill several."""
    for field in _THOUGHTS:
        value = delta.get(field)
        if value and (thoughts := joined_text(value)):
            return thoughts
    return ""


def parts_of(content: Any, *, with_thoughts: bool) -> list[tuple[bool, str]]:
    """Return the pieces of a delta's content, each with whether it is a thought.

    Args:
        content: Text, a part, or a list of parts; those of unknown types are left alone.
        with_thoughts: Whether parts may be thoughts: not if the delta had them in a field.
    """
    pieces: list[tuple[bool, str]] = []
    content = objects_in(content) if isinstance(content, dict) else content
    for part in content if isinstance(content, list) else (content,):
        if isinstance(part, str):
            pieces.append((False, part))
            continue
        if isinstance(part, list):
            pieces += parts_of(part, with_thoughts=with_thoughts)
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

"""Read JSON whose shapes are not what they should be: one where a list belongs, a list where one.

Servers in languages without types send an object for a list of one, a list for an object, and maps
numbered from "0" for lists.  The rule: what is there counts, whatever it is wrapped in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEPTH = 4  # lists in lists; nobody wraps more often
_LONGEST = 20  # digits: 64 bit


def objects_in(value: Any, depth: int = _DEPTH) -> list[dict[str, Any]]:
    """Return the objects of a list, or the one that stands in its place; empty ones say nothing."""
    if not value or not depth:
        return []
    if isinstance(value, list):
        for item in value:
            if not isinstance(item, dict):
                return [found for item in value for found in objects_in(item, depth - 1)]
        return value
    if not isinstance(value, dict):
        return []
    if next(iter(value)).isdecimal() and all(map(str.isdecimal, value)):
        # A list, as PHP and Lua may write it.
        return objects_in(list(value.values()), depth - 1)
    return [value]


def object_in(value: Any) -> dict[str, Any]:
    """Return an object, or the first of a list that stands in its place; empty if there is none."""
    found = objects_in(value)
    return found[0] if found else {}


def word_in(value: Any) -> str:
    """Return a word, or the first one in an object or a list that stands in its place."""
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return next((item for item in inner if isinstance(item, str) and item.strip()), "")
    return str(value) if value else ""


def joined_text(value: Any) -> str:
    """Join the text in a str, in an object that holds it, or in a list of such."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(joined_text, value))
    if not isinstance(value, dict):
        return ""
    texts = (
        piece.get("text") or piece.get("summary") or piece.get("value")
        for piece in objects_in(value)
    )
    return "".join(map(joined_text, texts))


def whole_number(value: Any) -> int | None:
    """Return a whole number, however it is written; None for what is none."""
    if isinstance(value, str) and value.isdecimal() and len(value) < _LONGEST:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def count_in(value: Any) -> int | None:
    """Return a count; None for what is none, as -1 is, which says that nobody counted."""
    count = whole_number(value)
    return count if count is not None and count >= 0 else None


def spelled_alike(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with its names in one spelling: ``statusCode`` is ``status_code``.

    Where two names come to the same, the first that says something stands.
    """
    alike: dict[str, Any] = {}
    for name, item in value.items():
        key = str(name).replace("_", "").replace("-", "").lower()
        if not alike.get(key):
            alike[key] = item
    return alike

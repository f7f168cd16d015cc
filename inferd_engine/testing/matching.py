"""When two requests are one: their method, their path, and what the JSON of their bodies means.

What was masked when it was recorded stands for whatever is there now: a key or an account is not
the same everywhere, and nothing that is not in the file can be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "***"


def fits(recorded: str, asked: str) -> bool:
    """Return whether a text is the recorded one, where a mask stands for anything."""
    first, *others = recorded.split(MASK)
    if not others:
        return recorded == asked
    if not asked.startswith(first):
        return False
    at = len(first)
    *middle, last = others
    for part in middle:
        found = asked.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return asked.endswith(last) and at + len(last) <= len(asked)


def plain(value: Any) -> Any:
    """Return JSON with 1.0 written as 1: clients differ."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def difference(recorded: Any, asked: Any) -> str | None:
    """Name the first place where two bodies differ; None if they do not."""
    return next(_differences(recorded, asked, "body"), None)


def _differences(recorded: Any, asked: Any, place: str) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(asked, dict):
        for name in dict.fromkeys([*recorded, *asked]):
            if name in recorded and name in asked:
                yield from _differences(recorded[name], asked[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} ({'recorded' if name in recorded else 'asked'} alone)"
    elif isinstance(recorded, list) and isinstance(asked, list):
        for number, (one, other) in enumerate(zip(recorded, asked, strict=False)):
            yield from _differences(one, other, f"{place}[{number}]")
        if len(recorded) != len(asked):
            yield f"the length of {place}"
    elif isinstance(recorded, str) and isinstance(asked, str):
        if not fits(recorded, asked):
            yield place
    elif plain(recorded) != plain(asked):
        yield place

"""A body with more merged into it: what ``extra_body`` means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Give a body with more merged into it, object by object; where both have a value, the new."""
    whole = dict(body)
    for key, value in extra.items():
        known = whole.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        whole[key] = merged(known, value) if both else value  # type: ignore[arg-type]
    return whole

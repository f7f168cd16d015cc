"""What an answer cost, from wherever it comes.

Usage replaces what was known before, number by number; null says nothing; nothing is added up:
servers send running totals, the same numbers three times, and numbers that are not known yet.
"""

from __future__ import annotations

from typing import Any

from inferd_engine.events import Usage
from inferd_engine.wire.text.json_shapes import count_in, object_in


def merged_usage(known: Usage | None, usage: Any) -> Usage | None:
    """Return what is known after a usage object; None if it says nothing."""
    if not usage:
        return None
    usage = object_in(usage)
    input_tokens = _count(usage, "prompt_tokens", "input_tokens")
    output_tokens = _count(usage, "completion_tokens", "output_tokens")
    if input_tokens is None and output_tokens is None:
        return None
    if known is not None:
        input_tokens = known.input_tokens if input_tokens is None else input_tokens
        output_tokens = known.output_tokens if output_tokens is None else output_tokens
    return Usage(input_tokens, output_tokens, usage)


def _count(usage: dict[str, Any], *names: str) -> int | None:
    """Return a number of tokens under the first name that has one; null means unknown so far."""
    for name in names:
        count = count_in(usage.get(name))
        if count is not None:
            return count
    return None

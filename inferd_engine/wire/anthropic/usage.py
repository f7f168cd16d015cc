"""What an answer cost, as Anthropic counts it: running totals, each of which replaces the last.

``message_start`` names what is known then, ``message_delta`` what it came to; a number that is
left out, or null, stays.  A prompt of 0 tokens in ``message_start`` is one that nobody has counted
yet.  Anthropic's ``input_tokens`` leave out what the cache gave or took, ours count it, as
OpenAI's do.
"""

from __future__ import annotations

from typing import Any

from inferd_engine.events import Usage
from inferd_engine.wire.text.json_shapes import object_in, whole_number

_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class Counted:
    """Feed it the usage objects of one answer."""

    def __init__(self) -> None:
        self.details: dict[str, Any] = {}
        """Every number at its last word, as the upstream has it."""
        self._is_told = False

    def take(self, usage: Any, *, is_first: bool = False) -> None:  # noqa: ANN401 - JSON
        """Take a usage object.

        Args:
            usage: The object; whatever else it is says nothing.
            is_first: It came before the answer, and a prompt of 0 tokens is not known yet.
        """
        said = {name: value for name, value in object_in(usage).items() if value is not None}
        self.details |= said
        self._is_told = self._is_told or (not is_first and any(name in said for name in _INPUT))

    def usage(self) -> Usage | None:
        """Give what is known; None if nothing is."""
        parts = [whole_number(self.details.get(name)) for name in _INPUT]
        known = [part for part in parts if part is not None]
        input_tokens = sum(known) if known and (self._is_told or any(known)) else None
        output_tokens = whole_number(self.details.get("output_tokens"))
        if input_tokens is None and output_tokens is None:
            return None
        return Usage(input_tokens, output_tokens, self.details)

"""What an answer cost, as Anthropic counts it: running totals, each of which replaces the last.

``message_start`` names what is known then, ``message_delta`` what it came to; a number that is
left out stays, and so it does where null, a word, or less than nothing is in its place.  A prompt
of 0 tokens in ``message_start`` is one that nobody has counted yet.  Anthropic's ``input_tokens``
leave out what the cache gave or took, ours count it, as OpenAI's do.
"""

from __future__ import annotations

from typing import Any

from inferd_engine.events import Usage
from inferd_engine.wire.text.json_shapes import count_in, object_in

_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_OUTPUT = "output_tokens"


class Counted:
    """Feed it the usage objects of one answer."""

    def __init__(self) -> None:
        self.details: dict[str, Any] = {}
        """The upstream's object: the last one, over what was known before the answer."""
        self._first: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._is_told = False

    def take(self, usage: Any, *, is_first: bool = False) -> None:
        """Take a usage object.

        Args:
            usage: The object; whatever else it is says nothing.
            is_first: It came before the answer, and a prompt of 0 tokens is not known yet.
        """
        said = {name: value for name, value in object_in(usage).items() if value is not None}
        if is_first:
            self._first = said
        if said:
            self.details = {**self._first, **said}
        for name in (*_INPUT, _OUTPUT):
            count = count_in(said.get(name))
            if count is not None:
                self._counts[name] = count
                self._is_told = self._is_told or (not is_first and name in _INPUT)

    def usage(self) -> Usage | None:
        """Give what is known; None if nothing is."""
        parts = [self._counts[name] for name in _INPUT if name in self._counts]
        input_tokens = sum(parts) if self._is_told or any(parts) else None
        output_tokens = self._counts.get(_OUTPUT)
        if input_tokens is None and output_tokens is None:
            return None
        return Usage(input_tokens, output_tokens, self.details)

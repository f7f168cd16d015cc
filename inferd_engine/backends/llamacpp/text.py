"""Text out of tokens: whole characters, and nothing of a stop sequence.

A token is bytes, which may be a part of a character; a stop sequence may come in parts, too.  What
may still become either is held back.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class TextOfTokens:
    """Feed it the bytes of tokens; it gives the text that is decided.

    Args:
        stop: Sequences that end the answer; they are no part of its text.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(sequence for sequence in stop if sequence)
        self._held = ""
        self.found: str | None = None
        """The stop sequence that has ended the answer."""

    def push(self, piece: bytes, *, final: bool = False) -> str:
        """Take the next bytes; return the text that is decided now."""
        text = self._held + self._decoder.decode(piece, final)
        self._held = ""
        at = [(text.find(sequence), sequence) for sequence in self._stop if sequence in text]
        if at:
            end, self.found = min(at)
            return text[:end]
        if not final:
            keep = max((begun(text, sequence) for sequence in self._stop), default=0)
            text, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return text

    def flush(self) -> str:
        """Return what was held back: the answer has ended."""
        return "" if self.found is not None else self.push(b"", final=True)


def begun(text: str, sequence: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a sequence."""
    return next(
        (n for n in range(min(len(sequence) - 1, len(text)), 0, -1) if text.endswith(sequence[:n])),
        0,
    )

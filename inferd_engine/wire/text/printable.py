"""Make somebody else's text safe to print."""

from __future__ import annotations

import re

_LONGEST_MESSAGE = 500  # characters of somebody else's text in a message of ours
# What changes the order of the characters around it: marks, embeddings, overrides and isolates of
# the Unicode Bidirectional Algorithm (UAX 9, 2); and halves of characters.
REORDERING = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_UNPRINTABLE = re.compile(rf"[\x00-\x1f\x7f-\x9f{REORDERING}]+")


def printable(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """Make somebody else's text safe to print in a message: no control characters, not long."""
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"

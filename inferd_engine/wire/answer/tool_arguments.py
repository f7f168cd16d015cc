"""Decode the arguments of a tool call from the pieces in which they came.

The pieces joined; if that is no JSON, the shapes that servers are known to send instead: all so far
with every piece, the whole once more at the end, JSON in a string.  Never a guess: two different
documents in a row are an error.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

from inferd_engine.wire.text.json_documents import parse_json
from inferd_engine.wire.text.surrogates import joined_in_value


def read_arguments(parts: list[str]) -> Any:
    """Decode a call's arguments.

    Nothing at all is ``{}``, and so is the empty list, which PHP writes for it.  A string that
    holds JSON is decoded once more.

    Raises:
        ValueError: They are no JSON; two different documents in a row are not guessed apart.
    """
    text = "".join(parts).strip()
    if not text or text == "null":
        return {}
    try:
        value = parse_json(text)
    except ValueError:
        value = parse_json(_sent_again(parts, text))
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # a tool may take a plain string
            value = parse_json(value) if value.strip() else {}
    return {} if value == [] else joined_in_value(value)


def _sent_again(parts: list[str], text: str) -> str:
    """Return the one document in arguments that were sent more than once, or the text as it is."""
    with contextlib.suppress(ValueError, RecursionError):
        _, end = json.JSONDecoder(strict=False).raw_decode(text)
        if text == text[:end] * (len(text) // end):
            return text[:end]
    parts = [part for part in parts if part.strip()]
    last = parts[-1]
    if all(after.startswith(before) for before, after in itertools.pairwise(parts)):
        return last  # each piece is all so far
    if "".join(parts[:-1]).strip() == last.strip():
        return last  # in pieces, then once more as a whole
    return text

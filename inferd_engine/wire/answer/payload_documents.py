"""Take one payload apart into the JSON documents in it.

Nearly always it is one document.  Relays also send several, with line ends, commas, further
``data:`` prefixes or nothing at all between them; a document written into a JSON string; half a
document with the next one right behind it.  The rule: what can be read is given in order, what
cannot is told once for each stretch of it, and reading goes on behind it, at the next line or at
the next ``data: {``.

Time stays linear: what is read in vain is bounded by what was received.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inferd_engine.wire.text.json_documents import PAYLOADS, is_worth_trying, parse_payload

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = "[DONE]"


class Skipped:
    """Stands for a stretch of a payload that is no JSON."""


SKIPPED = Skipped()
_DEPTH = 3  # strings that hold documents in strings; a relay for each
# Blanks, commas, and fields of an event stream that was framed once more.
_BETWEEN = re.compile(r"(?:[\s,;]|data:|(?:event|id|retry|):[^\n]*)*")
_NEXT = re.compile(r"\n|data:\s*(?=\{)")
_BEGINNINGS = ("{", "[", '"')


def documents_in(text: str, depth: int = _DEPTH) -> Iterator[Any]:
    """Yield the documents of a payload, decoded; ``DONE`` and ``SKIPPED`` stand for themselves.

    Args:
        text: The payload, without blanks around it.
        depth: How often a document that is a string is taken for a payload of its own.
    """
    if not text or text[:6].upper() == DONE:
        yield from (DONE,) if text else ()
        return
    try:
        value = parse_payload(text)
    except ValueError:
        yield from _several(text, depth)
        return
    yield from _unwrapped(value, depth)


def _unwrapped(value: Any, depth: int) -> Iterator[Any]:
    """Yield a document, or those in a string, or a list of strings, that is nothing but them."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        for item in value:
            yield from _unwrapped(item, depth)
        return
    inner = value.strip() if isinstance(value, str) and depth else ""
    if inner.startswith((*_BEGINNINGS, "data:")):
        yield from documents_in(inner, depth - 1)
    else:
        yield value


def _several(text: str, depth: int) -> Iterator[Any]:
    at = tried = 0
    is_skipping = False
    while True:
        at = _end_of(_BETWEEN, text, at)
        if at == len(text):
            return
        if text[at : at + len(DONE)].upper() == DONE:
            yield DONE
            return
        found = _document_at(text, at, is_bold=is_worth_trying(tried, len(text)))
        if found is not None:
            value, at = found
            is_skipping = is_skipping and isinstance(value, str)  # a name in a broken object
            yield from _unwrapped(value, depth)
            continue
        if not is_skipping:
            is_skipping = True
            yield SKIPPED
        tried += len(text) - at
        at = _next_place(text, at + 1)


def _document_at(text: str, at: int, *, is_bold: bool) -> tuple[Any, int] | None:
    """Decode the document that begins here; unless bold, only if it ends before the next may."""
    if not text.startswith(_BEGINNINGS, at):
        return None
    try:
        if is_bold:
            return PAYLOADS.raw_decode(text, at)
        value, size = PAYLOADS.raw_decode(text[at : _next_place(text, at + 1)])
    except (ValueError, RecursionError):
        return None
    return value, at + size


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _next_place(text: str, at: int) -> int:
    """Return the next place where a document may begin after one that cannot be read."""
    match = _NEXT.search(text, at)
    return match.end() if match else len(text)

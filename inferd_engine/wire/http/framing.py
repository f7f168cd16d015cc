"""Where the body of an answer ends, and whether that is beyond doubt.

A client and a server that do not agree where an answer ends take the rest of it for the next one.
So a connection is used again only after an answer whose end everybody finds at the same place: one
``Transfer-Encoding: chunked``, or one ``Content-Length`` of digits, and never both.  All others are
read as leniently as can be, and are the last on their connection.

RFC 9112, 6.3 "Message Body Length".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Framing(NamedTuple):
    """How a body is framed."""

    is_chunked: bool
    length: int | None
    """As ``Content-Length`` says; None if it says nothing that can be understood."""
    is_certain: bool
    """Whether nobody could read it in another way."""


def framing_of(transfer_encodings: Iterable[str], content_lengths: Iterable[str]) -> Framing:
    """Say how a body is framed.

    Args:
        transfer_encodings: The values of all headers of this name.
        content_lengths: Likewise.
    """
    codings = _items(transfer_encodings)
    lengths = _items(content_lengths)
    if codings:
        is_chunked = codings[-1] == "chunked"
        return Framing(is_chunked, _number(lengths), codings == ["chunked"] and not lengths)
    is_plain = len(lengths) <= 1 and all(
        length.isascii() and length.isdigit() for length in lengths
    )
    return Framing(is_chunked=False, length=_number(lengths), is_certain=is_plain)


def _items(values: Iterable[str]) -> list[str]:
    """Return the members of lists, however many headers they stand in."""
    items = (item.strip().lower() for value in values for item in value.split(","))
    return [item for item in items if item]


def _number(lengths: list[str]) -> int | None:
    """Return the length that all of them mean, if they mean the same."""
    if len(set(lengths)) != 1:
        return None
    try:
        number = int(lengths[0])
    except ValueError:
        return None
    return number if number >= 0 else None

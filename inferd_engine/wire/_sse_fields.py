"""What a block of an event stream says: its fields, read by sseclient-py.

A framer finds where blocks and lines begin and end; this is the other half, and the only home of
what the fields mean.  sseclient-py reads a whole block right when it is given one at a time, with
LF as line end.  What it does not do, or does not do as the standard has it, is done around it:

* it raises on ill-formed UTF-8: the block is decoded here, U+FFFD for each maximal subpart;
* it joins several ``data`` lines by repeated ``+=``, which is quadratic: they are joined before,
  with a character that the block does not hold in the place of the line end;
* it forgets the id of an event without data and takes an id with NUL: ids are kept here;
* its ``retry`` is any text, and is lost when the block is cut: a framer gives those lines out at
  once, and only ASCII digits count.

WHATWG HTML, 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

import msgspec
import sseclient

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_DIGITS = 4000  # int() refuses more than 4300; no reconnection time is meant by either

# What a framer gives: the data of plain events one after the other, the lines of an event that is
# not plain, or one line that acts by itself; lines without their ends.
Piece = Union[list[str], tuple[bytes, ...], bytes]


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of an event stream.

    A ``msgspec.Struct``: making one costs 27 ns, an attrs class five times that, and a decoder
    makes nothing else.

    Args:
        event: Its type, ``"message"`` if the stream named none.  Empty for a line with an unknown
            field, which the decoder gives only when asked to.
        data: Its data, or the whole unknown line.
        id: The last event id when it was dispatched.
    """

    event: str
    data: str
    id: str = ""


class Fields:
    """Interpret blocks and lines, and keep what outlives an event: the last id and ``retry``."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry: int | None = None

    def read_line(self, line: bytes) -> ServerSentEvent | None:
        """Take a line that acts by itself: ``retry``, or one with an unknown field."""
        name, _, value = line.partition(b":")
        if name != b"retry":
            return ServerSentEvent("", line.decode("utf-8", "replace"), self.last_event_id)
        digits = value.removeprefix(b" ")
        if digits.isdigit() and len(digits) < _MOST_DIGITS:  # of bytes: ASCII digits alone
            self.retry = int(digits)
        return None

    def read_block(self, lines: tuple[bytes, ...]) -> ServerSentEvent | None:
        """Take the lines of a block, without their ends; give its event if it has data."""
        fields = [line for line in lines if line and not line.startswith((b":", b"retry"))]
        if not fields:
            return None
        text = b"\n".join(fields).decode("utf-8", "replace")
        text, joint = _join_data(text)
        self._commit_id(text)
        for event in sseclient.SSEClient(iter([text.encode() + b"\n\n"])).events():
            data = event.data.replace(joint, "\n") if joint else event.data
            return ServerSentEvent(event.event, data, self.last_event_id)
        return None

    def _commit_id(self, text: str) -> None:
        for line in text.split("\n"):
            name, _, value = line.partition(":")
            if name == "id" and "\0" not in value:
                self.last_event_id = value.removeprefix(" ")


def _join_data(text: str) -> tuple[str, str]:
    """Put several ``data`` lines into one; give the text and what stands for the line ends."""
    lines = text.split("\n")
    data = [line for line in lines if line == "data" or line.startswith("data:")]
    if len(data) <= 1:
        return text, ""
    joint = _unused_character(text)
    values = (line[5:].removeprefix(" ") for line in data)
    others = [line for line in lines if line != "data" and not line.startswith("data:")]
    return "\n".join([*others, "data: " + joint.join(values)]), joint


def _unused_character(text: Iterable[str]) -> str:
    """Find a character that the text does not hold and that ends no line."""
    used = {"\n", "\r", *text}
    return next(c for c in map(chr, range(1, 0xD800)) if c not in used)

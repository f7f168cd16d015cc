"""What a block of an event stream says: its fields, read by sseclient-py.

A framer finds where blocks and lines begin and end; this is the other half, and the only home of
what the fields mean.  sseclient-py reads a whole block right when it is given one at a time, with
LF as line end.  What it does not do, or does not do as the standard has it, is done around it:

* it raises on ill-formed UTF-8: the block is decoded here, U+FFFD for each maximal subpart;
* it joins several ``data`` lines by repeated ``+=``, which is quadratic: they are joined before,
  with a string that the block does not hold in the place of the line end;
* it logs the type of an event, in which an upstream may say anything: the type is read here;
* it forgets the id of an event without data and takes an id with NUL: ids are kept here;
* its ``retry`` is any text, and is lost when the block is cut: a framer gives those lines out at
  once, and only ASCII digits count.

WHATWG HTML, 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

import re
from typing import Union

import msgspec
import sseclient

from inferd_engine.reprs import named, shortened

_UNIT_SEPARATORS = re.compile(rb"\x1f+")
_MOST_DIGITS = 4000  # int() refuses more than 4300; no reconnection time is meant by either

# What a framer gives: the data of plain events, one a line; the lines of an event that is not
# plain; or one line that acts by itself.  Lines are without their ends.
Piece = Union[str, tuple[bytes, ...], bytes]


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

    def __repr__(self) -> str:
        last = f", id={shortened(self.id, 20)}" if self.id else ""
        shown = f"event={shortened(self.event, 20)}, data={shortened(self.data, 40)}{last}"
        return named("ServerSentEvent", shown)


class Fields:
    """Interpret blocks and lines, and keep what outlives an event: the last id and ``retry``."""

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self._blocks: list[bytes] = []  # what sseclient-py reads next: one block at a time
        self._events = sseclient.SSEClient(iter(self._blocks.pop, None)).events()

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
        data: list[bytes] = []
        kind = b""
        for line in lines:
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif name == b"event":
                kind = value.removeprefix(b" ")
            elif name == b"id" and b"\0" not in value:
                self.last_event_id = value.removeprefix(b" ").decode("utf-8", "replace")
        if not data:
            return None
        joint = _joint_of(data) if len(data) > 1 else b""
        text = joint.join(data).decode("utf-8", "replace")
        del data, value  # sseclient-py copies a block six times: no copy of ours beside those
        self._blocks.append(f"data: {text}\n\n".encode())
        del text
        event = next(self._events)
        text = event.data.replace(joint.decode(), "\n") if joint else event.data
        return ServerSentEvent(
            kind.decode("utf-8", "replace") or "message", text, self.last_event_id
        )


def _joint_of(data: list[bytes]) -> bytes:
    """Return a string that is in none of these, nor across the seam of one and itself."""
    longest = max(
        (len(run) for value in data for run in _UNIT_SEPARATORS.findall(value)), default=0
    )
    return b"\x1f" * (longest + 1) + b"\x1e"

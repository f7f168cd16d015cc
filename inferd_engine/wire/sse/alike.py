"""Events that are alike but for a text: compared, and their texts taken out.

They are alike in their parts: the bytes before the text, up to its quotation mark, and those behind
it, up to the end of the blank line; or up to a filler, letters and digits that hide how long the
text is, and then those behind that.  ``csrc/alike_events.h`` is the manual; the one in Python does
the same, and knows as little of what is in the texts.

Whoever receives the bytes (``net``) can have the one in C do so in the same call
(``csrc/socket_texts.h``), with its ``part``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from inferd_engine._native import CHARS, IS_THERE, ffi, lib, new_chars

if TYPE_CHECKING:
    from typing_extensions import Buffer

BODY = rb'[^"\\\x00-\x1f]*(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*)*'
"""What is between a JSON string's quotation marks, as a pattern."""
_find_body = re.compile(BODY).match
_find_filler = re.compile(rb"[0-9A-Za-z]*").match


class AlikeEvents(Protocol):
    """Takes the texts out of events."""

    count: int
    """How many events the last call found."""
    consumed: int
    """How many bytes these have."""

    def texts(self, data: bytes) -> Buffer | None:
        """Return the texts of the events that these bytes begin with, as JSON.

        They are those up to the first that is another or is not whole; None if there are none.  The
        texts may be no UTF-8, and have escapes that are none.  An empty one is left out.
        """


class NativeAlikeEvents:
    """The one of the C part."""

    def __init__(self, head: bytes, tail: bytes, end: bytes) -> None:
        self._parts = [ffi.from_buffer(part) for part in (head, tail, end)]  # kept for the struct
        sized = [value for part in self._parts for value in (part, len(part))]
        self.part = ffi.new("struct alike_events *", sized)
        """What the C part knows, and says, of the events."""
        self.count = self.consumed = 0

    def texts(self, data: bytes) -> Buffer | None:
        """Return the texts of the events that these bytes begin with."""
        size, part = len(data), self.part
        out = new_chars(CHARS, size)
        written = lib.alike_texts(part, data, size, out)
        if not written:
            return None
        self.count, self.consumed = part.count, part.consumed
        buffer: Buffer = ffi.buffer(out, written)
        return buffer


class PureAlikeEvents:
    """The one in Python."""

    def __init__(self, head: bytes, tail: bytes, end: bytes) -> None:
        self._parts = head, tail, end
        self.count = self.consumed = 0

    def texts(self, data: bytes) -> Buffer | None:
        """Return the texts of the events that these bytes begin with."""
        head, tail, end = self._parts
        position, texts = 0, []
        while data.startswith(head, position):
            body: Any = _find_body(data, position + len(head))
            next_one = body.end() + len(tail)
            if not data.startswith(tail, body.end()):
                break
            if end:
                filler: Any = _find_filler(data, next_one)
                next_one = filler.end() + len(end)
                if not data.startswith(end, filler.end()):
                    break
            position = next_one
            texts.append(body[0])
        if not texts:
            return None
        self.count, self.consumed = len(texts), position
        return b"[%s]" % b",".join([b'{"delta":"%s"}' % text for text in texts if text])


ALIKE: dict[str, type[NativeAlikeEvents | PureAlikeEvents]] = {"pure": PureAlikeEvents}
if IS_THERE:
    ALIKE["native"] = NativeAlikeEvents

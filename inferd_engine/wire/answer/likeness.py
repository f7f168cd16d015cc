"""What the events of an answer have in common, and what those say that have it.

Goal: a burst at the cost of its texts.  The events of one answer are the same bytes again and again
but for a piece of text, and comparing them costs a tenth of taking them apart.

Strategy: of an event that went the general way, the bytes before its text and those behind are
kept.  The next ones are compared with these (``wire.sse.alike``), and their texts, as one document,
are decoded to events in one call.  What is not alike goes the general way, and so do all events of
a read where a text cannot be decoded (no UTF-8, half a character, an escape that is none).

What makes it exact: a likeness is proven, not found.  It is kept only if the general way, framing
and all, reads ``head + text + tail`` as one plain event that says that text, for two texts that are
unlike, and as one that says nothing for an empty one.  So the place of the text is the whole body
of a JSON string (else more would come back, or nothing); it is this string that counts (a second
one of its name would say the same both times); and what is around it is what a plain event may
have.  Another body of a string, in which there is no quotation mark and no line end, changes that
string and no more.  So it does not matter where the bytes of a likeness come from.

OpenAI adds a string of random length to each chunk, ``obfuscation``, which says nothing.

Rejected: what two events have in common (texts may begin alike), and the place behind the name of a
field (which a text can hold, and a chunk twice).
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Union

import msgspec

from inferd_engine.events import TextDelta, ThinkingDelta
from inferd_engine.wire.sse.alike import ALIKE, BODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferd_engine.wire.sse.alike import AlikeEvents

Delta = Union[TextDelta, ThinkingDelta]
Said = tuple[list[Delta], Union[int, None]]
"""What plain events say, and what of: the index of a block, where an answer has blocks."""

_STRING = re.compile(rb'"(%s)("?)' % BODY)  # its end may be missing: so no search goes back
_FILLER = re.compile(rb'"obfuscation"\s*:\s*"([0-9A-Za-z]*)"')
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"[\r\n]")
_OTHERS = b"one", b"2", b""  # what is tried in the place of the text, and of a filler
_MOST = 4  # strings of an event that are tried: a few may be spelled like the text
_WORTH = 32  # events that are worth looking at one of them so closely
_DECODERS: dict[type[Delta], Callable[[Any], list[Any]]] = {
    TextDelta: msgspec.json.Decoder(list[TextDelta]).decode,
    ThinkingDelta: msgspec.json.Decoder(list[ThinkingDelta]).decode,
}
_read_string = msgspec.json.Decoder(str).decode


class Likeness:
    """Learns from events what they are like, and tells what the next ones say.

    Args:
        implementation: ``"native"`` or ``"pure"``.
    """

    def __init__(self, implementation: str) -> None:
        self._implementation = ALIKE[implementation]
        self.alike: AlikeEvents | None = None
        """Takes the texts out of what is like the events that were learnt from."""
        self.decode: Callable[[Any], list[Delta]] = _DECODERS[TextDelta]
        """Makes events of the texts; a ``ValueError`` says that they cannot be read."""
        self.place: int | None = None
        """What these events say something of; see ``Said``."""
        self._head = b""
        self._asked = 0  # how often in vain
        self._found = 0  # events that were alike, since the last time that this was worth a look
        self.count = 0
        """How many events were taken last."""
        self.consumed = 0
        """How many bytes these had."""

    def take(self, data: bytes) -> Said | None:
        """Return what the events say that these bytes begin with; None if none of them is alike."""
        alike = self.alike
        texts = alike and alike.texts(data)
        if alike is None or texts is None:
            return None
        try:
            events = self.decode(texts)
        except ValueError:
            return None
        self.count, self.consumed = alike.count, alike.consumed
        self.have_found(self.count)
        return events, self.place

    def have_found(self, count: int) -> None:
        """Take note that so many events were alike: here, or where they were received."""
        self._found += count
        if self._found >= _WORTH:
            self._asked = self._found = 0

    def is_begun(self, data: bytes) -> bool:
        """Say whether these bytes are alike as far as the end of the text, and go no further."""
        text = data.removeprefix(self._head)
        if len(text) == len(data):
            return self._head.startswith(data)
        return not _LINE_END.search(text)

    def wanted(self, data: bytes, *, is_between: bool) -> bytes:
        """Return the first event, to learn from it: the more often in vain, the more seldom.

        Of bytes that begin amid an event, its rest: so the next one can be learnt from.

        Args:
            data: What came.
            is_between: Whether it begins an event.

        Returns:
            Bytes up to a blank line; none if nothing is wanted, or none is there.
        """
        asked = self._asked + 1
        is_due = asked & (asked - 1) == 0  # at 1, 2, 4, 8 …
        first = _first_event(data) if is_due else b""
        if not is_due or (first and is_between):
            self._asked = asked
        return first

    def learn(self, event: bytes, read: Callable[[bytes], Said | None]) -> None:
        """Learn from an event, if it is a plain one.

        Args:
            event: Its bytes, with its blank line.
            read: Gives what the bytes of one plain event say; None if they are anything else.
        """
        said = read(event)
        if said is None or len(said[0]) != 1:
            return
        kind, text, place = type(said[0][0]), said[0][0].delta, said[1]
        spelled = (string for string in _STRING.finditer(event) if _means(string, text))
        for string in itertools.islice(spelled, _MOST):
            parts = _parts_of(event, string)
            if all(
                read(tried) == ([kind(text)] if text else [], place)
                for text, tried in _trials(*parts)
            ):
                self.alike, self.decode = self._implementation(*parts), _DECODERS[kind]
                self._head, self.place, self._found = parts[0], place, 0
                return


def _first_event(data: bytes) -> bytes:
    """Return the bytes up to the first blank line; none if there is none."""
    found = _BLANK_LINE.search(data)
    return data[: found.end()] if found else b""


def _means(string: re.Match[bytes], text: str) -> bool:
    try:
        return bool(string[2]) and _read_string(string[0]) == text
    except ValueError:
        return False


def _parts_of(event: bytes, string: re.Match[bytes]) -> tuple[bytes, bytes, bytes]:
    """Return what is before the text, what is behind it up to a filler, and behind that."""
    head, tail = event[: string.start(1)], event[string.end(1) :]
    filler = _FILLER.search(tail)
    return (head, tail[: filler.start(1)], tail[filler.end(1) :]) if filler else (head, tail, b"")


def _trials(head: bytes, tail: bytes, end: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield texts, and the event that says each of them if these are the parts of such events."""
    for text in _OTHERS:
        for filler in _OTHERS if end else (b"",):
            yield text.decode(), head + text + tail + filler + end

"""Read JSON as servers send it: one document for the whole body, or one a line.

The rule: a document ends with a line that closes it, that is, a line after which what was
collected parses.  Only lines that can close one are tried (the document's own first line, or one
that begins with a closing bracket: pretty printers put it there), and trying is bounded by what
was received, so that time stays linear in a body made to be slow.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import EventTooLargeError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Values in one document.  One of two bytes ("1,", "{}") takes up to 250 in memory, and a quarter of
# a microsecond, in which no other thread runs: so 256 MiB and a quarter of a second at the most,
# where 64 MiB of "{}," would take 1.6 GiB and seconds.  Ten thousand tokens with twenty log
# probabilities each have as many.
MOST_VALUES = 2**20
_BEGINNING = 2**22  # characters of a document that are looked at first: made to be slow, it is here
_FEW_STRINGS = 10_000  # quotes in a document; in one with more, what is in them hardly counts
_TRY_BUDGET = 65536  # bytes that may be parsed in vain, beside a share of what was received


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a number that JSON can hold")
    return number


def _finite_or_none(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _none(_: str) -> None:
    """Stand for a constant that is no JSON."""


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


_JSON = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=_no_constant)
PAYLOADS = json.JSONDecoder(strict=False, parse_float=_finite_or_none, parse_constant=_none)
"""What ``parse_payload`` decodes with; made once, which takes as long as a chunk."""


def parse_json(text: str) -> Any:
    """Decode JSON; raw control characters in strings are fine, NaN and infinities are not.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
        UpstreamError: It holds more values than memory should be given for.
    """
    return _parsed(text, _JSON)


def parse_payload(text: str) -> Any:
    """Decode what a server wrote: the same, but NaN and infinities in it are null.

    Servers in Python write them among log probabilities; the text beside them is good.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
        UpstreamError: It holds more values than memory should be given for.
    """
    return _parsed(text, PAYLOADS)


def _parsed(text: str, decoder: json.JSONDecoder) -> Any:
    if len(text) > MOST_VALUES:
        _check_cost(text)
    try:
        return decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _check_cost(text: str) -> None:
    """Refuse a document that would cost far more memory, and time, than it has bytes.

    Raises:
        UpstreamError: It holds too many values.
    """
    for size in (_BEGINNING, len(text)):
        part = text[:size]
        if _separators_in(part) > MOST_VALUES and _values_in(part) > MOST_VALUES:
            raise UpstreamError(
                f"one event holds more than {MOST_VALUES} JSON values: "
                "ask for less beside the text (log probabilities?), or for a stream",
                code="event_too_large",
                retryable=False,
            )


def _separators_in(text: str, start: int = 0, end: int | None = None) -> int:
    return sum(text.count(separator, start, end) for separator in ",[{")


def _values_in(text: str) -> int:
    """Count values, more or less, in a document that may have been cut off.

    Separators inside of strings are none, which matters where few strings are long.
    """
    if text.count('"') > _FEW_STRINGS:
        return _separators_in(text)
    count = at = 0
    while at >= 0:
        start = text.find('"', at)
        count += _separators_in(text, at, None if start < 0 else start)
        at = -1 if start < 0 else _behind_string(text, start)
    return count


def _behind_string(text: str, start: int) -> int:
    """Return where a string that begins here is over; -1 if it has no end."""
    end = start
    while (end := text.find('"', end + 1)) >= 0:
        before = end - 1
        while text[before] == "\\":
            before -= 1
        if (end - before) % 2:
            return end + 1
    return -1


def is_worth_trying(tried: int, received: int) -> bool:
    """Whether the bytes parsed in vain are in proportion to those received: time stays linear."""
    return tried <= 8 * received + _TRY_BUDGET


class JsonDocuments:
    """Feed it a JSON body as it comes; it gives the text of its documents.

    Args:
        limit: The largest document that is no error, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: list[bytes] = []  # of the document that has no end yet
        self._parts: list[bytes] = []  # of the line that has no end yet
        self._size = 0  # bytes in both
        self._tried = 0
        self.stopped_at: bytes | None = None
        """The bytes from the first line on that is a field of an event stream."""

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the documents that these bytes finish.

        Raises:
            EventTooLargeError: A document is larger than allowed.
        """
        parts = data.split(b"\n")
        for index, part in enumerate(parts[:-1]):
            self._keep(part)
            line = b"".join(self._parts)
            self._parts = []
            if line.startswith(b"data:"):
                yield from self._document()
                self.stopped_at = b"\n".join([line, *parts[index + 1 :]])
                return
            if not self._lines and not line.strip():  # a blank line between documents
                self._size = 0
                continue
            self._lines.append(line)
            self._size += 1
            if self._may_be_whole(line):
                yield from self._document()
        self._keep(parts[-1])

    def close(self) -> Iterator[str]:
        """Yield what the body ended with, whole or not: what is no JSON is told further up."""
        line = b"".join(self._parts)
        self._parts = []
        if line.lstrip().startswith(b"data:"):
            yield from self._document()
            yield line.decode("utf-8", "replace")
            return
        text = b"\n".join([*self._lines, line]).decode("utf-8", "replace")
        if text.strip():
            yield text

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._limit:
            raise EventTooLargeError(self._size, self._limit)

    def _may_be_whole(self, line: bytes) -> bool:
        if not (len(self._lines) == 1 or line.startswith((b"}", b"]"))):
            return False
        self._tried += self._size
        return is_worth_trying(self._tried, self._size)

    def _document(self) -> Iterator[str]:
        """Yield the collected lines if they are a document."""
        text = b"\n".join(self._lines).decode("utf-8", "replace")
        try:
            parse_payload(text)
        except ValueError:
            return
        self._lines, self._size, self._tried = [], 0, 0
        yield text

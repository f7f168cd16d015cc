"""Decode ``application/vnd.amazon.eventstream``: bytes in, frames out, exact at every split.

A frame, all numbers big-endian:

    total length  4    of the frame, these bytes and all checksums included
    headers       4    length of the headers
    checksum      4    CRC-32 of the eight bytes before
    headers       …    each: 1 length of its name, the name, 1 type, the value
    payload       …
    checksum      4    CRC-32 of all before

Goal: the frames that were sent or an error, never a third thing; memory that ends at the limits; a
damaged length that is known by its checksum before anybody waits for as many bytes.

Rules:

* both checksums are looked at, the first as soon as its bytes are there;
* what is damaged ends the stream: nothing tells where the next frame would begin;
* what came before the damage is given first, and what has no end is in ``pending``.

Sources: Smithy 2.0, "Amazon Event Stream Specification"; limits as in ``botocore.eventstream``,
which the tests hold this to.
"""

from __future__ import annotations

import binascii
import struct
from typing import TYPE_CHECKING, Union

import msgspec

from inferd_engine.errors import EventTooLargeError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_HEADERS_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 24 * 1024 * 1024
_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_LEAST = _PRELUDE.size + _CHECKSUM.size  # bytes of a frame without headers and payload

Value = Union[bool, int, bytes, str]
"""Of a header: a timestamp is milliseconds since 1970, a UUID its 16 bytes."""


class Frame(msgspec.Struct, frozen=True):
    """One message of the stream."""

    headers: dict[str, Value]
    payload: bytes


class EventStreamDecoder:
    """Feed it the bytes of an event stream as they come; it gives the frames that they finish.

    Args:
        max_frame_bytes: The largest frame that is no error; the protocol's own limits hold too.
    """

    def __init__(
        self, *, max_frame_bytes: int = _LEAST + MAX_HEADERS_BYTES + MAX_PAYLOAD_BYTES
    ) -> None:
        self._limit = max_frame_bytes
        self._buffer = bytearray()
        self._at = 0  # where the frame that has no end yet begins
        self._failure: UpstreamError | EventTooLargeError | None = None

    @property
    def pending(self) -> bytes:
        """The bytes of the frame that has no end yet."""
        return bytes(self._buffer[self._at :])

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that these bytes finish.

        Raises:
            UpstreamError: A frame is damaged (``code="malformed"``).
            EventTooLargeError: A frame is larger than allowed.
        """
        if self._failure is not None:
            raise self._failure
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data
        try:
            while (end := self._end_of_frame()) is not None:
                begin, self._at = self._at, end
                yield _frame(self._buffer[begin:end])
        except (UpstreamError, EventTooLargeError) as error:
            self._failure = error.with_traceback(None)
            self._buffer.clear()
            self._at = 0
            raise

    def _end_of_frame(self) -> int | None:
        """Return where the next frame ends; None if not all of it is there."""
        there = len(self._buffer) - self._at
        if there < _PRELUDE.size:
            return None
        total, headers, checksum = _PRELUDE.unpack_from(self._buffer, self._at)
        if binascii.crc32(self._buffer[self._at : self._at + 8]) != checksum:
            raise _damaged("the checksum of a frame's lengths is wrong")
        if total < headers + _LEAST:
            raise _damaged(f"a frame of {total} bytes cannot have {headers} of headers")
        if headers > MAX_HEADERS_BYTES or total - headers - _LEAST > MAX_PAYLOAD_BYTES:
            raise _damaged(f"a frame of {total} bytes, {headers} of headers, is not allowed there")
        if total > self._limit:
            raise EventTooLargeError(total, self._limit)
        return None if there < total else self._at + total


def _frame(data: bytearray) -> Frame:
    """Decode one whole frame."""
    (checksum,) = _CHECKSUM.unpack_from(data, len(data) - _CHECKSUM.size)
    view = memoryview(data)
    if binascii.crc32(view[: -_CHECKSUM.size]) != checksum:
        raise _damaged("the checksum of a frame is wrong")
    _, headers, _ = _PRELUDE.unpack_from(data)
    begin = _PRELUDE.size + headers
    try:
        found = _headers(bytes(view[_PRELUDE.size : begin]))
    except (struct.error, IndexError, ValueError) as error:
        raise _damaged(f"a frame's headers cannot be read: {error}") from None
    return Frame(found, bytes(view[begin : -_CHECKSUM.size]))


def _headers(data: bytes) -> dict[str, Value]:
    headers: dict[str, Value] = {}
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        name = data[at + 1 : end].decode()
        if name in headers:
            raise ValueError(f"{name!r} is there twice")
        headers[name], at = _value(data, end + 1, data[end])
    return headers


def _value(data: bytes, at: int, kind: int) -> tuple[Value, int]:
    """Return the value that begins here, and where it ends."""
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    number = _NUMBERS.get(kind)
    if number is not None:
        return number.unpack_from(data, at)[0], at + number.size
    if kind == _UUID:
        begin, end = at, at + 16
    elif kind in (_BYTES, _STRING):
        begin = at + _LENGTH.size
        end = begin + _LENGTH.unpack_from(data, at)[0]
    else:
        raise ValueError(f"there is no type {kind}")
    if end > len(data):
        raise ValueError("a value is longer than all of them")
    value = data[begin:end]
    return (value.decode() if kind == _STRING else value), end


_TRUE, _FALSE, _BYTES, _STRING, _UUID = 0, 1, 6, 7, 9
_NUMBERS = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
    8: struct.Struct(">q"),  # a timestamp
}


def _damaged(what: str) -> UpstreamError:
    return UpstreamError(
        f"the upstream's event stream is damaged: {what}", code="malformed", retryable=True
    )

"""Read an answer whose vectors are base64, at the cost of looking at each of its bytes once.

Goal: nearly all of such an answer is vectors, so that what is done beside decoding them is what it
costs.  A JSON parser goes through their text and makes a copy; base64 decoded by itself makes
another, and whether its numbers are finite is a third look.

So their text never gets to the parser.  It is found by its key and its quotes, and decoded where it
stands, every number looked at on the way (``csrc/base64_floats.h``); what is parsed is the rest of
the answer, with the vector's number for its text.

Rules:

* ``"embedding"`` with a colon behind it is a key: inside of a str the second quote would have a
  backslash before it, and one before the first is looked for.
* Whatever is not as expected (other items, other types, an escape in the text, a number that is
  not finite) is nobody's mistake here: None, and ``embeddings.py`` reads the answer in its own way.
  It knows the errors.

Without the C part msgspec decodes the text, three times as fast as ``binascii``.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from typing import TYPE_CHECKING, Any

import msgspec

from inferd_engine._native import IMPLEMENTATION, Implementation, ffi, lib

if TYPE_CHECKING:
    from collections.abc import Callable

    Decode = Callable[[bytes, int, int], "array[float] | None"]

BYTES = 4  # of a number
_KEY = re.compile(rb'"embedding"\s*:\s*("?)')
_QUOTE, _BACKSLASH = b'"', ord("\\")
# The upper byte of a little-endian float32 that may be NaN or infinite, or is above 1.7e38.
_SUSPICIOUS = (b"\x7f", b"\xff")


class PackedItem(msgspec.Struct, gc=False):
    """An item, which names its vector."""

    embedding: str
    index: int | None = None


class Packed(msgspec.Struct, gc=False):
    """An answer in base64, and nothing else."""

    data: list[PackedItem]
    model: str = ""
    usage: dict[str, Any] | None = None
    error: None = None


_rest = msgspec.json.Decoder(Packed)
_bytes = msgspec.json.Decoder(bytes)


def unpacked(
    body: bytes, implementation: Implementation = IMPLEMENTATION
) -> tuple[list[array[float]], Packed] | None:
    """Return the vectors as they stand, and the rest of the answer; None if it is another.

    Args:
        body: The whole body.
        implementation: What decodes base64.
    """
    decode = native_decoder() if implementation == "native" else _decoded
    vectors: list[array[float]] = []
    pieces: list[bytes] = []
    done = 0
    while key := _KEY.search(body, done):
        begin = key.end()
        end = body.find(_QUOTE, begin)
        if not key[1] or body[key.start() - 1] == _BACKSLASH or end < begin:
            return None
        vector = decode(body, begin, end)
        if vector is None:
            return None
        pieces += (body[done:begin], b"%d" % len(vectors))
        vectors.append(vector)
        done = end
    pieces.append(body[done:])
    try:
        answer = _rest.decode(b"".join(pieces))
    except (ValueError, RecursionError):
        return None
    if [item.embedding for item in answer.data] != [str(at) for at in range(len(vectors))]:
        return None
    return vectors, answer


def of_bytes(data: bytes) -> array[float]:
    """Return the numbers that little-endian bytes are.

    Raises:
        ValueError: They are no float32, or not finite.
    """
    if len(data) % BYTES:
        raise ValueError(f"has {len(data)} bytes, which are not float32")
    vector = array("f", data)
    if sys.byteorder == "big":
        vector.byteswap()
    upper = data[BYTES - 1 :: BYTES]
    return finite(vector) if any(byte in upper for byte in _SUSPICIOUS) else vector


def finite(vector: array[float]) -> array[float]:
    """Return a vector as it is.

    Raises:
        ValueError: It holds NaN or an infinity.
    """
    if not math.isfinite(sum(vector)):  # one that is not makes the sum so, and none else does
        raise ValueError("holds something that is not a number (NaN, infinity)")
    return vector


def _decoded(body: bytes, begin: int, end: int) -> array[float] | None:
    try:
        return of_bytes(_bytes.decode(memoryview(body)[begin - 1 : end + 1]))
    except ValueError:
        return None


def native_decoder() -> Decode:
    """Return what decodes with the C part, for one answer: its vectors are of one length."""
    room: array[float] = array("f")

    def decode(body: bytes, begin: int, end: int) -> array[float] | None:
        nonlocal room
        text, size = ffi.from_buffer(body) + begin, end - begin
        count = lib.base64_floats_count(text, size)
        if len(room) != count:
            room = array("f", bytes(count * BYTES))
        vector = room[:]
        good = lib.base64_floats(text, size, ffi.from_buffer("float[]", vector), count)
        return vector if good else None

    return decode

"""Frames of Amazon's event stream, as bytes."""

from __future__ import annotations

import binascii
import json
import struct

NUMBERS = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}


def encoded(headers, payload=b""):
    """Give a frame; ``headers`` are name, type and value."""
    block = b""
    for name, kind, value in headers:
        block += bytes([len(name.encode())]) + name.encode() + bytes([kind])
        if kind in NUMBERS:
            block += struct.pack(NUMBERS[kind], value)
        elif kind in (6, 7):
            data = value.encode() if kind == 7 else value
            block += struct.pack(">H", len(data)) + data
        elif kind == 9:
            block += value
    return framed(block, payload)


def framed(block, payload=b""):
    """Give a frame whose headers are these bytes."""
    prelude = struct.pack(">II", len(block) + len(payload) + 16, len(block))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + block + payload
    return message + struct.pack(">I", binascii.crc32(message))


def event(kind, **payload):
    """Give an event of Converse, with its padding."""
    headers = [
        (":message-type", 7, "event"),
        (":event-type", 7, kind),
        (":content-type", 7, "application/json"),
    ]
    return encoded(headers, json.dumps({**payload, "p": "abcdef"}).encode())


def exception(kind, **payload):
    """Give a modelled error."""
    headers = [(":message-type", 7, "exception"), (":exception-type", 7, kind)]
    return encoded(headers, json.dumps(payload).encode())

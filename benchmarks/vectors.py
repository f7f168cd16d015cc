"""What an upstream answers that is asked for vectors: 64 of 1536 numbers, base64 or written out."""

from __future__ import annotations

import base64
import json
import random
import struct

COUNT, DIMENSIONS = 64, 1536
_random = random.Random(5)
_VECTORS = [
    struct.pack(f"<{DIMENSIONS}f", *(_random.gauss(0, 0.02) for _ in range(DIMENSIONS)))
    for _ in range(COUNT)
]


def _answer(encode) -> bytes:
    items = [
        {"object": "embedding", "index": at, "embedding": encode(vector)}
        for at, vector in enumerate(_VECTORS)
    ]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return json.dumps({"object": "list", "data": items, "model": "m", "usage": usage}).encode()


PACKED = _answer(lambda vector: base64.b64encode(vector).decode())
WRITTEN = _answer(lambda vector: list(struct.unpack(f"<{DIMENSIONS}f", vector)))

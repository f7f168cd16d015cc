"""What a vector costs from the bytes of an answer on: base64 and numbers, ours and others'."""

from __future__ import annotations

import base64
import json
import random
import struct

import pytest

from inferd_engine.wire.openai.embeddings import read_embeddings

COUNT, DIMENSIONS = 64, 1536
_random = random.Random(5)
VECTORS = [
    struct.pack(f"<{DIMENSIONS}f", *(_random.gauss(0, 0.02) for _ in range(DIMENSIONS)))
    for _ in range(COUNT)
]


def answer(encode):
    """Give an answer's body."""
    items = [
        {"object": "embedding", "index": at, "embedding": encode(vector)}
        for at, vector in enumerate(VECTORS)
    ]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return json.dumps({"object": "list", "data": items, "model": "m", "usage": usage}).encode()


PACKED = answer(lambda vector: base64.b64encode(vector).decode())
WRITTEN = answer(lambda vector: list(struct.unpack(f"<{DIMENSIONS}f", vector)))


def ours_packed():
    """base64, to ``array("f")``, every number looked at."""
    return read_embeddings(PACKED, COUNT).arrays


def ours_written():
    """Numbers, to ``array("f")``."""
    return read_embeddings(WRITTEN, COUNT).arrays


def lists():
    """Numbers, to lists of floats: what people write."""
    return [item["embedding"] for item in json.loads(WRITTEN)["data"]]


def openai():
    """Numbers, by openai-python's own model of an answer."""
    from openai.types import CreateEmbeddingResponse

    made = CreateEmbeddingResponse.model_validate_json(WRITTEN)
    return [item.embedding for item in made.data]


@pytest.mark.parametrize("read", [ours_packed, ours_written, lists, openai])
def test_vectors(benchmark, read):
    """64 vectors of 1536 numbers."""
    assert len(benchmark(read)) == COUNT

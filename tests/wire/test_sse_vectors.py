"""The decoder against the standard's vectors: both implementations, every split."""

from __future__ import annotations

import base64
import itertools
import json
import random
from pathlib import Path

import pytest

from inferd_engine.wire.sse import IMPLEMENTATIONS, SSEDecoder

_FILE = Path(__file__).parents[1] / "vectors" / "sse.jsonl"
VECTORS = [json.loads(line) for line in _FILE.read_text("utf-8").split("\n") if line]
SPLIT_LIMIT = 3000  # bytes: longer vectors are cut at random instead of everywhere


def decode(implementation, blocks):
    """Give what a decoder makes of blocks: events, where each came, and its state at the end."""
    decoder = SSEDecoder(implementation=implementation)
    events, at, fed = [], [], 0
    for block in blocks:
        fed += len(block)
        for event in decoder.feed(block):
            events.append({"event": event.event, "data": event.data, "id": event.id})
            at.append(fed)
    return events, at, decoder


@pytest.fixture(params=VECTORS, ids=lambda vector: vector["id"])
def vector(request):
    return request.param


def check(vector, implementation, blocks):
    events, at, decoder = decode(implementation, blocks)
    assert events == vector["expect"]
    assert decoder.last_event_id == vector["last_event_id"]
    if "retry" in vector:
        assert decoder.retry == vector["retry"]
    return at


def test_whole(vector, implementation):
    """A stream that comes in one read gives the standard's events."""
    check(vector, implementation, [base64.b64decode(vector["bytes_b64"])])


def test_byte_by_byte(vector, implementation):
    """Byte by byte, each event comes with the byte that ends its blank line."""
    raw = base64.b64decode(vector["bytes_b64"])
    at = check(vector, implementation, [raw[i : i + 1] for i in range(len(raw))])
    if "at" in vector:
        assert at == vector["at"]


def test_empty_reads(vector, implementation):
    """Empty reads change nothing."""
    raw = base64.b64decode(vector["bytes_b64"])
    check(vector, implementation, [b for i in range(len(raw)) for b in (b"", raw[i : i + 1], b"")])


def test_every_split_into_two(vector, implementation):
    """Wherever a read ends, the events are the same."""
    raw = base64.b64decode(vector["bytes_b64"])
    rng = random.Random(vector["id"])
    where = (
        range(len(raw) + 1)
        if len(raw) <= SPLIT_LIMIT
        else [rng.randint(0, len(raw)) for _ in range(200)]
    )
    for at in where:
        check(vector, implementation, [raw[:at], raw[at:]])


def test_random_cuts(vector, implementation):
    """Cut into several reads at random, the events are the same."""
    raw = base64.b64decode(vector["bytes_b64"])
    rng = random.Random(vector["id"])
    for _ in range(20):
        cuts = sorted(rng.randint(0, len(raw)) for _ in range(rng.randint(2, 9)))
        edges = [0, *cuts, len(raw)]
        check(vector, implementation, [raw[a:b] for a, b in itertools.pairwise(edges)])


def test_pending_is_the_same(vector):
    """Both implementations keep the same unfinished bytes."""
    raw = base64.b64decode(vector["bytes_b64"])
    kept = {
        decode(name, blocks)[2].pending
        for name in IMPLEMENTATIONS
        for blocks in ([raw], [raw[i : i + 1] for i in range(len(raw))])
    }
    assert len(kept) == 1

"""Bytes that real servers sent, read again, however they are cut into blocks."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from inferd_engine.events import Completion
from inferd_engine.wire.openai_answer import Answer

RECORDINGS = sorted((Path(__file__).parents[1] / "vectors").glob("*_stream.bin"))
ROUNDS = 50
LARGEST_BLOCK = 300  # bytes: from parts of a line to a few events


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def recording(request):
    """One recording: the bytes, and what they mean."""
    return request.param.read_bytes(), json.loads(request.param.with_suffix(".json").read_text())


def read(blocks, implementation):
    """Give what a body says that comes in these blocks, in the shape of the recordings' JSON."""
    answer = Answer(implementation=implementation)
    events = []
    for block in blocks:
        events += answer.feed(block)
    events += answer.end()
    events += [event for event, _ in answer.rest()]
    done = answer.ending
    return {
        "text": Completion.of(events).text,
        "finish_reason": done.finish_reason,
        "stop_reason": done.stop_reason.value,
        "usage": done.usage and dict(done.usage.details),
    }


def cut(body, random_source):
    """Cut a body at random."""
    while body:
        size = random_source.randint(1, LARGEST_BLOCK)
        yield body[:size]
        body = body[size:]


def test_whole(recording, implementation):
    """A recording in one block means what its JSON says."""
    body, expected = recording
    assert read([body], implementation) == expected


def test_byte_by_byte(recording, implementation):
    """It means the same byte by byte."""
    body, expected = recording
    assert read([body[i : i + 1] for i in range(len(body))], implementation) == expected


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_random_cuts(recording, implementation, seed):
    """It means the same wherever it is cut."""
    body, expected = recording
    assert read(cut(body, random.Random(seed)), implementation) == expected

"""Bytes that real servers sent, read again, however they are cut into blocks.

What a recording's JSON does not name is not there: no thoughts, no calls, no usage.  Of an error it
names what counts; an answer that ends with one has no ``Done``.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from inferd_engine.errors import GenerateError
from inferd_engine.events import Completion
from inferd_engine.wire.openai.answer import Answer

RECORDINGS = sorted((Path(__file__).parents[1] / "vectors").glob("*_stream.bin"))
ROUNDS = 50
LARGEST_BLOCK = 300  # bytes: from parts of a line to a few events
NOTHING = {
    "text": "",
    "thinking": "",
    "tool_uses": [],
    "finish_reason": None,
    "stop_reason": None,
    "usage": None,
    "error": None,
}


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def recording(request):
    """One recording: the bytes, and what they mean."""
    return request.param.read_bytes(), json.loads(request.param.with_suffix(".json").read_text())


def read(blocks, implementation):
    """Give what a body says that comes in these blocks, in the JSON's shape, and the error."""
    answer = Answer(implementation=implementation)
    events = []
    for block in blocks:
        events += answer.feed(block)
    events += answer.end()
    events += [event for event, _ in answer.rest()]
    said = Completion.of(events)
    given = {
        "text": said.text,
        "thinking": said.thinking,
        "tool_uses": [
            {"id": call.tool_call_id, "name": call.name, "input": call.input}
            for call in said.tool_uses
        ],
    }
    end = answer.ending
    if isinstance(end, GenerateError):
        return given, end
    return {
        **given,
        "finish_reason": end.finish_reason,
        "stop_reason": end.stop_reason.value,
        "usage": end.usage and dict(end.usage.details),
    }, None


def check(blocks, implementation, expected):
    """Compare what a body says with what its JSON says."""
    given, error = read(blocks, implementation)
    wanted = {**NOTHING, **expected}
    if wanted["error"] is None:
        assert error is None, error
    else:
        shown = {"type": type(error).__name__, **vars(error)}
        wanted["error"] = {**shown, **wanted["error"]}
        given["error"] = shown
    assert {**NOTHING, **given} == wanted


def cut(body, random_source):
    """Cut a body at random."""
    while body:
        size = random_source.randint(1, LARGEST_BLOCK)
        yield body[:size]
        body = body[size:]


def test_whole(recording, implementation):
    """A recording in one block means what its JSON says."""
    body, expected = recording
    check([body], implementation, expected)


def test_byte_by_byte(recording, implementation):
    """It means the same byte by byte."""
    body, expected = recording
    check([body[i : i + 1] for i in range(len(body))], implementation, expected)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_random_cuts(recording, implementation, seed):
    """It means the same wherever it is cut."""
    body, expected = recording
    check(cut(body, random.Random(seed)), implementation, expected)

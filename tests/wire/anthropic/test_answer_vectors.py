"""What servers of Anthropic's Messages answer, against the events that a correct client gives."""

from __future__ import annotations

import json

import pytest
from answer_vectors import ANTHROPIC, assert_expected, body_of

from inferd_engine.errors import HttpStatusError
from inferd_engine.events import Done
from inferd_engine.wire.answer.errors import http_error
from inferd_engine.wire.anthropic.answer import Answer

ANSWERED = [vector for vector in ANTHROPIC if vector["status"] == 200]
REFUSED = [vector for vector in ANTHROPIC if vector["status"] != 200]


def read(vector, blocks, implementation, **options):
    """Give the events and the ending of a body that comes in these blocks."""
    answer = Answer(implementation=implementation, **options)
    events = []
    for block in blocks:
        events += answer.feed(block)
    events += answer.end()
    events += [event for event, _ in answer.rest()]
    return events, answer.ending


def assert_whole(vector, events, ending):
    """Compare all that a vector says: the word, the details, the blocks, the code, too."""
    last = vector["expect"]["events"][-1]
    assert_expected(vector, events, ending)
    if isinstance(ending, Done):
        assert ending.finish_reason == last.get("finish_reason", ending.finish_reason)
        for name, value in vector.get("details", {}).items():
            assert ending.usage.details[name] == value
        blocks = json.loads(json.dumps([_block(block) for block in ending.blocks]))
        assert blocks == vector.get("blocks", blocks)
    else:
        assert getattr(ending, "code", None) == last.get("code", getattr(ending, "code", None))


def _block(block):
    from inferd_engine.proto.json_form import block_to_dict

    return block_to_dict(block)


@pytest.mark.parametrize("vector", ANSWERED, ids=lambda vector: vector["id"])
def test_whole(vector, implementation):
    """A body that comes in one read gives the expected events."""
    assert_whole(vector, *read(vector, [body_of(vector)], implementation))


@pytest.mark.parametrize("vector", ANSWERED, ids=lambda vector: vector["id"])
def test_byte_by_byte(vector, implementation):
    """A body that comes byte by byte gives the same events."""
    body = body_of(vector)
    blocks = [body[i : i + 1] for i in range(len(body))]
    assert_whole(vector, *read(vector, blocks, implementation))


@pytest.mark.parametrize("vector", ANSWERED, ids=lambda vector: vector["id"])
def test_raw(vector, implementation):
    """With every payload beside them the events are the same."""
    events, ending = read(vector, [body_of(vector)], implementation, include_raw=True)
    assert_whole(vector, [event for event in events if event.type != "raw"], ending)


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["id"])
def test_status(vector):
    """A status other than 2xx gives an error with the upstream's own message and code."""
    headers = {name.lower(): value for name, value in vector.get("headers", {}).items()}
    error = http_error(
        vector["status"], headers, body_of(vector), place="http://x/", hint="", own_id=""
    )
    assert isinstance(error, HttpStatusError)
    assert_whole(vector, [], error)


def test_every_quirk_has_a_vector():
    """The deviations of servers that show in an answer are all there."""
    named = {quirk for vector in ANTHROPIC for quirk in vector["quirk_ids"]}
    asked = {18, 22, 23, 24, 25, 26, 28, 29, 30}  # these show in requests and addresses
    assert named >= {f"A{number:02}" for number in range(1, 31) if number not in asked}

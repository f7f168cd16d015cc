"""What real servers answer, against the events that a correct client gives.

The same vectors go through the accumulator of whole bodies here, and over a real socket in
``tests/loopback``.
"""

from __future__ import annotations

import pytest
from answer_vectors import VECTORS, assert_expected, body_of

from inferd_engine.errors import UpstreamError
from inferd_engine.wire.answer.errors import http_error
from inferd_engine.wire.http.content_codings import undoing
from inferd_engine.wire.openai.answer import Answer

ANSWERED = [vector for vector in VECTORS if vector["status"] == 200]
REFUSED = [vector for vector in VECTORS if vector["status"] != 200]


def read(vector, blocks, implementation, **options):
    """Give the events and the ending of a body that comes in these blocks."""
    answer = Answer(implementation=implementation, choices=vector.get("choices", 1), **options)
    coding = undoing(vector.get("headers", {}).get("Content-Encoding", ""))
    events = []
    try:
        for block in blocks:
            for piece in coding.feed(block):
                events += answer.feed(piece)
    except UpstreamError as error:  # a coding that cannot be undone here
        return events, error
    events += answer.end()
    events += [event for event, _ in answer.rest()]
    return events, answer.ending


@pytest.mark.parametrize("vector", ANSWERED, ids=lambda vector: vector["id"])
def test_whole(vector, implementation):
    """A body that comes in one read gives the expected events."""
    assert_expected(vector, *read(vector, [body_of(vector)], implementation))


@pytest.mark.parametrize("vector", ANSWERED, ids=lambda vector: vector["id"])
def test_byte_by_byte(vector, implementation):
    """A body that comes byte by byte gives the same events."""
    body = body_of(vector)
    blocks = [body[i : i + 1] for i in range(len(body))]
    assert_expected(vector, *read(vector, blocks, implementation))


@pytest.mark.parametrize(
    "vector",
    [v for v in ANSWERED if "expect_with_think_tags" in v],
    ids=lambda vector: vector["id"],
)
def test_with_think_tags(vector, implementation):
    """R08: with the switch on, thoughts in tags are thinking; whole and byte by byte."""
    body = body_of(vector)
    for blocks in ([body], [body[i : i + 1] for i in range(len(body))]):
        given = read(vector, blocks, implementation, split_think_tags=True)
        assert_expected(vector, *given, expect="expect_with_think_tags")


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["id"])
def test_status(vector):
    """A status other than 2xx gives an error with the upstream's own message."""
    headers = {name.lower(): value for name, value in vector.get("headers", {}).items()}
    error = http_error(
        vector["status"], headers, body_of(vector), place="http://x/", hint="", own_id=""
    )
    assert_expected(vector, [], error)

"""What real servers answer, over a real socket: whole and byte by byte."""

from __future__ import annotations

import pytest
from answer_vectors import VECTORS, assert_expected, body_of

import inferd_engine as ie
from inferd_engine.testing import Reply, Stall

SMALL = 8192  # bytes: larger bodies are sent in larger pieces, for the sake of time


def reply_of(vector, size):
    """Give a vector's answer, its body in HTTP chunks of this size."""
    body = body_of(vector)
    size = size or max(len(body), 1)
    steps = [body[at : at + size] for at in range(0, len(body), size)]
    if vector.get("hold"):
        steps.append(Stall())
    headers = dict(vector.get("headers", {}))
    if vector.get("content_type"):
        headers["Content-Type"] = vector["content_type"]
    return Reply(steps, vector["status"], headers)


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_over_a_socket(ask, vector, size):
    """The events and the ending are those that a correct client gives."""
    if len(body_of(vector)) > SMALL:
        size *= 997
    options = {}
    if vector.get("hold"):
        options["idle_timeout"] = 0.3  # and so it waits no longer for what may follow its end
    if "choices" in vector:
        options["extra_body"] = {"n": vector["choices"]}
    backend = ask(reply_of(vector, size), **options)
    events = []
    try:
        with backend.stream("x") as stream:
            events.extend(stream)
        ending = events.pop()
    except ie.GenerateError as error:
        ending = error
    assert_expected(vector, events, ending)

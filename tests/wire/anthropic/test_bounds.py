"""An upstream that says too much of what is kept: memory and time stay bounded."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

from inferd_engine.errors import UpstreamError
from inferd_engine.events import Done
from inferd_engine.wire.anthropic.answer import Answer

LIMIT = 1 << 20  # bytes: what an event, and all calls together, may have
LONG = "s" * (LIMIT // 2)


def event(kind, **fields):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def begun(index, **block):
    return event("content_block_start", index=index, content_block=block)


def said(index, **delta):
    return event("content_block_delta", index=index, delta=delta)


KEPT = {
    "pieces of a signature": lambda i: said(0, type="signature_delta", signature=LONG),
    "signatures": lambda i: begun(i, type="thinking", thinking="", signature=LONG),
    "redacted thoughts": lambda i: begun(i, type="redacted_thinking", data=LONG),
    "thoughts": lambda i: said(i, type="thinking_delta", thinking=LONG),
    "a server's tools": lambda i: begun(i, type="server_tool_use", id=LONG[:9], input={"a": LONG}),
    "results": lambda i: begun(i, type="web_search_tool_result", id=LONG, content=[]),
    "kinds of blocks": lambda i: begun(i, type=LONG),
    "numbers": lambda i: event("message_delta", delta={}, usage={f"n{i}": LONG}),
    "names of models": lambda i: event("message_start", message={"model": LONG}),
    "details": lambda i: event("message_delta", delta={"stop_details": {f"n{i}": LONG}}),
}


@pytest.mark.parametrize("kept", KEPT)
def test_memory(kept):
    """What is kept of an answer is bounded, and its end is still told."""
    answer = Answer(max_event_bytes=LIMIT)
    answer.feed(begun(0, type="thinking", thinking="", signature=""))
    tracemalloc.start()
    try:
        for number in range(16):
            answer.feed(KEPT[kept](number))
        assert tracemalloc.get_traced_memory()[0] < 5 * LIMIT
    finally:
        tracemalloc.stop()
    answer.feed(event("message_delta", delta={"stop_reason": "end_turn"}) + event("message_stop"))
    answer.end()
    assert [*answer.rest()] == []
    assert isinstance(answer.ending, Done)


@pytest.mark.parametrize(
    "block",
    [
        {"id": "i", "name": "f", "input": {"a": LONG}},
        {"id": "i", "name": "f", "input": json.dumps({"a": LONG})},
        {"id": LONG, "name": "f", "input": {}},
        {"id": "i", "name": LONG, "input": {}},
    ],
    ids=["object", "text", "id", "name"],
)
def test_calls(block):
    """Calls count as what they hold, also where it is all in their beginning."""
    answer = Answer(max_event_bytes=LIMIT)
    for number in range(3):
        answer.feed(begun(number, type="tool_use", **block))
    answer.end()
    assert [*answer.rest()] == []
    assert isinstance(answer.ending, UpstreamError)
    assert answer.ending.code == "event_too_large"


def test_a_signature_of_many_pieces():
    """Its time grows with its length, not with the square of it."""
    piece = said(0, type="signature_delta", signature="s" * 200)
    answer = Answer()
    answer.feed(begun(0, type="thinking", thinking="", signature=""))
    begin = time.monotonic()
    for _ in range(600):
        answer.feed(piece * 100)
    answer.feed(event("message_delta", delta={"stop_reason": "end_turn"}) + event("message_stop"))
    answer.end()
    [*answer.rest()]
    # Measured: 2 s, where joining anew with each piece took 40.
    assert time.monotonic() - begin < 15
    assert answer.ending.blocks[0].extra["signature"] == "s" * 12_000_000


@pytest.mark.parametrize("digits", [30, 5000])
def test_a_seed_with_a_long_number(digits):
    """It is the caller's number, or no JSON; the answer goes on."""
    answer = Answer()
    seed = f'{{"a": {"1" * digits}}}'
    block = f'{{"type":"tool_use","id":"i","name":"f","input":{seed}}}'
    answer.feed(
        f'data: {{"type":"content_block_start","index":0,"content_block":{block}}}\n\n'.encode()
    )
    answer.feed(event("content_block_stop", index=0) + event("message_stop"))
    answer.end()
    [*answer.rest()]
    assert answer.ending is not None

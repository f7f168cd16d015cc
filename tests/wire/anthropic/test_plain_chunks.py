"""The common event is taken a run at a time, and every other the general way."""

from __future__ import annotations

import json
import sys

import pytest

import inferd_engine as ie
from inferd_engine.wire.anthropic.answer import Answer
from inferd_engine.wire.sse import IMPLEMENTATIONS

COUNT = 1000
PLAIN = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}


def event(data, end="\n", name=True):
    line = f"event: {data['type']}{end}" if name else ""
    return f"{line}data: {json.dumps(data)}{end}{end}".encode()


def calls_of(feed, *blocks):
    """Count the calls, of Python and of C, that taking these blocks takes."""
    count = 0

    def look(_, what, __):
        nonlocal count
        count += what in ("call", "c_call")

    sys.setprofile(look)
    try:
        for block in blocks:
            feed(block)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.skipif("native" not in IMPLEMENTATIONS, reason="the C part finds runs")
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", ["text", "thinking"])
def test_a_run_is_taken_at_once(end, kind):
    """What a burst costs in calls does not grow with its events."""
    delta = {"type": f"{kind}_delta", kind: "x"}
    one = event({**PLAIN, "delta": delta}, end)
    answer = Answer(implementation="native")
    assert len(answer.feed(one * COUNT)) == COUNT  # msgspec looks at a type once
    assert calls_of(answer.feed, one * COUNT) < COUNT / 10


def test_an_event_alone(implementation):
    """A token that comes alone costs a bounded number of calls."""
    answer = Answer(implementation=implementation)
    answer.feed(event(PLAIN))
    most = {"native": 35, "pure": 115}[implementation]
    assert calls_of(answer.feed, *[event(PLAIN)] * COUNT) < most * COUNT


@pytest.mark.parametrize(
    "odd",
    [
        {**PLAIN, "index": 1},
        {**PLAIN, "delta": {"type": "thinking_delta", "thinking": "y"}},
        {**PLAIN, "delta": {"type": "input_json_delta", "partial_json": ""}},
        {**PLAIN, "usage": {"output_tokens": 1}},
        {**PLAIN, "delta": {"type": "text_delta", "text": ""}},
        {"type": "ping"},
    ],
    ids=["index", "thought", "input", "usage", "empty", "ping"],
)
@pytest.mark.parametrize("name", [True, False], ids=["named", "nameless"])
def test_what_stands_between_plain_events(implementation, odd, name):
    """Whatever comes between them, text stays whole and in order."""
    body = event(PLAIN, name=name) * 20 + event(odd, name=name) + event(PLAIN, name=name) * 20
    for size in (len(body), 1000, 7):
        answer = Answer(implementation=implementation)
        events = [e for at in range(0, len(body), size) for e in answer.feed(body[at : at + size])]
        text = "".join(e.delta for e in events if isinstance(e, ie.TextDelta))
        says_more = odd.get("delta") == PLAIN["delta"]
        assert text == "x" * (41 if says_more else 40)


def test_a_name_in_the_middle_of_data(implementation):
    """Only a line of its own is the name of an event."""
    words = {"type": "text_delta", "text": "event: content_block_delta"}
    body = event({**PLAIN, "delta": words}) + b": event: content_block_delta\n\n" + event(PLAIN)
    for size in (len(body), 1):
        answer = Answer(implementation=implementation)
        events = [e for at in range(0, len(body), size) for e in answer.feed(body[at : at + size])]
        assert [e.delta for e in events] == ["event: content_block_delta", "x"]


def test_data_over_two_lines(implementation):
    """An event whose data has two lines is one, with its name or without."""
    first, second = json.dumps(PLAIN).split(", ", 1)
    body = f"event: content_block_delta\ndata: {first},\ndata: {second}\n\n".encode()
    answer = Answer(implementation=implementation)
    assert answer.feed(body) == [ie.TextDelta("x")]

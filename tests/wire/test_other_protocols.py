"""An answer in another protocol is known for what it is, however it is cut."""

from __future__ import annotations

import json

import pytest
from other_protocols import ANSWERS, SPOKEN, body_of

import inferd_engine as ie
from inferd_engine.wire.anthropic.answer import Answer as Messages
from inferd_engine.wire.bedrock.answer import Answer as Converse
from inferd_engine.wire.openai.answer import Answer as Chat

READERS = {"openai": Chat, "anthropic": Messages, "bedrock": Converse}
BLANK = b"\r\n\n "


def read(reader, body, size, **options):
    """Give the events and the ending of a body that comes in blocks of this size."""
    answer, events = reader(**options), []
    for at in range(0, len(body), size):
        events += answer.feed(body[at : at + size])
    events += answer.end()
    events += [event for event, _ in answer.rest()]
    return events, answer.ending


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("own", READERS)
def test_however_it_is_cut(own, name, size):
    """It is known at every cut, with every payload given beside the events or not."""
    for options in ({}, {"include_raw": True}):
        events, ending = read(READERS[own], body_of(name), size, **options)
        if own == name.partition(",")[0]:
            assert [e.delta for e in events if e.type == "text"] == ["Hi"]
            assert isinstance(ending, ie.Done)
            continue
        assert not [event for event in events if event.type != "raw"]
        assert isinstance(ending, ie.UpstreamError)
        assert (ending.code, ending.retryable) == ("other_protocol", False)
        assert SPOKEN[name.partition(",")[0]][0] in str(ending)


@pytest.mark.parametrize("name", ["openai, whole", "anthropic, whole", "responses, whole"])
@pytest.mark.parametrize("own", READERS)
def test_blank_bytes_first(own, name):
    """What is blank before the body changes nothing."""
    if own != name.partition(",")[0]:
        _, ending = read(READERS[own], BLANK + body_of(name), 3)
        assert ending.code == "other_protocol"


def test_the_two_kinds_of_stream():
    """Amazon's frames are no server-sent events, and these are no frames."""
    for own in ("openai", "anthropic"):
        _, ending = read(READERS[own], body_of("bedrock, streamed"), 1)
        assert "Bedrock's protocol, Converse" in str(ending)
    for name in ("openai, streamed", "anthropic, streamed", "responses, streamed"):
        _, ending = read(Converse, b"\n" + body_of(name), 1)
        assert "server-sent events" in str(ending)


def test_words_in_the_answer_say_nothing():
    """Once an answer has begun it is not looked at any more, whatever its words are."""
    words = '{"type": "message_start", "message": {}, "stopReason": 1, "object": "response"}'
    body = body_of("openai, streamed").replace(b'"Hi"', json.dumps(words).encode())
    events, ending = read(Chat, body, 9)
    assert "".join(event.delta for event in events) == words
    assert isinstance(ending, ie.Done)

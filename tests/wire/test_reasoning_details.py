"""R04: reasoning_details are put together and kept with the answer's first tool call."""

import json

import pytest

import inferd_engine as ie
from inferd_engine.wire.openai.chunks import ChunkAccumulator
from inferd_engine.wire.openai.reasoning_details import ReasoningDetails


def blocks_of(*deltas):
    """Give the blocks that these deltas make."""
    details = ReasoningDetails()
    for delta in deltas:
        details.take(delta)
    return details.blocks()


def test_pieces_of_one_block_are_joined():
    """Pieces of one type and index are one block; its text is joined, the rest replaced."""
    text = {"type": "reasoning.text", "index": 0, "format": "x"}
    assert blocks_of(
        [{**text, "text": "a", "signature": None}],
        [{**text, "text": "b"}, {**text, "text": "c", "signature": "sig"}],
        [{"type": "reasoning.encrypted", "index": 1, "data": "ZA=="}],
    ) == [
        {**text, "text": "abc", "signature": "sig"},
        {"type": "reasoning.encrypted", "index": 1, "data": "ZA=="},
    ]


def test_pieces_without_an_index_are_blocks():
    """What says not where it belongs stands for itself."""
    piece = {"type": "reasoning.text", "text": "a"}
    assert blocks_of([piece], [piece]) == [piece, piece]


@pytest.mark.parametrize("junk", [None, "text", 5, {}, [None, "a", 5]])
def test_junk(junk):
    """Rule 8: what has another shape is passed over."""
    assert blocks_of(junk) == []


def answer(*deltas):
    """Give the events of an answer with these deltas."""
    chunks = ChunkAccumulator()
    events = [
        event
        for delta in deltas
        for event in chunks.ingest(json.dumps({"choices": [{"delta": delta}]}))
    ]
    chunks.ingest("[DONE]")
    return events + chunks.finalize()


def test_kept_with_the_first_call_and_told_as_thinking():
    """The text is thinking; all of it is kept for the next request, which gives it back."""
    details = [{"type": "reasoning.text", "text": "hm", "index": 0}]
    thought, first, second, _ = answer(
        {"reasoning_details": details},
        {
            "tool_calls": [
                {"index": i, "id": f"c{i}", "function": {"name": "f", "arguments": "{}"}}
                for i in range(2)
            ]
        },
    )
    assert thought == ie.ThinkingDelta("hm")
    assert first.extra == {"reasoning_details": details}
    assert second.extra == {}


def test_bounded():
    """Details count like tool calls: an endless list of them ends in an error."""
    chunks = ChunkAccumulator(max_bytes=10_000)
    payload = json.dumps({"choices": [{"delta": {"reasoning_details": [{"type": "x"}] * 10}}]})
    with pytest.raises(ie.UpstreamError) as caught:
        for _ in range(100):
            chunks.ingest(payload)
    assert caught.value.code == "event_too_large"

"""Which of the choices is the answer, when their index tells and when it does not."""

import json

import pytest

import inferd_engine as ie
from inferd_engine.wire.openai_answer import Answer
from inferd_engine.wire.openai_choices import Choices
from inferd_engine.wire.openai_chunks import ChunkAccumulator

MISSING = object()


def choice(index, text="", reason=None, **fields):
    """Make a choice of a chunk."""
    numbered = {} if index is MISSING else {"index": index}
    return {**numbered, "delta": {"content": text}, "finish_reason": reason, **fields}


def answered(*chunks, asked=1, done=True):
    """Give the text of an answer whose chunks hold these choices, and how it ended."""
    accumulator = ChunkAccumulator(choices=asked)
    events = []
    for choices in chunks:
        listed = choices if isinstance(choices, list) else [choices]
        events += accumulator.ingest(json.dumps({"choices": listed}))
    if done:
        accumulator.ingest("[DONE]")
    try:
        events += accumulator.finalize()
    except ie.StreamInterruptedError:
        events += accumulator.flush()
        return "".join(e.delta for e in events), "cut"
    ending = events.pop()
    return "".join(e.delta for e in events), ending.finish_reason


INDEXES = {
    "0": [0, 0, 0, 0],
    "counts the chunks": [0, 1, 2, 3],
    "counts from 1": [1, 2, 3, 4],
    "always 1": [1, 1, 1, 1],
    "always 7": [7, 7, 7, 7],
    "counts blocks": [0, 0, 1, 2],
    "counts down": [3, 2, 1, 1],
    "in words": ["0", "1", "2", "3"],
    "as floats": [0.0, 1.0, 2.0, 3.0],
    "null": [None] * 4,
    "missing": [MISSING] * 4,
    "null, then a number": [None, 1, 2, 3],
    "no number": ["a", [], {}, True],
    "negative": [-1, -1, -1, -1],
    "starts late": [MISSING, 0, None, "0"],
    "null at the end": [0, 0, 0, None],
}


@pytest.mark.parametrize("name", INDEXES)
@pytest.mark.parametrize("done", [True, False])
def test_one_was_asked_for(name, done):
    """Where one choice was asked for, all that comes is its, whatever its index is."""
    a, b, c, d = INDEXES[name]
    chunks = choice(a, "a"), choice(b, "b"), choice(c, "c"), choice(d, "", "stop")
    assert answered(*chunks, done=done) == ("abc", "stop")


@pytest.mark.parametrize(
    "index_of",
    [lambda n: n, lambda n: n + 1, lambda n: 1, str, lambda n: n // 10, lambda n: n or None],
    ids=["n", "n + 1", "1", "str", "blocks", "0 left out"],
)
def test_a_long_answer_streams(index_of):
    """What is held back until it is clear what the index means is eight chunks at the most."""
    accumulator = ChunkAccumulator()
    given = ""
    for number in range(50):
        events = accumulator.ingest(json.dumps({"choices": [choice(index_of(number), "x")]}))
        given += "".join(event.delta for event in events)
        assert len(given) >= number - 7
    assert given == "x" * 50


TWO = {
    "in turns": [choice(0, "a"), choice(1, "X"), choice(0, "b"), choice(1, "Y")],
    "the other first": [choice(1, "X"), choice(0, "a"), choice(1, "Y"), choice(0, "b")],
    "one after the other": [choice(0, "a"), choice(0, "b"), choice(1, "X"), choice(1, "Y")],
    "the other before": [choice(1, "X"), choice(1, "Y"), choice(0, "a"), choice(0, "b")],
    "side by side": [[choice(1, "X"), choice(0, "a")], [choice(1, "Y"), choice(0, "b")]],
    "in words": [choice("0", "a"), choice("1", "X"), choice("0", "b"), choice("1", "Y")],
}


@pytest.mark.parametrize("name", TWO)
def test_several_were_asked_for(name):
    """C16: where several were asked for, choice 0 alone is the answer, and ends it."""
    ends = choice(1, "", "length"), choice(0, "", "stop"), choice(1, "", "length")
    assert answered(*TWO[name], *ends, asked=2) == ("ab", "stop")
    assert answered(*TWO[name], *ends[:1], asked=2, done=False) == ("ab", "cut")


@pytest.mark.parametrize("name", ["in turns", "the other first", "side by side", "in words"])
def test_several_came_unasked(name):
    """Choices that nobody asked for are known by choice 0 coming again, or by one beside it."""
    ends = choice(1, "", "length"), choice(0, "", "stop")
    assert answered(*TWO[name], *ends) == ("ab", "stop")


@pytest.mark.parametrize("zero", [True, False])
def test_several_without_the_first(zero):
    """Of several choices without choice 0 the lowest is the answer, unless choice 0 comes."""
    others = [choice(3, "Z"), choice(1, "a"), choice(2, "Y")]
    if zero:
        chunks = others, choice(0, "b"), others, choice(0, "", "stop")
        assert answered(*chunks) == ("b", "stop")
    else:
        ends = choice(2, "", "length"), choice(1, "", "stop")
        assert answered(others, others, *ends) == ("aa", "stop")


def test_seven_others_came_unasked():
    """As many choices as are held back are told apart."""
    turns = [choice(index, "a" if index == 0 else "X") for index in [*range(8)] * 3]
    assert answered(*turns, choice(0, "", "stop")) == ("aaa", "stop")


@pytest.mark.parametrize("asked", [2, "2", 2.0])
def test_choices_without_an_index_are_numbered_by_place(asked):
    """Of several that were asked for, the first is choice 0 where no index says so."""
    message = {"message": {"content": "a"}, "finish_reason": "stop"}
    other = {"message": {"content": "X"}, "finish_reason": "length"}
    assert answered([message, other], asked=asked) == ("a", "stop")


@pytest.mark.parametrize("asked", [None, 0, "x", [], True, {}])
def test_what_is_no_number_asks_for_one(asked):
    """A number of choices that is none, which the upstream may refuse, is one here."""
    assert answered(choice(0, "a"), choice(1, "b"), choice(2, "", "stop"), asked=asked)[0] == "ab"


def test_choices_of_one_index_are_one():
    """Text and calls in choices of their own, without an index, are one answer (GitHub Copilot)."""
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    body = {
        "choices": [
            {"message": {"content": "Let me look."}, "finish_reason": "tool_calls"},
            {"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"},
            {"message": {"tool_calls": [{**call, "id": "d"}]}, "finish_reason": "tool_calls"},
        ]
    }
    answer = Answer()
    events = answer.feed(json.dumps(body).encode()) + answer.end()
    events += [event for event, _ in answer.rest()]
    assert events == [
        ie.TextDelta("Let me look."),
        ie.ToolUse("c", "f", {}),
        ie.ToolUse("d", "f", {}),
    ]
    assert answer.ending.stop_reason is ie.StopReason.TOOL_USE


def test_a_large_chunk_is_not_held():
    """A chunk that is larger than a token is given at once, so that nothing large is kept."""
    choices = Choices()
    assert choices.take([choice(1)], 1000, lambda _: False) == []
    assert len(choices.take([choice(1)], 100_000, lambda _: False)) == 2
    assert not choices


def test_an_error_is_not_held():
    """An error in a choice with another index is told at once, behind what was held."""
    accumulator = ChunkAccumulator()
    events = []
    accumulator.ingest_into(events, json.dumps({"choices": [choice(1, "a")]}))
    assert events == []
    failing = json.dumps({"choices": [choice(2, "b", error={"message": "m"})]})
    with pytest.raises(ie.UpstreamError, match="m"):
        accumulator.ingest_into(events, failing)
    assert events == [ie.TextDelta("a"), ie.TextDelta("b")]


def test_what_is_held_is_a_beginning():
    """A token that is held back has come all the same."""
    accumulator = ChunkAccumulator()
    accumulator.ingest(json.dumps({"choices": [choice(1, "a")]}))
    assert accumulator.has_begun

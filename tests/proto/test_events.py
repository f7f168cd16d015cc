"""The events: their types, that they cannot change, and what a completion makes of them."""

import json
import pickle
from typing import get_args

import attrs
import pytest

import inferd_engine as ie

USAGE = ie.Usage(3, 4, {"prompt_tokens": 3})
DONE = ie.Done(ie.StopReason.END_TURN, USAGE, "stop")
EVENTS = {
    "text": ie.TextDelta("a"),
    "thinking": ie.ThinkingDelta("a"),
    "tool_use": ie.ToolUse("c", "f", {"x": 1}),
    "done": DONE,
    "raw": ie.RawChunk(b"{}"),
    "token": ie.Token("a"),
}


@pytest.mark.parametrize("kind", EVENTS)
def test_type_words(kind):
    """Each event has its type word, on the class and on the value."""
    assert EVENTS[kind].type == type(EVENTS[kind]).type == kind


@pytest.mark.parametrize("value", [*EVENTS.values(), USAGE, ie.Completion()])
def test_values_are_frozen_and_have_slots(value):
    """Events can neither be changed nor given other attributes."""
    name = attrs.fields(type(value))[0].name
    for attribute in (name, "type"):
        with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
            setattr(value, attribute, None)
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("value", [*EVENTS.values(), ie.Completion("a", done=DONE)])
def test_values_pickle(value):
    """Events come out of a pickle as they went in."""
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (ie.TextDelta, ["delta"]),
        (ie.ThinkingDelta, ["delta"]),
        (ie.ToolUse, ["tool_call_id", "name", "input", "extra"]),
        (ie.Done, ["stop_reason", "usage", "finish_reason", "blocks"]),
        (ie.Usage, ["input_tokens", "output_tokens", "details"]),
        (ie.RawChunk, ["data"]),
        (ie.Token, ["text"]),
        (
            ie.Completion,
            ["text", "thinking", "tool_uses", "done", "model", "request_id", "stats"],
        ),
    ],
)
def test_field_names(kind, names):
    """The fields are those of the contract, in its order."""
    assert [field.name for field in attrs.fields(kind)] == names


def test_union_of_events():
    """A version 2 stream gives these events and no others."""
    assert set(get_args(ie.TokenEventV2)) == {
        ie.TextDelta,
        ie.ThinkingDelta,
        ie.ToolUse,
        ie.Done,
        ie.RawChunk,
    }


@pytest.mark.parametrize(
    "word",
    [
        "end_turn",
        "max_tokens",
        "tool_use",
        "stop_sequence",
        "content_filter",
        "cancelled",
        "error",
    ],
)
def test_stop_reason_words(word):
    """A stop reason is its word: it compares, prints and formats as that."""
    reason = ie.StopReason(word)
    assert reason == word
    assert str(reason) == f"{reason}" == word


def test_there_are_seven_stop_reasons():
    """No stop reason exists beside those of the contract."""
    assert len(ie.StopReason) == 7


def test_unknown_usage_is_none():
    """A Done that knows no usage says None, not zero."""
    done = ie.Done(ie.StopReason.END_TURN)
    assert (done.usage, done.finish_reason) == (None, None)


def test_completion_of_events():
    """Text and thoughts are joined apart, calls are kept in order, and the end is there."""
    first, second = ie.ToolUse("c1", "f", {}), ie.ToolUse("c2", "f", {})
    events = [
        ie.ThinkingDelta("h"),
        ie.TextDelta("a"),
        ie.RawChunk(b"{}"),
        ie.ThinkingDelta("m"),
        first,
        ie.TextDelta("b"),
        second,
        DONE,
    ]
    assert ie.Completion.of(iter(events)) == ie.Completion("ab", "hm", (first, second), DONE)


def test_completion_of_tokens():
    """The tokens of a version 1 stream are text."""
    assert ie.Completion.of([ie.Token("a"), ie.Token("b"), DONE]) == ie.Completion("ab", done=DONE)


def test_completion_of_nothing():
    """No events make an empty completion that has no end."""
    assert ie.Completion.of([]) == ie.Completion("", "", (), None)


def test_to_message_has_thoughts_text_and_calls():
    """The next turn's message holds thoughts, then text, then the calls with their extras."""
    use = ie.ToolUse("c", "f", {"x": 1}, {"signature": "s"})
    assert ie.Completion("a", "hm", (use,), DONE).to_message() == ie.MessageV2(
        ie.Role.ASSISTANT,
        [
            ie.ThinkingBlock("hm"),
            ie.TextBlock("a"),
            ie.ToolUseBlock("c", "f", {"x": 1}, {"signature": "s"}),
        ],
    )


def test_to_message_of_calls_alone():
    """Beside calls an empty text is left out."""
    message = ie.Completion(tool_uses=(ie.ToolUse("c", "f", None),)).to_message()
    assert message.content == (ie.ToolUseBlock("c", "f", None),)


def test_to_message_of_nothing():
    """An empty answer is still a message that can be sent."""
    message = ie.Completion().to_message()
    assert message == ie.assistant("")
    assert ie.RequestV2([ie.user("a"), message]).resolve()


STATS = ie.StreamStats(0.1, 0.5, 3, 400)
WHOLE = ie.Completion(
    "Über\n**dies**",
    "hm",
    (ie.ToolUse("c", "f", {"x": [1, None]}, {"signature": "s"}),),
    ie.Done(ie.StopReason.TOOL_USE, USAGE, "tool_calls"),
    "qwen3-8b",
    "req-1",
    STATS,
)


@pytest.mark.parametrize(
    "completion",
    [WHOLE, ie.Completion(), ie.Completion("cut"), ie.Completion("a", done=DONE)],
)
def test_completion_goes_to_json_and_back(completion):
    """What to_dict() gives is JSON, and from_dict() makes the same completion of it."""
    data = json.loads(json.dumps(completion.to_dict()))
    assert data == completion.to_dict()
    again = ie.Completion.from_dict({**data, "unknown": 1})
    assert again == completion
    assert again.stats == completion.stats
    assert again.to_message() == completion.to_message()


@pytest.mark.parametrize(
    "data",
    [
        {},
        None,
        [],
        {"text": "a", "done": {"stop_reason": "nonsense"}},
        {"text": "a", "done": 1},
        {"text": "a", "tool_uses": [{}]},
        {"text": "a", "tool_uses": 1},
        {"text": 1},
        {"text": "a", "thinking": []},
        {"text": "a", "model": None},
        {"text": "a", "stats": {"ttft": 1}},
    ],
)
def test_what_is_no_completion_is_refused(data):
    """JSON of another shape is a request that cannot be read, and says what is missing."""
    with pytest.raises(ie.InvalidRequestError, match=r"to_dict\(\)"):
        ie.Completion.from_dict(data)


def test_completion_says_how_it_ended():
    """What is known of the end is at hand, and None where there was none."""
    assert (WHOLE.usage, WHOLE.stop_reason, WHOLE.finish_reason) == (
        USAGE,
        ie.StopReason.TOOL_USE,
        "tool_calls",
    )
    cut = ie.Completion("a")
    assert (cut.usage, cut.stop_reason, cut.finish_reason) == (None, None, None)


def test_completion_is_its_text():
    """str() of a completion is the text, and formats as that."""
    assert str(WHOLE) == f"{WHOLE}" == WHOLE.text


@pytest.mark.parametrize("text", ["", "short", "long " * 1000, "lines\n" * 10, "\x1b[31m"])
def test_repr_is_one_short_line(text):
    """Whatever was answered, the repr is one line that a terminal can show."""
    calls = tuple(ie.ToolUse("c", "f" * 100, {"x": "y" * 1000}) for _ in range(20))
    for completion in (ie.Completion(text), ie.Completion(text, text, calls, DONE)):
        shown = repr(completion)
        assert len(shown) < 260
        assert shown.isprintable()
    assert repr(ie.Completion(text)).endswith("cut>")


def test_completion_in_a_notebook():
    """A notebook shows the text as it is, Markdown, and what else there is to know below it."""
    assert ie.Completion("**a**", done=DONE)._repr_markdown_() == "**a**"
    assert "f(" in WHOLE._repr_markdown_()
    assert "cut" in ie.Completion("a")._repr_markdown_()

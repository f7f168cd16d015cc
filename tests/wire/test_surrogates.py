"""Halves of characters: joined where they belong together, replaced where they stay alone."""

import pytest
from hypothesis import given, strategies as st

from inferd_engine.wire.text.surrogates import (
    TextChannel,
    has_surrogates,
    join_surrogates,
    joined_in_value,
)

HIGH, LOW, FACE = "\ud83d", "\ude00", "\U0001f600"
LOST = "\ufffd"

CASES = [
    ("", ""),
    ("plain", "plain"),
    ("é\u2028\x00", "é\u2028\x00"),
    (FACE, FACE),
    (HIGH + LOW, FACE),
    (f"a{HIGH}{LOW}b{FACE}", f"a{FACE}b{FACE}"),
    (HIGH, LOST),
    (LOW, LOST),
    (LOW + HIGH, LOST * 2),
    (HIGH + HIGH + LOW, LOST + FACE),
    (HIGH + LOW + LOW, FACE + LOST),
    (f"a{HIGH}b{LOW}c", f"a{LOST}b{LOST}c"),
]


def pushed(deltas):
    """Give what a channel gives for each of these deltas, and at its end."""
    channel = TextChannel()
    return [*(channel.push(delta) for delta in deltas), channel.flush()]


@pytest.mark.parametrize(("text", "joined"), CASES)
def test_join_surrogates(text, joined):
    """Halves that follow each other are one character; a half alone becomes U+FFFD."""
    assert join_surrogates(text) == joined


@pytest.mark.parametrize(
    ("text", "answer"), [("", False), (FACE, False), ("é", False), (HIGH, True), ("a" + LOW, True)]
)
def test_has_surrogates(text, answer):
    """A text has halves if it cannot be encoded."""
    assert has_surrogates(text) is answer


@pytest.mark.parametrize(("text", "joined"), CASES)
def test_channel_of_single_characters(text, joined):
    """X03: over deltas of one character each the outcome is the same as for the whole."""
    assert "".join(pushed(text)) == joined


@given(st.lists(st.text(st.sampled_from([HIGH, LOW, FACE, "a", "é"]), max_size=4)))
def test_channel_is_the_same_for_every_cut(deltas):
    """However a text is cut into deltas, what comes out is the whole text's outcome."""
    given_out = pushed(deltas)
    assert "".join(given_out) == join_surrogates("".join(deltas))
    assert not any(map(has_surrogates, given_out))


def test_channel_holds_back_no_more_than_half_a_character():
    """A delta is given at once but for the half at its end."""
    channel = TextChannel()
    assert channel.push("ab" + HIGH) == "ab"
    assert channel
    assert channel.push(LOW + "c") == FACE + "c"
    assert not channel


def test_empty_deltas_do_not_end_the_wait():
    """A half is held back over empty deltas."""
    assert pushed([HIGH, "", LOW]) == ["", "", FACE, ""]


def test_flush_empties_the_channel():
    """A half whose other half never came is given once, as U+FFFD."""
    channel = TextChannel()
    channel.push(HIGH)
    assert [channel.flush(), channel.flush()] == [LOST, ""]
    assert channel.push(LOW) == LOST


@pytest.mark.parametrize(
    "value", [None, True, 5, 1.5, "a", [], {}, [1, ["é", None]], {"k": {"é": FACE}}]
)
def test_a_value_without_halves_is_the_same(value):
    """A JSON value without halves of characters comes out as it went in."""
    assert joined_in_value(value) == value


def test_halves_in_a_value():
    """Halves are joined in texts, in keys, and at every depth."""
    value = {HIGH + LOW: [HIGH, {"k": LOW + "a"}], "n": 1}
    assert joined_in_value(value) == {FACE: [LOST, {"k": LOST + "a"}], "n": 1}


def test_a_value_is_not_changed():
    """The value that is given stays as it is."""
    value = {"k": [HIGH]}
    joined_in_value(value)
    assert value == {"k": [HIGH]}


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"k": inner}])
def test_a_value_nested_too_deeply(wrap):
    """A value nested too deeply is a ValueError and no RecursionError."""
    value = "a"
    for _ in range(100_000):
        value = wrap(value)
    with pytest.raises(ValueError, match=r"^nested too deeply$"):
        joined_in_value(value)

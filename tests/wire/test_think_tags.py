"""Thoughts in tags are split out of text, wherever the reads cut it."""

import json

import pytest
from hypothesis import given, strategies as st

from inferd_engine.wire.openai.chunks import ChunkAccumulator
from inferd_engine.wire.openai.think_tags import ThinkTags


def split(pieces, *, inside=False):
    """Give (thoughts, text) of text that comes in these pieces."""
    tags = ThinkTags(inside=inside)
    found = [piece for text in pieces for piece in tags.push(text)] + tags.flush()
    assert all(text for _, text in found), "no piece is empty"
    return (
        "".join(text for is_thought, text in found if is_thought),
        "".join(text for is_thought, text in found if not is_thought),
    )


CASES = [
    ("<think>hm</think>Hi", ("hm", "Hi")),
    ("<think>\nhm\n</think>\n\nHi", ("\nhm\n", "Hi")),
    (" \n<think>hm</think> Hi ", ("hm", "Hi ")),
    ("<thinking>hm</thinking>Hi", ("hm", "Hi")),
    ("<thought>hm</thought>Hi", ("hm", "Hi")),
    ("<reasoning>hm</reasoning>Hi", ("hm", "Hi")),
    ("<think></think>Hi", ("", "Hi")),
    ("<think>a</think><think>b</think>Hi", ("ab", "Hi")),
    ("<think>a</think>\n<thought>b</thought>\nHi", ("ab", "Hi")),
    ("<think>a </thought> < </thin k></think>Hi", ("a </thought> < </thin k>", "Hi")),
    ("<think>a</th<</think>Hi", ("a</th<", "Hi")),
    ("no tags", ("", "no tags")),
    ("", ("", "")),
    (" \n", ("", " \n")),
    ("\n\nHi", ("", "\n\nHi")),
    ("Use <think>x</think> so", ("", "Use <think>x</think> so")),
    ("<think>a</think>Hi <think>b</think>", ("a", "Hi <think>b</think>")),
    ("<think>cut off", ("cut off", "")),
    ("<think>cut</thi", ("cut</thi", "")),
    ("<think>a</think> \n", ("a", "")),
    ("<thi", ("", "<thi")),
    ("<b>bold</b>", ("", "<b>bold</b>")),
    ("</think>", ("", "</think>")),
]
INSIDE = [
    ("hm</think>\n\nHi", ("hm", "Hi")),
    ("hm</reasoning>Hi", ("hm", "Hi")),
    ("<think>hm</think>Hi", ("hm", "Hi")),
    ("\nhm</think>Hi", ("\nhm", "Hi")),
    ("hm", ("hm", "")),
    ("</think>Hi", ("", "Hi")),
]


@pytest.mark.parametrize(
    ("text", "inside", "expected"),
    [(text, False, expected) for text, expected in CASES]
    + [(text, True, expected) for text, expected in INSIDE],
)
def test_every_cut(text, inside, expected):
    """The thoughts and the text are the same whole, in single characters and at every cut."""
    assert split([text], inside=inside) == expected
    assert split(list(text), inside=inside) == expected
    for cut in range(len(text)):
        assert split([text[:cut], text[cut:]], inside=inside) == expected


@given(st.lists(st.sampled_from(["<", "think", ">", "</", " ", "a", "<think>", "</think>"])))
def test_any_text(pieces):
    """Any text at all gives the same in its pieces, whole and in single characters."""
    text = "".join(pieces)
    assert split(pieces) == split([text]) == split(list(text))


def test_what_is_no_tag_is_not_held_back():
    """Text is given at once when it can become no tag any more."""
    tags = ThinkTags()
    assert tags.push("<t") == []
    assert tags.push("able>") == [(False, "<table>")]
    assert tags.push("<think>") == [(False, "<think>")]


# --- in the accumulator --------------------------------------------------------------------------


def events_of(deltas, **options):
    """Give (type, text) of the events that these deltas give."""
    chunks = ChunkAccumulator(**options)
    events = []
    for delta in deltas:
        events += chunks.ingest(json.dumps({"choices": [{"delta": delta}]}))
    chunks.ingest("[DONE]")
    events += chunks.finalize()
    return [(event.type, event.delta) for event in events[:-1]]


DELTAS = [{"content": text} for text in ("<thi", "nk>hm</", "think>", "\n\n", "Hi", "!")]


def test_on_request():
    """R08: with the switch, tags in the text become thinking."""
    assert events_of(DELTAS, split_think_tags=True) == [
        ("thinking", "hm"),
        ("text", "Hi"),
        ("text", "!"),
    ]


def test_not_by_default():
    """R08: without the switch, text is text."""
    given_text = "".join(text for _, text in events_of(DELTAS))
    assert given_text == "<think>hm</think>\n\nHi!"
    assert {kind for kind, _ in events_of(DELTAS)} == {"text"}


def test_inside():
    """R08: an answer that begins inside of a thought is split where the thought ends."""
    deltas = [{"content": "hm"}, {"content": "</think>Hi"}]
    assert events_of(deltas, split_think_tags="inside") == [("thinking", "hm"), ("text", "Hi")]


def test_what_was_held_back_is_given_at_the_end():
    """Text that could have become a tag is not lost."""
    assert events_of([{"content": "<th"}], split_think_tags=True) == [("text", "<th")]


def test_beside_other_thoughts():
    """Thoughts in a field of their own stay what they are."""
    deltas = [{"reasoning_content": "a"}, {"content": "<think>b</think>c"}]
    assert events_of(deltas, split_think_tags=True) == [
        ("thinking", "a"),
        ("thinking", "b"),
        ("text", "c"),
    ]

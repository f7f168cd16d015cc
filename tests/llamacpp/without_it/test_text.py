"""Text out of tokens: whole characters, and nothing of a stop sequence."""

from __future__ import annotations

import codecs

import pytest

from inferd_engine.backends.llamacpp.text import TextOfTokens


@pytest.mark.parametrize("size", [1, 2, 3])
def test_text_is_the_same_however_its_bytes_are_cut(size):
    """Ill-formed bytes, too: each maximal part is one replacement character."""
    data = "añ語😀".encode() + b"\xff\xe8\xaa" + b"z"
    text = TextOfTokens()
    pieces = [text.push(data[i : i + size]) for i in range(0, len(data), size)]
    assert "".join([*pieces, text.flush()]) == codecs.decode(data, "utf-8", "replace")


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (["STOP"], "one two ST"),
        (["STOP", "two"], "one "),
        (["three"], "one two STSTOP "),
        (["never", ""], "one two STSTOP three"),
    ],
)
def test_a_stop_sequence_ends_the_text_before_it(size, stop, said):
    """At every split, with what was held back and became none."""
    data = b"one two STSTOP three"
    text = TextOfTokens(stop)
    pieces = []
    for i in range(0, len(data), size):
        pieces.append(text.push(data[i : i + size]))
        if text.found is not None:
            break
    assert "".join([*pieces, text.flush()]) == said
    assert (text.found is None) == (stop == ["never", ""])

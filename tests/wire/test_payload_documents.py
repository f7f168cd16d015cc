"""One payload taken apart into the JSON documents in it."""

import json
import time

import pytest
from hypothesis import given, strategies as st

from inferd_engine.wire.answer.payload_documents import DONE, SKIPPED, documents_in

A, B = {"a": "x"}, {"b": [1, {"c": "} {"}]}
ONE, TWO = json.dumps(A), json.dumps(B)
BETWEEN = [
    "",
    " ",
    "\n",
    "\r\n",
    ",",
    ", ",
    ",\n",
    "\n\n",
    "data:",
    "data: ",
    "\ndata: ",
    " data:\t",
]
BETWEEN += ["\nevent: message\ndata: ", "\nid: 7\n", "\n: ping\n\ndata: ", ";", "\nretry: 5\ndata:"]


def documents(text):
    """Give the documents of a payload."""
    return list(documents_in(text))


@pytest.mark.parametrize("text", [ONE, f"data: {ONE}", f"data:data:{ONE}", json.dumps(A, indent=2)])
def test_one(text):
    """F08, F11: one document, on several lines or behind prefixes, is one."""
    assert documents(text) == [A]


@pytest.mark.parametrize("between", BETWEEN)
def test_several(between):
    """F10: documents are taken apart whatever stands between them, or nothing."""
    assert documents(f"{ONE}{between}{TWO}") == [A, B]
    assert documents(f"{ONE}{between}{TWO}{between}{ONE}{between}") == [A, B, A]
    pretty = json.dumps(B, indent=1)
    assert documents(f"{pretty}{between}{pretty}") == [B, B]


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("done", ["[DONE]", "[done]", "data: [DONE]", '"[DONE]"'])
def test_done_ends(between, done):
    """F17: at the mark of the end, which may be glued on, the payload is over."""
    assert documents(f"{ONE}{between}{done}{between}{TWO}")[:2] == [A, DONE]
    assert documents(f"{done}{between}{TWO}")[0] == DONE


@pytest.mark.parametrize("document", [A, B, [A], [A, B], DONE])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_documents_in_strings(document, times):
    """A document written into a JSON string, or that once more, is the document."""
    text = document if document == DONE else json.dumps(document)
    for _ in range(times):
        text = json.dumps(text)
    assert documents(text) == [document]
    assert documents(f"{text}\n{ONE}")[0] == document


def test_a_framed_stream_in_a_string():
    """A relay may write a whole frame into a string."""
    assert documents(json.dumps(f"data: {ONE}\n\ndata: {TWO}\n\n")) == [A, B]


def test_strings_end():
    """Strings in strings are opened three times and no more."""
    text = ONE
    for _ in range(5):
        text = json.dumps(text)
    [left] = documents(text)
    assert isinstance(left, str)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("undefined", [SKIPPED]),
        ("{'a': 1}", [SKIPPED]),
        ("<html>", [SKIPPED]),
        ("[BROKEN", [SKIPPED]),
        (f"{ONE} garbage", [A, SKIPPED]),
        (f"garbage\n{ONE}", [SKIPPED, A]),
        (f"one\ntwo\nthree\n{ONE}", [SKIPPED, A]),
        (f"one\n{ONE}\ntwo", [SKIPPED, A, SKIPPED]),
        (f'{{"half\n{ONE}', [SKIPPED, A]),
        # Half a document, and the next one right behind it on the same line.
        (f'{{"id":"x","chdata: {ONE}', [SKIPPED, A]),
        (f'{{"id":"x","choices":[{{data: {ONE}\ndata: {TWO}', [SKIPPED, A, B]),
        (f"{ONE}{TWO[:-3]}", [A, SKIPPED]),
        ("{" * 200_000, [SKIPPED]),
        ("42", [42]),
        ("true", [True]),
        ('"text"', ["text"]),
        ("[]", [[]]),
        ("", []),
        (": ping", []),
    ],
)
def test_what_cannot_be_read(text, found):
    """F26: each stretch that is no JSON is told once, and what is behind it is read."""
    assert documents(text) == found


@given(st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=9)), max_size=5), st.data())
def test_nothing_is_lost(values, data):
    """However documents are put together, they come out as they were."""
    parts = [json.dumps(value, ensure_ascii=data.draw(st.booleans())) for value in values]
    between = [data.draw(st.sampled_from(BETWEEN)) for _ in parts]
    text = "".join(part + blank for part, blank in zip(parts, between, strict=True)).strip()
    assert documents(text) == values


@given(st.text())
def test_any_text_ends(text):
    """No text makes it raise, or go on for ever."""
    documents(text)


@pytest.mark.parametrize(
    "piece",
    ["{", '{"a": ', "data: {", '"', "[", "{}", "{},", "x\n", '{"a\n', ', {"b" ', "data:{\n"],
)
def test_time_grows_with_the_size(piece):
    """Text made to be slow takes time in proportion to its size."""

    def seconds(size):
        text = "x" + piece * (size // len(piece))
        began = time.thread_time()
        count = sum(1 for _ in documents_in(text))
        return time.thread_time() - began + 0.05, count  # far above what the clock is unsure of

    small, large = seconds(100_000)[0], seconds(400_000)[0]
    assert large < 12 * small

"""JSON bodies: one document for the whole body, or one a line."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

import inferd_engine as ie
from inferd_engine.errors import EventTooLargeError
from inferd_engine.wire.sse.decoder import IMPLEMENTATIONS
from inferd_engine.wire.text import json_documents
from inferd_engine.wire.text.json_documents import JsonDocuments, parse_json

PRETTY = json.dumps({"a": [1, {"b": 2}], "c": {}}, indent=2)


def fed(*reads, limit=10_000):
    """Give the documents that these reads finish, and those of the end."""
    documents = JsonDocuments(limit)
    during = [text for read in reads for text in documents.feed(read)]
    return during, list(documents.close())


def in_reads(data, size):
    """Cut data into reads of a size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


# --- one document --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"t": "a\nb\x00"}', {"t": "a\nb\x00"}),
        (" [1] \n", [1]),
        ('"\\ud83d"', "\ud83d"),
        ("1e308", 1e308),
        ("12345678901234567890", 12345678901234567890),
    ],
)
def test_parse_json(text, value):
    """X07: JSON is decoded, also with raw control characters in its strings."""
    assert parse_json(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "-1e999", "{a: 1}", "[" * 200_000],
)
def test_what_is_no_json(text):
    """What is no JSON, or too deep, is a ValueError: NaN and infinities are no JSON either."""
    with pytest.raises(ValueError, match=r"Expecting|not JSON|not a number|too deeply"):
        parse_json(text)


# --- documents of a body -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_document_a_line(size, end):
    """F19: a document a line is given as soon as its line ends, however the body is cut."""
    body = f'{{"a": 1}}{end}{{"b": "é"}}{end}'.encode()
    during, at_end = fed(*in_reads(body, size))
    assert [json.loads(text) for text in during] == [{"a": 1}, {"b": "é"}]
    assert at_end == []


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_one_document_over_lines(size):
    """F20: a document over several lines is given with the line that closes it."""
    during, at_end = fed(*in_reads(f"{PRETTY}\n".encode(), size))
    assert (during, at_end) == ([PRETTY], [])


@pytest.mark.parametrize("body", ['{"a": 1}', PRETTY, f"{PRETTY[:-1]}  }}  "])
def test_the_last_document_needs_no_line_end(body):
    """A body that ends without a line end gives its document at the end."""
    assert fed(body.encode()) == ([], [body])


def test_documents_over_lines_in_a_row():
    """Several documents over several lines each are told apart."""
    body = f"{PRETTY}\n[\n1\n]\n{PRETTY}\n".encode()
    assert fed(body)[0] == [PRETTY, "[\n1\n]", PRETTY]


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"  \n", b"\n\n\n"])
def test_blank_lines_between_documents(blank):
    """Blank lines before and between documents are no part of any."""
    during, at_end = fed(blank + b'{"a": 1}\n' + blank + b'{"b": 2}\n' + blank)
    assert during == ['{"a": 1}', '{"b": 2}']
    assert at_end == []


def test_blank_lines_inside_a_document():
    """Blank lines inside a document do not end it."""
    body = b'{\n\n"a": 1\n\n}\n'
    assert [json.loads(text) for text in fed(body)[0]] == [{"a": 1}]


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n \n"])
def test_a_body_of_blanks(body):
    """A body of nothing but blanks has no document."""
    assert fed(body) == ([], [])


def test_a_cut_document_is_given_at_the_end():
    """A document that was cut is given as it is, for those who tell what it lacks."""
    assert fed(b'{"a":\n1') == ([], ['{"a":\n1'])


def test_ill_formed_utf8_is_replaced():
    """X04: bytes that are no UTF-8 become U+FFFD."""
    assert fed(b'"caf\xe9"\n')[0] == ['"caf\ufffd"']


# --- an event stream behind it -------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("document", ['{"a": 1}', PRETTY, "[1,\n2]"])
def test_an_event_stream_behind_a_document(document, size):
    """F21: at the first line of an event stream the document ends, and the rest is left."""
    body = f"{document}\ndata: [DONE]\n\nmore".encode()
    documents = JsonDocuments(10_000)
    found, rest = [], b""
    for read in in_reads(body, size):
        if documents.stopped_at is not None:
            rest += read
            continue
        found += documents.feed(read)
        rest = documents.stopped_at or b""
    assert found == [document]
    assert rest == b"data: [DONE]\n\nmore"


def test_an_event_stream_that_ends_without_a_line_end():
    """F15: a last line of an event stream without line end is told apart from the document."""
    assert fed(b"[1,\n2]\ndata: [DONE]") == ([], ["[1,\n2]", "data: [DONE]"])


def test_without_an_event_stream_nothing_is_left():
    """A body of documents alone has no bytes that are somebody else's."""
    documents = JsonDocuments(100)
    list(documents.feed(b'{"data:": 1}\n'))
    assert documents.stopped_at is None


# --- what a body may cost ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_document_over_the_limit(size):
    """A document over the limit is an error that names size and limit."""
    with pytest.raises(EventTooLargeError) as caught:
        fed(*in_reads(b'"' + b"x" * 200, size), limit=100)
    assert caught.value.limit == 100
    assert 100 < caught.value.size <= 201


def test_the_limit_itself_is_allowed():
    """A document of just the limit's size is none too many."""
    assert fed(b'"' + b"x" * 98 + b'"', limit=100)[1] == ['"' + "x" * 98 + '"']


def test_the_limit_counts_each_document_anew():
    """The limit is on a document, not on the body."""
    assert len(fed(*[b'{"a": 1}\n\n'] * 100, limit=20)[0]) == 100


def test_empty_lines_inside_a_document_count():
    """A document of endless empty lines runs into the limit, too."""
    with pytest.raises(EventTooLargeError):
        fed(b"{\n", *[b"\n" * 50] * 100, limit=1000)


def test_documents_before_a_large_one_are_given():
    """The documents before one that is too large are given first."""
    feed = JsonDocuments(20).feed(b'{"a": 1}\n' + b"x" * 50)
    assert next(feed) == '{"a": 1}'
    with pytest.raises(EventTooLargeError):
        next(feed)


@pytest.mark.parametrize("line", [b"}", b"]x", b"} {"])
def test_trying_in_vain_is_bounded(monkeypatch, line):
    """Lines that look as if they closed a document cost no more than a share of the body."""
    tried = 0
    parse = json_documents.parse_payload

    def counted(text):
        nonlocal tried
        tried += len(text)
        return parse(text)

    monkeypatch.setattr(json_documents, "parse_payload", counted)
    body = b'{"a": "' + b"x" * 2000 + b"\n" + (line + b"\n") * 5000
    fed(body, limit=10**6)
    assert 2000 < tried <= 8 * len(body) + 65536


def test_the_budget_is_each_documents_own(monkeypatch):
    """A document that was hard to end takes nothing from the one after it."""
    monkeypatch.setattr(json_documents, "_TRY_BUDGET", 0)
    hard = '{"a": [\n[1\n]\n,[2\n]\n]\n}'
    assert fed(f"{hard}\n{hard}\n{hard}\n".encode())[0] == [hard] * 3


@pytest.mark.parametrize("unit", ["{},", "[],", "1,", '"",', '"ab",', '{"a":[]},', "null, "])
def test_a_document_that_costs_more_than_it_has_bytes(unit):
    """Too many values are refused before they are made, whatever they are."""
    document = "[" + unit * (json_documents.MOST_VALUES + 1) + "0]"
    for parse in (json_documents.parse_json, json_documents.parse_payload):
        with pytest.raises(ie.UpstreamError, match="1048576 JSON values") as caught:
            parse(document)
        assert (caught.value.code, caught.value.retryable) == ("event_too_large", False)


@pytest.mark.parametrize(
    "inside", ["a, b; ", "[{,", '\\"x\\", ', "\\\\", '\\\\\\", ', "\\u005b,", "é,,"]
)
def test_what_is_in_a_string_is_one_value(inside):
    """A long text is one value, however many commas, brackets and escapes are in it."""
    text = f'{{"content": "{inside * json_documents.MOST_VALUES}", "index": 0}}'
    if text.count('"') < json_documents.MOST_VALUES:
        assert json_documents.parse_json(text)["index"] == 0
    else:  # as many quotes as that are strings, though escaped now: they are counted
        with pytest.raises(ie.UpstreamError):
            json_documents.parse_json(text)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_count_goes_on_behind_its_beginning(monkeypatch, size):
    """What is counted is the whole document, whether or not its beginning ends in a string."""
    monkeypatch.setattr(json_documents, "MOST_VALUES", 40)
    monkeypatch.setattr(json_documents, "_BEGINNING", size)
    long = '["' + "," * 200 + '", ' + "1, " * 30 + "0]"
    assert len(json_documents.parse_json(long)) == 32
    with pytest.raises(ie.UpstreamError):
        json_documents.parse_json(long[:-1] + ", 1" * 20 + "]")


@pytest.mark.parametrize(
    ("implementation", "most"),
    [("native", 3), ("pure", 10)],  # copies of the event: sseclient-py alone makes eight
)
def test_memory_of_an_event(implementation, most):
    """An event of 60 MB that is made to cost 1.6 GB costs a fraction of that, and is refused."""
    if implementation not in IMPLEMENTATIONS:
        pytest.skip(f"the {implementation} part is not there")
    program = """
        import tracemalloc
        from inferd_engine.wire.openai.answer import Answer
        tracemalloc.start()
        answer = Answer()
        answer.feed(b'data: {"choices":[],"x":[')
        for _ in range(960):
            answer.feed(b"{}," * 21845)
        answer.feed(b"0]}\\n\\n")
        list(answer.rest())
        print(answer.ending.code)
        print(tracemalloc.get_traced_memory()[1])
    """
    native = str(int(implementation == "native"))
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "INFERD_ENGINE_NATIVE": native},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    code, size = ran.stdout.split()
    assert code == "event_too_large"
    assert int(size) < most * 960 * 3 * 21845

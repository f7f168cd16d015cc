"""Tool calls from their pieces; the ids in the table are those of the list of wire quirks."""

import contextlib
import json
import sys

import pytest

from inferd_engine.errors import ToolCallMalformedError
from inferd_engine.events import ToolUse
from inferd_engine.wire.answer.tool_arguments import read_arguments
from inferd_engine.wire.answer.tool_calls import CALL_CHARGE
from inferd_engine.wire.openai import tools as openai_tools
from inferd_engine.wire.openai.chunks import ChunkAccumulator
from inferd_engine.wire.openai.tools import ToolCalls
from inferd_engine.wire.text.json_shapes import objects_in

PARIS = '{"city": "Paris"}'


def piece(arguments=None, /, **fields):
    """Make an entry of ``tool_calls``; ``name`` goes into its function."""
    function = {"name": fields.pop("name")} if "name" in fields else {}
    if arguments is not None:
        function["arguments"] = arguments
    return {**fields, "function": function}


def collected(*entries):
    """Give the collector after it took these entries."""
    calls = ToolCalls()
    for entry in objects_in(list(entries)):
        calls.take(entry)
    return calls


def finished(*entries, cut=False):
    """Give the calls that these entries make."""
    return [use for use, _ in collected(*entries).finish(cut=cut)]


def brief(*entries, cut=False):
    """Give name and input of the calls that these entries make."""
    return [(use.name, use.input) for use in finished(*entries, cut=cut)]


WHOLE_CALLS = {
    "T01": (
        [
            piece("", index=0, id="a", type="function", name="f"),
            piece("", index=1, id="b", type="function", name="g"),
            piece('{"x"', index=0),
            piece('{"y"', index=1),
            piece(": 1}", index=0),
            piece(": 2}", index=1),
        ],
        [("a", "f", {"x": 1}), ("b", "g", {"y": 2})],
    ),
    "T02 whole calls without index": (
        [piece('{"x": 1}', id="a", name="f"), piece('{"x": 2}', id="b", name="f")],
        [("a", "f", {"x": 1}), ("b", "f", {"x": 2})],
    ),
    "T02 a new name without index or id": (
        [piece('{"x": 1}', name="f"), piece('{"x": 2}', name="g")],
        [("call_0", "f", {"x": 1}), ("call_1", "g", {"x": 2})],
    ),
    "T02 a new name before any arguments": (
        [piece(name="f"), piece(name="g")],
        [("call_0", "f", {}), ("call_1", "g", {})],
    ),
    "T02 empty continuations without index": (
        [
            piece('{"x"', id="a", type="function", name="f"),
            piece(": 1}", id="", type=""),
            piece(" ", id=None, name=None),
        ],
        [("a", "f", {"x": 1})],
    ),
    "T02 continuations by id without index": (
        [
            piece('{"x"', id="a", name="f"),
            piece('{"y"', id="b", name="g"),
            piece(": 1}", id="a"),
            piece(": 2}", id="b"),
        ],
        [("a", "f", {"x": 1}), ("b", "g", {"y": 2})],
    ),
    "T03 parallel calls on one index": (
        [
            piece('{"x": 1}', index=0, id="a", name="f"),
            piece('{"x": 2}', index=0, id="b", name="f"),
        ],
        [("a", "f", {"x": 1}), ("b", "f", {"x": 2})],
    ),
    "T03 the pieces after a new call are its own": (
        [
            piece('{"x"', index=0, id="a", name="f"),
            piece(": 1}", index=0),
            piece('{"x"', index=0, id="b", name="f"),
            piece(": 2}", index=0),
        ],
        [("a", "f", {"x": 1}), ("b", "f", {"x": 2})],
    ),
    "T03 parallel calls on one index without ids": (
        [piece('{"x": 1}', index=0, name="f"), piece('{"x": 2}', index=0, name="f")],
        [("call_0", "f", {"x": 1}), ("call_1", "f", {"x": 2})],
    ),
    "T04": (
        [
            piece('{"x"', index=7, id="a", name="f"),
            piece('{"y"', index=2, id="b", name="g"),
            piece(": 1}", index=7),
            piece(": 2}", index=2),
        ],
        [("a", "f", {"x": 1}), ("b", "g", {"y": 2})],
    ),
    "T05": (
        [
            piece(PARIS, index=0, id="functions.weather:0", name="weather"),
            piece(PARIS, index=1, id="functions.weather:1", name="weather"),
        ],
        [
            ("functions.weather:0", "weather", {"city": "Paris"}),
            ("functions.weather:1", "weather", {"city": "Paris"}),
        ],
    ),
    "T06": (
        [piece('{"x"', index=0, id="a", name="f"), piece(": 1}", index=0, id="")],
        [("a", "f", {"x": 1})],
    ),
    "T07 the id comes late": (
        [
            piece("", index=0, id=None, name="f"),
            piece('{"x"', index=0),
            piece(": 1}", index=0, id="a"),
        ],
        [("a", "f", {"x": 1})],
    ),
    "T07 no id at all": (
        [piece("{}", index=0, name="f"), piece("{}", index=1, id=None, name="g")],
        [("call_0", "f", {}), ("call_1", "g", {})],
    ),
    "T08": (
        [
            piece('{"x"', index=0, id="a", name="f"),
            piece(": 1", index=0, id="a", name=None),
            piece("}", index=0, id="a", name=None),
        ],
        [("a", "f", {"x": 1})],
    ),
    "T08 also after what parses": (
        [piece("{}", index=0, id="a", name="f"), piece(" ", index=0, id="a", name="f")],
        [("a", "f", {})],
    ),
    "T09": (
        [piece('{"x"', index=0, id="first", name="f"), piece(": 1}", index=0, id="other")],
        [("first", "f", {"x": 1})],
    ),
    "T10": (
        [
            piece('{"x": 1}', index=0, id="same", name="f"),
            piece('{"x": 2}', index=1, id="same", name="f"),
            piece('{"x": 3}', index=2, id="same_1", name="f"),
        ],
        [("same", "f", {"x": 1}), ("same_1", "f", {"x": 2}), ("same_1_1", "f", {"x": 3})],
    ),
    "T10 on one index": (
        [
            piece('{"x": 1}', index=0, id="same", name="f"),
            piece('{"x": 2}', index=0, id="same", name="g"),
        ],
        [("same", "f", {"x": 1}), ("same_1", "g", {"x": 2})],
    ),
    "T11": (
        [
            piece("", index=0, id="a", type="function", name="read_file"),
            piece('{"x"', index=0, id="a", type="function", name="read_file"),
            piece(": 1}", index=0, type="function", name="read_file"),
        ],
        [("a", "read_file", {"x": 1})],
    ),
    "T12 a name in pieces": (
        [
            piece(index=0, id="a", name="edit_ex"),
            piece(index=0, name="isting_file"),
            piece("{}", index=0),
        ],
        [("a", "edit_existing_file", {})],
    ),
    "T12 a name so far": (
        [piece(index=0, id="a", name="edit"), piece("{}", index=0, name="edit_file")],
        [("a", "edit_file", {})],
    ),
    "T12 no name grows after arguments": (
        [piece('{"x"', index=0, id="a", name="f"), piece(": 1}", index=0, id="a", name="g")],
        [("a", "f", {"x": 1})],
    ),
    "T13 no function at first": (
        [{"index": 0, "id": "a"}, piece("{}", index=0, name="f")],
        [("a", "f", {})],
    ),
    "T13 function is null at first": (
        [{"index": 0, "id": "a", "function": None}, piece("{}", index=0, name="f")],
        [("a", "f", {})],
    ),
    "T13 arguments before the name": (
        [piece('{"x"', index=0), piece(": 1}", index=0, id="a", name="f")],
        [("a", "f", {"x": 1})],
    ),
    "T14": (
        [piece('{"x"', index=0, id="a", name="f"), piece(": 1}", index=0, name="")],
        [("a", "f", {"x": 1})],
    ),
    "T15": (
        [
            piece("{}", index=0, id="a", name="f"),
            {"index": 1, "id": "", "type": "function", "function": {"arguments": None}},
        ],
        [("a", "f", {})],
    ),
    "T16": (
        [
            piece("{}", index=0, id="a", name="f"),
            piece(" ", index=0),
            piece("\n", index=0),
        ],
        [("a", "f", {})],
    ),
    "T17": (
        [piece({"city": "Paris", "n": [1, None]}, index=0, id="a", name="f")],
        [("a", "f", {"city": "Paris", "n": [1, None]})],
    ),
    "T17 an empty object": ([piece({}, index=0, id="a", name="f")], [("a", "f", {})]),
    "T18": ([piece(json.dumps(PARIS), id="a", name="f")], [("a", "f", {"city": "Paris"})]),
    "T19 no arguments": ([piece(index=0, id="a", name="f")], [("a", "f", {})]),
    "T19 empty": ([piece("", index=0, id="a", name="f")], [("a", "f", {})]),
    "T19 blank": ([piece(" \n", index=0, id="a", name="f")], [("a", "f", {})]),
    "T19 null in words": ([piece("null", index=0, id="a", name="f")], [("a", "f", {})]),
    "T20 all so far": (
        [
            piece('{"x"', index=0, id="a", name="f"),
            piece('{"x": 1', index=0),
            piece('{"x": 1}', index=0),
        ],
        [("a", "f", {"x": 1})],
    ),
    "T20 once more at the end": (
        [
            piece('{"x"', index=0, id="a", name="f"),
            piece(": 1}", index=0),
            piece('{"x": 1}', index=0),
        ],
        [("a", "f", {"x": 1})],
    ),
    "T20 once more at the end, with other blanks": (
        [
            piece('{"x"', index=0, id="a", name="f"),
            piece(": 1}\n", index=0),
            piece('{"x": 1}', index=0),
        ],
        [("a", "f", {"x": 1})],
    ),
    "T20 twice in pieces": (
        [piece('{"x"', index=0, id="a", name="f")]
        + [piece(part, index=0) for part in (": 1}", '{"x"', ": 1}")],
        [("a", "f", {"x": 1})],
    ),
    "T20 the same again and again": (
        [piece(PARIS, index=0, id="a", name="f"), *[piece(PARIS, index=0)] * 2],
        [("a", "f", {"city": "Paris"})],
    ),
    "T23": (
        [piece('{"t": "one\ntwo\tthree\x01"}', index=0, id="a", name="f")],
        [("a", "f", {"t": "one\ntwo\tthree\x01"})],
    ),
    "T24": ([piece(PARIS, index=0, id="a", name="f")], [("a", "f", {"city": "Paris"})]),
    "T25": ([None, [], "x", {}, {"index": 0}, {"index": 0, "type": "function"}], []),
    "T27": (
        [piece("{}", index=0, id="a", name="f"), piece("{}", index=1, id="b", name="g")],
        [("a", "f", {}), ("b", "g", {})],
    ),
}


@pytest.mark.parametrize("row", WHOLE_CALLS)
def test_whole_calls(row):
    """However a server cuts its calls, each comes out once, whole, with its own id."""
    entries, expected = WHOLE_CALLS[row]
    assert finished(*entries) == [ToolUse(*call) for call in expected]


@pytest.mark.parametrize(
    ("row", "arguments", "raw"),
    [
        ("T21", ["{city: Paris"], "{city: Paris"),
        ("T21 NaN", ['{"x": NaN}'], '{"x": NaN}'),
        ("T21 beyond floats", ['{"x": 1e999}'], '{"x": 1e999}'),
        ("T22 not cut by a limit", ['{"x": ', "1"], '{"x": 1'),
        ("T28", ['{"x": 1}', '{"y": 2}'], '{"x": 1}{"y": 2}'),
        ("T28 in one piece", ['{"x": 1}{"y": 2}'], '{"x": 1}{"y": 2}'),
    ],
)
def test_arguments_that_are_no_json(row, arguments, raw):
    """Arguments that are no JSON are an error with id, name and raw text, and never a guess."""
    first, *rest = arguments
    calls = collected(piece(first, index=0, id="a", name="f"), *[piece(p, index=0) for p in rest])
    with pytest.raises(ToolCallMalformedError) as caught:
        list(calls.finish(cut=False))
    error = caught.value
    assert (error.tool_call_id, error.name, error.arguments) == ("a", "f", raw)
    assert "tool call 'f'" in str(error)


def test_calls_before_a_malformed_one_are_given():
    """The calls before the one whose arguments are no JSON are given first."""
    calls = collected(
        piece("{}", index=0, id="a", name="f"), piece("{x", index=1, id="b", name="g")
    )
    finish = calls.finish(cut=False)
    assert next(finish)[0] == ToolUse("a", "f", {})
    with pytest.raises(ToolCallMalformedError):
        next(finish)


def test_long_malformed_arguments_are_shortened_in_the_message():
    """The message shows the beginning of long arguments; the attribute has all of them."""
    calls = collected(piece("{" + "x" * 5000, id="a", name="f"))
    with pytest.raises(ToolCallMalformedError) as caught:
        list(calls.finish(cut=False))
    assert len(str(caught.value)) < 500
    assert len(caught.value.arguments) == 5001


@pytest.mark.parametrize("arguments", ['{"x": ', "", "{x"])
def test_a_call_cut_by_a_limit_is_left_out(arguments):
    """T22: of an answer cut by a limit a call that is not whole is left out, the others stay."""
    entries = piece("{}", index=0, id="a", name="f"), piece(arguments, index=1, id="b", name="g")
    assert finished(*entries, cut=True) == [ToolUse("a", "f", {})]


def test_function_call_of_old():
    """T26: the old function_call field is one call in pieces; null is noise."""
    accumulator = ChunkAccumulator()
    for function in (
        None,
        {"name": "f", "arguments": ""},
        {"arguments": '{"x"'},
        None,
        {"arguments": ": 1}"},
    ):
        accumulator.ingest(json.dumps({"choices": [{"delta": {"function_call": function}}]}))
    assert [use for use, _ in accumulator.tool_uses()] == [ToolUse("call_0", "f", {"x": 1})]


# --- fields of a piece ---------------------------------------------------------------------------


def test_a_collector_is_true_once_there_is_a_call():
    """A collector tells whether there is any call; noise makes none."""
    calls = ToolCalls()
    calls.take({"index": 0, "id": "", "function": None})
    assert not calls
    calls.take(piece(name="f"))
    assert calls


@pytest.mark.parametrize("index", [3, "3", 3.0])
def test_an_index_in_other_types(index):
    """An index may be a number as text or a float."""
    entries = (
        piece('{"x"', index=3, id="a", name="f"),
        piece('{"y"', index=1, id="b", name="g"),
        piece(": 1}", index=index),
        piece(": 2}", index=1),
    )
    assert brief(*entries) == [("f", {"x": 1}), ("g", {"y": 2})]


@pytest.mark.parametrize("index", [None, True, "", "x", 1.5, [], "9" * 5000, "²"])
def test_an_index_that_is_none(index):
    """What is no index is as if it were not there: the piece goes to the call before."""
    entries = piece('{"x"', index=4, id="a", name="f"), piece(": 1}", index=index)
    assert brief(*entries) == [("f", {"x": 1})]


def test_an_index_is_a_key_and_no_size():
    """An enormous or negative index costs nothing."""
    entries = piece("{}", index=10**18, name="f"), piece("{}", index=-(10**18), name="g")
    assert brief(*entries) == [("f", {}), ("g", {})]


def test_an_id_that_is_a_number():
    """An id that is a number is taken as text."""
    assert finished(piece("{}", id=17, name="f"))[0].tool_call_id == "17"


def test_a_made_up_id_does_not_collide():
    """An id that we make differs from those that the upstream gave."""
    entries = piece("{}", index=0, id="call_1", name="f"), piece("{}", index=1, name="g")
    ids = [use.tool_call_id for use in finished(*entries)]
    assert ids == ["call_1", "call_1_1"]


def test_extra_content_is_kept():
    """R09: what an upstream wants back with a call is kept as it came."""
    signature = {"google": {"thought_signature": "c2ln"}}
    [use] = finished(piece("{}", index=0, id="a", name="f", extra_content=signature))
    assert use.extra == {"extra_content": signature}


def test_extra_content_in_a_delta_of_its_own():
    """R09: such a thing in a delta of its own belongs to the last call; without calls, nowhere."""
    calls = ToolCalls()
    calls.take_extra({"sig": "x"})
    assert not calls
    calls.take(piece("{}", index=0, id="a", name="f"))
    calls.take(piece("{}", index=1, id="b", name="g"))
    calls.take_extra(None)
    calls.take_extra({"sig": "y"})
    extras = [use.extra for use, _ in calls.finish(cut=False)]
    assert extras == [{}, {"extra_content": {"sig": "y"}}]


def test_halves_of_characters_are_joined():
    """X03: halves of characters over pieces, in names and ids too, are joined or replaced."""
    entries = (
        piece('{"x": "\ud83d', index=0, id="a\ud83d", name="f\ud83d"),
        piece('\ude00 \\ud83d"}', index=0),
    )
    assert finished(*entries) == [ToolUse("a\ufffd", "f\ufffd", {"x": "\U0001f600 \ufffd"})]


@pytest.mark.parametrize(
    ("parts", "value"),
    [
        ([], {}),
        (["[1, 2]"], [1, 2]),
        (["17"], 17),
        (["false"], False),
        (['"plain words"'], "plain words"),
        (['""'], {}),
        ([' {"x":', " 1} "], {"x": 1}),
        (['{"x": 12345678901234567890}'], {"x": 12345678901234567890}),
    ],
)
def test_read_arguments(parts, value):
    """Arguments may be any JSON; a string that holds none is itself."""
    assert read_arguments(parts) == value


def test_arguments_nested_too_deeply():
    """Arguments nested too deeply are no JSON, and no RecursionError."""
    with pytest.raises(ToolCallMalformedError):
        finished(piece("[" * 200_000, id="a", name="f"))


# --- what calls may cost -------------------------------------------------------------------------


def test_size_counts_all_that_is_kept():
    """The size of all calls is their ids, names, arguments, extras and a flat charge for each."""
    calls = collected(piece("12", index=0, id="a", name="abc"), piece("345", index=0))
    assert calls.size == CALL_CHARGE + 1 + 3 + 5
    calls.take(piece(index=1, id="b", name="g"))
    assert calls.size == 2 * CALL_CHARGE + 11
    calls.take_extra({"a": "b"})
    assert calls.size == 2 * CALL_CHARGE + 21


def test_empty_calls_are_charged():
    """A call without arguments costs its charge, so that endless empty ones reach a limit."""
    calls = collected(*[piece(index=number, id=str(number)) for number in range(10)])
    assert calls.size == 10 * (CALL_CHARGE + 1)
    calls = collected(*[piece(index=number, id="a") for number in range(10)])
    assert calls.size > CALL_CHARGE + 9 * 100  # one call, but every index is kept


def test_each_call_comes_with_its_size():
    """A finished call is given with the size of its arguments."""
    calls = collected(piece("{}", index=0, name="f"), piece(PARIS, index=1, name="g"))
    assert [size for _, size in calls.finish(cut=False)] == [2, len(PARIS)]


def test_calls_are_decoded_when_they_are_asked_for(monkeypatch):
    """Arguments are decoded one call at a time, when somebody takes the call."""
    decoded = []
    read = openai_tools.read_arguments
    monkeypatch.setattr(
        openai_tools, "read_arguments", lambda parts: decoded.append(parts) or read(parts)
    )
    finish = collected(piece("1", index=0, name="f"), piece("2", index=1, name="g")).finish(
        cut=False
    )
    next(finish)
    assert decoded == [["1"]]


def lines_run(entries):
    """Count the lines that run in the module while these entries are taken and finished."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename == openai_tools.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(ToolCallMalformedError):
            list(collected(*entries).finish(cut=False))
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "entry",
    [
        lambda number: piece("{}", id=f"c{number}", name="f"),
        lambda number: piece("{}", index=number, id="same", name="f"),
        lambda number: piece("{}", index=number, id=f"same_{number % 7}", name="f"),
        lambda number: piece("{}", index=0, id=f"c{number}", name="f"),
        lambda number: piece("{}", name="f"),
        lambda number: piece("1", index=0),
        lambda number: piece("}", index=0, name="f"),
    ],
)
def test_work_grows_with_the_pieces_and_no_faster(entry):
    """Twice the pieces are twice the work, whatever ids and indexes they have."""
    once, twice = (lines_run([entry(n) for n in range(count)]) for count in (200, 400))
    assert once > 200
    assert twice < 2.2 * once


def test_ids_stay_short():
    """Ids that are made unique stay short, however often the upstream repeats one."""
    uses = finished(
        *[
            piece(json.dumps({"n": number}), index=number, id="same", name="f")
            for number in range(2000)
        ]
    )
    ids = {use.tool_call_id for use in uses}
    assert len(ids) == 2000
    assert max(map(len, ids)) <= len("same_2000")


def test_early_parsing_is_bounded(monkeypatch):
    """Looking whether a call is whole parses no more than a share of what was received."""
    parsed = 0
    parse = openai_tools.parse_json

    def counted(text):
        nonlocal parsed
        parsed += len(text)
        return parse(text)

    monkeypatch.setattr(openai_tools, "parse_json", counted)
    calls = ToolCalls()
    text = '{"x": "' + "y" * 1000
    calls.take(piece(text, index=0, name="f"))
    for _ in range(5000):
        calls.take(piece("}", index=0, name="f"))
    assert 0 < parsed <= 8 * (len(text) + 5000) + 65536

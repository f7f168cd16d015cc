"""The rules of the accumulator, each over many members of its kind; then over anything at all."""

import copy
import json
import logging

import pytest
from hypothesis import given, settings, strategies as st

import inferd_engine as ie
from inferd_engine.wire.openai.answer import Answer
from inferd_engine.wire.openai.chunks import ChunkAccumulator

DONE = "[DONE]"
TEXT, THOUGHT = ie.TextDelta, ie.ThinkingDelta


def chunk(delta=None, reason=None, **fields):
    """Make a chunk as a dict."""
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": reason, **fields}]}


def say(text):
    """Make a chunk that says something."""
    return chunk({"content": text})


def call(arguments=None, **fields):
    """Make a chunk with a piece of a call."""
    name = {"name": fields.pop("name")} if "name" in fields else {}
    function = name if arguments is None else {**name, "arguments": arguments}
    return chunk({"tool_calls": [{**fields, "function": function}]})


STOP = chunk(reason="stop")


def taken(*payloads, event="message"):
    """Give the events of payloads, dicts or texts, and how it ended; deltas are joined."""
    accumulator = ChunkAccumulator()
    events = []
    try:
        for payload in payloads:
            text = payload if isinstance(payload, str) else json.dumps(payload)
            accumulator.ingest_into(events, text, event)
        events += accumulator.flush()
        accumulator.check_whole()
        for use, _ in accumulator.tool_uses():
            events.append(use)
        ending = accumulator.done()
    except ie.GenerateError as error:
        ending = error
    joined = []
    for found in events:
        if joined and type(found) is type(joined[-1]) and found.type != "tool_use":
            joined[-1] = type(found)(joined[-1].delta + found.delta)
        else:
            joined.append(found)
    return joined, ending


# --- one where a list belongs, a list where one --------------------------------------------------

WHOLE = [
    chunk({"role": "assistant", "content": [{"type": "text", "text": "a"}], "refusal": "b"}),
    chunk({"reasoning_details": [{"type": "reasoning.text", "text": "t", "index": 0}]}),
    chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "u"}]}]}),
    chunk({"content": [{"type": "reasoning", "summary": [{"type": "s", "text": "v"}]}]}),
    chunk(
        {
            "tool_calls": [
                {"index": 0, "id": "i", "function": {"name": "f", "arguments": {"x": {"y": 1}}}}
            ]
        }
    ),
    chunk({"tool_calls": [{"index": 1, "id": "j", "custom": {"name": "c", "input": "ls"}}]}),
    {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    {"choices": [], "x_groq": {"usage": {"prompt_tokens": 3}}},
    STOP,
]
MESSAGE = [
    {
        "choices": [
            {
                "index": 0,
                "message": {
                    "content": "a",
                    "tool_calls": [{"id": "i", "function": {"name": "f", "arguments": "{}"}}],
                },
                "usage": {"prompt_tokens": 5},
                "finish_reason": "tool_calls",
            }
        ]
    }
]
ERROR = [say("a"), {"error": {"message": "m", "code": "c"}}]
IN_CHOICE = [say("a"), chunk(error={"message": "m"})]
BASE_RESP = [{"choices": None, "base_resp": {"status_code": 1, "status_msg": "m"}}]
FUNCTION = [chunk({"function_call": {"name": "f", "arguments": "{}"}}), STOP]
SAMPLES = {
    "deltas": WHOLE,
    "message": MESSAGE,
    "error": ERROR,
    "error in a choice": IN_CHOICE,
    "base_resp": BASE_RESP,
    "function_call": FUNCTION,
}
KEPT = ("arguments",)  # what is the caller's, shape and all


def places_in(value, path=()):
    """Give the places of all objects, and of all lists of objects, in a sample."""
    if isinstance(value, dict):
        if path:
            yield path
        for key, item in value.items():
            if key not in KEPT:
                yield from places_in(item, (*path, key))
    elif isinstance(value, list):
        if path and value and all(isinstance(item, dict) for item in value):
            yield path
        for index, item in enumerate(value):
            yield from places_in(item, (*path, index))


def changed(sample, path, change):
    """Give a sample with one place of it changed."""
    sample = copy.deepcopy(sample)
    inner = sample
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = change(inner[path[-1]])
    return sample


CHANGES = {
    "in a list": lambda value: [value],
    "in two lists": lambda value: [[value]],
    "alone": lambda value: value[0] if isinstance(value, list) and len(value) == 1 else value,
    "numbered": lambda value: (
        {str(n): item for n, item in enumerate(value)} if isinstance(value, list) else value
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name in SAMPLES for path in places_in(SAMPLES[name])]
)
def test_shapes(name, path, change):
    """An object where a list belongs, and the other way round, is taken as what it stands for."""
    wanted, ending = taken(*SAMPLES[name])
    given, other = taken(*changed(SAMPLES[name], path, CHANGES[change]))
    assert given == wanted
    assert type(other) is type(ending)
    if isinstance(ending, ie.Done):
        assert (other.stop_reason, other.usage and other.usage.input_tokens) == (
            ending.stop_reason,
            ending.usage and ending.usage.input_tokens,
        )
    else:
        assert other.message == ending.message


@pytest.mark.parametrize("arguments", [[], [{}], {}, "[]", "{}", "", None])
def test_no_arguments(arguments):
    """An empty list is what PHP makes of an empty object."""
    assert taken(call(arguments, id="i", name="f"), STOP)[0] == [ie.ToolUse("i", "f", {})]


@pytest.mark.parametrize("delta", ["a", ["a"], [{"content": "a"}], {"content": {"text": "a"}}])
def test_text_in_other_places(delta):
    """Text in the place of a delta, or deeper in than it should be, is text."""
    wanted = [TEXT("a")] if delta != ["a"] else []
    assert taken({"choices": [{"index": 0, "delta": delta}]}, STOP)[0] == wanted


# --- a whole message beside deltas, or after them ------------------------------------------------

CALL = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"q": 1}'}}
USE = ie.ToolUse("t1", "f", {"q": 1})


def whole(**message):
    """Make a terminal chunk that holds the whole message."""
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"object": "chat.completion", "choices": [choice]}


@pytest.mark.parametrize(
    ("payloads", "events"),
    [
        pytest.param(
            [say("a"), whole(content="a", tool_calls=[CALL])], [TEXT("a"), USE], id="calls"
        ),
        pytest.param([say("a"), whole(tool_calls=CALL)], [TEXT("a"), USE], id="one call"),
        pytest.param(
            [say("a"), whole(function_call=CALL["function"])],
            [TEXT("a"), ie.ToolUse("call_0", "f", {"q": 1})],
            id="function_call",
        ),
        pytest.param([say("a"), whole(content="a")], [TEXT("a")], id="the text once more"),
        pytest.param(
            [chunk({"role": "assistant", "content": ""}), whole(content="abc")],
            [TEXT("abc")],
            id="the text alone",
        ),
        pytest.param(
            [chunk({"role": "assistant"}), whole(reasoning="r", content="abc")],
            [THOUGHT("r"), TEXT("abc")],
            id="thoughts too",
        ),
        pytest.param(
            [say("a"), call('{"q": 1}', id="t1", name="f"), whole(tool_calls=[CALL])],
            [TEXT("a"), USE],
            id="the calls once more",
        ),
        pytest.param(
            [
                chunk({"content": "a"}, message={"content": "a"}),
                chunk({"content": "b"}, message={"content": "ab", "tool_calls": [CALL]}),
                chunk({}, "stop", message={"content": "ab", "tool_calls": [CALL]}),
            ],
            [TEXT("ab"), USE],
            id="beside every delta",
        ),
        pytest.param(
            [chunk({"content": ""}, message={"content": "abc"}), STOP], [TEXT("abc")], id="plain"
        ),
        pytest.param(
            [{"choices": [{"message": {"content": text}}]} for text in "abc"] + [whole()],
            [TEXT("abc")],
            id="no delta at all",
        ),
        pytest.param(
            [say("a"), {"choices": [{"message": "abc"}]}, STOP],
            [TEXT("a")],
            id="as text, once more",
        ),
        pytest.param([{"choices": [{"message": "abc"}]}, STOP], [TEXT("abc")], id="as text"),
    ],
)
def test_whole_messages(payloads, events):
    """C08, C09: a whole message is the same once more, but for what the deltas never held."""
    given, ending = taken(*payloads, DONE)
    assert given == events
    assert isinstance(ending, ie.Done)


def test_a_whole_message_of_a_cut_answer():
    """What a whole message holds is given where the answer was cut, too."""
    cut = {"choices": [{"index": 0, "message": {"content": "abc"}}]}
    given, ending = taken(chunk({"role": "assistant"}), cut)
    assert given == [TEXT("abc")]
    assert isinstance(ending, ie.StreamInterruptedError)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_function_call_beside_tool_calls(order):
    """T26: the old field beside the new one is the same call once more, whichever comes first."""
    deltas = [{"tool_calls": [CALL]}, {"function_call": CALL["function"]}]
    both = {**deltas[0], **deltas[1]}
    assert taken(chunk(both), STOP)[0] == [USE]
    assert taken(*[chunk(deltas[place]) for place in order], STOP)[0] == [USE]


# --- calls under other indexes -------------------------------------------------------------------

SPREAD = {
    "the index grows with every piece": [
        call("", index=0, id="i", name="f"),
        call('{"q"', index=1, id="i", name="f"),
        call(": 1}", index=2, id="i", name="f"),
    ],
    "the index grows, the name does not come again": [
        call("", index=0, id="i", name="f"),
        call('{"q"', index=1, id="i"),
        call(": 1}", index=2, id="i"),
    ],
    "all so far at every index": [
        call('{"q"', index=0, id="i", name="f"),
        call('{"q": 1}', index=1, id="i", name="f"),
    ],
    "whole at both": [
        call('{"q": 1}', index=0, id="i", name="f"),
        call('{"q": 1}', index=1, id="i", name="f"),
    ],
    "an empty piece at another index": [
        call('{"q": 1}', index=0, id="i", name="f"),
        call("", index=1, id="i", name="f"),
    ],
    "arguments at the next index": [
        call("", index=0, id="i", name="f"),
        call('{"q": 1}', index=1, id=None, name=None),
    ],
    "in pieces at the next index": [
        call("", index=0, id="i", name="f"),
        call('{"q"', index=1, id=None, name=""),
        call(": 1}", index=1),
    ],
    "each piece at an index of its own": [
        call("", index=0, id="i", name="f"),
        call('{"q"', index=1),
        call(": ", index=2),
        call("1}", index=3),
    ],
    "the rest at the next index": [
        call('{"q"', index=0, id="i", name="f"),
        call(": 1}", index=1),
    ],
    "arguments at the next index, with another id": [
        call("", index=0, id="i", name="f"),
        call('{"q": 1}', index=1, id="j"),
    ],
}


@pytest.mark.parametrize("name", SPREAD)
def test_one_call_under_several_indexes(name):
    """A piece at another index is a piece of the call that waits for it, or has its id."""
    given, ending = taken(*SPREAD[name], chunk(reason="tool_calls"), DONE)
    assert given == [ie.ToolUse("i", "f", {"q": 1})]
    assert ending.stop_reason is ie.StopReason.TOOL_USE


@pytest.mark.parametrize("reused", [False, True])
def test_two_calls_whose_arguments_come_at_the_next_index(reused):
    """Names and arguments may come at indexes in turns; an index may be used again."""
    second = 1 if reused else 2
    given, _ = taken(
        call("", index=0, id="i", name="f"),
        call('{"q": 1}', index=1),
        call("", index=second, id="j", name="g"),
        call('{"q": 2}', index=second + 1),
        STOP,
    )
    assert given == [ie.ToolUse("i", "f", {"q": 1}), ie.ToolUse("j", "g", {"q": 2})]


def test_a_call_without_arguments_before_another():
    """A call that has no arguments takes none from the one after it."""
    given, _ = taken(
        call("", index=0, id="i", name="f"), call('{"q": 2}', index=1, id="j", name="g"), STOP
    )
    assert given == [ie.ToolUse("i", "f", {}), ie.ToolUse("j", "g", {"q": 2})]


def test_arguments_without_any_call():
    """T13: arguments before the name wait for it; without one they are an error."""
    given, _ = taken(call('{"q": 1}', index=0), call(index=0, id="i", name="f"), STOP)
    assert given == [ie.ToolUse("i", "f", {"q": 1})]
    assert isinstance(taken(call('{"q": 1}', index=0), STOP)[1], ie.ToolCallMalformedError)


def test_arguments_of_nobody():
    """Arguments that no call waits for are an error, and never a guess."""
    pieces = call('{"q": 1}', index=0, id="i", name="f"), call('{"q": 2}', index=1)
    given, ending = taken(*pieces, STOP)
    assert given == [ie.ToolUse("i", "f", {"q": 1})]
    assert isinstance(ending, ie.ToolCallMalformedError)


@pytest.mark.parametrize("word", ["null", "None", None, ""])
@pytest.mark.parametrize("first", ["", '{"q"'])
def test_the_word_null_is_no_name(word, first):
    """A name or an id that is the word null is none, and makes no name longer."""
    rest = '{"q": 1}'[len(first) :]
    pieces = call(first, index=0, id="i", name="f"), call(rest, index=0, id=word, name=word)
    assert taken(*pieces, STOP)[0] == [ie.ToolUse("i", "f", {"q": 1})]


# --- custom calls, and calls that were cut -------------------------------------------------------


def custom(text, **fields):
    """Make a chunk with a piece of a custom call."""
    name = {"name": fields.pop("name")} if "name" in fields else {}
    return chunk({"tool_calls": [{**fields, "custom": {**name, "input": text}}]})


@pytest.mark.parametrize("text", ["ls -l", "{}", '{"a": 1}', "null", "", "{", '"x"', " \n"])
def test_custom_calls(text):
    """The input of a custom call is its text, whatever it looks like; it is told to be custom."""
    pieces = [custom(letter, index=0) for letter in text]
    given, _ = taken(custom("", index=0, id="i", type="custom", name="sh"), *pieces, STOP)
    assert given == [ie.ToolUse("i", "sh", text, {"type": "custom"})]


@pytest.mark.parametrize("beside", [{}, None, [], {"name": ""}])
def test_an_empty_custom_beside_a_function(beside):
    """An empty ``custom`` on every piece makes no call custom."""
    entry = {"index": 0, "id": "i", "function": {"name": "f", "arguments": "{}"}, "custom": beside}
    assert taken(chunk({"tool_calls": [entry]}), STOP)[0] == [ie.ToolUse("i", "f", {})]


CUT_WORDS = ["length", "MAX_TOKENS", "content-filter", "guardrail_intervened", "SAFETY", "error"]
CUT_WORDS += ["model_context_window_exceeded", "abort", "MALFORMED_FUNCTION_CALL", "max-tokens"]


@pytest.mark.parametrize("word", CUT_WORDS)
@pytest.mark.parametrize(
    "pieces",
    [
        [call('{"q": ', index=1, id="j", name="g")],
        [call("", index=1, id="j", name="g")],
        [call("1", index=1, id="j", name="g")],  # the beginning of 12
        [call('{"q": ', index=1)],
        [custom("rm -r", index=1, id="j", name="sh")],  # the beginning of "rm -r /tmp/x"
    ],
    ids=["half", "nothing", "a number", "no name", "custom"],
)
def test_a_call_that_was_cut_is_left_out(word, pieces):
    """T22: of an answer that was cut, blocked or failed a call that is not whole is left out."""
    given, ending = taken(call("{}", index=0, id="i", name="f"), *pieces, chunk(reason=word), DONE)
    assert given == [ie.ToolUse("i", "f", {})]
    assert isinstance(ending, ie.Done)
    assert ending.stop_reason not in (ie.StopReason.END_TURN, ie.StopReason.TOOL_USE)


def test_a_custom_call_before_the_one_that_was_cut_is_whole():
    """Only the last call can have been cut."""
    pieces = [custom("ls", index=0, id="i", name="sh"), custom("l", index=1, id="j", name="sh")]
    given, _ = taken(*pieces, chunk(reason="length"))
    assert given == [ie.ToolUse("i", "sh", "ls", {"type": "custom"})]


# --- usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", ["-1", "-1.0", "null", '"many"', "true", "1e999", "NaN"])
def test_a_number_of_tokens_that_is_none_says_nothing(count):
    """Usage is a count or None: what was known stays, and nothing less than 0 is given."""
    odd = f'{{"choices": [], "usage": {{"prompt_tokens": {count}, "completion_tokens": 5}}}}'
    _, ending = taken(say("a"), odd, STOP, DONE)
    assert (ending.usage.input_tokens, ending.usage.output_tokens) == (None, 5)
    known = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}
    _, ending = taken(say("a"), known, odd, STOP, DONE)
    assert (ending.usage.input_tokens, ending.usage.output_tokens) == (7, 5)


# --- the end -------------------------------------------------------------------------------------

FOREIGN = {
    "Workers AI": [{"response": "Hi", "p": "abc"}, {"response": "", "usage": {"prompt_tokens": 7}}],
    "Ollama": [{"model": "m", "message": {"role": "assistant", "content": "Hi"}, "done": True}],
    "Anthropic": [
        {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_stop"},
    ],
    "Gemini": [{"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}],
    "Responses": [{"type": "response.output_text.delta", "delta": "Hi"}],
    "TGI": [{"token": {"id": 1, "text": "Hi"}, "generated_text": None}],
    "pings": [{"type": "ping"}, {"type": "ping"}],
    "no choices": [{"choices": []}, {"choices": None}],
    "usage": [{"choices": [], "usage": {"prompt_tokens": 1}}],
    "text": ["Hi", "there"],
    "numbers": ["42", "[]", "true", "null"],
    "strings": ['"Hi"', '" there"'],
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("end", [[DONE], []], ids=["done", "end"])
def test_nothing_of_an_answer(name, end):
    """Payloads came and none was a chunk: that is no answer, and never an empty success."""
    given, ending = taken(*FOREIGN[name], *end)
    assert given == []
    assert isinstance(ending, ie.StreamInterruptedError)


CREATED = {"type": "response.created", "response": {"object": "response", "status": "in_progress"}}


@pytest.mark.parametrize(
    ("payloads", "protocol"),
    [
        (FOREIGN["Anthropic"], "Anthropic's protocol, Messages"),
        (
            [{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}],
            "Anthropic's protocol, Messages",
        ),
        ([CREATED, *FOREIGN["Responses"]], "OpenAI's Responses"),
        (FOREIGN["Responses"], "OpenAI's Responses"),
        ([*FOREIGN["Responses"], DONE], "OpenAI's Responses"),
        ([{"object": "response", "error": None, "output": []}], "OpenAI's Responses"),
    ],
)
def test_the_other_protocol_is_named(payloads, protocol):
    """An answer in another protocol is an error that says so, and asking again does not help."""
    _, ending = taken(*payloads)
    assert isinstance(ending, ie.StreamInterruptedError)
    assert protocol in str(ending)
    assert not ending.retryable


@pytest.mark.parametrize("words", ["model is loading", "try later"])
def test_one_string_is_what_the_upstream_says(words):
    """H16: one JSON string and nothing else is a message."""
    given, ending = taken(json.dumps(words))
    assert given == []
    assert isinstance(ending, ie.UpstreamError)
    assert ending.message == words


def test_words_that_came_last_are_told():
    """An object that is no chunk and came after all text says what is wrong, if it has words."""
    odd = {"message": "the worker is gone", "worker": 7}
    usage = {"choices": [], "usage": {"prompt_tokens": 1}}
    for payloads in ([say("a"), odd], [say("a"), odd, DONE], [say("a"), odd, usage, DONE]):
        given, ending = taken(*payloads)
        assert given == [TEXT("a")]
        assert isinstance(ending, ie.UpstreamError)
        assert ending.message == "the worker is gone"
    for payloads in ([say("a"), odd, say("b"), DONE], [say("a"), STOP, odd, DONE]):
        assert isinstance(taken(*payloads)[1], ie.Done)
    assert isinstance(taken(say("a"), odd, say("b"))[1], ie.StreamInterruptedError)


def test_done_alone_is_an_empty_answer():
    """S15: the mark of the end alone, without any payload, is an answer that holds nothing."""
    assert taken(DONE) == ([], ie.Done(ie.StopReason.END_TURN))


BROKEN = ['{"choices": [{"del', "undefined", "[1, 2", '{"a": 1}}}', "{" * 200_000, "<html>"]


@pytest.mark.parametrize("broken", BROKEN)
def test_the_last_payload_cannot_be_read(broken):
    """What came right before a bare end and cannot be read may have been the rest of the answer."""
    given, ending = taken(say("a"), broken, DONE)
    assert given == [TEXT("a")]
    assert isinstance(ending, ie.StreamInterruptedError)
    usage = {"choices": [], "usage": {"prompt_tokens": 1}}
    assert isinstance(taken(say("a"), broken, usage, DONE)[1], ie.StreamInterruptedError)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_payload_that_cannot_be_read_among_good_ones(broken):
    """F26: one that is followed by good ones, or by a reason, is left out and counted."""
    for payloads in ([say("a"), broken, say("b"), DONE], [say("a"), say("b"), STOP, broken, DONE]):
        given, ending = taken(*payloads)
        assert given == [TEXT("ab")]
        assert isinstance(ending, ie.Done)


@pytest.mark.parametrize(
    ("payload", "count"),
    [
        ("undefined", 1),
        ("one\ntwo\nthree", 1),
        (json.dumps(say("a")), 0),
        (f"{json.dumps(say('a'))}\nx\n{json.dumps(say('a'))}\ny", 2),
        ("{" * 200_000, 1),
        ("[" * 200_000 + "]" * 200_000, 1),
        ("42", 0),
        ('"text"', 0),
        ("", 0),
        ('{"type": "ping"}', 0),
        (DONE, 0),
        ('{\n  "choices": [\n    {"delta": {"content": "a"\n  ]\n}', 1),
    ],
)
def test_what_is_skipped_is_counted(payload, count, caplog):
    """Each payload, or stretch of one, that is no JSON is counted and logged."""
    caplog.set_level(logging.WARNING, "inferd_engine")
    accumulator = ChunkAccumulator()
    accumulator.ingest(payload)
    assert accumulator.skipped == count
    assert sum("skipped" in record.message for record in caplog.records) == count


# --- errors --------------------------------------------------------------------------------------

FLAT = [
    {"code": 50505, "message": "overloaded", "data": None},
    {"status": "439", "msg": "overloaded", "body": None},
    {"detail": "overloaded"},
    {"type": "error", "message": "overloaded"},
    {"success": False, "message": "overloaded"},
    {"errors": [{"message": "overloaded"}]},
    {"message": "overloaded"},
    {"base_resp": {"status_code": 1002, "status_msg": "overloaded"}},
    {"object": "error", "message": "overloaded"},
    {"error": "overloaded"},
]


@pytest.mark.parametrize("error", FLAT, ids=json.dumps)
@pytest.mark.parametrize("before", [[], [say("a")], [say("a"), STOP]], ids=["first", "text", "end"])
@pytest.mark.parametrize("after", [[], [DONE], [STOP, DONE]], ids=["", "done", "more"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["", "in a string"])
def test_errors(error, before, after, wrapped):
    """E: an error in any shape ends the answer, wherever it stands, after what came before it."""
    payload = json.dumps(json.dumps(error)) if wrapped else error
    given, ending = taken(*before, payload, *after)
    assert given == ([TEXT("a")] if before else [])
    assert isinstance(ending, ie.UpstreamError)
    assert ending.message == "overloaded"


@pytest.mark.parametrize(
    "failing",
    [
        chunk({"content": "b"}, "error", error={"code": 502, "message": "idle timeout"}),
        {**chunk({"content": "b"}), "error": {"code": 502, "message": "idle timeout"}},
        {**chunk({"content": "b"}), "base_resp": {"status_code": 5, "status_msg": "idle timeout"}},
        chunk({"content": "b", "error": "idle timeout"}),
    ],
)
def test_an_error_beside_text(failing):
    """E03: what a chunk says beside its error is given first."""
    given, ending = taken(say("a"), failing, DONE)
    assert given == [TEXT("ab")]
    assert isinstance(ending, ie.UpstreamError)
    assert ending.message == "idle timeout"


@pytest.mark.parametrize("status", [0, "0", 200, None])
def test_a_good_base_resp(status):
    """MiniMax says that all is well in the same object in which it says what is wrong."""
    good = {"base_resp": {"status_code": status, "status_msg": ""}}
    given, ending = taken({**say("a"), **good}, {**STOP, **good}, DONE)
    assert given == [TEXT("a")]
    assert isinstance(ending, ie.Done)


@pytest.mark.parametrize("kind", [bytes, str])
def test_whole_bodies(kind):
    """The same errors as whole JSON bodies, whatever their Content-Type."""
    for error in FLAT:
        for text in (json.dumps(error), json.dumps(error, indent=1), json.dumps(json.dumps(error))):
            answer = Answer()
            assert answer.feed(text.encode()) == []
            answer.end()
            assert list(answer.rest()) == []
            assert isinstance(answer.ending, ie.UpstreamError), error
            assert answer.ending.message == "overloaded"


@pytest.mark.parametrize(
    ("word", "native", "reason"),
    [
        ("stop", "network_error", "error"),
        ("stop", "SAFETY", "content_filter"),
        ("stop", "MAX_TOKENS", "max_tokens"),
        ("tool_calls", "MALFORMED_FUNCTION_CALL", "error"),
        ("stop", "STOP", "end_turn"),
        ("stop", "end_turn", "end_turn"),
        ("stop", None, "end_turn"),
        ("stop", "whatever", "end_turn"),
        ("length", "error", "max_tokens"),
        ("error", "stop", "error"),
    ],
)
def test_the_word_of_the_provider_behind(word, native, reason):
    """Where a gateway says that all is well and the provider behind it does not, it is not."""
    ending = taken(say("a"), chunk({}, word, native_finish_reason=native), DONE)[1]
    assert ending.stop_reason == reason
    assert ending.finish_reason in (word, native)
    assert isinstance(
        taken(say("a"), chunk({}, None, native_finish_reason="stop"))[1], ie.GenerateError
    )


GLUE = {"glued": "", "with line ends": "\n", "with commas": ",\n", "in an array": None}


@pytest.mark.parametrize("name", GLUE)
@pytest.mark.parametrize("twice", [False, True], ids=["", "in strings"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_bodies_without_a_frame(name, twice, size):
    """F19, F20: documents in a row are an answer, without any event stream around them."""
    texts = [json.dumps(document) for document in (say("a"), say("b"), STOP)]
    texts = [json.dumps(text) for text in texts] if twice else texts
    glue = GLUE[name]
    body = (f"[{','.join(texts)}]" if glue is None else glue.join(texts)).encode()
    answer = Answer()
    events = []
    for at in range(0, len(body), size):
        events += answer.feed(body[at : at + size])
    events += answer.end()
    assert list(answer.rest()) == []
    assert "".join(found.delta for found in events) == "ab"
    assert isinstance(answer.ending, ie.Done)


@pytest.mark.parametrize("line", [DONE, '[{"choices": []}]', '"{}"', "{}"])
def test_lines_without_a_field_name(line):
    """F09, F19: a line that is a document, or the mark of the end, counts without ``data:``."""
    answer = Answer()
    answer.feed(f"data: {json.dumps(say('a'))}\n\n{line}\n\n".encode())
    assert answer.payloads == 2
    assert (answer.state == "over") is (line == DONE)


@pytest.mark.parametrize("word", ["null", "None", "none", "", "FINISH_REASON_UNSPECIFIED"])
@pytest.mark.parametrize("whole_way", [True, False])
def test_a_word_for_nothing_is_no_reason(word, whole_way):
    """S12: the word null on every chunk ends nothing: such an answer was cut."""
    first = {"role": "assistant", "content": "a", "tool_calls": None if whole_way else []}
    given, ending = taken(chunk(first, word), chunk({"content": "b"}, word))
    assert given == [TEXT("ab")]
    assert isinstance(ending, ie.StreamInterruptedError)
    assert isinstance(taken(chunk(first, word), DONE)[1], ie.Done)


# --- anything at all -----------------------------------------------------------------------------

_GOOD = [
    *WHOLE,
    *MESSAGE,
    *ERROR,
    *IN_CHOICE,
    *BASE_RESP,
    *FUNCTION,
    *SPREAD["whole at both"],
    STOP,
]
_words = st.sampled_from(
    [
        "",
        "a",
        "null",
        "stop",
        "length",
        "0",
        "[DONE]",
        "error",
        "custom",
        "ping",
        "{}",
        "\ud83d",
        "é",
    ]
)
_keys = st.sampled_from(
    [
        *("choices", "index", "delta", "message", "content", "text", "tool_calls", "function"),
        *("arguments", "name", "id", "custom", "input", "error", "usage", "finish_reason", "type"),
        *("function_call", "base_resp", "status_code", "code", "reasoning", "reasoning_details"),
        *("prompt_tokens", "x_groq", "success", "status", "detail", "errors", "object", "refusal"),
    ]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats(allow_nan=False) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys | _words, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def _mutated(draw):
    """Give a good chunk with some of its places replaced by anything, removed, or moved."""
    value = copy.deepcopy(draw(st.sampled_from(_GOOD)))
    for _ in range(draw(st.integers(0, 4))):
        places = [*places_in(value), *[(*path, None) for path in places_in(value)]]
        if not places:
            break
        path = draw(st.sampled_from(places))
        inner = value
        for key in path[:-1]:
            inner = inner[key]
        if path[-1] is None and isinstance(inner, dict):
            inner[draw(_keys)] = draw(_json)
        elif path[-1] is None:
            inner.append(draw(_json))
        elif draw(st.booleans()):
            inner[path[-1]] = draw(_json)
        else:
            del inner[path[-1]]
    return value


_payloads = st.one_of(
    _mutated().map(json.dumps),
    _mutated().map(json.dumps).map(json.dumps),
    _json.map(json.dumps),
    st.text(max_size=20),
    st.tuples(_mutated(), _mutated()).map(lambda pair: "".join(map(json.dumps, pair))),
    _mutated().map(lambda value: json.dumps(value)[:-2]),
)


def says_done(payload):
    """Whether a payload may hold the mark of the end."""
    return DONE in payload.upper()


@settings(max_examples=400, deadline=None)
@given(
    st.lists(_payloads, max_size=6),
    st.sampled_from(["message", "error", "ping"]),
    st.sampled_from([False, True, "inside"]),
    st.sampled_from([1, 2]),
)
def test_nothing_raises_but_errors_of_ours(payloads, event, split, choices):
    """Whatever comes, it gives events or an error of ours, and ends in one way."""
    accumulator = ChunkAccumulator(split_think_tags=split, choices=choices)
    events = []
    try:
        for number, payload in enumerate(payloads):
            accumulator.ingest_into(events, payload, event if number == 2 else "message")
        events += accumulator.finalize()
    except ie.GenerateError:
        accumulator.flush()
    for found in events:
        assert found.type in {"done", "tool_use"} or found.delta
    assert [found.type for found in events[:-1]].count("done") == 0


@settings(max_examples=400, deadline=None)
@given(st.lists(_payloads, max_size=6))
def test_without_an_end_nothing_is_done(payloads):
    """An answer without a finish reason and without the mark of the end is never ``Done``."""
    without = ("finish_reason", "finishReason")
    kept = [
        payload
        for payload in payloads
        if not says_done(payload) and not any(word in payload for word in without)
    ]
    _, ending = taken(*kept)
    assert isinstance(ending, ie.GenerateError)


@settings(max_examples=200, deadline=None)
@given(st.lists(_payloads, max_size=4), st.integers(1, 40))
def test_how_it_is_cut_does_not_matter(payloads, size):
    """A body gives the same events and the same ending, however it is cut into reads."""
    body = "".join(f"data: {line}\n" for p in payloads for line in p.splitlines()).encode(
        "utf-8", "replace"
    )

    def read(blocks):
        answer = Answer()
        events = [event for block in blocks for event in answer.feed(block)] + answer.end()
        events += [event for event, _ in answer.rest()]
        return events, type(answer.ending), str(answer.ending)

    assert read([body]) == read([body[at : at + size] for at in range(0, len(body), size)])

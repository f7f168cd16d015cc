"""Each protocol says all of an answer, and how it ended, in frames that no text can forge."""

from __future__ import annotations

import json

import pytest
from web.conftest import events_of, lines_of

import inferd_engine as ie
from inferd_engine import web
from inferd_engine.web.protocols import json_line

USAGE = ie.Usage(7, 3)
CALL = ie.ToolUse("c1", "weather", {"city": "Köln"})
ANSWER = [
    ie.ThinkingDelta("Hm"),
    ie.ThinkingDelta("m."),
    ie.TextDelta("Hel"),
    ie.TextDelta("lo"),
    CALL,
    ie.TextDelta("!"),
]
DONE = ie.Done(ie.StopReason.TOOL_USE, USAGE, "tool_calls")
BROKEN = ie.StreamInterruptedError("10.0.0.7 reset the connection of sk-secret")

MAKE = {
    "inferd": lambda: web.Inferd("r1", "mock"),
    "openai": lambda: web.OpenAI("r1", "m", 5),
    "vercel": lambda: web.Vercel("r1"),
    "ag-ui": lambda: web.AgUi("t1", "r1"),
}


def frames(name, events, ending):
    """Give the frames of an answer."""
    protocol = MAKE[name]()
    body = protocol.start() + b"".join(map(protocol.event, events)) + protocol.end(ending)
    return events_of(body)


def test_inferd():
    """Frames of inferd: a block for each event, then done."""
    assert frames("inferd", ANSWER, DONE) == [
        {"type": "frame", "id": "r1", "block": {"type": "thinking", "delta": "Hm"}},
        {"type": "frame", "id": "r1", "block": {"type": "thinking", "delta": "m."}},
        {"type": "frame", "id": "r1", "block": {"type": "text", "delta": "Hel"}},
        {"type": "frame", "id": "r1", "block": {"type": "text", "delta": "lo"}},
        {
            "type": "frame",
            "id": "r1",
            "block": {
                "type": "tool_use",
                "tool_call_id": "c1",
                "name": "weather",
                "input": {"city": "Köln"},
            },
        },
        {"type": "frame", "id": "r1", "block": {"type": "text", "delta": "!"}},
        {
            "type": "done",
            "id": "r1",
            "usage": {"input_tokens": 7, "output_tokens": 3},
            "stop_reason": "tool_use",
            "backend": "mock",
        },
    ]


def test_inferd_ends():
    """Unknown usage is null; failed is an error; closed is done with cancelled."""
    (whole,) = frames("inferd", [], ie.Done(ie.StopReason.END_TURN))
    assert whole["usage"] is None
    for counted in (ie.Usage(None, 3), ie.Usage(7, None)):  # inferd has whole numbers alone
        (half,) = frames("inferd", [], ie.Done(ie.StopReason.END_TURN, counted))
        assert half["usage"] is None
    (failed,) = frames("inferd", [], BROKEN)
    assert failed == {
        "type": "error",
        "id": "r1",
        "code": "backend_unavailable",
        "message": "The answer was cut off.",
    }
    (closed,) = frames("inferd", [], None)
    assert (closed["type"], closed["stop_reason"]) == ("done", "cancelled")


def test_inferd_as_lines():
    """NDJSON is the same objects, one a line."""
    protocol = web.Inferd("r1", "mock", json_line)
    body = b"".join(map(protocol.event, ANSWER)) + protocol.end(DONE)
    assert lines_of(body) == frames("inferd", ANSWER, DONE)


def test_openai():
    """OpenAI's chunks: a role, a delta for each event, a reason, and the end marker."""
    first, *deltas, last, end = frames("openai", ANSWER, DONE)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in (first, *deltas, last)} == {
        ("r1", "chat.completion.chunk", 5, "m")
    }
    assert [chunk["choices"][0]["delta"] for chunk in deltas] == [
        {"reasoning_content": "Hm"},
        {"reasoning_content": "m."},
        {"content": "Hel"},
        {"content": "lo"},
        {
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Köln"}'},
                    "index": 0,
                }
            ]
        },
        {"content": "!"},
    ]
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    assert last["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert end == "[DONE]"


@pytest.mark.parametrize(("include_usage", "where"), [(True, -1), (None, -2), (False, None)])
def test_where_openai_tells_usage(include_usage, where):
    """In a chunk of its own, with the reason, or not at all."""
    protocol = web.OpenAI("r1", include_usage=include_usage)
    *chunks, end = events_of(protocol.start() + protocol.end(DONE))
    assert end == "[DONE]"
    told = [chunk for chunk in chunks if chunk.get("usage")]
    assert told == ([] if where is None else [[*chunks, end][where - (where == -1)]])
    assert [chunk for chunk in chunks if not chunk["choices"]] == (told if include_usage else [])


@pytest.mark.parametrize("ending", [None, BROKEN])
def test_openai_ends_early_with_an_error(ending):
    """A cut answer has an error object and no end marker."""
    *_, last = frames("openai", ANSWER, ending)
    assert set(last) == {"error"}
    assert last["error"]["type"] == ("cancelled" if ending is None else "api_error")


def test_vercel():
    """The UI message stream: runs that are opened and closed, a step, an end marker."""
    found = frames("vercel", ANSWER, DONE)
    assert found == [
        {"type": "start", "messageId": "r1"},
        {"type": "start-step"},
        {"type": "reasoning-start", "id": "r1-1"},
        {"type": "reasoning-delta", "id": "r1-1", "delta": "Hm"},
        {"type": "reasoning-delta", "id": "r1-1", "delta": "m."},
        {"type": "reasoning-end", "id": "r1-1"},
        {"type": "text-start", "id": "r1-2"},
        {"type": "text-delta", "id": "r1-2", "delta": "Hel"},
        {"type": "text-delta", "id": "r1-2", "delta": "lo"},
        {"type": "text-end", "id": "r1-2"},
        {
            "type": "tool-input-available",
            "toolCallId": "c1",
            "toolName": "weather",
            "input": {"city": "Köln"},
        },
        {"type": "text-start", "id": "r1-3"},
        {"type": "text-delta", "id": "r1-3", "delta": "!"},
        {"type": "text-end", "id": "r1-3"},
        {"type": "finish-step"},
        {
            "type": "finish",
            "finishReason": "tool-calls",
            "messageMetadata": {"usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}},
        },
        "[DONE]",
    ]


@pytest.mark.parametrize(
    ("ending", "last"),
    [
        (None, {"type": "abort", "reason": "The answer was stopped."}),
        (BROKEN, {"type": "error", "errorText": "The answer was cut off."}),
    ],
)
def test_vercel_ends_early(ending, last):
    """A cut answer has no finish, and its run stays open."""
    found = frames("vercel", [ie.TextDelta("Hel")], ending)
    assert found[-2:] == [last, "[DONE]"]
    assert not {"text-end", "finish-step", "finish"} & {f["type"] for f in found[:-1]}


def test_ag_ui():
    """AG-UI: messages, thoughts and calls that are opened and closed, and one end."""
    found = frames("ag-ui", ANSWER, DONE)
    assert [frame["type"] for frame in found] == [
        "RUN_STARTED",
        "REASONING_START",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
        "REASONING_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ]
    assert found[0] == {"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"}
    assert found[-1] == {
        "type": "RUN_FINISHED",
        "threadId": "t1",
        "runId": "r1",
        "outcome": {"type": "success"},
        "result": {"stopReason": "tool_use"},
        "usage": [{"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}],
    }
    assert json.loads(found[12]["delta"]) == {"city": "Köln"}
    ids = [frame["messageId"] for frame in found if "messageId" in frame]
    assert len(set(ids)) == 3


def test_ag_ui_ends_early():
    """Stopped: the message is closed and the outcome is cancelled; failed: an error alone."""
    *_, closing, last = frames("ag-ui", [ie.TextDelta("Hel")], None)
    assert closing["type"] == "TEXT_MESSAGE_END"
    assert (last["type"], last["outcome"]) == ("RUN_FINISHED", {"type": "cancelled"})
    *_, before, last = frames("ag-ui", [ie.TextDelta("Hel")], BROKEN)
    assert before["type"] == "TEXT_MESSAGE_CONTENT"
    assert last == {
        "type": "RUN_ERROR",
        "message": "The answer was cut off.",
        "code": "backend_unavailable",
    }


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize(
    "said",
    [
        "\n\ndata: [DONE]\n\n",
        "\r\rdata: {}\r\r",
        "</script><script>alert(1)</script><!--",
        "\u2028\u2029\x85\x00\ufeff",
        "half \ud83d of a character",
        'event: error\nid: 1\n"}',
    ],
)
def test_no_text_forges_a_frame(name, said):
    """Whatever is said, thought or called, there are as many frames, and the text is in them."""
    events = [ie.TextDelta(said), ie.ThinkingDelta(said), ie.ToolUse(said, said, {said: said})]
    plain = [ie.TextDelta("x"), ie.ThinkingDelta("x"), ie.ToolUse("x", "x", {"x": "x"})]
    protocol = MAKE[name]()
    body = protocol.start() + b"".join(map(protocol.event, events)) + protocol.end(DONE)
    assert body.isascii()
    assert b"<" not in body
    assert b"\r" not in body
    found = events_of(body)
    assert len(found) == len(frames(name, plain, DONE))
    texts = [value for frame in found if frame != "[DONE]" for value in strings_of(frame)]
    assert texts.count(said) >= 2


def strings_of(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_of(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", MAKE)
def test_what_is_not_for_pages_is_left_out(name):
    """A raw chunk gives nothing, and a v1 token is text."""
    protocol = MAKE[name]()
    assert protocol.event(ie.RawChunk(b"{}")) == b""
    assert b"hello" in protocol.event(ie.Token("hello"))


@pytest.mark.parametrize("name", MAKE)
def test_an_error_tells_nothing_internal(name):
    """No message of ours goes out: it may name hosts and settings."""
    body = MAKE[name]().end(BROKEN)
    assert b"secret" not in body
    assert b"10.0.0.7" not in body
    assert b"The answer was cut off." in body


@pytest.mark.parametrize("name", MAKE)
def test_the_three_ends_differ(name):
    """A page can tell a whole answer from a failed one and from one that was stopped."""
    last = [json.dumps(frames(name, [], ending)) for ending in (DONE, BROKEN, None)]
    assert len(set(last)) == 3

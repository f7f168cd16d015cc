"""Our bodies, read with the parsers of those who made the protocols, whole and in small pieces."""

from __future__ import annotations

import base64
import json

import openai
import pytest
from web.servers import node

import inferd_engine as ie
from inferd_engine import web
from inferd_engine.testing import Reply, Upstream

SIZES = [5, 1 << 20]
EVENTS = [
    ie.ThinkingDelta("Hm, "),
    ie.ThinkingDelta("well."),
    ie.TextDelta("Grüße\n\ndata: x</script>\u2028"),
    ie.TextDelta("日本"),
    ie.ToolUse("c1", "weather", {"city": "Köln", "days": [1, 2]}),
    ie.ToolUse("c2", "time", {}),
    ie.TextDelta("!"),
]
TEXT = "Grüße\n\ndata: x</script>\u2028日本!"
DONE = ie.Done(ie.StopReason.TOOL_USE, ie.Usage(7, 3), "tool_calls")
DROPPED = {"mid_stream_drop_after": 4}


def body_of(protocol, **script):
    """Give the body of an answer, with beats between its frames."""
    mock = ie.Mock(events=[*EVENTS, DONE], **script)
    beat = b": hb\n\n"
    return beat + beat.join(web.sse(mock.stream("Hi", id="r1"), protocol=protocol))


def closed_body(protocol):
    """Give the body of an answer that somebody has closed after its first text."""
    stream = ie.Mock(events=[*EVENTS, DONE]).stream("Hi", id="r1")
    body = web.sse(stream, protocol=protocol)
    seen = b""
    while b"Gr" not in seen:
        seen += next(body)
    stream.close()
    return seen + b"".join(body)


def read(maker, body, size):
    asked = {"maker": maker, "body": base64.b64encode(body).decode(), "size": size}
    (answer,) = node.run("makers.mjs", bodies=[asked])
    assert "refused" not in answer, answer
    return answer


@pytest.mark.parametrize("size", SIZES)
def test_vercel(size):
    """The AI SDK takes each chunk, and makes the message of them."""
    answer = read("vercel", body_of("vercel"), size)
    assert answer["failures"] == []
    message = answer["message"]
    assert message["role"] == "assistant"
    assert message["metadata"]["usage"] == {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
    parts = [part for part in message["parts"] if part["type"] != "step-start"]
    assert [part["type"] for part in parts] == [
        "reasoning",
        "text",
        "tool-weather",
        "tool-time",
        "text",
    ]
    assert parts[0]["text"] == "Hm, well."
    assert parts[1]["text"] + parts[4]["text"] == TEXT
    assert all(part.get("state", "done") in ("done", "input-available") for part in parts)
    assert parts[2]["input"] == {"city": "Köln", "days": [1, 2]}


@pytest.mark.parametrize("size", SIZES)
def test_vercel_cut(size):
    """An answer that fails is an error in the page; one that is stopped is aborted."""
    answer = read("vercel", body_of("vercel", **DROPPED), size)
    assert answer["failures"] == ["The answer was cut off."]
    answer = read("vercel", closed_body("vercel"), size)
    assert answer["types"][-1] == "abort"


@pytest.mark.parametrize("size", SIZES)
def test_ag_ui(size):
    """Each event is one of the schema's, and none loses a field on its way."""
    (body, cut, closed) = (
        body_of("ag-ui"),
        body_of("ag-ui", **DROPPED),
        closed_body("ag-ui"),
    )
    events = read("ag-ui", body, size)["events"]
    decoder = ie.SSEDecoder()
    assert events == [json.loads(event.data) for event in decoder.feed(body)]
    assert "".join(e["delta"] for e in events if e["type"] == "TEXT_MESSAGE_CONTENT") == TEXT
    assert read("ag-ui", cut, size)["events"][-1]["type"] == "RUN_ERROR"
    assert read("ag-ui", closed, size)["events"][-1]["outcome"] == {"type": "cancelled"}


@pytest.mark.parametrize("size", SIZES)
def test_openai_node(size):
    """openai-node makes the completion of the chunks, and raises what failed."""
    completion = read("openai", body_of("openai"), size)["completion"]
    (choice,) = completion["choices"]
    assert choice["message"]["content"] == TEXT
    assert choice["finish_reason"] == "tool_calls"
    first, second = choice["message"]["tool_calls"]
    assert json.loads(first["function"]["arguments"]) == {"city": "Köln", "days": [1, 2]}
    assert (second["id"], second["function"]["name"]) == ("c2", "time")
    assert completion["usage"]["total_tokens"] == 10
    failed = read("openai", body_of("openai", **DROPPED), size)
    assert "cut off" in failed["error"]
    stopped = read("openai", closed_body("openai"), size)
    assert "stopped" in stopped["error"]


def read_in_python(body, size):
    """Give what openai-python makes of a body that comes in pieces."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    with (
        Upstream(Reply(pieces)) as upstream,
        openai.OpenAI(api_key="x", base_url=f"{upstream.url}/v1", max_retries=0) as client,
        client.chat.completions.create(model="m", messages=[], stream=True) as chunks,
    ):
        yield from chunks


@pytest.mark.parametrize("size", SIZES)
def test_openai_python(size):
    """openai-python reads the chunks, and raises what failed."""
    chunks = list(read_in_python(body_of("openai"), size))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == TEXT
    thoughts = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert "".join(thoughts) == "Hm, well."
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [(call.index, call.function.name) for call in calls] == [(0, "weather"), (1, "time")]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert chunks[-1].usage.total_tokens == 10
    with pytest.raises(openai.APIError, match="cut off"):
        list(read_in_python(body_of("openai", **DROPPED), size))
    with pytest.raises(openai.APIError, match="stopped"):
        list(read_in_python(closed_body("openai"), size))

"""Upstreams that mean no good: each ends well or in the right error, soon, and leaves nothing."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

import inferd_engine as ie
from inferd_engine.testing import (
    DONE,
    Cut,
    Reply,
    Reset,
    Trickle,
    chunk,
    event,
    raw_reply,
    stream_reply,
    text_reply,
)

LIMIT = 100_000  # bytes: of events, so that what is endless is found out soon
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = chunk("ok", finish_reason="stop") + DONE


def http_chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def tool_chunk(*calls):
    return chunk(tool_calls=list(calls))


def call(index, name="f", arguments="{}"):
    return {"index": index, "id": f"c{index}", "function": {"name": name, "arguments": arguments}}


OTHERS = [{"index": n, "delta": {"content": "no"}} for n in range(1, 100_000)]
BOMB = gzip.compress(b"data: " + b"x" * 50_000_000)
ENDLESS = [b"x" * 50_000] * 50
MANY_CALLS = [
    tool_chunk(*[call(n) for n in range(start, start + 200)]) for start in range(0, 10_000, 200)
]
SHORT = b"".join(
    [
        CHUNKED,
        http_chunk(chunk("a")),
        http_chunk(chunk("b", finish_reason="stop")),
        http_chunk(DONE),
        b"0\r\n\r\n",
    ]
)
SAID_WHY = SHORT.index(b'"finish_reason": "stop"')

GOOD = {
    "HTTP/1.0": raw_reply(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", WHOLE),
    "interim answers": raw_reply(
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        HEAD + b"\r\n" + WHOLE,
    ),
    "a million other choices": Reply([event({"choices": OTHERS}), WHOLE]),
    "chunk extensions and trailers": raw_reply(
        CHUNKED, b"%x;a=b\r\n%s\r\n" % (len(WHOLE), WHOLE), b"0\r\nX-A: b\r\n\r\n"
    ),
    "gzip": Reply([gzip.compress(WHOLE)], headers={"Content-Encoding": "gzip"}),
    "gzip without a word": Reply([gzip.compress(WHOLE)]),
    "deflate": Reply([zlib.compress(WHOLE)], headers={"Content-Encoding": "deflate"}),
    "deep nesting beside the text": Reply(
        [b'data: {"x": ' + b"[" * 5000 + b"]" * 5000 + b', "choices": []}\n\n', WHOLE]
    ),
    "huge numbers": Reply([b'data: {"created": ' + b"9" * 4000 + b', "choices": []}\n\n', WHOLE]),
}


@pytest.mark.parametrize("name", GOOD)
def test_these_succeed(ask, buffer, name):
    """What is odd but harmless gives the answer."""
    assert ask(GOOD[name], buffer=buffer, max_event_bytes=64 << 20).complete("x").text == "ok"


def test_a_tool_index_is_a_key(ask):
    """An index of 10**12 costs no more than one of 0."""
    calls = [tool_chunk(call(10**12)), tool_chunk(call(-(10**12)))]
    completion = ask(stream_reply(calls, finish_reason="tool_calls")).complete("x")
    assert [use.tool_call_id for use in completion.tool_uses] == [f"c{10**12}", f"c{-(10**12)}"]


BAD = {
    "an endless line": Reply([b"data: ", *ENDLESS]),
    "an endless event": Reply([b"data: x\n" * 10_000] * 20),
    "an endless document": Reply([b'{"x": "', *ENDLESS]),
    "a million tool calls": Reply(MANY_CALLS),
    "endless tool arguments": Reply([tool_chunk(call(0, arguments="x" * 1000))] * 1000),
    "a gzip bomb": Reply([BOMB], headers={"Content-Encoding": "gzip"}),
    "a gzip bomb without a word": Reply([BOMB]),
}


@pytest.mark.parametrize("name", BAD)
def test_these_are_too_large(ask, buffer, name):
    """What would fill the memory ends at the limit, which the message names."""
    backend = ask(BAD[name], buffer=buffer, max_event_bytes=LIMIT)
    with pytest.raises(ie.UpstreamError, match=str(LIMIT)) as caught:
        backend.complete("x")
    assert caught.value.code == "event_too_large"


def test_what_came_before_is_delivered(ask, buffer):
    """An event that is too large does not take those before it along."""
    backend = ask(
        Reply([chunk("a") + b"data: " + b"x" * LIMIT * 2]), buffer=buffer, max_event_bytes=LIMIT
    )
    with pytest.raises(ie.UpstreamError) as caught:
        backend.complete("x")
    assert caught.value.partial.text == "a"


@pytest.mark.parametrize("size", [b"-5", b"+5", b"0x5", b"5_0", b"zz", b"", b"F" * 17])
def test_bad_chunk_lengths(ask, buffer, size):
    """A chunk's length is hexadecimal digits; what came before is delivered."""
    reply = raw_reply(CHUNKED, http_chunk(chunk("a")), size + b"\r\nhello\r\n0\r\n\r\n")
    with pytest.raises(ie.StreamInterruptedError) as caught:
        ask(reply, buffer=buffer).complete("x")
    assert caught.value.partial.text == "a"
    assert isinstance(caught.value.__cause__, ie.TransportError)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 100_000 + b"\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"\x00" * 1000,
    ],
    ids=["many headers", "endless header", "nonsense", "status", "zeros"],
)
def test_bad_heads(ask, head):
    """A head that is none is a TransportError, raised by the call."""
    with pytest.raises(ie.TransportError):
        ask(raw_reply(head)).stream("x")


def test_deep_nesting_is_no_recursion_error(ask, buffer):
    """A payload that is nested without end is skipped, in tool arguments it is malformed."""
    backend = ask(Reply([b"data: " + b"[" * 100_000 + b"\n\n", WHOLE]), buffer=buffer)
    assert backend.complete("x").text == "ok"
    deep = call(0, arguments='{"a":' * 50_000)
    backend = ask(stream_reply([tool_chunk(deep)], finish_reason="tool_calls"), buffer=buffer)
    with pytest.raises(ie.ToolCallMalformedError):
        backend.complete("x")


def test_a_huge_error_body(ask):
    """Of an endless error body no more is read than is searched."""
    backend = ask(Reply([b"x" * 65536] * 16_000, 500))
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.stream("x")
    assert len(caught.value.body) == 4096
    received = backend.upstream.requests[0]
    assert received.gone.wait(10.0)
    assert received.sent < 16 << 20


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused(ask, status):
    """A redirect is an error with a hint; nothing is sent to where it leads."""
    elsewhere = ask(text_reply("stolen"))
    reply = Reply([b""], status, {"Location": elsewhere.upstream.url + "/v1/chat/completions"})
    backend = ask(reply, api_key="sk-test", headers={"X-Api-Key": "secret"})
    with pytest.raises(ie.HttpStatusError, match="redirect") as caught:
        backend.stream("x")
    assert caught.value.status == status
    assert elsewhere.upstream.requests == []
    assert len(backend.upstream.requests) == 1


def test_cookies_are_not_kept(ask):
    """What a server sets is never sent back."""
    backend = ask(text_reply("a", headers={"Set-Cookie": "a=b; Path=/"}), text_reply("b"))
    backend.complete("x")
    backend.complete("x")
    assert "cookie" not in backend.upstream.requests[1].headers


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", [Cut(), Reset()], ids=["fin", "rst"])
def test_cut_at_every_byte(ask, how):
    """Wherever a short answer is cut, it is whole, or an error that tells; never in between."""
    backend = ask(timeout=20.0)
    for at in range(len(SHORT) + 1):
        backend.upstream.enqueue(raw_reply(SHORT[:at], how))
        try:
            completion = backend.complete("x")
        except ie.TransportError:
            assert at <= len(CHUNKED), f"cut at {at}"
        except ie.StreamInterruptedError as error:
            assert error.partial.text in ("", "a", "ab")  # noqa: PT017 - one of several ends
        except ie.UpstreamError:
            pytest.fail(f"cut at {at}: a cut is no error of the upstream's")
        else:
            assert completion.text == "ab", f"cut at {at}"
            assert at > SAID_WHY, f"cut at {at}"


def test_a_body_that_is_cut_by_its_length(ask, buffer):
    """A body shorter than its Content-Length is cut, though its events look whole so far."""
    head = HEAD + b"Content-Length: 100000\r\n\r\n"
    with pytest.raises(ie.StreamInterruptedError) as caught:
        ask(raw_reply(head, chunk("a"), Cut()), buffer=buffer).complete("x")
    assert caught.value.partial.text == "a"


def test_gzip_that_is_cut(ask, buffer):
    """Half a gzip stream is half an answer."""
    data = gzip.compress(b"".join(chunk(f"{n} ") for n in range(2000)) + WHOLE)
    reply = Reply([data[: len(data) // 2]], headers={"Content-Encoding": "gzip"})
    with pytest.raises(ie.StreamInterruptedError) as caught:
        ask(reply, buffer=buffer).complete("x")
    assert caught.value.partial.text.startswith("0 1 ")


def test_gzip_that_is_none(ask, buffer):
    """Bytes that pretend to be gzip are an error of the connection."""
    reply = Reply([b"\x1f\x8b" + b"nonsense" * 10], headers={"Content-Encoding": "gzip"})
    with pytest.raises(ie.StreamInterruptedError):
        ask(reply, buffer=buffer).complete("x")


def test_an_error_body_in_drips(ask, monkeypatch):
    """A status is told within seconds, however slowly its body drips."""
    monkeypatch.setattr("inferd_engine.backends.over_http.call._ERROR_BODY_SECONDS", 0.2)
    with pytest.raises(ie.HttpStatusError, match="500"):
        ask(Reply([Trickle(b"drip" * 1000, 10.0)], 500)).stream("x")


def test_answers_beyond_the_answer(ask):
    """Bytes after the end of an answer do not become the next one's."""
    extra = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"
    backend = ask(raw_reply(CHUNKED + http_chunk(WHOLE) + b"0\r\n\r\n" + extra), text_reply("b"))
    assert backend.complete("x").text == "ok"
    assert backend.complete("x").text == "b"


def test_numbers_out_of_range_in_tool_arguments(ask):
    """Arguments with NaN or infinity are no JSON."""
    for arguments in ('{"a": NaN}', '{"a": 1e999}', '{"a": Infinity}'):
        reply = stream_reply([tool_chunk(call(0, arguments=arguments))], finish_reason="tool_calls")
        with pytest.raises(ie.ToolCallMalformedError) as caught:
            ask(reply).complete("x")
        assert caught.value.arguments == arguments


def test_a_payload_of_any_json(ask):
    """Whatever JSON a payload is, it never raises anything of ours that is not told."""
    odd = [None, 1, "x", [], [[]], {}, {"choices": {}}, {"choices": [1, None, []]}, {"usage": 3}]
    odd += [{"choices": [{"delta": {"tool_calls": [None, 3, {}, {"function": 3}]}}]}]
    steps = [f"data: {json.dumps(value)}\n\n".encode() for value in odd]
    assert ask(Reply([*steps, WHOLE])).complete("x").text == "ok"


DEEP = b'{"choices":[{"delta":{"content":' + b'[{"text":' * 400 + b'"x"' + b"}]" * 400 + b"}}]}"


def test_a_payload_nested_just_deeply_enough(ask, buffer):
    """What the parser still takes may be too deep for those who walk through it."""
    steps = [chunk("a"), b"data: " + DEEP + b"\n\n", chunk("b", finish_reason="stop"), DONE]
    assert ask(Reply(steps), buffer=buffer).complete("x").text in ("ab", "axb")

"""What may pass says so: a loop that asks again while an error is ``retryable`` loses nothing."""

from __future__ import annotations

import json

import pytest

import inferd_engine as ie
from inferd_engine.testing import (
    Cut,
    Reply,
    Reset,
    Upstream,
    chunk,
    error_reply,
    json_reply,
    text_reply,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"half"}}]}\n\n'


def raw(*steps):
    return Reply(steps, framing="raw")


def in_stream(**error):
    return Reply([chunk("half"), b"data: " + json.dumps({"error": error}).encode() + b"\n\n"])


def finished(word):
    return Reply([chunk("half"), chunk(finish_reason=word), b"data: [DONE]\n\n"])


# What an upstream or a network does, and what may be better the next time.
PASSING = {
    "closed before the status line": raw(Cut()),
    "reset before the status line": raw(Reset()),
    "cut in the status line": raw(b"HTTP/1.1 20", Cut()),
    "cut behind the status": raw(b"HTTP/1.1 200", Cut()),
    "cut in a header": raw(b"HTTP/1.1 200 OK\r\nContent-Ty", Cut()),
    "cut between headers": raw(HEAD, Cut()),
    "reset between headers": raw(HEAD, Reset()),
    "cut before the first byte": raw(HEAD + b"\r\n", Cut()),
    "an empty answer": raw(PLAIN + b"Content-Length: 0\r\n\r\n"),
    "cut in an event": raw(HEAD + b"\r\n" + CHUNK[:20], Cut()),
    "cut after an event": raw(HEAD + b"\r\n" + CHUNK, Cut()),
    "cut in a chunk": Reply([CHUNK, b"data: {", Cut()]),
    "reset after an event": Reply([CHUNK, Reset()]),
    "cut in a body of JSON": raw(PLAIN + b'Content-Length: 99\r\n\r\n{"choices": [', Cut()),
    "no HTTP": raw(b"hello\r\n\r\n", Cut()),
    "a refusal that is cut": raw(b"HTTP/1.1 503 Busy\r\nContent-Le", Cut()),
    "408": error_reply(408, "m"),
    "409": error_reply(409, "m"),
    "429": error_reply(429, "m", headers={"retry-after": "0"}),
    "500": error_reply(500, "m"),
    "502": Reply([b"<html><title>Bad Gateway</title>"], 502, {"Content-Type": "text/html"}),
    "503": error_reply(503, "m"),
    "529": error_reply(529, "m"),
    "x-should-retry": error_reply(400, "m", headers={"x-should-retry": "true"}),
    "overloaded, in the answer": in_stream(message="Overloaded", type="overloaded_error"),
    "a limit, in the answer": in_stream(message="Slow down. Try again in 1ms.", code=429),
    "given up": finished("error"),
    "aborted": finished("abort"),
    "no resources": finished("insufficient_system_resource"),
}
LASTING = {
    "an empty account": json_reply({"error": {"code": "insufficient_quota"}}, 429),
    "400": error_reply(400, "m"),
    "401": error_reply(401, "m"),
    "404": error_reply(404, "m"),
    "x-should-retry": error_reply(503, "m", headers={"x-should-retry": "false"}),
    "a redirect": Reply((), 302, {"location": "http://localhost:9/"}),
    "a page": Reply([b"<html><title>Log in</title>"], 200, {"Content-Type": "text/html"}),
}
BEFORE_THE_HEADERS_END = [name for name in PASSING if "status" in name or "header" in name]


def complete(backend):
    """Do as README says: ask again while the error says that it may help."""
    for _ in range(2):
        try:
            return backend.complete("Hi")
        except ie.GenerateError as error:
            if not error.retryable:
                raise
    return backend.complete("Hi")


def test_nothing_is_lost():
    """Whatever may pass does, for a program that asks again while ``retryable`` says so."""
    replies = [reply for broken in PASSING.values() for reply in (broken, text_reply("whole"))]
    with Upstream(*replies) as upstream, ie.OpenAiCompat(upstream.url, api_key="") as backend:
        assert {name: complete(backend).text for name in PASSING} == dict.fromkeys(PASSING, "whole")
        assert not upstream.unused


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_asked_once(name):
    """What would come again is not asked for again."""
    with Upstream(LASTING[name]) as upstream:
        with ie.OpenAiCompat(upstream.url, api_key="") as backend:
            with pytest.raises(ie.GenerateError) as caught:
                complete(backend)
        assert not caught.value.retryable
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("name", BEFORE_THE_HEADERS_END)
def test_headers_that_are_cut_are_no_answer(name):
    """Until the headers are whole there is no stream: the call itself raises."""
    with Upstream(PASSING[name]) as upstream:
        with ie.OpenAiCompat(upstream.url, api_key="") as backend:
            with pytest.raises(ie.UnavailableError) as caught:
                backend.stream("Hi")
            assert isinstance(caught.value, (ie.TransportError, ie.HttpStatusError))
            assert caught.value.retryable


@pytest.mark.parametrize("name", BEFORE_THE_HEADERS_END)
def test_vectors_whose_headers_are_cut(name):
    """The same where there is no stream at all."""
    with Upstream(PASSING[name]) as upstream:
        with ie.OpenAiCompat(upstream.url, api_key="") as backend:
            with pytest.raises(ie.UnavailableError) as caught:
                backend.embeddings("Hi")
            assert caught.value.retryable


def test_a_refusal_whose_headers_are_cut_is_told():
    """A status that is known is told, however little came behind it."""
    reply = raw(b"HTTP/1.1 401 Unauthorized\r\nContent-Le", Cut())
    with Upstream(reply) as upstream, ie.OpenAiCompat(upstream.url, api_key="") as backend:
        with pytest.raises(ie.HttpStatusError) as caught:
            backend.stream("Hi")
    assert (caught.value.status, caught.value.retryable) == (401, False)


def test_a_connection_that_is_refused():
    """Nobody listens there now; somebody may, later."""
    with Upstream() as upstream:
        url = upstream.url
    with ie.OpenAiCompat(url, api_key="") as backend:
        with pytest.raises(ie.TransportError) as caught:
            backend.stream("Hi")
    assert caught.value.retryable

"""A stream as a body: bytes that leave at once, a beat in silence, one end for both sides."""

from __future__ import annotations

import gc
import itertools
import json
import threading
import time

import pytest
from web.conftest import SOON, events_of, lines_of, soon

import inferd_engine as ie
from inferd_engine import web
from inferd_engine.testing import (
    DONE,
    Cut,
    Gate,
    Pause,
    Reply,
    Stall,
    chunk,
    event,
    text_reply,
)

PROTOCOLS = ("inferd", "openai", "vercel", "ag-ui")
BODIES = {
    **{name: lambda stream, name=name: web.sse(stream, heartbeat=0.1, protocol=name)
       for name in PROTOCOLS},
    "ndjson": lambda stream: web.ndjson(stream, heartbeat=0.1),
    "text": web.text,
}  # fmt: skip
WITH_BEATS = [name for name in BODIES if name != "text"]


@pytest.fixture(params=BODIES)
def make(request):
    """Run a test with every kind of body."""
    return BODIES[request.param]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_whole_answer(ask, name):
    """A body gives what its protocol makes of the events, in order."""
    backend = ask(text_reply("Hello there!"))
    body = b"".join(web.sse(backend.stream("Hi"), protocol=name))
    assert len(events_of(body)) > 2
    assert body.index(b"Hello") < body.index(b"there!")


def test_lines(ask):
    """NDJSON gives inferd's frames, and one done as the last."""
    *frames, last = lines_of(b"".join(web.ndjson(ask(text_reply("Hello!")).stream("Hi"))).lstrip())
    assert "".join(frame["block"]["delta"] for frame in frames) == "Hello!"
    assert last["type"] == "done"


def test_plain_text(ask):
    """text() gives the text alone, in UTF-8."""
    backend = ask(text_reply(["Grüße, ", "日本\n\n", "data: x"]))
    assert b"".join(web.text(backend.stream("Hi"))).decode() == "Grüße, 日本\n\ndata: x"


def test_headers(make):
    """Nothing is cached, buffered or compressed on the way, and nothing is hop-by-hop."""
    with ie.Mock().stream("Hi") as stream:
        headers = make(stream).headers
    names = [name.lower() for name, _ in headers]
    assert len(set(names)) == len(names)
    named = {name.lower(): value for name, value in headers}
    assert named["cache-control"] == "no-cache, no-transform"
    assert named["x-accel-buffering"] == "no"
    assert named["content-encoding"] == "identity"
    assert not {"connection", "keep-alive", "transfer-encoding", "content-length"} & set(named)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (web.sse, "text/event-stream; charset=utf-8"),
        (web.ndjson, "application/x-ndjson; charset=utf-8"),
        (web.text, "text/plain; charset=utf-8"),
    ],
)
def test_content_types(body, kind):
    """Each body says what it is."""
    with ie.Mock().stream("Hi") as stream:
        assert dict(body(stream).headers)["Content-Type"] == kind


def test_vercel_has_its_header():
    """A protocol's own headers come along."""
    with ie.Mock().stream("Hi") as stream:
        headers = web.sse(stream, protocol="vercel").headers
    assert ("x-vercel-ai-ui-message-stream", "v1") in headers


@pytest.mark.parametrize("name", WITH_BEATS)
def test_the_first_bytes_leave_at_once(ask, name):
    """A browser has its headers before the model has said anything."""
    body = BODIES[name](ask(Reply([Stall()])).stream("Hi"))
    began = time.monotonic()
    assert next(body)
    assert time.monotonic() - began < 0.1
    body.close()


@pytest.mark.parametrize("name", [name for name in BODIES if name != "ndjson"])
def test_each_event_leaves_at_once(ask, name):
    """A frame does not wait for the next one."""
    gate = Gate()
    backend = ask(Reply([chunk("one"), gate, chunk("two", finish_reason="stop"), DONE]))
    body = BODIES[name](backend.stream("Hi"))
    seen = b""
    while b"one" not in seen:
        seen += next(body)
    gate.open()
    assert b"two" in b"".join(body)


@pytest.mark.parametrize(("make", "beat"), [(web.sse, b":\n\n"), (web.ndjson, b" ")])
def test_silence_has_a_beat(ask, make, beat):
    """In silence a heartbeat is three small writes, close together; parsers do not see them."""
    body = make(ask(Reply([Stall()])).stream("Hi"), heartbeat=0.6)
    next(body)
    times = [time.monotonic()]
    for _ in range(6):
        assert next(body) == beat
        times.append(time.monotonic())
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert [gap > 0.5 for gap in gaps] == [True, False, False] * 2
    body.close()


def test_beats_are_no_frames(ask):
    """What beats gave in between is ignored by parsers, in both framings."""
    slow = [step for word in ("a", "b", "c") for step in (chunk(word), Pause(0.2))]
    backend = ask(*[Reply([*slow, chunk(finish_reason="stop"), DONE])] * 2)
    body = b"".join(web.sse(backend.stream("Hi"), heartbeat=0.05))
    assert body.count(b":\n\n") > 3
    assert len(events_of(body)) == 4
    body = b"".join(web.ndjson(backend.stream("Hi"), heartbeat=0.05))
    assert b"  " in body
    assert len(lines_of(body)) == 4


def test_without_a_heartbeat(ask):
    """None is none: then a stream without a worker does as well."""
    backend = ask(text_reply("Hello!", delay=0.1), text_reply("Hello!"), buffer=0)
    body = b"".join(web.sse(backend.stream("Hi"), heartbeat=None))
    assert body.count(b":\n\n") == 1
    with backend.stream("Hi") as stream, pytest.raises(ie.UnsupportedError, match="buffer"):
        web.sse(stream)


@pytest.mark.parametrize("heartbeat", [0, -1.0, float("nan")])
def test_a_heartbeat_is_above_nothing(heartbeat):
    """A heartbeat that is no time is refused, and the stream is left as it is."""
    with ie.Mock().stream("Hi") as stream:
        for body in (web.sse, web.ndjson):
            with pytest.raises(ie.InvalidRequestError, match="heartbeat"):
                body(stream, heartbeat=heartbeat)
        assert not stream.ended


# --- ends ----------------------------------------------------------------------------------------

LAST = {
    "inferd": ("done", "error", "cancelled"),
    "openai": ("[DONE]", "api_error", "cancelled"),
    "vercel": ('"finish"', '"error"', "abort"),
    "ag-ui": ("success", "RUN_ERROR", "cancelled"),
    "ndjson": ("done", "error", "cancelled"),
}


def last_of(name, body):
    if name == "ndjson":
        return json.dumps(lines_of(body)[-1])
    frames = events_of(body)
    if name == "vercel":
        assert frames.pop() == "[DONE]"
    return json.dumps(frames[-1])


@pytest.mark.parametrize("name", LAST)
def test_the_last_frame_of_a_whole_answer(ask, name):
    """A finished answer says so."""
    body = b"".join(BODIES[name](ask(text_reply("Hello!")).stream("Hi")))
    assert LAST[name][0] in last_of(name, body)


@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize(
    "steps",
    [
        [chunk("Hel"), Cut()],
        [chunk("Hel")],
        [chunk("Hel"), event({"error": {"message": "boom sk-secret", "code": "x"}})],
        [chunk("Hel"), chunk(finish_reason="error"), DONE],
    ],
    ids=["cut", "no end", "error object", "given up"],
)
def test_the_last_frame_of_a_failed_answer(ask, name, steps, caplog):
    """What had come is given; then the error, without its words, which are logged."""
    body = b"".join(BODIES[name](ask(Reply(steps)).stream("Hi")))
    assert b"Hel" in body
    assert LAST[name][1] in last_of(name, body)
    assert b"secret" not in body
    assert b"boom" not in body
    (logged,) = caplog.records
    assert (logged.name, logged.levelname) == ("inferd_engine", "WARNING")
    assert "Error(" in logged.getMessage()


@pytest.mark.parametrize("name", LAST)
def test_the_last_frame_of_a_closed_answer(ask, name):
    """A stream that somebody else closes ends with a frame that says so."""
    backend = ask(Reply([chunk("Hel"), Stall()]))
    stream = backend.stream("Hi")
    body = BODIES[name](stream)
    seen = b""
    while b"Hel" not in seen:
        seen += next(body)
    threading.Timer(0.05, stream.close).start()
    assert LAST[name][2] in last_of(name, seen + b"".join(body))


def test_text_raises_what_failed(ask):
    """text() has no last frame, so a server breaks its body off."""
    body = web.text(ask(Reply([chunk("Hel"), Cut()])).stream("Hi"))
    assert next(body) == b"Hel"
    with pytest.raises(ie.StreamInterruptedError):
        next(body)
    assert list(body) == []


def test_text_raises_when_somebody_else_closes(ask):
    """A text that was stopped must not look whole; one that its server closes just ends."""
    backend = ask(*[Reply([chunk("Hel"), Stall()])] * 2)
    stream = backend.stream("Hi")
    body = web.text(stream)
    assert next(body) == b"Hel"
    stream.close()
    with pytest.raises(ie.RequestCancelledError):
        next(body)
    body = web.text(backend.stream("Hi"))
    assert next(body) == b"Hel"
    threading.Timer(0.05, body.close).start()
    assert list(body) == []


# --- closing -------------------------------------------------------------------------------------


def test_closed_before_it_is_read(ask, make):
    """close() before the iteration stops the upstream, and the body gives nothing."""
    backend = ask(Reply([chunk("Hel"), Stall()]))
    body = make(backend.stream("Hi"))
    body.close()
    body.close()
    assert list(body) == []
    assert backend.upstream.wait_for_request().gone.wait(SOON)


def test_closed_in_between(ask, make):
    """close() between two chunks, as PEP 3333's servers do it, stops the upstream."""
    backend = ask(Reply([chunk("Hel"), Stall()]))
    body = make(backend.stream("Hi"))
    next(body)
    body.close()
    assert list(body) == []
    assert backend.upstream.wait_for_request().gone.wait(SOON)


def test_closed_from_another_thread(ask, make):
    """close() while another thread waits for a chunk ends its iteration at once."""
    backend = ask(Reply([chunk("Hel"), Stall()]))
    stream = backend.stream("Hi")
    body = make(stream)
    next(body)
    ended = []
    reader = threading.Thread(target=lambda: ended.extend([*body, time.monotonic()]))
    reader.start()
    soon(lambda: stream.stats.events)
    closed_at = time.monotonic()
    body.close()
    reader.join(SOON)
    assert ended[-1] - closed_at < 0.5
    assert backend.upstream.wait_for_request().gone.wait(SOON)


def test_closing_a_finished_one_does_nothing(ask, make):
    """A server closes every body, the finished ones too."""
    stream = ask(text_reply("Hello!")).stream("Hi")
    body = make(stream)
    assert list(body)
    body.close()
    assert stream.done
    assert not stream.cancelled


def test_dropping_one_closes_it(ask, make):
    """A body that nobody has any more stops its upstream without a word."""
    backend = ask(Reply([chunk("Hel"), Stall()]))
    body = make(backend.stream("Hi"))
    next(body)
    del body
    gc.collect()
    assert backend.upstream.wait_for_request().gone.wait(SOON)


# --- protocols -----------------------------------------------------------------------------------


class Shouting:
    """A protocol of a user's own."""

    headers = (("X-Loud", "yes"), ("content-type", "text/shout"))

    def start(self):
        return b"HO! "

    def event(self, event):
        return event.delta.upper().encode()

    def end(self, ending):
        return b" " + type(ending).__name__.encode()


def test_a_protocol_of_ones_own(ask):
    """Any object with the three functions speaks, and its headers win."""
    assert isinstance(Shouting(), web.Protocol)
    backend = ask(text_reply("hello"), Reply([chunk("hello"), Cut()]))
    body = web.sse(backend.stream("Hi"), protocol=Shouting())
    assert b"".join(body) == b"HO! HELLO Done"
    headers = [value for name, value in body.headers if name.lower() == "content-type"]
    assert headers == ["text/shout"]
    body = web.sse(backend.stream("Hi"), protocol=Shouting())
    assert b"".join(body) == b"HO! HELLO StreamInterruptedError"


def test_a_subclass_says_what_differs():
    """Protocol may be inherited: headers are none unless said."""

    class Quiet(web.Protocol):
        def start(self):
            return b""

        def event(self, event):
            return b""

        def end(self, ending):
            return b"."

    body = web.sse(ie.Mock().stream("Hi"), protocol=Quiet())
    assert b"".join(body) == b":\n\n."


def test_a_protocol_that_fails_closes_the_stream(ask):
    """A mistake in a protocol goes up, and the upstream is told."""

    class Broken(Shouting):
        def event(self, event):
            raise ZeroDivisionError

    backend = ask(Reply([chunk("Hel"), Stall()]))
    with pytest.raises(ZeroDivisionError):
        list(web.sse(backend.stream("Hi"), protocol=Broken()))
    assert backend.upstream.wait_for_request().gone.wait(SOON)


@pytest.mark.parametrize("protocol", ["sse", "", None, 3, Shouting, object()])
def test_what_is_no_protocol(protocol):
    """A protocol that is none is refused with those that there are."""
    with ie.Mock().stream("Hi") as stream, pytest.raises(ie.InvalidRequestError, match="ag-ui"):
        web.sse(stream, protocol=protocol)


@pytest.mark.parametrize("body", [web.sse, web.ndjson, web.text])
@pytest.mark.parametrize("wrong", [None, "x", ie.Mock()])
def test_what_is_no_stream(body, wrong):
    """It is told in the view, and not when the server reads the body."""
    with pytest.raises(TypeError, match=r"stream is of type .*: give a TokenStream"):
        body(wrong)

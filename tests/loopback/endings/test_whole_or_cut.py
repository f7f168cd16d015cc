"""How an upstream ends its answer, and which of these ends are good ones."""

from __future__ import annotations

import signal
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import (
    DONE,
    Cut,
    Gate,
    Pause,
    Reply,
    Reset,
    Stall,
    chunk,
    raw_reply,
    text_reply,
)

SOON = 5.0  # seconds: an upper bound of what takes milliseconds


@pytest.mark.parametrize("framing", ["chunked", "close"])
@pytest.mark.parametrize("how", [Cut(), Reset()], ids=["fin", "rst"])
def test_a_cut_answer_never_looks_whole(ask, buffer, framing, how):
    """A connection that goes before the upstream said why it stopped is an error, text first."""
    backend = ask(Reply([chunk("half"), Pause(0.05), how], framing=framing), buffer=buffer)
    stream = backend.stream("x")
    assert next(stream) == ie.TextDelta("half")
    with pytest.raises(ie.StreamInterruptedError) as caught:
        next(stream)
    assert caught.value.retryable is False
    assert (stream.done, stream.cancelled) == (None, False)


def test_an_end_without_a_reason_is_a_cut(ask, buffer):
    """A body that ends properly, without finish reason and [DONE], was cut all the same."""
    with pytest.raises(ie.StreamInterruptedError, match="without a finish reason"):
        ask(Reply([chunk("half")]), buffer=buffer, timeout=None).complete("x")


def test_the_connection_of_a_cut_answer_is_not_used_again(ask, buffer):
    """A body that ended properly under a cut answer does not go back to the pool."""
    backend = ask(Reply([chunk("half")]), text_reply("b"), buffer=buffer)
    with pytest.raises(ie.StreamInterruptedError):
        backend.complete("x")
    assert backend.complete("x").text == "b"
    assert backend.upstream.connections == 2


def test_a_cut_in_the_framing_is_a_cut(ask, buffer):
    """A chunked body without its last chunk was cut, whatever its last event said."""
    backend = ask(Reply([chunk("all"), chunk(finish_reason="stop"), Cut()]), buffer=buffer)
    stream = backend.stream("x")
    assert next(stream) == ie.TextDelta("all")
    with pytest.raises(ie.StreamInterruptedError, match="in the middle of the answer"):
        list(stream)


@pytest.fixture(params=[signal.SIG_DFL, lambda *_: None], ids=["calm", "exposed"])
def _handler(request):
    """Read in the main thread, where no handler may raise, or one of the program's may."""
    before = signal.signal(signal.SIGTERM, request.param)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_handler")
@pytest.mark.parametrize(
    ("end", "said"), [(b"0\r\n\r\n", "without a finish reason"), (b"xyz\r\n", "hexadecimal")]
)
def test_a_cut_that_comes_with_events_is_told_at_once(ask, buffer, end, said):
    """The end of a body, or a mistake, behind events in one segment: nothing more is waited for."""
    gate, begun = Gate(), time.monotonic()
    framed = [b"%x\r\n%b\r\n" % (len(chunk(text)), chunk(text)) for text in "abcd"]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = raw_reply(head + framed[0], gate, b"".join(framed[1:]) + end, Stall())
    stream = ask(raw, buffer=buffer, idle_timeout=SOON).stream("x")
    assert next(stream).delta == "a"
    gate.open()
    assert [next(stream).delta for _ in "bcd"] == ["b", "c", "d"]
    with pytest.raises(ie.StreamInterruptedError, match=said):
        next(stream)
    assert time.monotonic() - begun < SOON


def test_a_connection_that_is_out_of_step_is_not_used_again(ask, buffer):
    """What follows the end of a body is an answer to nobody, and the next request is elsewhere."""
    body = chunk("a") + chunk(finish_reason="stop") + b"data: [DONE]\n\n"
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n" % (len(body), body)
    )
    raw = raw_reply(answer, Stall())
    backend = ask(raw, text_reply("b"), buffer=buffer, first_token_timeout=SOON)
    assert backend.complete("x").text == "a"
    assert backend.complete("x").text == "b"
    assert backend.upstream.connections == 2


def test_an_empty_answer_is_a_cut(ask):
    """No bytes at all are no empty answer."""
    with pytest.raises(ie.StreamInterruptedError, match="before it had sent any"):
        ask(Reply([])).complete("x")


def test_a_finish_reason_is_enough(ask, buffer):
    """The end of the body after a finish reason is a good end."""
    reply = Reply([chunk("all"), chunk(finish_reason="stop")])
    backend = ask(reply, buffer=buffer, idle_timeout=None, timeout=None)
    assert backend.complete("x").done.finish_reason == "stop"


def test_done_is_enough(ask, buffer):
    """[DONE] without a finish reason is a good end, and nobody waits for the connection's."""
    backend = ask(Reply([chunk("all"), DONE, Stall()]), buffer=buffer)
    completion = backend.complete("x")
    assert completion.done == ie.Done(ie.StopReason.END_TURN, None, None)
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_an_event_without_its_blank_line(ask):
    """The last event may do without its blank line."""
    backend = ask(Reply([chunk("a"), b'data: {"choices":[{"finish_reason":"stop"}]}']))
    assert backend.complete("x").done.finish_reason == "stop"


@pytest.mark.parametrize("status", [204, 200])
def test_an_answer_without_a_body(ask, buffer, status):
    """No content is no answer."""
    reply = Reply([], status, framing="length")
    begun = time.monotonic()
    with pytest.raises(ie.StreamInterruptedError):
        ask(reply, buffer=buffer).complete("x")
    assert time.monotonic() - begun < SOON

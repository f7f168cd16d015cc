"""How answers end over real sockets: cuts, stalls, closing, waiting calls, backpressure."""

from __future__ import annotations

import threading

import pytest

import inferd_engine as ie
from inferd_engine.testing import (
    DONE,
    Cut,
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


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_close_wakes_a_stalled_consumer(ask, buffer, framing):
    """close() from another thread wakes the consumer, and the upstream sees the client go."""
    backend = ask(Reply([chunk("a"), Stall()], framing=framing), buffer=buffer)
    stream = backend.stream("x")
    assert next(stream) == ie.TextDelta("a")
    rest = []
    consumer = threading.Thread(target=lambda: rest.extend(stream))
    consumer.start()
    stream.close()
    consumer.join(SOON)
    assert not consumer.is_alive()
    assert rest == []
    assert stream.cancelled
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_a_closed_connection_is_not_used_again(ask, buffer):
    """After close() the next request gets a fresh connection."""
    backend = ask(Reply([chunk("a"), Stall()]), text_reply("b"), buffer=buffer)
    with backend.stream("x") as stream:
        next(stream)
    assert backend.complete("x").text == "b"
    assert backend.upstream.connections == 2


@pytest.mark.parametrize("how", ["stop", "token", "token_after"])
def test_a_call_that_waits_for_headers_can_be_ended(ask, how):
    """stop() and a token end a call that has no stream yet."""
    backend, token = ask(Reply(before=[Stall()])), ie.CancelToken()
    failures = []

    def call():
        try:
            backend.stream("x", cancel=token)
        except ie.GenerateError as error:
            failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    received = backend.upstream.wait_for_request()
    if how == "stop":
        backend.stop()
    elif how == "token":
        token.cancel()
    else:
        token.cancel_after(0.01)
    caller.join(SOON)
    assert isinstance(failures[0], ie.RequestCancelledError)
    assert received.gone.wait(SOON)


@pytest.mark.parametrize(
    ("steps", "limits", "phase"),
    [
        ([Stall()], {"first_token_timeout": 0.1}, "first_token"),
        ([chunk("a"), Stall()], {"idle_timeout": 0.1}, "idle"),
        ([chunk("a"), Stall()], {"timeout": 0.1}, "total"),
    ],
)
def test_deadlines(ask, buffer, steps, limits, phase):
    """Each deadline ends the stream with its phase, after what was received."""
    with pytest.raises(ie.DeadlineError) as caught:
        ask(Reply(steps), buffer=buffer, **limits).complete("x")
    assert caught.value.phase == phase
    assert caught.value.partial.text == ("a" if len(steps) > 1 else "")
    assert isinstance(caught.value, TimeoutError)


def test_a_deadline_while_waiting_for_headers(ask):
    """The first-token clock runs while the headers are awaited, and the call raises."""
    with pytest.raises(ie.DeadlineError) as caught:
        ask(Reply(before=[Stall()]), first_token_timeout=0.1).stream("x")
    assert caught.value.phase == "first_token"
    assert caught.value.retryable is True


def test_a_consumer_that_stops_stops_the_upstream(ask):
    """Bounded buffers fill up, and the upstream's send blocks."""
    size = 64 * 1024 * 1024
    backend = ask(Reply([chunk("x" * 1000)] * (size // 1000)), buffer=4)
    with backend.stream("x") as stream:
        next(stream)
        received = backend.upstream.requests[0]
        before = -1
        while before != received.sent:  # until it has stood still for a while
            before = received.sent
            assert not received.finished.wait(0.3)
        assert received.sent < size // 2


def test_a_stream_left_alone_is_closed(ask, buffer):
    """Dropping an unfinished stream closes the connection."""
    backend = ask(Reply([chunk("a"), Stall()]), buffer=buffer)
    stream = backend.stream("x")
    next(stream)
    with pytest.warns(ResourceWarning):
        del stream
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_many_threads_share_a_backend(ask):
    """Streams of one backend in many threads do not mix."""
    backend = ask()
    texts = {}

    def call(number):
        texts[number] = backend.complete(f"number {number}").text

    callers = [threading.Thread(target=call, args=[number]) for number in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(SOON)
    assert texts == {number: f"You said: number {number}" for number in range(20)}

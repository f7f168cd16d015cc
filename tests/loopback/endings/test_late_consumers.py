"""The clocks of a consumer that polls, is busy with something else, or comes late."""

from __future__ import annotations

import threading
import time

import pytest
from loopback.conftest import SOON

import inferd_engine as ie
from inferd_engine.testing import DONE, Gate, Reply, Stall, Trickle, chunk

LIMIT = 0.25  # seconds
SLACK = 5.0  # seconds: for a loaded machine


@pytest.mark.parametrize("phase", ["idle", "first_token"])
def test_polling_does_not_stop_the_clocks(ask, phase):
    """A consumer that polls and does something else in between still waits for the upstream."""
    first = [] if phase == "first_token" else [chunk("a")]
    endless = Trickle(b": ping\n\n", 0.01, forever=True)
    backend = ask(Reply([*first, endless]), **{f"{phase}_timeout": 0.3})
    begun = time.monotonic()
    with backend.stream("x") as stream, pytest.raises(ie.DeadlineError) as caught:
        while time.monotonic() - begun < SOON:
            stream.poll(0)
            threading.Event().wait(0.02)
    assert caught.value.phase == phase


def test_polling_ends_after_the_finish_reason(ask):
    """Who polls is not kept waiting for what does not come after the finish reason."""
    backend = ask(Reply([chunk("a", finish_reason="stop"), Stall()]), idle_timeout=0.3)
    begun = time.monotonic()
    with backend.stream("x") as stream:
        while not stream.ended and time.monotonic() - begun < SOON:
            stream.poll(0)
            threading.Event().wait(0.02)
        assert stream.done.stop_reason == "end_turn"


def test_what_came_in_time_is_given_late(ask, buffer):
    """A consumer that comes back after the deadline gets what the upstream had sent before it."""
    gate = Gate()
    rest = [chunk("b") * 100, chunk("c", finish_reason="stop"), DONE]
    backend = ask(Reply([chunk("a"), gate, *rest]), buffer=buffer, timeout=1.0)
    with backend.stream("x") as stream:
        next(stream)
        for _ in range(3 if buffer else 0):  # then the worker leaves the reading to the consumer
            stream.poll(0.05)
        gate.open()
        assert backend.upstream.requests[0].finished.wait(SOON)
        threading.Event().wait(1.1)
        assert "".join(stream.text()) == "b" * 100 + "c"


def test_a_flood_does_not_outlast_the_deadline(ask):
    """What is given after the deadline is what the kernel may hold, and no more."""
    flood = Reply([chunk("a"), *[chunk("x" * 60_000)] * 2000])
    with ask(flood, buffer=0, timeout=0.5).stream("x") as stream:
        next(stream)
        threading.Event().wait(0.6)
        size = 0
        with pytest.raises(ie.DeadlineError):
            for event in stream:
                size += len(event.delta)
    assert size < 5_000_000


def test_poll_keeps_its_time_while_framing_trickles(ask):
    """Bytes between the chunks of a body are not what a poll waits for."""
    one = chunk("a")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked"
    raw = head + b"\r\n\r\n%x\r\n%s\r\n" % (len(one), one)
    backend = ask(Reply([raw, Trickle(b"5;" + b"x" * 100, 0.02), Stall()], framing="raw"))
    with backend.stream("x") as stream:
        assert stream.poll(SOON) == ie.TextDelta("a")
        begun = time.monotonic()
        assert stream.poll(0.2) is None
        assert time.monotonic() - begun < 1.0


def test_the_consumers_time_is_not_silence(ask, buffer):
    """A consumer that is busy for longer than idle_timeout does not make the upstream silent."""
    gate = Gate()
    steps = [chunk("a"), gate, chunk("b"), chunk("c", finish_reason="stop"), DONE]
    backend = ask(Reply(steps), buffer=buffer and 1, idle_timeout=0.5)
    with backend.stream("x") as stream:
        assert next(stream) == ie.TextDelta("a")
        gate.open()
        assert not threading.Event().wait(1.0)  # busy elsewhere
        assert "".join(stream.text()) == "bc"


@pytest.mark.parametrize("before", ["a comment", "a role", "a role that is given"])
def test_the_consumers_time_before_the_first_token(ask, before):
    """Nobody waits for the first token while the consumer is busy, whatever has come before it."""
    gate, life = Gate(), b": hi\n\n" if before == "a comment" else chunk(role="assistant")
    backend = ask(
        Reply([life, gate, chunk("a", finish_reason="stop"), DONE]),
        buffer=0,
        first_token_timeout=1.0,
    )
    is_given = before == "a role that is given"
    with backend.stream("x", include_raw=is_given) as stream:
        if is_given:
            assert next(stream).type == "raw"
        assert not threading.Event().wait(1.5)  # busy elsewhere
        opener = threading.Timer(0.05, gate.open)
        opener.start()  # what has come already would be given without a look at the clock
        assert [event for event in stream if event.type == "text"] == [ie.TextDelta("a")]
        opener.join()


def test_the_consumers_time_counts_for_the_whole(ask):
    """Timeout bounds the whole request: a worker whose consumer does not come gives up."""
    backend = ask(Reply([chunk("a" * 1000)] * 100_000), buffer=1, timeout=LIMIT)
    stream = backend.stream("x")
    received = backend.upstream.requests[0]
    assert received.gone.wait(SLACK)
    assert not received.finished.is_set()
    with pytest.raises(ie.DeadlineError) as caught:
        stream.collect()
    assert caught.value.phase == "total"
    assert caught.value.partial.text.startswith("a" * 1000)


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

"""The promises of every stream, kept by this one: it ends from anywhere, in time, and is named.

How fast is measured by ``benchmarks/closing.py``; here the bounds only say that nobody waited for
an upstream that stalls for ever.
"""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time

import pytest
from anthropic_messages import (
    KEY,
    PING,
    AnyPath,
    begun,
    block,
    delta,
    end,
    start,
    stop,
    text,
    text_reply,
)

import inferd_engine as ie
from inferd_engine.testing import Cut, Pause, Reply, Reset, Stall, Trickle

SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds
LIMIT = 0.25  # seconds

STALLED = {
    "silence": [Stall()],
    "pings": [Trickle(PING, 0.002, forever=True)],
    "flood": [text("a" * 1000)] * 100_000,
}


def run(target):
    """Run something in a thread of its own; give the thread and a list for what it gives."""
    results = []

    def call():
        try:
            results.append(target())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
            results.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, results


# --- stopping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", STALLED)
def test_close_in_the_body(ask, body, buffer):
    """close() from another thread ends a consumer in the body; the upstream knows."""
    backend = ask(Reply([*begun("a"), *STALLED[body]]), text_reply("next"), buffer=buffer)
    stream = backend.stream("x")
    assert next(stream).delta == "a"
    consumer, results = run(lambda: [*stream])
    stream.close()
    consumer.join(SOON)
    assert not consumer.is_alive()
    assert not isinstance(results[0], BaseException)
    assert (stream.cancelled, stream.done) == (True, None)
    assert backend.upstream.requests[0].gone.wait(SOON)
    stream.wait_released(SOON)
    assert backend.complete("x").text == "next"


@pytest.mark.parametrize("how", ["token", "stop"])
@pytest.mark.parametrize("phase", ["connect", "headers", "body"])
def test_ending_a_call_in_each_phase(phase, how):
    """A token and stop() end a call that connects, waits for headers, or reads."""
    replies = {
        "headers": [Reply(before=[Stall()])],
        "body": [Reply([*begun("a"), Stall()])],
    }
    token = ie.CancelToken()
    with contextlib.ExitStack() as stack:
        if phase == "connect":
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(4):  # a backlog of 0 holds one or two; then SYNs are dropped
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(server.getsockname())
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
        else:
            upstream = stack.enter_context(AnyPath(*replies[phase]))
            url = upstream.url
        backend = stack.enter_context(ie.Anthropic(url, api_key=KEY, connect_timeout=None))
        thread, results = run(lambda: backend.complete("x", cancel=token))
        if phase == "connect":
            while not list(backend._live):
                time.sleep(0.001)
        else:
            upstream.wait_for_request()
        token.cancel() if how == "token" else backend.stop()
        thread.join(SOON)
        assert not thread.is_alive()
        assert isinstance(results[0], ie.RequestCancelledError)


def test_a_stopped_backend_is_not_asked(ask):
    """After stop() nothing is sent."""
    backend = ask(text_reply("x"))
    backend.stop()
    assert not backend.ready()
    for call in (lambda: backend.complete("x"), backend.models):
        with pytest.raises(ie.NotReadyError):
            call()
    assert backend.upstream.requests == []


def test_a_stream_that_is_dropped(ask):
    """Dropping the last reference closes it, with a warning."""
    backend = ask(Reply([*begun("a"), Stall()]))
    stream = backend.stream("x")
    next(stream)
    with pytest.warns(ResourceWarning):
        del stream
        gc.collect()
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_options_share_connections(ask):
    """A backend with other settings asks over the same connections; stop() leaves the other be."""
    backend = ask(text_reply("a"), text_reply("b"), text_reply("c"))
    other = backend.with_options(model="other")
    assert backend.complete("x").text == "a"
    assert other.complete("x").text == "b"
    other.stop()
    assert backend.complete("x").text == "c"
    assert backend.upstream.connections == 1


# --- in time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("trickle", ["silence", "pings"])
@pytest.mark.parametrize(
    ("option", "phase"),
    [("first_token_timeout", "first_token"), ("idle_timeout", "idle"), ("timeout", "total")],
)
def test_deadlines(ask, buffer, option, phase, trickle):
    """Silence outlasts no deadline, and a ping feeds none."""
    steps = begun("a") if phase == "idle" else [start()]
    backend = ask(
        Reply([*steps, *STALLED[trickle]]), buffer=buffer, **{"timeout": None, option: LIMIT}
    )
    begin = time.monotonic()
    with pytest.raises(ie.DeadlineError) as caught:
        backend.complete("x")
    assert LIMIT * 0.9 <= time.monotonic() - begin <= LIMIT + SOON / 2
    assert caught.value.phase == phase
    assert caught.value.partial.text == ("a" if phase == "idle" else "")


def test_the_input_of_a_call_is_life(ask):
    """A call that is being written keeps the idle clock from running out."""
    pieces = [delta(0, type="input_json_delta", partial_json=piece) for piece in '{"a": 1}']
    steps = [step for piece in pieces for step in (Pause(LIMIT / 2), piece)]
    begin = [start(), block(0, type="tool_use", id="i", name="f", input={})]
    backend = ask(Reply([*begin, *steps, stop(0), *end("tool_use")]), idle_timeout=LIMIT * 2)
    assert backend.complete("x").tool_uses == (ie.ToolUse("i", "f", {"a": 1}),)


def test_no_message_stop(ask):
    """A stop reason makes the answer whole; what may follow is not waited for for ever."""
    reason, _ = end()
    backend = ask(Reply([*begun("a"), stop(0), reason, Stall()]), idle_timeout=LIMIT)
    completion = backend.complete("x")
    assert (completion.text, completion.finish_reason) == ("a", "end_turn")


# --- told apart ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [[Cut()], [Reset()], []], ids=["cut", "reset", "end"])
def test_endings(ask, buffer, tail):
    """A connection that broke, and a body that ended too early, are no end of the answer."""
    backend = ask(Reply([*begun("a"), Pause(0.05), *tail]), buffer=buffer)
    with backend.stream("x") as stream:
        assert next(stream).delta == "a"
        with pytest.raises(ie.StreamInterruptedError):
            next(stream)
        assert stream.done is None


@pytest.mark.parametrize("whole", [True, False])
def test_connections_are_used_again(ask, whole):
    """Only an answer that was whole leaves its connection to the next call."""
    reply = text_reply("a") if whole else Reply([*begun("a")])
    backend = ask(reply, text_reply("b"))
    with contextlib.suppress(ie.StreamInterruptedError):
        backend.complete("x")
    assert backend.complete("x").text == "b"
    assert backend.upstream.connections == (1 if whole else 2)


def test_many_at_once(ask):
    """Streams of one backend do not meet."""
    backend = ask(*[text_reply(*"abc")] * 16)
    threads = [run(lambda: backend.complete("x").text) for _ in range(16)]
    for thread, _ in threads:
        thread.join(SOON)
    assert [results for _, results in threads] == [["abc"]] * 16


def test_poll_and_heartbeat(ask):
    """poll() gives None in silence, and with_heartbeat() beats."""
    backend = ask(Reply([*begun("a"), Stall()]))
    with backend.stream("x") as stream:
        assert next(stream).delta == "a"
        assert stream.poll(0.05) is None
        assert next(stream.with_heartbeat(0.05)) is None

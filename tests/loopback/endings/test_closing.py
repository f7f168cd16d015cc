"""Ending calls and streams in every phase and in every way to the upstream.

How fast is measured by ``benchmarks/closing.py``; here the bound only says that nobody waited for
the upstream, which stalls for ever.
"""

from __future__ import annotations

import gc
import signal
import threading
import time

import pytest
from loopback.conftest import SOON, WAYS
from stream.hiring import hire

import inferd_engine as ie
from inferd_engine.testing import Reply, Stall, Trickle, chunk, text_reply

STALLED = {
    "chunked": Reply([chunk("a"), Stall()]),
    "close": Reply([chunk("a"), Stall()], framing="close"),
    "trickle": Reply([chunk("a"), Trickle(b": ", 0.01, forever=True)]),
    "flood": Reply([chunk("a" * 1000)] * 200_000),
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


def assert_over(stream, received):
    """Look at a stream that was closed: it is over, and the upstream knows."""
    assert next(stream, "over") == "over"
    assert (stream.cancelled, stream.done) == (True, None)
    assert received.gone.wait(SOON)
    stream.wait_released(SOON)
    assert stream._worker is None or not stream._worker.is_alive()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", STALLED)
def test_close_in_the_body(ask_by, way, body, buffer):
    """close() from another thread wakes a consumer that waits for the body."""
    backend = ask_by(way, STALLED[body], text_reply("next"), buffer=buffer and 4)
    stream = backend.stream("x")
    next(stream)
    consumer, results = run(lambda: [*stream])
    if body in ("chunked", "close"):
        time.sleep(0.02)  # so that it waits; if it does not yet, it is not woken, and ends as well
    stream.close()
    consumer.join(SOON)
    assert not consumer.is_alive()
    assert not isinstance(results[0], BaseException)
    assert_over(stream, backend.upstream.requests[0])
    assert backend.complete("x").text == "next"
    assert backend.upstream.connections == 2


@pytest.mark.parametrize("way", WAYS)
def test_close_while_the_worker_waits_for_room(ask_by, way):
    """close() ends a worker that waits for a consumer who never comes."""
    backend = ask_by(way, STALLED["flood"], buffer=1)
    stream = backend.stream("x")
    received = backend.upstream.requests[0]
    before = -1
    while before != received.sent:  # until nothing fits any more
        before = received.sent
        assert not received.finished.wait(0.1)
    stream.close()
    assert_over(stream, received)


@pytest.mark.parametrize("how", ["poll", "heartbeat"])
def test_close_wakes_those_who_wait_for_a_while(ask, how):
    """poll() and with_heartbeat() end at once when the stream is closed."""
    backend = ask(STALLED["chunked"])
    stream = backend.stream("x")
    next(stream)
    waits = {
        "poll": lambda: stream.poll(3600.0),
        "heartbeat": lambda: [*stream.with_heartbeat(3600.0)],
    }
    consumer, results = run(waits[how])
    stream.close()
    consumer.join(SOON)
    assert results == [None if how == "poll" else []]
    assert_over(stream, backend.upstream.requests[0])


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer signal")
def test_close_in_a_signal_handler(ask, buffer):
    """A signal handler may close the stream that its own thread is waiting for."""
    backend = ask(STALLED["chunked"], buffer=buffer)
    stream = backend.stream("x")
    next(stream)
    old = signal.signal(signal.SIGALRM, lambda *_: stream.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert list(stream) == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert_over(stream, backend.upstream.requests[0])


def test_the_last_reference_goes_in_another_thread(ask):
    """Dropping a stream in another thread than that which made it closes it as well."""
    backend = ask(STALLED["chunked"])
    streams = [backend.stream("x")]
    next(streams[0])
    worker = hire(streams[0])
    with pytest.warns(ResourceWarning):
        thread, _ = run(streams.clear)
        thread.join(SOON)
    assert backend.upstream.requests[0].gone.wait(SOON)
    worker.join(SOON)
    assert not worker.is_alive()


def test_the_last_reference_goes_with_a_cycle(ask):
    """A stream inside a reference cycle is closed when the cycle is collected."""
    backend = ask(STALLED["chunked"])
    cycle = {"stream": backend.stream("x")}
    cycle["self"] = cycle
    next(cycle["stream"])
    with pytest.warns(ResourceWarning):
        del cycle
        gc.collect()
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_a_loop_that_breaks_off(ask):
    """Breaking out of a loop over a stream that nobody else holds closes it."""
    backend = ask(STALLED["chunked"])
    with pytest.warns(ResourceWarning):
        for _ in backend.stream("x"):
            break
        gc.collect()
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_the_warning_says_where_the_stream_was_made(ask):
    """With tracemalloc on, the warning's source knows where the stream came from."""
    import tracemalloc

    backend = ask(STALLED["chunked"])
    tracemalloc.start(25)
    try:
        stream = backend.stream("x")
        with pytest.warns(ResourceWarning) as caught:
            del stream
            gc.collect()
        trace = tracemalloc.get_object_traceback(caught[0].source)
    finally:
        tracemalloc.stop()
    assert any(frame.filename == __file__ for frame in trace)


# --- calls that have no stream yet ---------------------------------------------------------------


def test_one_token_ends_calls_and_streams_of_all_backends(ask):
    """A token ends whatever carries it: streams, and calls that wait."""
    token = ie.CancelToken()
    streaming = ask(STALLED["chunked"])
    waiting = ask(Reply(before=[Stall()]))
    stream = streaming.stream("x", cancel=token)
    thread, results = run(lambda: waiting.stream("x", cancel=token))
    waiting.upstream.wait_for_request()
    token.cancel()
    thread.join(SOON)
    assert isinstance(results[0], ie.RequestCancelledError)
    assert_over(stream, streaming.upstream.requests[0])


def test_a_call_inside_of_a_call(ask):
    """A log handler that asks a backend of its own leaves the call around it as it was."""
    import logging

    outer, inner = ask(Reply([chunk("a"), Stall()])), ask()

    class Asking(logging.Handler):
        def emit(self, record):
            logger.removeHandler(self)
            inner.complete("from the log")

    logger = logging.getLogger("urllib3.connectionpool")
    handler, level = Asking(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        stream = outer.stream("x")
    finally:
        logger.setLevel(level)
    next(stream)
    stream.close()
    assert outer.upstream.requests[0].gone.wait(SOON)


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


def test_a_stream_left_alone_is_closed(ask, buffer):
    """Dropping an unfinished stream closes the connection."""
    backend = ask(Reply([chunk("a"), Stall()]), buffer=buffer)
    stream = backend.stream("x")
    next(stream)
    with pytest.warns(ResourceWarning):
        del stream
    assert backend.upstream.requests[0].gone.wait(SOON)

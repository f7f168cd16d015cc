"""Ending calls and streams in every phase and in every way to the upstream.

How fast is measured by ``benchmarks/closing.py``; here the bound only says that nobody waited for
the upstream, which stalls for ever.
"""

from __future__ import annotations

import gc
import signal
import socket
import threading
import time

import pytest
from http_proxy import Proxy
from loopback.conftest import SOON, WAYS

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
    worker = streams[0]._worker
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


def ended_by(how, backend, token, thread):
    """End a call that waits, in one of the ways."""
    if how == "stop":
        backend.stop()
    else:
        token.cancel()
    begun = time.monotonic()
    thread.join(SOON)
    assert not thread.is_alive()
    return time.monotonic() - begun


@pytest.mark.parametrize("how", ["stop", "token"])
@pytest.mark.parametrize("way", WAYS)
def test_end_while_waiting_for_headers(ask_by, way, how):
    """A call that waits for headers is ended by stop() and by a token."""
    backend, token = ask_by(way, Reply(before=[Stall()])), ie.CancelToken()
    thread, results = run(lambda: backend.stream("x", cancel=token))
    received = backend.upstream.wait_for_request()
    ended_by(how, backend, token, thread)
    assert isinstance(results[0], ie.RequestCancelledError)
    assert received.gone.wait(SOON)


@pytest.mark.parametrize("how", ["stop", "token"])
def test_end_while_connecting(how, dead_end):
    """A call whose connection nobody accepts is ended by stop() and by a token."""
    token = ie.CancelToken()
    with ie.OpenAiCompat(base_url=dead_end, api_key="") as backend:
        thread, results = run(lambda: backend.stream("x", cancel=token))
        time.sleep(0.1)  # so that it connects; if it does not yet, it is ended before
        assert thread.is_alive()
        ended_by(how, backend, token, thread)
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("how", ["stop", "token"])
def test_end_in_the_tls_handshake(how, authority):
    """A call whose handshake nobody answers is ended by stop() and by a token."""
    token = ie.CancelToken()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with ie.OpenAiCompat(base_url=url, api_key="", verify=authority[1]) as backend:
            thread, results = run(lambda: backend.stream("x", cancel=token))
            peer, _ = server.accept()
            with peer:
                assert peer.recv(1)  # it has begun
                ended_by(how, backend, token, thread)
                peer.settimeout(SOON)
                while peer.recv(65536):
                    pass  # until it is gone
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("how", ["stop", "token"])
def test_end_while_a_proxy_connects(how):
    """A call whose CONNECT is not answered is ended by stop() and by a token."""
    token = ie.CancelToken()
    with Proxy(stalls=True) as proxy:
        settings = {
            "base_url": "https://localhost:9",
            "api_key": "",
            "proxies": {"https": proxy.url},
        }
        with ie.OpenAiCompat(**settings) as backend:
            thread, results = run(lambda: backend.stream("x", cancel=token))
            assert proxy.arrived.wait(SOON)
            ended_by(how, backend, token, thread)
            assert proxy.client_gone.wait(SOON)
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_while_waiting_for_headers(ask_by, way):
    """KeyboardInterrupt ends a call that waits, and the upstream sees the client go."""
    backend = ask_by(way, Reply(before=[Stall()]))
    main = threading.main_thread().ident
    waker, _ = run(
        lambda: (
            backend.upstream.wait_for_request(),
            time.sleep(0.02),
            signal.pthread_kill(main, signal.SIGINT),
        )
    )
    with pytest.raises(KeyboardInterrupt):
        backend.stream("x")
    waker.join(SOON)
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_a_cancelled_token_refuses_calls(ask):
    """A call with a token that was cancelled before is refused without a connection."""
    backend, token = ask(), ie.CancelToken()
    token.cancel()
    with pytest.raises(ie.RequestCancelledError):
        backend.stream("x", cancel=token)
    assert backend.upstream.connections == 0


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

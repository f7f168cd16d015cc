"""A call to a server of Messages is ended in whatever it waits for, at once."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time

import pytest
from anthropic_messages import (
    KEY,
    PING,
    begun,
    block,
    delta,
    end,
    error_reply,
    start,
    stop,
    text,
    text_reply,
)
from http_proxy import Proxy
from loopback.conftest import authority, dead_end

import inferd_engine as ie
from inferd_engine.testing import Reply, Stall, Trickle

SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds
REASON, STOP = end()
HOWS = ["stop", "token"]

__all__ = ["authority", "dead_end"]  # fixtures


def run(target):
    results = []

    def call():
        try:
            results.append(target())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
            results.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, results


def end_it(how, backend, token, thread):
    token.cancel() if how == "token" else backend.stop()
    thread.join(SOON)
    assert not thread.is_alive()


# --- before there is a stream --------------------------------------------------------------------


@pytest.mark.parametrize("how", HOWS)
def test_connecting(how, dead_end):
    """Nobody accepts."""
    token = ie.CancelToken()
    with ie.Anthropic(dead_end, api_key=KEY, connect_timeout=None) as backend:
        thread, results = run(lambda: backend.stream("x", cancel=token))
        while not list(backend._live):
            time.sleep(0.001)
        end_it(how, backend, token, thread)
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("how", HOWS)
def test_tls(how, authority):
    """Nobody shakes hands."""
    token = ie.CancelToken()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with ie.Anthropic(url, api_key=KEY, verify=authority[1]) as backend:
            thread, results = run(lambda: backend.stream("x", cancel=token))
            peer, _ = server.accept()
            with peer:
                assert peer.recv(1)  # it has begun
                end_it(how, backend, token, thread)
                peer.settimeout(SOON)
                with contextlib.suppress(ConnectionResetError):
                    while peer.recv(65536):
                        pass  # until it is gone
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("how", HOWS)
def test_a_proxy(how):
    """The proxy says nothing to CONNECT."""
    token = ie.CancelToken()
    with Proxy(stalls=True) as proxy:
        settings = {"api_key": KEY, "proxies": {"https": proxy.url}}
        with ie.Anthropic("https://localhost:9", **settings) as backend:
            thread, results = run(lambda: backend.stream("x", cancel=token))
            assert proxy.arrived.wait(SOON)
            end_it(how, backend, token, thread)
            assert proxy.client_gone.wait(SOON)
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("how", HOWS)
def test_sending(how):
    """The upstream reads no more of a large request."""
    token = ie.CancelToken()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with ie.Anthropic(url, api_key=KEY) as backend:
            thread, results = run(lambda: backend.stream("x" * 50_000_000, cancel=token))
            peer, _ = server.accept()
            with peer:
                assert peer.recv(1)
                end_it(how, backend, token, thread)
    assert isinstance(results[0], ie.RequestCancelledError)


WAITING = {
    "headers": Reply(before=[Stall()]),
    "JSON": Reply([b'{"type": "message",', Stall()], headers={"Content-Type": "application/json"}),
    "page": Reply([b"<html>", Stall()], headers={"Content-Type": "text/html"}),
    "refusal": Reply([b'{"type": "error",', Stall()], 529),
    "refusal that trickles": Reply([Trickle(b" ", 0.01, forever=True)], 400),
}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("phase", WAITING)
def test_before_the_stream(ask, phase, how):
    """Headers, a body that has to be read whole, an error's body: none is waited for."""
    backend, token = ask(WAITING[phase]), ie.CancelToken()
    thread, results = run(lambda: backend.stream("x", cancel=token))
    received = backend.upstream.wait_for_request()
    end_it(how, backend, token, thread)
    refused = phase.startswith("refusal") and isinstance(results[0], ie.HttpStatusError)
    assert refused or isinstance(results[0], ie.RequestCancelledError)
    assert received.gone.wait(SOON)


@pytest.mark.parametrize("reply", ["headers", "page"])
def test_models(ask, reply):
    """stop() ends who waits for a list of models."""
    replies = {
        "headers": Reply(before=[Stall()]),
        "page": Reply([b'{"data": [', Stall()], headers={"Content-Type": "application/json"}),
    }
    backend = ask(replies[reply])
    thread, results = run(backend.models)
    backend.upstream.wait_for_request()
    end_it("stop", backend, None, thread)
    assert isinstance(results[0], ie.RequestCancelledError)


# --- in the stream -------------------------------------------------------------------------------

SILENT = {
    "after the start": [start()],
    "in a text": begun("a"),
    "in an event": [*begun("a"), text("b")[:-20]],
    "in the input of a call": [
        start(),
        block(0, type="tool_use", id="i", name="f", input={}),
        delta(0, type="input_json_delta", partial_json='{"a"'),
    ],
    "after a signature": [
        start(),
        block(0, type="thinking", thinking="", signature=""),
        delta(0, type="signature_delta", signature="s"),
    ],
    "after the reason": [*begun("a"), stop(0), REASON],
}
WAYS = {"silence": Stall(), "pings": Trickle(PING, 0.01, forever=True)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["close", "stop", "token"])
@pytest.mark.parametrize("place", SILENT)
def test_in_the_stream(ask, place, how, way, buffer):
    """Wherever the answer stands still: the consumer wakes, the upstream knows, no Done comes."""
    backend, token = ask(Reply([*SILENT[place], WAYS[way]]), buffer=buffer), ie.CancelToken()
    stream = backend.stream("x", cancel=token)
    thread, results = run(lambda: [event.type for event in stream])
    received = backend.upstream.wait_for_request()
    if how == "close":
        stream.close()
        thread.join(SOON)
        assert not thread.is_alive()
    else:
        end_it(how, backend, token, thread)
    assert received.gone.wait(SOON)
    assert "done" not in results[0]
    assert (stream.done, stream.cancelled) == (None, True)


def test_collect_of_what_was_closed(ask):
    """collect() of a stream that somebody closed is no answer."""
    backend = ask(Reply([*begun("a"), Stall()]))
    stream = backend.stream("x")
    thread, results = run(stream.collect)
    backend.upstream.wait_for_request()
    stream.close()
    thread.join(SOON)
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("reply", ["headers", "body"])
def test_ctrl_c(ask, reply, buffer):
    """KeyboardInterrupt goes up, and the upstream knows."""
    steps = {"headers": Reply(before=[Stall()]), "body": Reply([*begun("a"), Stall()])}
    backend = ask(steps[reply], buffer=buffer)
    main = threading.main_thread().ident

    def interrupt():
        backend.upstream.wait_for_request()
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        backend.complete("x")
    thread.join(SOON)
    assert backend.upstream.requests[0].gone.wait(SOON)


@pytest.mark.parametrize("after", [[], [Stall()], [PING] * 5], ids=["end", "silence", "pings"])
def test_the_end_is_not_waited_for(ask, after, buffer):
    """message_stop ends the answer, whatever the upstream does with the connection then."""
    backend = ask(
        Reply([*begun("a"), stop(0), REASON, STOP, *after]), text_reply("b"), buffer=buffer
    )
    begin = time.monotonic()
    assert backend.complete("x").text == "a"
    assert time.monotonic() - begin < SOON / 4
    assert backend.complete("x").text == "b"


def test_a_status_is_told_though_its_body_trickles(ask):
    """Once a status is known it is told, within 5 s."""
    backend = ask(Reply([b'{"type": "error"', Trickle(b" ", 0.05, forever=True)], 529))
    begin = time.monotonic()
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete("x")
    assert time.monotonic() - begin < 5 + SOON / 4
    assert (caught.value.status, caught.value.retryable) == (529, True)


def test_an_error_before_the_stream_is_raised_from_the_call(ask):
    """Overload under 529 and under 200 as JSON are raised from stream() itself."""
    said = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'
    whole = Reply([said], headers={"Content-Type": "application/json"})
    backend = ask(error_reply(529, "overloaded_error", "Overloaded"), whole)
    for kind in (ie.HttpStatusError, ie.UpstreamError):
        with pytest.raises(kind) as caught:
            backend.stream("x")
        assert (caught.value.code, caught.value.retryable) == ("overloaded_error", True)

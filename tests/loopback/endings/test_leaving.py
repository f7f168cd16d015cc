"""However a stream is left, by whom and when: nothing stays, and nothing is given out wrongly."""

from __future__ import annotations

import gc
import gzip
import pathlib
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from loopback.conftest import SOON, WAYS, open_files, start

import inferd_engine as ie
from inferd_engine.testing import DONE, Cut, Pause, Reply, Reset, Stall, Upstream, chunk

TRIES = 5


OPEN_AT_EXIT = """
    import os, signal, sys, threading
    import inferd_engine as ie
    url, trusted, state, how, buffer = sys.argv[1:]
    backend = ie.OpenAiCompat(base_url=url, api_key="", verify=trusted, buffer=int(buffer))
    if state == "headers":
        for _ in range(8):
            threading.Thread(target=backend.stream, args=["x"], daemon=True).start()
    else:
        streams = [backend.stream("x") for _ in range(8)]
        for stream in streams:
            next(stream)
    if state == "waiting":
        for stream in streams:
            threading.Thread(target=list, args=[stream], daemon=True).start()
    sys.stdin.readline()
    sys.stderr.write("now")
    sys.stderr.flush()
    if how == "exception":
        raise ValueError("the program's own")
    if how == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
"""
CODES = {"return": 0, "exception": 1, "interrupt": -signal.SIGINT}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("buffer", ["512", "0"])
@pytest.mark.parametrize("how", CODES)
@pytest.mark.parametrize("state", ["body", "waiting", "headers", "flood"])
def test_the_interpreter_ends_soon(authority, state, how, buffer, scheme):
    """With open streams and waiting calls an interpreter is gone in under a second."""
    context, trusted = authority
    reply = {
        "headers": Reply(before=[Stall()]),
        "flood": Reply([chunk("a" * 1000)] * 100_000),
    }.get(state, Reply([chunk("a"), Stall()]))
    took = []
    while not took or (took[-1] > 1.0 and len(took) < TRIES):
        with Upstream(*[reply] * 8, ssl_context=context if scheme == "https" else None) as upstream:
            command = [sys.executable, "-c", textwrap.dedent(OPEN_AT_EXIT)]
            with subprocess.Popen(
                [*command, upstream.url, trusted, state, how, buffer],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                upstream.wait_for_request(8, timeout=30.0)
                process.stdin.write("\n")
                process.stdin.close()
                assert process.stderr.read(3) == "now"
                begun = time.monotonic()
                errors = process.stderr.read()
                process.wait(timeout=30.0)
                took.append(time.monotonic() - begun)
                assert process.stdout.read() == ""
            assert process.returncode == CODES[how]
            assert "Fatal" not in errors
            assert errors == "" or how != "return"
            assert all(received.gone.wait(SOON) for received in upstream.requests)
    assert min(took) < 1.0


def ended_by_whom(how, stream, token, backend):
    """End a stream in one of the ways."""
    if how == "close":
        stream.close()
    elif how == "token":
        token.cancel()
    elif how == "token_after":
        token.cancel_after(0.0)
    else:
        backend.stop()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["close", "token", "token_after", "stop"])
def test_everybody_who_may_end_a_stream(ask_by, way, how, buffer):
    """A consumer that waits is woken, whoever ends its stream, and from whichever thread."""
    backend, token = ask_by(way, Reply([chunk("a"), Stall()]), buffer=buffer), ie.CancelToken()
    stream = backend.stream("x", cancel=token)
    assert next(stream) == ie.TextDelta("a")
    rest = []
    consumer = threading.Thread(target=lambda: rest.extend(stream))
    consumer.start()
    ended_by_whom(how, stream, token, backend)
    consumer.join(SOON)
    assert not consumer.is_alive()
    assert rest == []
    assert (stream.cancelled, stream.ended, stream.done) == (True, True, None)
    assert backend.upstream.requests[0].gone.wait(SOON)


@pytest.mark.parametrize("way", WAYS)
def test_an_error_of_ones_own_in_the_loop(ask_by, way, buffer):
    """An exception in the loop's body ends the stream with its `with`, though somebody keeps it."""
    backend = ask_by(way, Reply([chunk("a"), Stall()]), buffer=buffer)
    kept = None
    try:
        with backend.stream("x") as stream:
            for event in stream:
                event.no_such_field  # noqa: B018 - it raises
    except AttributeError as error:
        kept = error  # as a log or a debugger does, with all its frames
    assert backend.upstream.requests[0].gone.wait(SOON)
    assert stream.cancelled
    assert "no_such_field" in str(kept)


def test_garbage_collection_at_every_step(ask):
    """Streams that go with cycles, collected in whichever thread allocates next, hurt nobody."""
    whole = "a " * 30 + "b"

    def reply(received):
        stalls = received.json["messages"][-1]["content"] == "stall"
        return Reply([chunk("a "), Stall()] if stalls else [chunk(whole, finish_reason="stop")])

    backend = ask(otherwise=reply)
    assert backend.complete("x").text == whole
    files = open_files()
    old = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        with pytest.warns(ResourceWarning):
            for _ in range(20):
                cycle = {"stream": backend.stream("stall")}
                cycle["self"] = cycle
                next(cycle["stream"])
                del cycle
                assert backend.complete("x").text == whole
            gc.collect()
    finally:
        gc.set_threshold(*old)
    deadline = time.monotonic() + SOON
    while open_files() > files + 3 and time.monotonic() < deadline:
        assert not threading.Event().wait(0.01)  # the upstream's side closes a moment later
    assert open_files() <= files + 3  # one more connection may wait for use: two ends, the handle


@pytest.mark.parametrize("way", ["https", "tunnel"])
def test_no_ciphertext_is_given_out(ask_by, way):
    """Closing a TLS stream that floods a slow reader gives out nothing but what was sent."""
    rounds = 20
    backend = ask_by(way, *[Reply([chunk("a" * 500)] * 20_000)] * rounds, buffer=2)
    for number in range(rounds):
        stream = backend.stream("x", include_raw=True)
        next(stream)
        closer = threading.Timer(0.002 * (number % 5), stream.close)
        closer.start()
        for event in stream:
            data = event.data if event.type == "raw" else event.delta.encode()
            assert data.isascii()
            assert data.strip(b"a") == b"" or data.startswith(b'{"id"')
            threading.Event().wait(0.0005)
        closer.join()
        assert stream.cancelled


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
@pytest.mark.parametrize("how", [Cut(), Reset()], ids=["fin", "rst"])
@pytest.mark.parametrize("way", WAYS)
def test_a_cut_answer_never_looks_whole(ask_by, buffer, way, framing, how):
    """In every way and framing: what came is delivered, then there is an error, and no Done."""
    filler = chunk("never sent")
    steps = [chunk("half"), Pause(0.05), how, filler]
    backend = ask_by(way, Reply(steps, framing=framing), buffer=buffer)
    stream = backend.stream("x")
    assert next(stream) == ie.TextDelta("half")
    with pytest.raises(ie.StreamInterruptedError):
        next(stream)
    assert next(stream, "over") == "over"
    assert (stream.done, stream.cancelled, stream.ended) == (None, False, True)


@pytest.mark.parametrize("way", ["http", "https", "tunnel"])
@pytest.mark.parametrize(
    "after",
    [[Cut()], [Reset()], [Stall()], [chunk("more"), DONE], [b"rubbish\n\n"]],
    ids=["fin", "rst", "stall", "more", "rubbish"],
)
def test_nothing_after_done_counts(ask_by, buffer, way, after):
    """[DONE] is the end, whatever the connection does next, and nobody waits for it."""
    backend = ask_by(way, Reply([chunk("all"), DONE, *after]), buffer=buffer)
    begun = time.monotonic()
    assert backend.complete("x").text == "all"
    assert time.monotonic() - begun < 2.0
    assert backend.complete("y").text == "You said: y"


@pytest.fixture
def tls_proxy(authority):
    """A proxy that speaks TLS itself: what goes through it is TLS inside of TLS."""
    from http_proxy import Proxy

    context = authority[0]

    class TLSProxy(Proxy):
        def _serve(self, client):
            try:
                super()._serve(context.wrap_socket(client, server_side=True))
            except (OSError, ssl.SSLError):
                self.client_gone.set()

    with TLSProxy() as proxy:
        proxy.url = proxy.url.replace("http:", "https:")
        yield proxy


@pytest.mark.parametrize("phase", ["body", "headers"])
def test_closing_through_a_tls_proxy(ask, authority, tls_proxy, phase, buffer):
    """TLS inside of TLS is ended as fast as everything else, and keeps its deadlines."""
    context, trusted = authority
    stalled = {"body": Reply([chunk("a"), Stall()]), "headers": Reply(before=[Stall()])}[phase]
    proxies = {"https": tls_proxy.url}
    backend = ask(
        *[stalled] * 2, ssl_context=context, verify=trusted, proxies=proxies, buffer=buffer
    )
    token = ie.CancelToken()
    upstream = backend.upstream
    if phase == "body":
        stream = backend.stream("x", cancel=token)
        assert next(stream) == ie.TextDelta("a")
        call = stream.collect
    else:
        call = lambda: backend.stream("x", cancel=token)  # noqa: E731
    results = []

    def run():
        try:
            call()
        except ie.GenerateError as error:
            results.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    received = upstream.wait_for_request()
    token.cancel()
    thread.join(SOON)
    assert results == [ie.RequestCancelledError]
    assert received.gone.wait(SOON)
    with pytest.raises(ie.DeadlineError):
        backend.with_options(timeout=0.25).complete("x")
    assert backend.complete("y").text == "You said: y"


HOSTILE = """
    import json, sys, time
    import inferd_engine as ie

    def peak():
        with open("/proc/self/status") as status:
            return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024

    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="", buffer=int(sys.argv[3]))
    backend.complete("warm up")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # from here on the peak counts anew
    before = peak()
    for _ in range(int(sys.argv[2])):
        try:
            backend.complete("x")
        except ie.GenerateError as error:
            print(type(error).__name__, getattr(error, "code", None))
    sys.stderr.write(str(peak() - before))
"""


def tool_chunks(count, size):
    """Give the chunks of many tool calls with large arguments."""
    argument = '"' + "x" * size + '"'
    for index in range(count):
        function = {"name": "f", "arguments": argument}
        yield chunk(tool_calls=[{"index": index, "id": f"c{index}", "function": function}])


def hostile_replies():
    """Give answers that would fill a client, each with the error that it ends in."""
    bomb = gzip.compress(b"x" * 16_000_000) * 60
    page, packed = {"Content-Type": "text/html"}, {"Content-Encoding": "gzip"}
    large = [b"x" * 65536] * 2000
    return {
        "line": (Reply([b"data: ", *large]), "UpstreamError event_too_large"),
        "document": (Reply([b'{"x": "', *large]), "UpstreamError event_too_large"),
        "tool calls": (Reply([*tool_chunks(200, 1 << 20)]), "UpstreamError event_too_large"),
        "gzip": (Reply([bomb], headers=packed), "UpstreamError event_too_large"),
        "gzip without a word": (Reply([bomb]), "UpstreamError event_too_large"),
        "page": (Reply([b"<html>", *large], 200, page), "UpstreamError html_page"),
        "error body": (Reply([b"x" * 65536] * 16_000, 500), "HttpStatusError None"),
        "error body, gzip": (Reply([bomb], 500, packed), "HttpStatusError None"),
    }


@pytest.fixture(scope="module")
def hostile():
    return hostile_replies()


@pytest.mark.skipif(not pathlib.Path("/proc/self/clear_refs").exists(), reason="needs /proc")
@pytest.mark.parametrize("buffer", ["512", "0"])
@pytest.mark.parametrize(
    "name",
    [
        "line",
        "document",
        "tool calls",
        "gzip",
        "gzip without a word",
        "page",
        "error body",
        "error body, gzip",
    ],
)
def test_hostile_upstreams_cost_no_memory(hostile, name, buffer):
    """At the default limit of 64 MiB no upstream gets a client to hold twice that.

    The C part keeps one buffer; the decoder in Python keeps the reads, half as much again.
    """
    reply, ending = hostile[name]
    with Upstream(Reply([chunk("warm"), DONE]), reply) as upstream:
        process = start(HOSTILE, upstream.url, "1", buffer)
        out, grown = process.communicate(timeout=60.0)
    assert out == f"{ending}\n", grown
    assert int(grown) < 2 * (64 << 20)

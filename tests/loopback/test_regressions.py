"""What once went wrong: deadlines while sending, ends that nobody heard of, forks, hangs."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from loopback.conftest import SOON, open_files

import inferd_engine as ie
from inferd_engine.stream.buffer import EventBuffer
from inferd_engine.testing import (
    DONE,
    Gate,
    Pause,
    Reply,
    Stall,
    Trickle,
    Upstream,
    chunk,
    error_reply,
)

LIMIT = 0.25  # seconds
LARGE = "x" * 30_000_000  # more than sockets hold


@pytest.mark.parametrize(
    ("option", "phase"), [("timeout", "total"), ("first_token_timeout", "first_token")]
)
def test_deadlines_while_sending(deaf, option, phase):
    """An upstream that stops reading the request outlasts no deadline."""
    begun = time.monotonic()
    with pytest.raises(ie.DeadlineError) as caught:
        deaf.with_options(**{option: LIMIT}).stream(LARGE)
    assert caught.value.phase == phase
    assert LIMIT * 0.9 <= time.monotonic() - begun < SOON / 2


@pytest.mark.parametrize("option", ["timeout", "first_token_timeout"])
def test_an_upstream_that_reads_slowly(authority, option):
    """Over TLS each record is a write of its own: together they keep to the deadline."""
    context, trusted = authority
    over = threading.Event()

    def drip(server):
        with contextlib.suppress(OSError):
            peer, _ = server.accept()
            with context.wrap_socket(peer, server_side=True) as peer:
                while peer.recv(16384) and not over.wait(0.05):
                    pass

    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        server.bind(("127.0.0.1", 0))
        server.listen()
        thread = threading.Thread(target=drip, args=[server])
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        settings = {"api_key": "", "verify": trusted, option: LIMIT, "connect_timeout": None}
        begun = time.monotonic()
        with ie.OpenAiCompat(base_url=url, **settings) as backend:
            with pytest.raises(ie.DeadlineError):
                backend.stream(LARGE)
        assert time.monotonic() - begun < 2.0
        over.set()
        thread.join(SOON)


def test_connecting_and_the_handshake_share_a_budget(authority):
    """A handshake that stalls has what connecting has left of connect_timeout."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as server,
        contextlib.ExitStack() as kept,
    ):
        for _ in range(4):  # a backlog of 0 holds one or two; then SYNs are dropped
            filler = kept.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())

        def accept():
            time.sleep(0.3)  # the SYN is sent again after a second
            with contextlib.suppress(OSError):
                while True:
                    kept.enter_context(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        begun = time.monotonic()
        with ie.OpenAiCompat(
            base_url=url, api_key="", connect_timeout=1.5, verify=False
        ) as backend:
            with pytest.raises(ie.DeadlineError) as caught:
                backend.stream("x")
        assert caught.value.phase == "connect"
        assert time.monotonic() - begun < 2.2
        server.shutdown(socket.SHUT_RDWR)
        thread.join(SOON)


@pytest.mark.parametrize("status", [204, 200])
def test_an_answer_without_a_body(ask, buffer, status):
    """No content is no answer."""
    reply = Reply([], status, framing="length")
    begun = time.monotonic()
    with pytest.raises(ie.StreamInterruptedError):
        ask(reply, buffer=buffer).complete("x")
    assert time.monotonic() - begun < SOON


def test_a_key_that_the_upstream_says_back(ask):
    """A refusal that quotes the key does not bring it into logs by way of the error."""
    key = "sk-0123456789abcdef"
    headers = {"X-Echo": f"Bearer {key}"}
    reply = error_reply(401, f"Incorrect API key provided: {key}.", headers=headers)
    with pytest.raises(ie.HttpStatusError) as caught:
        ask(reply, api_key=key).stream("x")
    error = caught.value
    assert "provided: ***." in error.message
    for shown in (str(error), error.message, error.body, repr(error.headers), pickle.dumps(error)):
        assert key.encode() not in (shown if isinstance(shown, bytes) else shown.encode())


@pytest.mark.parametrize("key", ["x", "e", "ollama"])
def test_a_dummy_key_hides_nothing(ask, key):
    """The letters of a key that is none are left where they are in a message."""
    reply = error_reply(400, f"max_tokens exceeds the context of model '{key}/llama'")
    with pytest.raises(ie.HttpStatusError, match=f"max_tokens exceeds .* '{key}/llama'"):
        ask(reply, api_key=key).stream("x")


def test_credentials_in_a_header_of_their_own(ask):
    """The hint of a 401 does not ask for a key that was sent as a header."""
    backend = ask(
        error_reply(401, "no"), api_key="", api_key_header="api-key", headers={"Api-Key": "k"}
    )
    with pytest.raises(ie.HttpStatusError, match="the credentials came from headers"):
        backend.stream("x")


def test_late_headers_without_a_deadline(ask, monkeypatch):
    """Nothing that was set for one answer's body bounds the next answer's headers."""
    gate, timeouts, settimeout = Gate(), [], socket.socket.settimeout
    backend = ask(
        Reply([chunk("a", finish_reason="stop"), DONE]),
        Reply([chunk("b", finish_reason="stop"), DONE], before=[gate]),
        timeout=None,
    )
    assert backend.complete("x").text == "a"
    assert backend.upstream.connections == 1

    def noted(self, seconds):
        if not threading.current_thread().name.startswith("test-upstream"):
            timeouts.append(seconds)
        settimeout(self, seconds)

    monkeypatch.setattr(socket.socket, "settimeout", noted)
    monkeypatch.setattr("inferd_engine.net.deadlines.SLICE", 0.02)
    given = []
    asking = threading.Thread(target=lambda: given.append(backend.complete("y").text))
    asking.start()
    backend.upstream.wait_for_request(2)
    end = time.monotonic() + SOON
    while timeouts[-3:] != [0.02] * 3 and time.monotonic() < end:  # it waits, again and again
        time.sleep(0.01)
    assert asking.is_alive()
    gate.open()
    asking.join(SOON)
    assert given == ["b"]


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


def test_the_end_is_there_before_the_turn_is_free(ask, monkeypatch):
    """A consumer that comes while the worker ends the stream finds the end, not a closed source."""
    late, put_beyond = threading.Event(), EventBuffer.put_beyond

    def put_late(self, events):
        late.wait(0.3)
        put_beyond(self, events)

    monkeypatch.setattr(EventBuffer, "put_beyond", put_late)
    backend = ask(Reply([chunk("a"), chunk("b", finish_reason="stop"), DONE]))
    stream = backend.stream("x")
    while stream._reading.outcome is None:  # until the worker has come to the end
        late.wait(0.01)
    assert [event.type for event in stream] == ["text", "text", "done"]


class _Handler:
    """A signal handler that cannot be hashed."""

    __hash__ = None

    def __call__(self, *_):
        raise SoftLimitError

    def __eq__(self, other):
        return self is other


def test_any_handler_will_do(ask):
    """Whatever a program has as a signal handler, reading goes on."""
    old = signal.signal(signal.SIGALRM, _Handler())
    try:
        assert ask().complete("x").text == "You said: x"
    finally:
        signal.signal(signal.SIGALRM, old)


def test_a_turn_that_nobody_gives_up(ask):
    """A closed stream's worker goes, though a reader died without giving up its turn."""
    stream = ask(Reply([chunk("a"), Stall()])).stream("x")

    def read_and_die():
        next(stream)
        assert stream._reading.turn.take(threading.current_thread())

    reader = threading.Thread(target=read_and_die)
    reader.start()
    reader.join(SOON)
    stream.close()
    stream.wait_released(SOON)
    assert not stream._worker.is_alive()
    assert stream._reading.released_at is not None


class SoftLimitError(Exception):
    """What a task queue raises from its signal handler."""


@pytest.mark.parametrize("before", [b": ping\n\n", b'data: {"choices"', b"data:\n\n"])
def test_a_handlers_exception_after_a_comment(ask, buffer, before):
    """A stream stays open although what came last before the interruption gave no event."""
    gate = Gate()
    rest = b": []}\n\n" if before.startswith(b"data: {") else b""
    last = [rest, chunk("b", finish_reason="stop"), DONE]
    backend = ask(Reply([chunk("a"), Pause(0.02), before, gate, *last]), buffer=buffer)

    def strike(*_):
        raise SoftLimitError

    old = signal.signal(signal.SIGALRM, strike)
    try:
        with backend.stream("x") as stream:
            assert next(stream) == ie.TextDelta("a")
            signal.setitimer(signal.ITIMER_REAL, 0.15)
            with pytest.raises(SoftLimitError):
                next(stream)
            gate.open()
            assert [event.type for event in stream] == ["text", "done"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("place", ["drain", "close"])
@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_a_connection_that_cannot_be_let_go(ask, monkeypatch, buffer, place, error):
    """A failure while the connection is given back does not keep the ending from the consumer."""
    gate = Gate()
    backend = ask(Reply([chunk("a"), gate, chunk(finish_reason="stop"), DONE]), buffer=buffer)
    stream = backend.stream("x")
    body = stream._reading.source._body

    def fail(*_):
        raise error

    if place == "drain":
        monkeypatch.setattr(body, "drain", fail)
    else:
        monkeypatch.setattr(body._raw, "close", fail)
    gate.open()
    given = []
    consumer = threading.Thread(target=lambda: given.extend(stream))
    consumer.start()
    consumer.join(SOON)
    assert [event.type for event in given] == ["text", "done"]


DEEP = b'{"choices":[{"delta":{"content":' + b'[{"text":' * 400 + b'"x"' + b"}]" * 400 + b"}}]}"


def test_a_payload_nested_just_deeply_enough(ask, buffer):
    """What the parser still takes may be too deep for those who walk through it."""
    steps = [chunk("a"), b"data: " + DEEP + b"\n\n", chunk("b", finish_reason="stop"), DONE]
    assert ask(Reply(steps), buffer=buffer).complete("x").text in ("ab", "axb")


HELD = """
    import os, sys, time
    import inferd_engine as ie
    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="", idle_timeout=0.2)
    stream = backend.stream("x")
    next(stream)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # holds copies of all descriptors until the parent ends
        os._exit(0)
    try:
        list(stream)
    except ie.DeadlineError:
        pass
    sys.stdout.write("over")
    sys.stdout.flush()
    sys.stdin.readline()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("steps", [[Stall()], [DONE, Stall()]], ids=["deadline", "done"])
def test_a_child_that_holds_the_connection(steps):
    """However an answer ends, the upstream hears of it, though a forked child has the sockets."""
    with Upstream(Reply([chunk("a"), *steps])) as upstream:
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(HELD), upstream.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout.read(4) == "over"
            assert upstream.requests[0].gone.wait(SOON)
            process.communicate("\n", timeout=SOON)


TAKEN = """
    import os, sys
    import inferd_engine as ie
    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="")
    stream = backend.stream("x")
    next(stream)  # there are more in the same batch
    child = os.fork()
    if child == 0:
        try:
            next(stream)
        except ie.InternalError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert "".join(stream.text()) == "1 2 3 4 "
    token = ie.CancelToken()
    token.cancel_after(0.5)
    with backend.stream("x", cancel=token):
        child = os.fork()
        if child == 0:
            stalled = backend.stream("stall", cancel=token)
            list(stalled)  # the token's clock goes here too
            os._exit(0 if stalled.cancelled else 1)
        assert os.waitpid(child, 0)[1] == 0
    print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_child_inherits():
    """A child gets none of the events that its parent's consumer has taken, and tokens work."""

    def reply(received):
        if received.json["messages"][-1]["content"] == "stall":
            return Reply([chunk("a"), Stall()])
        return Reply([b"".join(chunk(f"{n} ") for n in range(5)) + chunk(finish_reason="stop")])

    with Upstream(otherwise=reply) as upstream:
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(TAKEN), upstream.url],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "fine\n", "")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_timer_that_cannot_be_started(monkeypatch):
    """A token whose timer could not be started tries again with the next call."""
    backend, token, start = ie.Mock(token_delay=3600.0), ie.CancelToken(), threading.Thread.start
    token.cancel_after(0.3)

    def refuse(self):
        if self.name == "inferd-engine-timer":
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises((ie.InternalError, RuntimeError)):
            backend.stream("x", cancel=token)
    assert list(backend.stream("x", cancel=token)) == []
    backend.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_token_one_timer():
    """Calls that begin at the same moment with one token share its timer, which goes with them."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            token, backend = ie.CancelToken(), ie.Mock(token_delay=3600.0)
            token.cancel_after(3600.0)
            barrier, streams = threading.Barrier(4), []

            def begin(barrier=barrier, streams=streams, backend=backend, token=token):
                barrier.wait()
                streams.append(backend.stream("x", cancel=token))

            threads = [threading.Thread(target=begin) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for stream in streams:
                stream.close()
    finally:
        sys.setswitchinterval(old)
    # the fixture that looks for threads left behind does the rest


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


def test_stop_closes_what_waits_for_use(ask):
    """stop() closes idle connections itself, whoever refers to their pool."""
    backend = ask()
    files = open_files()
    assert backend.complete("x").text
    (adapter,) = backend._transport._adapters.values()
    pools = adapter.poolmanager.pools
    pools = [pools[key] for key in pools.keys()]  # noqa: SIM118 - it cannot be iterated over
    backend.stop()
    deadline = time.monotonic() + SOON
    while open_files() > files and time.monotonic() < deadline:
        assert not threading.Event().wait(0.01)  # the upstream's side closes a moment later
    assert open_files() <= files
    assert pools


def test_a_failed_answer_is_not_kept(ask, buffer, monkeypatch):
    """What was received of an answer that failed goes with it, not with a garbage collection."""
    import weakref

    from inferd_engine.wire.openai import answer as openai_answer

    kept = weakref.WeakSet()

    class Watched(openai_answer.SSEDecoder):
        def __init__(self, **options):
            super().__init__(**options)
            kept.add(self)

    monkeypatch.setattr(openai_answer, "SSEDecoder", Watched)
    backend = ask(Reply([b"data: " + b"x" * 200_000]), buffer=buffer, max_event_bytes=100_000)
    gc.disable()
    try:
        with pytest.raises(ie.UpstreamError):
            backend.complete("x")
        assert not kept
    finally:
        gc.enable()

"""Deadlines against everything that keeps a per-read timeout from ever passing.

The bounds are wide, for loaded machines; what matters is that a trickle, which never ends, does not
outlast them.  ``benchmarks/closing.py`` measures how exact they are.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from http_proxy import Proxy
from loopback.conftest import RARE_WAYS, SOON, WAYS

import inferd_engine as ie
from inferd_engine.testing import DONE, Gate, Pause, Reply, Stall, Trickle, chunk, raw_reply

LIMIT = 0.25  # seconds
SLACK = 5.0  # seconds: for a loaded machine

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
BODY_TRICKLES = {
    "silence": [Stall()],
    "comments": [Trickle(b": ping\n\n", 0.05 / 8, forever=True)],
    "bytes": [Trickle(b"data: " + b"x" * 100_000, 0.01)],
    "empty events": [Trickle(b"data:\n\n", 0.01, forever=True)],
}
HEAD_TRICKLES = {
    "silence": Reply(before=[Stall()]),
    "header": raw_reply(b"HTTP/1.1 200 OK\r\nX-A: ", Trickle(b"a" * 60_000, 0.01)),
    "status line": raw_reply(b"HTTP/1.1 200 ", Trickle(b"O" * 60_000, 0.01)),
    "many headers": raw_reply(b"HTTP/1.1 200 OK\r\n", Trickle(b"X-A: b\r\n", 0.01, forever=True)),
    "100 Continue": raw_reply(Trickle(b"HTTP/1.1 100 Continue\r\n\r\n", 0.002, forever=True)),
    "103 Early Hints": raw_reply(Trickle(b"HTTP/1.1 103 Hints\r\n\r\n", 0.002, forever=True)),
}


def assert_deadline(phase, call):
    """Look that a call ends with this deadline, neither early nor after the upstream."""
    begun = time.monotonic()
    with pytest.raises(ie.DeadlineError) as caught:
        call()
    elapsed = time.monotonic() - begun
    assert caught.value.phase == phase
    assert LIMIT * 0.9 <= elapsed <= LIMIT * 1.1 + SLACK
    assert f"{LIMIT:g} s" in str(caught.value)
    return caught.value


@pytest.mark.parametrize("trickle", BODY_TRICKLES)
@pytest.mark.parametrize(
    ("option", "phase"),
    [("first_token_timeout", "first_token"), ("idle_timeout", "idle"), ("timeout", "total")],
)
def test_in_the_body(ask, buffer, option, phase, trickle):
    """Silence, comments, single bytes and empty events outlast no deadline."""
    steps = BODY_TRICKLES[trickle]
    if phase == "idle":
        steps = [chunk("a"), *steps]
    backend = ask(Reply(steps), buffer=buffer, **{"timeout": None, option: LIMIT})
    error = assert_deadline(phase, lambda: backend.complete("x"))
    assert error.partial.text == ("a" if phase == "idle" else "")
    assert error.retryable  # complete() had handed nothing out
    assert backend.upstream.requests[0].gone.wait(SLACK)


@pytest.mark.parametrize("way", [*WAYS, *RARE_WAYS])
@pytest.mark.parametrize("option", ["idle_timeout", "timeout"])
def test_in_every_way(ask_by, way, option):
    """Deadlines hold with TLS and through proxies."""
    backend = ask_by(way, Reply([chunk("a"), *BODY_TRICKLES["comments"]]), **{option: LIMIT})
    phase = "idle" if option == "idle_timeout" else "total"
    assert_deadline(phase, lambda: backend.complete("x"))


@pytest.mark.parametrize("option", ["first_token_timeout", "timeout"])
@pytest.mark.parametrize("trickle", HEAD_TRICKLES)
def test_before_the_body(ask, option, trickle):
    """A trickling header and endless interim answers outlast no deadline."""
    backend = ask(HEAD_TRICKLES[trickle], **{"timeout": None, option: LIMIT})
    phase = "total" if option == "timeout" else "first_token"
    assert_deadline(phase, lambda: backend.stream("x"))
    assert backend.upstream.requests[0].gone.wait(SLACK)


def test_in_a_chunk_size_line(ask, buffer):
    """A chunk's size that trickles outlasts no deadline."""
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    reply = raw_reply(head, b"5;", Trickle(b"a" * 8000, 0.01))
    backend = ask(reply, buffer=buffer, timeout=LIMIT)
    assert_deadline("total", lambda: backend.complete("x"))


def test_connecting(dead_end):
    """A connection that nobody accepts ends at connect_timeout."""
    with ie.OpenAiCompat(base_url=dead_end, api_key="", connect_timeout=LIMIT) as backend:
        error = assert_deadline("connect", lambda: backend.stream("x"))
    assert error.retryable


def test_the_tls_handshake_is_connecting(authority):
    """A handshake that stalls ends at connect_timeout, not at a read's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        settings = {"api_key": "", "verify": authority[1], "connect_timeout": LIMIT}
        with ie.OpenAiCompat(base_url=url, **settings) as backend:
            assert_deadline("connect", lambda: backend.stream("x"))


def test_a_proxy_that_does_not_answer_is_connecting():
    """A CONNECT that is not answered ends at connect_timeout."""
    with Proxy(stalls=True) as proxy:
        settings = {"api_key": "", "proxies": {"https": proxy.url}, "connect_timeout": LIMIT}
        with ie.OpenAiCompat(base_url="https://localhost:9", **settings) as backend:
            assert_deadline("connect", lambda: backend.stream("x"))


def test_all_addresses_share_one_budget(dead_end, monkeypatch):
    """Several addresses that do not answer take connect_timeout together, not each."""
    port = int(dead_end.rpartition(":")[2])
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 100)
    url = f"http://many.example:{port}"
    with ie.OpenAiCompat(base_url=url, api_key="", connect_timeout=LIMIT) as backend:
        assert_deadline("connect", lambda: backend.stream("x"))


def test_the_next_address_is_tried(ask, monkeypatch):
    """An address that refuses is followed by the next one."""
    backend = ask()
    port = backend.upstream.port
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", p)) for p in (dead, dead, port)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert backend.complete("x").text


def test_after_the_finish_reason_silence_is_no_error(ask, buffer, monkeypatch):
    """A stream that said why it stopped waits for usage, and not for ever."""
    monkeypatch.setattr("inferd_engine.net.deadlines.LINGER", 0.1)
    backend = ask(Reply([chunk("a", finish_reason="stop"), Stall()]), buffer=buffer)
    assert backend.complete("x").done.finish_reason == "stop"


def test_usage_after_the_finish_reason_is_waited_for(ask, buffer):
    """Usage that comes a while after the finish reason is part of the answer."""
    steps = [chunk("a", finish_reason="stop"), Pause(0.1), chunk(usage=(1, 2)), Pause(0.1), DONE]
    assert ask(Reply(steps), buffer=buffer).complete("x").done.usage.output_tokens == 2


def test_an_error_body_that_trickles_is_told(ask, monkeypatch):
    """Once a status is known it is told, however slowly its body comes."""
    monkeypatch.setattr("inferd_engine.backends.over_http.call._ERROR_BODY_SECONDS", LIMIT)
    steps = [b'{"error": {"message": "no', Trickle(b"!" * 10_000, 0.05)]
    backend = ask(Reply(steps, 503, {"Content-Type": "application/json"}))
    with pytest.raises(ie.HttpStatusError, match="503") as caught:
        backend.stream("x")
    assert caught.value.body.startswith('{"error"')
    assert backend.upstream.requests[0].gone.wait(SLACK)


FLOODS = {
    "comments": b": ping\n\n" * 8192,
    "blank lines": b"\n" * 65536,
    "empty data": b"data:\n\n" * 8192,
    "ids": b"id: 1234\n" * 7281 + b"\n" * 7,
    "retries": b"retry: 9\n" * 7281 + b"\n" * 7,
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize(
    ("option", "phase"), [("first_token_timeout", "first_token"), ("timeout", "total")]
)
def test_a_flood_outlasts_no_deadline(ask, buffer, option, phase, flood):
    """Whatever comes without end and gives nothing is not parsed for long once time is up."""
    reply = Reply([FLOODS[flood]] * 20_000)
    backend = ask(reply, buffer=buffer, **{"timeout": 60.0, option: 0.3})
    begun = time.monotonic()
    with pytest.raises(ie.DeadlineError) as caught:
        backend.complete("x")
    assert time.monotonic() - begun < 0.3 + 0.5
    assert caught.value.phase == phase


@pytest.mark.parametrize(
    ("limits", "phase"),
    [
        ({"first_token_timeout": 0.2, "timeout": 0.25}, "first_token"),
        ({"first_token_timeout": 0.25, "timeout": 0.2}, "total"),
    ],
)
def test_the_first_clock_is_named(ask, limits, phase):
    """Of several clocks that have run out the one that did so first is named, however late."""
    backend = ask(Reply([Stall()]), **limits)
    stream = backend.stream("x")
    deadlines = stream._reading.source._exchange.deadlines
    with pytest.raises(ie.DeadlineError) as caught:
        list(stream)
    assert caught.value.phase == phase
    time.sleep(max(0.0, deadlines.started + 0.3 - time.monotonic()))  # until both have
    assert deadlines.passed() == phase


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

"""The upstream is told when the browser has gone, under servers that are not ours."""

from __future__ import annotations

import time

import pytest
from web.servers.browsing import Tab

from inferd_engine.testing import (
    DONE,
    Cut,
    Gate,
    Pause,
    Reply,
    Stall,
    chunk,
    error_reply,
    text_reply,
)

HEARTBEAT = 1.0  # seconds, as the views have it
SILENT = HEARTBEAT + 0.5
FLOWING = 0.5
SLACK = 1.0  # seconds more, for a machine that does other things too


def seconds_until_told(upstream, leave):
    number = len(upstream.requests)
    began = time.monotonic()
    leave()
    assert upstream.requests[number - 1].gone.wait(SILENT + 10)
    return time.monotonic() - began


def test_it_streams(server, record_property):
    """Headers leave at once, each frame alone; nothing is buffered or compressed."""
    gate = Gate()
    server.upstream.enqueue(Reply([gate, chunk("one")]))
    with Tab(server.port) as tab:
        record_property("first byte", tab.read_until(b":\n\n"))
        head = tab.seen.lower()
        assert b"200" in head.partition(b"\r\n")[0]
        assert b"text/event-stream" in head
        assert b"gzip" not in head
        assert head.count(b"connection:") <= 1
        gate.open()
        tab.read_until(b'"one"')
        tab.read_until(b'"error"')


def test_each_frame_leaves_at_once(server):
    """The second word is not needed to see the first."""
    gates = [Gate() for _ in range(3)]
    steps = [step for n, gate in enumerate(gates) for step in (chunk(f"word{n}"), gate)]
    server.upstream.enqueue(Reply([*steps, chunk(finish_reason="stop"), DONE]))
    with Tab(server.port) as tab:
        for number, gate in enumerate(gates):
            tab.read_until(b"word%d" % number)
            gate.open()
        tab.read_until(b'"done"')


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "killed"])
def test_left_while_tokens_flow(server, reset, record_property):
    """A tab that is closed in the middle of the text stops the model within half a second."""
    steps = [step for _ in range(400) for step in (chunk("word "), Pause(0.05))]
    server.upstream.enqueue(Reply(steps))
    tab = Tab(server.port)
    tab.read_until(b"word")
    took = seconds_until_told(server.upstream, lambda: tab.close(reset=reset))
    record_property("told", took)
    assert took < FLOWING + SLACK


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "killed"])
def test_left_in_silence(server, reset, record_property):
    """A tab that is closed in silence stops the model within a heartbeat and half a second."""
    server.upstream.enqueue(Reply([chunk("Hel"), Stall()]))
    tab = Tab(server.port)
    tab.read_until(b"Hel")
    time.sleep(0.3)  # the beats after the text are over: the worst moment but for chance
    took = seconds_until_told(server.upstream, lambda: tab.close(reset=reset))
    record_property("told", took)
    assert took < SILENT + SLACK


def test_left_before_the_first_token(server):
    """Nobody has to have seen anything to leave."""
    server.upstream.enqueue(Reply([Stall()]))
    tab = Tab(server.port)
    tab.read_until(b"\r\n\r\n")
    assert seconds_until_told(server.upstream, tab.close) < SILENT + SLACK


def test_left_before_the_upstream_speaks(server):
    """Nor does the upstream have to have said anything, where the server shows its socket."""
    if "gunicorn" not in server.name and server.name != "flask run":
        pytest.skip("a view cannot ask this server")
    server.upstream.enqueue(Reply([chunk("Hel")], before=[Stall()]))
    asked = len(server.upstream.requests) + 1
    tab = Tab(server.port)
    server.upstream.wait_for_request(asked)
    assert seconds_until_told(server.upstream, tab.close) < SILENT + SLACK


def test_what_fails_first_is_the_status(server):
    """An upstream that refuses gives the browser a status, and nothing of its words."""
    server.upstream.enqueue(error_reply(429, "sk-secret", headers={"Retry-After": "3"}))
    with Tab(server.port) as tab:
        tab.read_until(b"}}")
    head = tab.seen.lower()
    assert head.startswith(b"http/1.1 429")
    assert b"retry-after: 3\r\n" in head
    assert b"secret" not in head


def test_text_is_broken_off(server):
    """Plain text has no last frame: an answer that fails ends without the end of its body."""
    if "django" in server.name or "fastapi" in server.name:
        pytest.skip("Flask's views have it")
    server.upstream.enqueue(text_reply("Hello!"), Reply([chunk("Hel"), Cut()]))
    with Tab(server.port, path="/text") as tab:
        tab.read_until(b"Hello!")
        assert tab.read_all().endswith(b"\r\n0\r\n\r\n")
    with Tab(server.port, path="/text") as tab:
        tab.read_until(b"Hel")
        assert not tab.read_all().endswith(b"0\r\n\r\n")


def test_the_next_request_is_served(server):
    """After all this the server answers as before."""
    server.upstream.enqueue(text_reply("Hello!"))
    with Tab(server.port) as tab:
        tab.read_until(b'"done"')
    assert b"Hello" in tab.seen

"""Without any one of the names that nobody promises: requests' own adapter, and no mistakes."""

from __future__ import annotations

import http.client
import queue
import threading
import time

import pytest
import urllib3.connection
import urllib3.connectionpool
import urllib3.response
from loopback.conftest import SOON
from raw_server import RawServer, answer_body, http_answer

import inferd_engine as ie
from inferd_engine import footing
from inferd_engine.pool import LoneAdapter, OwningAdapter
from inferd_engine.testing import DONE, Pause, Reply, Stall, Trickle, chunk, error_reply, text_reply

NAMES = [name for _, names in footing.NEEDED for name in names.split()]


def adapter_of(backend):
    (adapter,) = backend._transport._adapters.values()
    return adapter


def test_all_is_there(ask):
    """With the urllib3 that is installed, connections are ours, and serve several calls each."""
    backend = ask()
    for _ in range(3):
        assert backend.complete("x").text
    assert isinstance(adapter_of(backend), OwningAdapter)
    assert backend.upstream.connections == 1


@pytest.fixture
def without(monkeypatch):
    """Let a name be missing, in the eyes of the one who looks."""

    def take_away(missing):
        monkeypatch.setattr(
            footing,
            "hasattr",
            lambda owner, name: name != missing and hasattr(owner, name),
            raising=False,
        )

    return take_away


@pytest.mark.parametrize("name", NAMES)
def test_each_is_looked_for(ask, without, name):
    """Whichever is missing, answers come whole, and every one over a connection of its own."""
    without(name)
    backend = ask(otherwise=lambda _: text_reply("fine"))
    for _ in range(2):
        assert backend.complete("x").text == "fine"
    assert isinstance(adapter_of(backend), LoneAdapter)
    assert backend.upstream.connections == 2


RENAMED = [
    (urllib3.connection.HTTPConnection, "_new_conn"),
    (urllib3.connectionpool.HTTPConnectionPool, "_put_conn"),
    (http.client.HTTPResponse, "_read_status"),
    (http.client.HTTPResponse, "_close_conn"),
]


@pytest.mark.parametrize(("owner", "name"), RENAMED)
def test_a_name_that_is_gone(ask, monkeypatch, owner, name):
    """The name itself is gone; those who know better than we do still find what it stood for."""
    original = vars(owner)[name]

    def under_its_new_name(self, asked):
        if asked == name:
            return original.__get__(self)
        raise AttributeError(asked)

    monkeypatch.delattr(owner, name)
    monkeypatch.setattr(owner, "__getattr__", under_its_new_name, raising=False)
    backend = ask(otherwise=lambda _: text_reply("fine"))
    for _ in range(2):
        assert backend.complete("x").text == "fine"
    assert isinstance(adapter_of(backend), LoneAdapter)


def let_go_in_another_way(response):
    """Put a connection into its pool as a later urllib3 might."""
    connection, response._connection = response._connection, None
    if response._pool and connection:
        try:
            response._pool.pool.put(connection)
        except queue.Full:
            connection.close()


def test_a_name_that_is_no_longer_used(ask, monkeypatch):
    """Connections are let go of past us, under names that are all still there: it is noticed."""
    monkeypatch.setattr(urllib3.response.HTTPResponse, "release_conn", let_go_in_another_way)
    backend = ask(otherwise=lambda _: text_reply("fine"))
    assert backend.complete("x").text == "fine"
    assert isinstance(adapter_of(backend), LoneAdapter)


def test_a_name_that_stops_being_used(ask, monkeypatch):
    """If it is not noticed, no connection that is somebody's serves somebody else."""
    backend = ask(otherwise=lambda _: text_reply("fine"))
    assert backend.complete("x").text == "fine"
    monkeypatch.setattr(urllib3.response.HTTPResponse, "release_conn", let_go_in_another_way)
    streams = []
    for _ in range(4):
        streams.append(backend.stream("x"))
        assert "".join(streams[-1].text()) == "fine"
        for stream in streams:
            stream.close()
    assert isinstance(adapter_of(backend), OwningAdapter)
    assert backend.upstream.connections == 4


@pytest.fixture
def plain(ask, without):
    """Give backends that use requests' own adapter."""
    without("_new_conn")
    return ask


def test_text_comes_as_it_comes(plain, buffer):
    """A stream is a stream: what has come is given before the rest is there."""
    backend = plain(Reply([chunk("a"), Stall()]), buffer=buffer)
    with backend.stream("x") as stream:
        assert next(stream).delta == "a"


@pytest.mark.parametrize("option", ["idle_timeout", "timeout"])
def test_deadlines_hold_against_a_trickle(plain, buffer, option):
    """What comes byte by byte outlasts no deadline there either."""
    trickle = Trickle(b": ping\n\n", 0.01, forever=True)
    backend = plain(Reply([chunk("a"), trickle]), buffer=buffer, **{"timeout": None, option: 0.3})
    begun = time.monotonic()
    with pytest.raises(ie.DeadlineError) as caught:
        backend.complete("x")
    assert caught.value.partial.text == "a"
    assert time.monotonic() - begun < SOON / 2


def test_silence_ends_too(plain):
    """Silence ends with the time that was left when the request was sent."""
    with pytest.raises(ie.DeadlineError):
        plain(Reply([chunk("a"), Stall()]), timeout=0.5).complete("x")


def test_close_is_heard_at_the_next_byte(plain, buffer):
    """close() ends the stream at once for its consumer, and the connection with the next byte."""
    backend = plain(Reply([chunk("a"), *[Pause(0.02), chunk("b")] * 500]), buffer=buffer)
    stream = backend.stream("x")
    assert next(stream).delta == "a"
    closer = threading.Timer(0.1, stream.close)
    closer.start()
    list(stream)
    closer.join()
    assert stream.cancelled
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_errors_are_told(plain):
    """What goes wrong there has the same names."""
    backend = plain(error_reply(429, "slow down"), Reply([chunk("a")], framing="length"))
    with pytest.raises(ie.HttpStatusError, match="slow down"):
        backend.complete("x")
    with pytest.raises(ie.StreamInterruptedError):
        backend.complete("x")
    with ie.OpenAiCompat(base_url="http://127.0.0.1:9", api_key="") as nowhere:
        with pytest.raises(ie.TransportError, match="nothing listens"):
            nowhere.complete("x")


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_surplus_is_nobody_s_there_either(authority, without, tls):
    """No connection serves a second call, so nobody gets somebody else's answer."""
    without("_put_conn")
    context, trusted = authority

    def answer(question, number):
        return [http_answer(answer_body(f"answer to {question}")) + http_answer(answer_body("no"))]

    with (
        RawServer(answer, context if tls else None) as server,
        ie.OpenAiCompat(base_url=server.url, api_key="", verify=trusted, timeout=10.0) as backend,
    ):
        for number in range(3):
            assert backend.complete(f"q{number}").text == f"answer to q{number}"
        assert server.counts == [1, 1, 1]


def test_whole_answers_in_one_document(plain):
    """The answers of a server that does not stream come the same way."""
    document = answer_body("whole")
    reply = Reply([document], headers={"Content-Type": "application/json"}, framing="length")
    assert plain(reply).complete("x").text == "whole"
    assert plain(Reply([chunk("a", finish_reason="stop"), DONE])).complete("x").text == "a"

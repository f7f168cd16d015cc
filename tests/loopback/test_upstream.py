"""The test upstream itself: users build on it."""

from __future__ import annotations

import time

import pytest
import requests

import inferd_engine as ie
from inferd_engine.testing import Gate, Pause, Reply, Trickle, Upstream, chunk, text_reply


def test_it_echoes_by_default():
    """Without replies it says what the user said."""
    with Upstream() as upstream, ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
        assert backend.complete("good morning").text == "You said: good morning"


def test_replies_come_in_order_then_the_default():
    """Replies are given in order; enqueue() adds more."""
    with Upstream(text_reply("a")) as upstream:
        upstream.enqueue(text_reply("b"))
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            assert [backend.complete("c").text for _ in range(3)] == ["a", "b", "You said: c"]


def test_it_wants_its_key():
    """With api_key every request has to carry it."""
    with Upstream(api_key="sk-1") as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="sk-2") as backend:
            with pytest.raises(ie.HttpStatusError, match="401"):
                backend.complete("x")
            assert backend.with_options(api_key="sk-1").complete("x").text


def test_other_paths_are_not_found():
    """It serves the two endpoints and nothing else."""
    with Upstream() as upstream:
        answer = requests.get(f"{upstream.url}/v2/models", timeout=5)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found"}


def test_a_gate_holds_a_reply_back():
    """A gate lets the test say when the reply goes on."""
    gate = Gate()
    with (
        Upstream(Reply([chunk("a"), gate, chunk("b", finish_reason="stop")])) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend,
        backend.stream("x") as stream,
    ):
        assert next(stream) == ie.TextDelta("a")
        assert stream.poll(0.05) is None
        gate.open()
        assert next(stream) == ie.TextDelta("b")


def test_pauses_and_trickles_take_their_time():
    """A pause and a trickle take as long as they say, at least."""
    begun = time.monotonic()
    reply = Reply([Pause(0.05), Trickle(chunk("a", finish_reason="stop")[:10], 0.01)])
    with Upstream(reply) as upstream:
        requests.post(f"{upstream.url}/v1/chat/completions", json={}, timeout=5)
    assert time.monotonic() - begun >= 0.15


def test_it_remembers_what_it_received():
    """Requests are kept, and can be waited for."""
    with Upstream() as upstream:
        with pytest.raises(TimeoutError, match="0 of 1"):
            upstream.wait_for_request(timeout=0.01)
        requests.get(f"{upstream.url}/v1/models?limit=1", headers={"X-A": "b"}, timeout=5)
        received = upstream.wait_for_request()
    assert (received.method, received.path) == ("GET", "/v1/models?limit=1")
    assert received.headers["x-a"] == "b"
    assert received.finished.is_set()
    assert "GET /v1/models" in repr(received)

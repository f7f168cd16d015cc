"""A real server that bears so many answers at once, and refuses the rest with 429."""

from __future__ import annotations

import threading

import inferd_engine as ie
from inferd_engine.testing import DONE, Reply, Upstream, chunk, error_reply
from inferd_engine.testing.steps import Action

BEARS = 12


class Room:
    """Counts the answers under way."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = 0
        self.seen = []
        self.refused = 0

    def answer(self, _):
        with self.lock:
            if self.now >= BEARS:
                self.refused += 1
                return error_reply(429, "busy", headers={"retry-after-ms": "5"})
            self.now += 1
            self.seen.append(self.now)
        return Reply([chunk("a"), Leave(self), chunk(finish_reason="stop"), DONE])


class Leave(Action):
    """Take a moment, then make room."""

    def __init__(self, room):
        self.room = room

    def take(self, peer):
        peer.wait(0.02)
        with self.room.lock:
            self.room.now -= 1


def test_auto_finds_what_it_bears():
    """Every prompt is answered; the room is well used, and few are refused."""
    room = Room()
    with Upstream(otherwise=room.answer) as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            retry = ie.Retry(attempts=1000)
            results = list(backend.map(["x"] * 200, concurrency="auto", retry=retry))
    assert all(result.completion is not None for result in results)
    late = room.seen[-100:]
    assert max(late) > BEARS / 2
    assert room.refused < 100


def test_a_number_that_is_too_high():
    """A fixed number that the server does not bear is cut as well, and all are answered."""
    room = Room()
    with Upstream(otherwise=room.answer) as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            retry = ie.Retry(attempts=1000)
            results = list(backend.map(["x"] * 120, concurrency=60, retry=retry))
    assert all(result.completion is not None for result in results)
    assert room.refused < 200

"""Waiting on purpose takes a fraction of its time, and nothing else is changed."""

from __future__ import annotations

import threading
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import FastForward, Pause, Reply, Stall, Trickle, Upstream, chunk

SOON = 5.0  # seconds: an upper bound, on a loaded machine, of what takes a fraction of one


@pytest.mark.parametrize(
    ("limits", "reply", "phase"),
    [
        ({"idle_timeout": 20.0}, Reply([chunk("one"), Stall()]), "idle"),
        ({"first_token_timeout": 20.0}, Reply([Stall()]), "first_token"),
        ({"timeout": 60.0}, Reply([Trickle(b": life\n\n", 0.01, forever=True)]), "total"),
        ({"timeout": 60.0, "idle_timeout": 20.0}, Reply([chunk("one"), Stall()]), "idle"),
    ],
)
def test_deadlines(backend_at, limits, reply, phase):
    """A deadline passes in a hundredth of its time, and is the one that would have passed."""
    with FastForward(), Upstream(reply) as upstream:
        began = time.monotonic()
        backend = backend_at(upstream.url, **{"timeout": None, **limits})
        with pytest.raises(ie.DeadlineError) as caught:
            backend.complete("Hi")
        assert caught.value.phase == phase
        assert 0.1 < time.monotonic() - began < SOON
        assert {name: getattr(backend.config, name) for name in limits} == limits


def test_a_limit_is_never_too_short(backend_at):
    """What takes no time passes, however fast the clock runs."""
    with FastForward(10_000), Upstream() as upstream:
        backend = backend_at(upstream.url, timeout=10.0, connect_timeout=1.0)
        assert backend.complete("Hi").text == "You said: Hi"


def test_tokens(backend_at):
    """``cancel_after()`` is a deadline of the program's own."""
    with FastForward(), Upstream(Reply([Stall()])) as upstream:
        token = ie.CancelToken()
        token.cancel_after(20)
        began = time.monotonic()
        with pytest.raises(ie.RequestCancelledError):
            backend_at(upstream.url, timeout=300.0).complete("Hi", cancel=token)
        assert 0.1 < time.monotonic() - began < SOON


def test_sleeping():
    """What was slept is told; in every thread, and in no time."""
    with FastForward() as clock:
        began = time.monotonic()
        thread = threading.Thread(target=time.sleep, args=(10,))
        thread.start()
        time.sleep(20)
        thread.join()
        assert sorted(clock.slept) == [10, 20]
        assert 0.2 <= time.monotonic() - began < SOON
        with pytest.raises(ValueError, match="negative"):
            time.sleep(-1)


def test_waiting_with_a_token(monkeypatch):
    """What waits with a token, as retries do, waits as shortly, and is told of too."""
    waited = lambda token, seconds: seconds  # noqa: E731
    monkeypatch.setattr(ie.CancelToken, "wait", waited, raising=False)
    with FastForward() as clock:
        assert ie.CancelToken().wait(20) == 0.2
    assert clock.slept == [20]
    assert ie.CancelToken().wait(20) == 20


def test_what_runs_as_before(backend_at):
    """The upstream's own pauses are as long as they are."""
    with FastForward(), Upstream(Reply([Pause(0.3), chunk("a", finish_reason="stop")])) as upstream:
        began = time.monotonic()
        assert backend_at(upstream.url, timeout=300.0).complete("Hi").text == "a"
        assert time.monotonic() - began >= 0.3


def test_afterwards_all_is_as_it_was(backend_at):
    """Everything is put back, after an error too, and when one is inside of another."""
    before = time.sleep, ie.CancelToken.cancel_after
    with pytest.raises(ZeroDivisionError), FastForward(), FastForward(2):
        assert time.sleep is not before[0]
        raise ZeroDivisionError
    assert (time.sleep, ie.CancelToken.cancel_after) == before
    with Upstream(Reply([chunk("one"), Stall()])) as upstream:
        began = time.monotonic()
        with pytest.raises(ie.DeadlineError):
            backend_at(upstream.url, idle_timeout=0.4).complete("Hi")
        assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize("speed", [0, 0.5, -1, float("nan"), float("inf"), "2"])
def test_wrong_speeds(speed):
    """Time neither stands still nor runs backwards."""
    with pytest.raises(ValueError, match="speed"):
        FastForward(speed)

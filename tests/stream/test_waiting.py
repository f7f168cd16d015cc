"""A token that is waited for: ``CancelToken.wait()``."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time

import pytest
from forking import check_in_a_child, needs_fork

import inferd_engine as ie
from inferd_engine import cancel

FOREVER = 3600.0
SOON = 10.0  # seconds: what takes milliseconds, on a busy machine


class Waiting(threading.Thread):
    """Wait for a token in a thread; ``result()`` gives what that gave."""

    def __init__(self, token, seconds=FOREVER):
        super().__init__(daemon=True)
        self.token, self.seconds, self.given = token, seconds, None
        self.start()
        until = time.monotonic() + 30
        while not [*token._waiting] and self.is_alive() and time.monotonic() < until:
            time.sleep(0.001)

    def run(self):
        self.given = self.token.wait(self.seconds)

    def result(self):
        self.join(SOON)
        assert not self.is_alive(), "it still waits"
        return self.given


def test_it_waits_until_time_is_over():
    """False says that nobody has cancelled, and that the time was waited."""
    token, began = ie.CancelToken(), time.monotonic()
    assert token.wait(0.05) is False
    assert time.monotonic() - began >= 0.05


def test_a_cancel_wakes_it():
    """True says that somebody has cancelled; all who wait are told, at once."""
    token = ie.CancelToken()
    waiting = [Waiting(token) for _ in range(5)]
    token.cancel()
    assert [one.result() for one in waiting] == [True] * 5


def test_what_was_cancelled_before_is_not_waited_for():
    """A token that was cancelled stays so."""
    token = ie.CancelToken()
    token.cancel()
    assert token.wait(FOREVER) is True


@pytest.mark.parametrize("seconds", [0, -1, -1e300, float("-inf")])
def test_nothing_to_wait(seconds):
    """0 or less looks and does not wait."""
    token = ie.CancelToken()
    assert token.wait(seconds) is False
    token.cancel()
    assert token.wait(seconds) is True


@pytest.mark.parametrize("seconds", [10**30, float("inf"), True])
def test_more_than_the_clocks_can_bear(seconds):
    """However long, it is waited, and a cancel ends it."""
    token = ie.CancelToken()
    waiting = Waiting(token, seconds)
    token.cancel()
    assert waiting.result() is True


@pytest.mark.parametrize(
    ("wrong", "error"), [("1", TypeError), (None, TypeError), (float("nan"), ValueError)]
)
def test_what_is_not_a_number_of_seconds(wrong, error):
    """It is refused at once, as everywhere."""
    with pytest.raises(error, match="seconds is "):
        ie.CancelToken().wait(wrong)


def test_its_own_deadline_ends_it():
    """``cancel_after()`` counts, whether it came before or meanwhile, without any thread."""
    token = ie.CancelToken()
    token.cancel_after(0.05)
    assert token.wait(FOREVER) is True
    token = ie.CancelToken()
    waiting = Waiting(token)
    token.cancel_after(0.05)
    assert "inferd-engine-timer" not in [thread.name for thread in threading.enumerate()]
    assert waiting.result() is True


def test_a_deadline_that_is_put_off():
    """Whoever waits goes on when the deadline moves away."""
    token = ie.CancelToken()
    token.cancel_after(FOREVER)
    waiting = Waiting(token, 0.2)
    token.cancel_after(FOREVER * 2)
    assert waiting.result() is False


def test_a_token_that_another_ends():
    """A token may carry another: both ways of ending one reach who waits for the other."""
    outer, inner = ie.CancelToken(), ie.CancelToken()
    outer.join(inner)
    waiting = Waiting(inner)
    outer.cancel()
    assert waiting.result() is True
    outer, inner = ie.CancelToken(), ie.CancelToken()
    outer.join(inner)
    outer.cancel_after(0.05)
    assert inner.wait(FOREVER) is True


def test_nobody_is_left_waiting():
    """Whoever has waited leaves nothing behind with the token."""
    token = ie.CancelToken()
    for _ in range(1000):
        token.wait(0)
    waiting = [Waiting(token, 0.01) for _ in range(5)]
    assert [one.result() for one in waiting] == [False] * 5
    assert not token._waiting


def test_a_token_is_not_kept_by_who_waited():
    """The last reference to a token that was waited for lets it go."""
    import weakref

    token = ie.CancelToken()
    token.wait(0)
    gone = weakref.ref(token)
    del token
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no pthread_kill()")
def test_an_interrupt():
    """Ctrl-C ends the waiting, and leaves nothing behind."""
    token, me = ie.CancelToken(), threading.get_ident()

    def interrupt():
        until = time.monotonic() + 30
        while not [*token._waiting] and time.monotonic() < until:
            time.sleep(0.001)
        signal.pthread_kill(me, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        token.wait(FOREVER)
    assert time.monotonic() - began < 60
    thread.join()
    assert not token._waiting


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no pthread_kill()")
def test_a_cancel_in_a_signal_handler():
    """A handler that runs on the thread that waits may cancel: no lock is in its way."""
    token, me = ie.CancelToken(), threading.get_ident()
    old = signal.signal(signal.SIGUSR1, lambda *_: token.cancel())

    def signals():
        until = time.monotonic() + 30
        while not [*token._waiting] and time.monotonic() < until:
            time.sleep(0.001)
        signal.pthread_kill(me, signal.SIGUSR1)

    thread = threading.Thread(target=signals)
    try:
        thread.start()
        assert token.wait(FOREVER) is True
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, old)


def test_a_cancel_is_never_missed():
    """A cancel that comes while somebody begins to wait is seen: nobody waits on."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            token, barrier = ie.CancelToken(), threading.Barrier(2)

            def strike(token=token, barrier=barrier):
                barrier.wait()
                token.cancel()

            thread = threading.Thread(target=strike)
            thread.start()
            barrier.wait()
            assert token.wait(30.0) is True
            thread.join()
    finally:
        sys.setswitchinterval(old)


def test_no_time_is_spent_on_looking_around():
    """Nothing runs while it waits: no thread, and no loop that wakes up."""
    before, used = threading.active_count(), time.thread_time()
    assert ie.CancelToken().wait(0.3) is False
    assert threading.active_count() == before
    assert time.thread_time() - used < 0.05


def test_where_a_lock_cannot_be_interrupted(monkeypatch):
    """On Windows a lock is deaf to Ctrl-C: it is waited for in pieces."""
    monkeypatch.setattr(cancel, "_PIECE", 0.01)
    token = ie.CancelToken()
    assert token.wait(0.05) is False
    waiting = Waiting(token)
    token.cancel()
    assert waiting.result() is True


@needs_fork
def test_in_a_forked_process():
    """A token that somebody waited for may be waited for in a forked child."""
    token = ie.CancelToken()
    waiting = Waiting(token)

    def check():
        assert not token.wait(0.01)
        token.cancel()
        assert token.wait(FOREVER)

    check_in_a_child(check)
    token.cancel()
    assert waiting.result() is True

"""A token that ends what carries it, at once or after a while."""

from __future__ import annotations

import sys
import threading

import pytest

import inferd_engine as ie

FOREVER = 3600.0


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


def test_token_closes_every_stream_that_carries_it():
    """cancel() ends all streams of a token, and calls made with it later are refused."""
    backend, token = ie.Mock(token_delay=FOREVER), ie.CancelToken()
    streams = [backend.stream("x", cancel=token) for _ in range(3)]
    other = backend.stream("x")
    token.cancel()
    assert token.cancelled
    assert all(stream.cancelled for stream in streams)
    assert not other.cancelled
    other.close()
    with pytest.raises(ie.RequestCancelledError):
        backend.stream("x", cancel=token)


@pytest.mark.parametrize("armed", ["before", "after"])
def test_token_cancels_after_a_while(armed):
    """cancel_after() ends streams whether it was called before or after they began."""
    backend, token = ie.Mock(token_delay=FOREVER), ie.CancelToken()
    if armed == "before":
        token.cancel_after(0.05)
    stream = backend.stream("x", cancel=token)
    if armed == "after":
        token.cancel_after(0.05)
    assert next(stream, "over") == "over"
    assert stream.cancelled


def test_a_token_keeps_no_thread_without_streams():
    """The thread that keeps a token's time goes with the last stream."""
    token = ie.CancelToken()
    token.cancel_after(FOREVER)
    with ie.Mock(token_delay=FOREVER).stream("x", cancel=token):
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("inferd-engine-timer") == 1


def test_an_early_exit_may_be_postponed():
    """cancel_after() called again counts from then."""
    token = ie.CancelToken()
    with ie.Mock(tokens=["a"], token_delay=0.2).stream("x", cancel=token) as stream:
        token.cancel_after(0.05)
        token.cancel_after(FOREVER)
        assert "".join(stream.text()) == "a"


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ("1", TypeError, "is of type str: it has to be a number of seconds"),
        (None, TypeError, "is of type NoneType"),
        (float("nan"), ValueError, "is NaN"),
    ],
)
def test_what_is_not_a_number_of_seconds(wrong, error, said):
    """Whoever waits says for how long, and is told at once if that is nothing to wait for."""
    with pytest.raises(error, match=f"seconds {said}"):
        ie.CancelToken().cancel_after(wrong)
    with ie.Mock().stream("hi") as stream:
        with pytest.raises(error, match=f"timeout {said}"):
            stream.poll(wrong)
        with pytest.raises(error, match=f"seconds {said}"):
            stream.with_heartbeat(wrong)
        assert [event.type for event in stream] == ["text", "done"]

"""Ending a stream early, from every side; against the mock, which blocks until it is cancelled."""

from __future__ import annotations

import gc
import signal
import threading
import warnings

import pytest
from stream.hiring import hire

import inferd_engine as ie
from inferd_engine.cancel import LiveSet
from inferd_engine.stream.token_stream import TokenStream

FOREVER = 3600.0


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def stalled(request):
    """A stream that gives nothing until it is closed."""
    return ie.Mock(token_delay=FOREVER, buffer=request.param).stream("x")


def test_close_wakes_the_consumer(stalled):
    """A consumer that waits in another thread gets StopIteration when the stream is closed."""
    waiting = threading.Event()
    got = []

    def consume():
        waiting.set()
        got.append(next(stalled, "over"))

    consumer = threading.Thread(target=consume)
    consumer.start()
    waiting.wait()
    stalled.close()
    consumer.join(5.0)
    assert got == ["over"]
    assert (stalled.cancelled, stalled.ended, stalled.done) == (True, True, None)


def test_close_is_idempotent(stalled):
    """Closing again does nothing."""
    for _ in range(3):
        stalled.close()
    assert next(stalled, "over") == "over"


def test_close_drops_what_was_not_delivered():
    """After close() nothing is delivered, although it was there."""
    stream = ie.Mock(tokens=["a", "b", "c"]).stream("x")
    assert next(stream).delta == "a"
    stream.close()
    assert list(stream) == []
    assert stream.cancelled


def test_closing_a_finished_stream_does_nothing():
    """A finished stream stays finished."""
    stream = ie.Mock().stream("x")
    list(stream)
    stream.close()
    assert not stream.cancelled
    assert stream.done is not None


def test_with_closes(stalled):
    """Leaving the with block closes the stream."""
    with stalled:
        pass
    assert stalled.cancelled


def test_collect_on_a_closed_stream_says_so(stalled):
    """collect() on a stream that somebody closed raises, with what came before."""
    stalled.close()
    with pytest.raises(ie.RequestCancelledError) as caught:
        stalled.collect()
    assert caught.value.partial.text == ""
    assert caught.value.retryable is False


def test_text_on_a_closed_stream_ends(stalled):
    """text() on a closed stream ends: whoever closed it knows."""
    stalled.close()
    assert list(stalled.text()) == []


@pytest.mark.parametrize("way", ["text", "with_heartbeat"])
def test_closing_a_view_closes_the_stream(way):
    """A server closes what it was given, text() or with_heartbeat(): the upstream is told."""
    with ie.Mock(tokens=["a", "b"], token_delay=0.01).stream("x") as stream:
        view = stream.text() if way == "text" else stream.with_heartbeat(5.0)
        assert next(view)
        view.close()
        view.close()
        assert stream.cancelled
        assert list(view) == []


@pytest.mark.parametrize("way", ["text", "with_heartbeat"])
def test_a_view_is_closed_while_it_waits(way):
    """From another thread, or before it was ever iterated over, it closes as well."""
    stream = ie.Mock(token_delay=FOREVER).stream("x")
    view = stream.text() if way == "text" else stream.with_heartbeat(FOREVER)
    got = []
    consumer = threading.Thread(target=lambda: got.append(list(view)))
    consumer.start()
    view.close()
    consumer.join(5.0)
    assert got == [[]]
    assert stream.cancelled


@pytest.mark.parametrize("way", ["text", "with_heartbeat"])
def test_leaving_a_view_leaves_the_stream_open(way):
    """A break, or dropping the view, says nothing about the stream."""
    with ie.Mock(tokens=["a", "b"]).stream("x") as stream:
        for _ in stream.text() if way == "text" else stream.with_heartbeat(5.0):
            break
        gc.collect()
        assert not stream.ended
        assert [event.type for event in stream] == ["text", "done"]


class Slow(ie.Source):
    """A source whose first read takes as long as somebody wants, whatever happens meanwhile."""

    can_wait = True

    def __init__(self):
        self.is_reading, self.may_go_on = threading.Event(), threading.Event()
        self.is_cancelled = False
        self.closed_by = []

    def read(self, give_up):
        self.is_reading.set()
        self.may_go_on.wait(30)
        assert not self.closed_by, "closed under its reader"
        if self.is_cancelled:
            raise ie.RequestCancelledError("cancelled")
        return [ie.TextDelta("x")]

    def cancel(self):
        self.is_cancelled = True

    def close(self):
        self.closed_by.append(threading.current_thread())


@pytest.mark.parametrize("buffer", [512, 0])
def test_whoever_has_no_turn_only_cancels(buffer):
    """While a consumer parses for long, closing closes nothing under it; it closes at its end."""
    source = Slow()
    stream = TokenStream(source, buffer=buffer, live=LiveSet())
    got = []
    consumer = threading.Thread(target=lambda: got.append(next(stream, "over")))
    consumer.start()
    source.is_reading.wait(10)
    stream.close()
    stream.wait_released(5.0)  # the worker goes, although somebody still reads
    assert stream._worker is None or not stream._worker.is_alive()
    assert source.is_cancelled
    assert not source.closed_by
    source.may_go_on.set()
    consumer.join(10)
    assert got == ["over"]
    assert source.closed_by == [consumer]


@pytest.mark.parametrize("has_worker", [False, True])
def test_dropping_closes_and_warns(has_worker):
    """Dropping the last reference to an unfinished stream closes it, with a ResourceWarning."""
    stream = ie.Mock(token_delay=FOREVER).stream("x")
    worker = hire(stream) if has_worker else None
    reading = stream._reading
    with pytest.warns(ResourceWarning, match="dropped"):
        del stream
        gc.collect()
    if worker is not None:
        worker.join(5.0)
        assert not worker.is_alive()
    assert reading.released_at is not None


def test_dropping_a_finished_stream_is_quiet():
    """A stream that was read to its end is dropped without a word."""
    stream = ie.Mock().stream("x")
    list(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del stream
        gc.collect()


def test_interrupt_closes_and_goes_up(stalled):
    """KeyboardInterrupt in next() closes the stream and is raised."""
    main = threading.main_thread().ident
    waker = threading.Timer(0.05, signal.pthread_kill, [main, signal.SIGINT])
    waker.start()
    with pytest.raises(KeyboardInterrupt):
        next(stalled)
    waker.join()
    assert stalled.cancelled


class SoftLimitError(Exception):
    """What a task queue raises from its signal handler."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer signal")
def test_other_exceptions_of_signal_handlers_leave_it_open():
    """An exception that a signal handler raises goes up, and the stream goes on."""

    def raise_it(signum, frame):
        raise SoftLimitError

    old = signal.signal(signal.SIGALRM, raise_it)
    try:
        with ie.Mock(tokens=["a"], token_delay=0.5).stream("x") as stream:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(SoftLimitError):
                next(stream)
            assert not stream.ended
            assert [event.type for event in stream] == ["text", "done"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_stop_closes_live_streams():
    """stop() closes every live stream, and then the backend is not ready."""
    backend = ie.Mock(token_delay=FOREVER)
    streams = [backend.stream("x") for _ in range(3)]
    backend.stop()
    assert all(stream.cancelled for stream in streams)
    assert not backend.ready()
    with pytest.raises(ie.NotReadyError) as caught:
        backend.stream("x")
    assert caught.value.retryable is False

    # the fixture that looks for threads left behind does the rest


def test_a_worker_that_cannot_start_is_a_clear_error(monkeypatch):
    """Where a worker has to read and none can be started, the call raises and nothing is left."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    backend = ie.Mock()
    events = [ie.TextDelta("a"), ie.Done(ie.StopReason.END_TURN)]
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ie.InternalError, match="no worker thread"):
            backend.open_stream(iter(events))
        assert "".join(backend.stream("x").text()) == "mock-response"  # reads for itself
    assert list(backend.open_stream(iter(events))) == events

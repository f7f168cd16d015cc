"""Exceptions of signal handlers go through and leave the stream as it was, wherever they strike."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

import inferd_engine as ie
from inferd_engine.stream.token_stream import TokenStream
from inferd_engine.testing import DONE, Gate, Reply, Upstream, chunk

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer signal")


EVENTS = [ie.TextDelta("a"), ie.TextDelta("b"), ie.Done(ie.StopReason.END_TURN)]


class SoftLimitError(Exception):
    """What a task queue raises from its signal handler."""


@pytest.fixture
def alarm():
    """Raise an exception from a signal handler in a moment."""
    old = signal.getsignal(signal.SIGALRM)

    def arm(error, seconds=0.05):
        def raise_it(signum, frame):
            raise error

        signal.signal(signal.SIGALRM, raise_it)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("buffer", [512, 0])
@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
@pytest.mark.parametrize(
    "error", [SoftLimitError(), TimeoutError("job"), ValueError("x"), OSError()]
)
def test_the_stream_stays_open(alarm, buffer, framing, error):
    """Whatever a handler raises while next() waits comes out as it is, and the stream goes on."""
    gate = Gate()
    reply = Reply([chunk("a"), gate, chunk("b", finish_reason="stop"), DONE], framing=framing)
    with (
        Upstream(reply) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="", buffer=buffer) as backend,
        backend.stream("x") as stream,
    ):
        assert next(stream) == ie.TextDelta("a")
        alarm(error)
        with pytest.raises(type(error)) as caught:
            next(stream)
        assert caught.value is error
        assert not stream.ended
        gate.open()
        assert [event.type for event in stream] == ["text", "done"]


@pytest.mark.parametrize("ends_in", ["Done", "an error"])
def test_the_ending_is_told_once(monkeypatch, ends_in):
    """An exception that strikes while the stream ends does not swallow the ending."""
    drop = None if ends_in == "Done" else 1
    stream = ie.Mock(tokens=["a", "b"], mid_stream_drop_after=drop).stream("x")
    struck = []

    def strike(self):
        if not struck:
            struck.append(True)
            raise SoftLimitError
        leave(self)

    leave = TokenStream._leave
    monkeypatch.setattr(TokenStream, "_leave", strike)
    given = []
    while not given or given[-1] != "over":
        try:
            given.append(getattr(next(stream, None), "type", "over"))
        except SoftLimitError:
            given.append("struck")
        except ie.StreamInterruptedError:
            given.append("error")
    told = [one for one in given if one in ("done", "error")]
    assert told == (["done"] if drop is None else ["error"])


def test_a_lock_left_behind_is_let_go(monkeypatch):
    """An exception that strikes just after the queue's lock was taken does not leave it locked."""
    stream = ie.Mock().open_stream(event for event in EVENTS)
    condition = stream._buffer.not_empty
    enter = threading.Condition.__enter__
    struck = []

    def strike(self):
        entered = enter(self)
        is_main = threading.current_thread() is threading.main_thread()
        if self is condition and is_main and not struck:
            struck.append(True)
            raise SoftLimitError
        return entered

    monkeypatch.setattr(threading.Condition, "__enter__", strike)
    with pytest.raises(SoftLimitError):
        next(stream)
    assert [event.type for event in stream] == ["text", "text", "done"]


def test_a_lock_that_is_held_for_long_is_left_alone():
    """Whoever holds the queue's lock for long is well: nobody takes it from them."""
    stream = ie.Mock().open_stream(event for event in EVENTS)
    held, free = threading.Event(), threading.Event()

    def hold():
        with stream._buffer.mutex:
            held.set()
            free.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    given = []
    consumer = threading.Thread(target=lambda: given.extend(stream))
    consumer.start()
    consumer.join(0.6)  # longer than the patience that a lost lock was once given
    assert consumer.is_alive()
    free.set()
    holder.join()
    consumer.join()
    assert [event.type for event in given] == ["text", "text", "done"]


@pytest.mark.timeout(120)
def test_a_storm_of_signals(alarm):
    """Hundreds of interruptions while next() waits lose no event and repeat none."""
    texts = [f"{number} " for number in range(3000)]
    storms = 0

    def raise_it(signum, frame):
        if frame is not None and frame.f_code.co_name == "wait":
            raise SoftLimitError

    signal.signal(signal.SIGALRM, raise_it)
    given = []
    stream = ie.Mock(tokens=texts, token_delay=0.0002).stream("x")
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while True:
            try:
                event = next(stream, None)
            except SoftLimitError:
                storms += 1
                continue
            if event is None:
                break
            given.append(event)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert storms > 10
    assert "".join(event.delta for event in given[:-1]) == "".join(texts)
    assert given[-1].type == "done"


def test_close_in_a_storm_never_hangs(alarm):
    """A handler that closes streams, whatever they are in the middle of, never blocks."""
    current = []
    signal.signal(signal.SIGALRM, lambda *_: [stream.close() for stream in current])
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    closed = 0
    try:
        for number in range(300):
            stream = ie.Mock(tokens=["x"] * 50, token_delay=0.0005).stream("x")
            current[:] = [stream] if number % 3 else []
            list(stream)
            closed += stream.cancelled
            stream.wait_released(5.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        current.clear()
    assert closed > 10
    assert sys.getswitchinterval() > 0
    assert threading.active_count() < 10

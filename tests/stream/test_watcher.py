"""No worker until one is needed: one thread sees that a consumer stays away."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import signal
import threading
import time

import pytest

import inferd_engine as ie
from inferd_engine.stream.source import Source
from inferd_engine.stream.watcher import watcher
from inferd_engine.testing import DONE, Gate, Reply, Stall, Upstream, chunk

SOON = 10.0  # seconds: more than anything here takes


def ours(name):
    """Give the threads of this name."""
    return [one for one in threading.enumerate() if one.name.startswith(f"inferd-engine-{name}")]


def until(is_so):
    """Wait until something is so; say whether it is."""
    deadline = time.monotonic() + SOON
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.002)
    return is_so()


@pytest.fixture(autouse=True)
def _alone():
    """Begin without a watcher, and without streams of other tests."""
    gc.collect()
    assert until(lambda: not ours("watcher"))


def test_a_consumer_that_keeps_up_has_no_worker(monkeypatch):
    """However many streams are read, and for however long, one thread watches them."""
    monkeypatch.setattr("inferd_engine.stream.watcher._SHORTEST", 0.25)  # for a busy machine
    backend = ie.Mock(["a"] * 40, token_delay=0.02)
    streams = [backend.stream("x") for _ in range(20)]
    readers = [threading.Thread(target=list, args=(stream,)) for stream in streams]
    for reader in readers:
        reader.start()
    while any(reader.is_alive() for reader in readers):
        assert len(ours("watcher")) <= 1
        time.sleep(0.01)
    assert all(stream.done for stream in streams)
    assert sum(stream._worker is not None for stream in streams) <= 2  # on a very busy machine


def test_a_consumer_that_stays_away_has_one():
    """What it does not come for is read ahead, as far as the buffer allows."""
    stream = ie.Mock(["a"] * 100, buffer=8).stream("x")
    assert until(lambda: stream._worker is not None)
    assert stream._worker.name.startswith("inferd-engine-worker-")
    assert until(lambda: len(stream._buffer.queue) == 4)  # half of what may be undelivered
    assert len(list(stream)) == 101


def test_one_that_comes_and_then_stays_away():
    """A consumer that kept up for long is missed too, once it does not."""
    stream = ie.Mock(["a"] * 100, token_delay=0.002).stream("x")
    for _ in range(50):
        next(stream)
    assert until(lambda: stream._worker is not None)
    assert len(list(stream)) == 51


@pytest.fixture
def upstream(monkeypatch):
    """Give an upstream whose streams are looked at every few milliseconds."""
    monkeypatch.setattr("inferd_engine.stream.watcher._SHORTEST", 0.002)
    monkeypatch.setattr("inferd_engine.stream.watcher._LONGEST", 0.002)
    with Upstream() as upstream:
        yield upstream


def looked_at(stream, monkeypatch):
    """Wait until a stream was looked at some times."""
    looks, due = [], stream._reading.source.due
    monkeypatch.setattr(stream._reading.source, "due", lambda: looks.append(due()) or looks[-1])
    assert until(lambda: len(looks) > 20)


def test_a_silent_stream_has_no_worker(upstream, monkeypatch):
    """Its consumer is away, and there is nothing to read: as soon as there is, it is read ahead."""
    gate = Gate()
    upstream.enqueue(Reply([chunk("a"), gate, *[chunk("b")] * 50, DONE]))
    with ie.OpenAiCompat(upstream.url, api_key="", model="m").stream("x") as stream:
        assert next(stream).delta == "a"
        looked_at(stream, monkeypatch)
        assert stream._worker is None
        gate.open()
        assert until(lambda: len(stream._buffer.queue) > 50)
        assert len(list(stream)) == 51


def test_a_consumer_that_comes_while_it_looks(upstream, monkeypatch):
    """It waits for the moment that takes, and reads for itself: no thread need be started."""
    start, is_asked, may_tell = threading.Thread.start, threading.Event(), threading.Event()

    def refuse(thread):
        if thread.name.startswith("inferd-engine-worker"):
            raise RuntimeError("can't start new thread")
        start(thread)

    def due():
        is_asked.set()
        may_tell.wait(SOON)
        return math.inf

    monkeypatch.setattr(threading.Thread, "start", refuse)
    upstream.enqueue(Reply([chunk("a"), chunk("b"), DONE]))
    with ie.OpenAiCompat(upstream.url, api_key="", model="m").stream("x") as stream:
        monkeypatch.setattr(stream._reading.source, "due", due)
        assert is_asked.wait(SOON)
        given = []
        reader = threading.Thread(target=lambda: given.extend(stream))
        reader.start()
        assert until(lambda: stream._consumer.is_inside)
        may_tell.set()
        reader.join(SOON)
        assert [event.type for event in given] == ["text", "text", "done"]


@pytest.mark.parametrize("limit", ["idle_timeout", "timeout"])
def test_a_clock_runs_out_for_a_silent_stream(upstream, limit):
    """Though nobody reads: the upstream is told, and the consumer, when it is back."""
    upstream.enqueue(Reply([chunk("a"), Stall()]))
    backend = ie.OpenAiCompat(upstream.url, api_key="", model="m", **{limit: 0.3})
    with backend.stream("x") as stream:
        assert next(stream).delta == "a"
        assert upstream.requests[0].gone.wait(SOON)
        assert until(lambda: stream._worker is not None)  # a moment after it was started
        with pytest.raises(ie.DeadlineError):
            next(stream)


def test_a_source_that_cannot_be_asked():
    """What somebody else's says is no reason for silence: who reads it will tell."""

    class Odd(Source):
        can_wait = True
        is_asked = False

        def read(self, give_up):
            raise ie.UpstreamError("broken")

        def cancel(self):
            pass

        def fileno(self):
            self.is_asked = True
            raise OSError("no such thing")

    source = Odd()
    stream = ie.Mock().open_stream(source)
    assert until(lambda: stream._worker is not None)
    assert source.is_asked
    with pytest.raises(ie.UpstreamError, match="broken"):
        next(stream)


def test_a_stream_that_is_closed_while_it_looks():
    """Whoever closes it finds the turn taken: then its source is let go of by the watcher."""
    closed = threading.Event()

    class Asked(Source):
        can_wait = True

        def read(self, give_up):
            raise AssertionError("nobody reads it")

        def cancel(self):
            pass

        def close(self):
            closed.set()

        def fileno(self):
            return -1

        def due(self):
            closer = threading.Thread(target=stream.close)
            closer.start()
            closer.join()
            return math.inf

    stream = ie.Mock().open_stream(Asked())
    assert closed.wait(SOON)
    assert stream._worker is None


def test_a_stream_that_is_merged_while_it_looks(monkeypatch):
    """The merge finds the turn taken, and hears when it is given up."""
    monkeypatch.setattr("inferd_engine.stream.merged._LOOK", 3600.0)
    asked, go_on = threading.Event(), threading.Event()

    class Asked(Source):
        can_wait = True

        def read(self, give_up):
            return [ie.Done(ie.StopReason.END_TURN)]

        def cancel(self):
            pass

        def fileno(self):
            return -1

        def due(self):
            asked.set()
            go_on.wait(SOON)
            return math.inf

    stream = ie.Mock().open_stream(Asked())
    assert asked.wait(SOON)
    with ie.merge([stream]) as merge:
        assert merge.poll(0) is None
        go_on.set()
        assert merge.poll(SOON) == (stream, ie.Done(ie.StopReason.END_TURN))


def test_streams_that_come_while_it_looks():
    """A collection that begins in the middle of a look may end some and open others."""
    backend = ie.Mock(token_delay=3600)
    kept = [backend.stream("x") for _ in range(50)]
    more = []

    def open_one(phase, _):
        if phase == "stop" and len(more) < 200:
            more.append(backend.stream("x"))

    gc.callbacks.append(open_one)
    threshold = gc.get_threshold()
    gc.set_threshold(10)
    try:
        assert until(lambda: len(more) >= 100)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(open_one)
    assert ours("watcher")

    def are_closed():
        for stream in (*kept, *more):
            stream.close()
        return not ours("watcher")  # which may just have been opening one more

    assert until(are_closed)


def test_it_leaves_with_the_last_stream():
    """No thread outlives the streams, but for a moment."""
    with ie.Mock(token_delay=3600).stream("x"), ie.Mock(token_delay=3600).stream("x"):
        assert ours("watcher")
    assert until(lambda: not ours("watcher"))
    assert not watcher._visits


def test_it_is_there_for_the_next_one(monkeypatch):
    """Streams that follow each other have one watcher, not one each."""
    started, start = [], threading.Thread.start

    def counted(thread):
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", counted)
    monkeypatch.setattr("inferd_engine.stream.watcher._LINGER", 2.0)  # for a busy machine
    backend = ie.Mock(["a"])
    for _ in range(50):
        assert len(list(backend.stream("x"))) == 2
    assert started.count("inferd-engine-watcher") <= 2


def test_without_a_buffer_there_is_none():
    """Whoever forbids workers has no watcher either."""
    with ie.Mock(token_delay=3600, buffer=0).stream("x"):
        assert not ours("")


def test_a_dropped_stream_is_not_kept():
    """Nobody is kept alive by being watched."""
    stream = ie.Mock(token_delay=3600).stream("x")
    source = stream._reading
    with pytest.warns(ResourceWarning):
        del stream
        gc.collect()
    assert source.released_at is not None
    assert not watcher._visits


def test_a_worker_that_cannot_be_started(monkeypatch):
    """It is tried again after each nap; the consumer reads for itself meanwhile."""
    is_refused, start = threading.Event(), threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("inferd-engine-worker"):
            is_refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    stream = ie.Mock(["a"] * 3, token_delay=0.001).stream("x")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert is_refused.wait(SOON)
        assert next(stream).delta == "a"
    assert until(lambda: stream._worker is not None)
    assert len(list(stream)) == 3


class StruckError(Exception):
    """What a signal handler raises, or somebody throws into a thread."""


@pytest.mark.parametrize("complaint", [None, KeyError, RuntimeError])
def test_starting_a_worker_may_be_struck(monkeypatch, complaint):
    """Where a worker has to read, the next attempt starts one: nobody waits for none."""
    start = threading.Thread.start

    def strike(thread):
        if thread.name.startswith("inferd-engine-worker"):
            try:
                raise StruckError
            finally:
                if complaint:  # as ``threading`` has them, struck between its lines
                    raise complaint
        start(thread)

    stream = ie.Mock(["a"] * 3, token_delay=0.001).stream("x")
    watcher.discard(stream._consumer)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", strike)
            with pytest.raises(StruckError):
                next(stream)
        assert stream.poll(SOON) == ie.TextDelta("a")
        assert len(list(stream)) == 3
    finally:
        signal.signal(signal.SIGTERM, before)


def test_two_workers_that_both_told_the_end():
    """One whose start was struck may have run all the same, beside the next: there is one end."""
    stream = ie.Mock(["a"] * 3).stream("x")
    assert until(lambda: stream._worker is not None and not stream._worker.is_alive())
    assert stream._reading.outcome is not None
    stream._buffer.end(stream._reading.outcome)
    assert [event.type for event in stream] == ["text"] * 3 + ["done"]


def test_who_waits_for_a_worker_that_somebody_else_could_not_start(monkeypatch):
    """A consumer that relies on the watcher's worker starts its own if that one never comes."""
    is_starting, may_fail, start = threading.Event(), threading.Event(), threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("inferd-engine-worker") and not may_fail.is_set():
            is_starting.set()
            may_fail.wait(SOON)
            raise RuntimeError("can't start new thread")
        start(thread)

    stream = ie.Mock(["a"] * 3, token_delay=0.001).stream("x")
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            assert is_starting.wait(SOON)
            watcher.discard(stream._consumer)
            assert stream.poll(0.01) is None
            may_fail.set()
            assert stream.poll(SOON) == ie.TextDelta("a")
        assert len(list(stream)) == 3
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("place", ["_look", "_watch"])
def test_a_watcher_that_dies_is_replaced(monkeypatch, place):
    """Whatever was thrown into it, and wherever, the next stream starts another."""

    def strike(*_):
        raise StruckError

    with monkeypatch.context() as patched:
        patched.setattr(threading, "excepthook", lambda _: None)  # it dies of it, as it should
        patched.setattr(type(watcher), place, strike)
        first = ie.Mock(["a"]).stream("x")
        assert until(lambda: not ours("watcher"))
    second = ie.Mock(["a"]).stream("x")
    assert until(lambda: first._worker is not None and second._worker is not None)
    assert len(list(first)) == len(list(second)) == 2


def test_starting_the_watcher_may_be_struck(monkeypatch):
    """Then its stream is not opened, and the next one has a watcher."""
    start = threading.Thread.start

    def strike(thread):
        start(thread)
        if thread.name == "inferd-engine-watcher":
            raise StruckError

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", strike)
        with pytest.raises(StruckError):
            ie.Mock(["a"]).stream("x")
    stream = ie.Mock(["a"]).stream("x")
    assert until(lambda: stream._worker is not None)
    assert len(list(stream)) == 2


def test_a_merged_stream_is_not_watched():
    """Whoever merges reads by himself; a stream that he lets go of is watched again."""
    backend = ie.Mock(["a"] * 3, token_delay=0.001)
    with ie.merge([backend.stream("x")]) as merge:
        assert not watcher._visits
        assert [event.type for _, event in merge] == ["text"] * 3 + ["done"]
    stream = backend.stream("x")
    with pytest.raises(TypeError):
        ie.merge([stream, "no stream"])
    assert until(lambda: stream._worker is not None)
    assert len(list(stream)) == 4


def _in_the_child(pipe):
    stream = ie.Mock(["a"] * 3).stream("x")
    is_read = until(lambda: stream._worker is not None)
    pipe.send((is_read, len(list(stream)), os.getpid()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads, yes
def test_a_forked_child_has_its_own():
    """The parent's watcher is not there; the child's streams are watched all the same."""
    with ie.Mock(token_delay=3600).stream("x"):
        assert ours("watcher")
        ours_end, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_in_the_child, args=(theirs,))
        child.start()
        assert ours_end.poll(SOON)
        is_read, count, pid = ours_end.recv()
        child.join(SOON)
    assert is_read
    assert count == 4
    assert pid == child.pid

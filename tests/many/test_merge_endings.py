"""How merged streams end: closed from anywhere, in time, and whatever strikes the thread."""

from __future__ import annotations

import contextlib
import gc
import linecache
import os
import pathlib
import select
import signal
import sys
import threading
import time
import warnings
import weakref

import pytest
from fed_source import Queued
from forking import check_in_a_child, needs_fork
from many.streams import (
    SOON,
    Backend,
    Deaf,
    buffer,
    check_whole,
    gather,
    reply,
    serve,
    text_of,
    until,
)

import inferd_engine as ie
from inferd_engine.stream.buffer import EventBuffer
from inferd_engine.stream.reading import Reading
from inferd_engine.stream.worker import read_ahead
from inferd_engine.testing import DONE, Action, Gate, Pause, Reply, Stall, Trickle, chunk

__all__ = ["buffer", "serve"]  # fixtures

LIMIT = 0.25  # seconds
SLACK = 5.0  # seconds: for a loaded machine


def stalled():
    return Reply([chunk("a"), Stall()])


def in_a_thread(merge):
    """Iterate in a thread of its own; give that and what it was given."""
    given = []
    thread = threading.Thread(target=lambda: given.extend(merge))
    thread.start()
    return thread, given


def in_wait(merge):
    until(lambda: merge._rounds.waiter._is_waiting)


# --- closing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_a_stream_is_closed_by_another_thread(serve, tls, buffer):
    """A closed stream leaves without a word, and the others go on."""
    gate = Gate()
    steps = [chunk("a"), gate, chunk("b", finish_reason="stop"), DONE]
    backend = serve(stalled(), Reply(steps), tls=tls, buffer=buffer)
    closed, other = backend.stream("x"), backend.stream("x")
    with ie.merge([closed, other]) as merge:
        assert {stream for stream, _ in (next(merge), next(merge))} == {closed, other}
        thread, given = in_a_thread(merge)
        in_wait(merge)
        closed.close()
        assert backend.upstream.requests[0].gone.wait(SOON)
        until(lambda: len(merge) == 1)
        gate.open()
        thread.join(SOON)
        assert not thread.is_alive()
    assert [(stream, event.type) for stream, event in given] == [(other, "text"), (other, "done")]
    assert closed.cancelled
    until(lambda: closed._reading.released_at is not None)


def test_the_last_stream_is_closed(serve, buffer):
    """With the last stream the iteration ends."""
    backend = serve(stalled(), buffer=buffer)
    stream = backend.stream("x")
    with ie.merge([stream]) as merge:
        next(merge)
        thread, given = in_a_thread(merge)
        in_wait(merge)
        stream.close()
        thread.join(SOON)
        assert not thread.is_alive()
        assert given == []


def test_a_stream_is_closed_in_the_loop(serve, buffer):
    """What was received of a stream and not given yet is dropped when it is closed."""
    backend = serve(otherwise=lambda _: reply(framing="length"), buffer=buffer)
    streams = [backend.stream("x") for _ in range(4)]
    given = {stream: [] for stream in streams}
    with ie.merge(streams) as merge:
        for stream, event in merge:
            assert not stream.cancelled
            given[stream].append(event)
            if stream is streams[0] and len(given[stream]) == 3:
                stream.close()
    assert len(given.pop(streams[0])) == 3
    check_whole(given, 3)


@pytest.mark.parametrize("how", ["merge", "token", "backend"])
def test_all_are_closed_by_another_thread(serve, how, buffer):
    """close(), a token that they carry and stop() end them all, and the iteration."""
    backend = serve(otherwise=lambda _: stalled(), buffer=buffer)
    token = ie.CancelToken()
    streams = [backend.stream("x", cancel=token) for _ in range(20)]
    with ie.merge(streams) as merge:
        for _ in streams:
            next(merge)
        thread, given = in_a_thread(merge)
        in_wait(merge)
        {"merge": merge.close, "token": token.cancel, "backend": backend.stop}[how]()
        thread.join(SOON)
        assert not thread.is_alive()
        assert given == []
    assert all(stream.cancelled for stream in streams)
    assert all(received.gone.wait(SOON) for received in backend.upstream.requests)
    until(lambda: all(stream._reading.released_at is not None for stream in streams))


def test_the_with_statement_closes_all(serve, buffer):
    """Leaving it early closes all streams, and an exception goes on up."""
    backend = serve(otherwise=lambda _: stalled(), buffer=buffer)
    streams = [backend.stream("x") for _ in range(4)]
    with pytest.raises(ZeroDivisionError), ie.merge(streams) as merge:
        for _ in merge:
            raise ZeroDivisionError
    assert all(stream.cancelled for stream in streams)
    assert all(received.gone.wait(SOON) for received in backend.upstream.requests)
    assert [*merge] == []


def test_a_loop_that_was_left_goes_on(serve, buffer):
    """Break closes nothing: the next loop goes on where that one was."""
    backend = serve(otherwise=lambda _: reply(), buffer=buffer)
    streams = [backend.stream("x") for _ in range(3)]
    given = {}
    with ie.merge(streams) as merge:
        while merge:
            for stream, event in merge:
                given.setdefault(stream, []).append(event)
                break
    check_whole(given, 3)


def test_a_merge_is_dropped(serve, buffer):
    """Dropping a merge closes its streams, and says so."""
    backend = serve(otherwise=lambda _: stalled(), buffer=buffer)
    streams = [backend.stream("x") for _ in range(3)]
    merge = ie.merge(streams)
    next(merge)
    with pytest.warns(ResourceWarning, match="merge was dropped"):
        del merge
        gc.collect()
    assert all(stream.cancelled for stream in streams)
    assert all(received.gone.wait(SOON) for received in backend.upstream.requests)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        merge = ie.merge([ie.Mock("a").stream("x")])
        gather(merge)
        del merge  # nothing is left of it
        gc.collect()


def test_its_streams_are_not_kept(serve, buffer):
    """A stream that has ended is not kept by the merge that gave it, nor by itself."""
    backend = serve(otherwise=lambda _: reply(["a"]), buffer=buffer)
    gc.collect()
    gc.disable()
    try:
        with ie.merge([backend.stream("x") for _ in range(3)]) as merge:
            given = gather(merge)
            assert len(given) == 3
            source = backend.stream("x")
            merge.add(source)
            seen = weakref.ref(source)
            del source
            gather(merge)
            merge.poll(0)
        until(lambda: seen() is None)
    finally:
        gc.enable()


def test_descriptors_are_given_back(serve):
    """A merge leaves no descriptor behind, however its streams ended."""
    backend = serve(otherwise=lambda _: stalled(), buffer=0)

    def run():
        streams = [backend.stream("x") for _ in range(4)]
        with ie.merge(streams) as merge:
            next(merge)
            streams[0].close()
            next(merge)
        assert all(stream._reading.released_at for stream in streams)

    def count():
        folder = pathlib.Path("/proc/self/fd")
        return len([*folder.iterdir()]) if folder.is_dir() else 0

    run()
    for received in backend.upstream.requests:
        assert received.gone.wait(SOON)
    before = count()
    for _ in range(3):
        run()
    assert all(received.gone.wait(SOON) for received in backend.upstream.requests)
    until(lambda: count() <= before + 2)


def closed_by_another(merge):
    """Close a merge in a thread of its own, and wait until that has returned."""
    thread = threading.Thread(target=merge.close)
    thread.start()
    thread.join(SOON)
    assert not thread.is_alive()


def test_closed_when_somebody_is_about_to_wait(monkeypatch):
    """Whoever waits then does not wait."""
    monkeypatch.setattr("inferd_engine.many.merging.rounds._SLICE", 1000.0)
    merge = ie.merge()
    wait = merge._rounds.waiter.wait

    def wait_closed(seconds):
        closed_by_another(merge)
        return wait(seconds)

    merge._rounds.waiter.wait = wait_closed
    assert merge.poll(1000.0) is None


def test_closed_while_somebody_leaves(serve, buffer):
    """Where both find that the other is about to let go, one of them does."""
    backend = serve(stalled(), buffer=buffer)
    stream = backend.stream("x")
    merge = ie.merge([stream])
    next(merge)
    thread, given = in_a_thread(merge)
    in_wait(merge)
    give, me = merge._entry.give, threading.current_thread()

    def give_late(holder):
        if holder is me:
            thread.join(SOON)
        give(holder)

    merge._entry.give = give_late
    merge.close()
    assert not thread.is_alive()
    assert given == []
    assert len(merge) == 0
    assert stream._reading.released_at is not None
    assert merge._rounds.waiter._reader.fileno() < 0


def test_closed_while_somebody_begins_anew(buffer):
    """The one consumer is told that it is over, and not that there is another."""
    merge = ie.merge([ie.Mock("a", buffer=buffer).stream("x")])
    rounds, begin, thread = merge._rounds, merge._begin_anew, threading.Thread(target=merge.close)
    wait, let_go = rounds.waiter.wait, rounds.let_go
    is_letting_go, may_let_go = threading.Event(), threading.Event()

    def strike(_):
        rounds.waiter.wait = wait
        raise MemoryError

    def let_go_late():
        is_letting_go.set()
        may_let_go.wait(SOON)
        let_go()

    def begin_late(over):
        thread.start()
        assert is_letting_go.wait(SOON)
        return begin(over)

    rounds.waiter.wait, rounds.let_go, merge._begin_anew = strike, let_go_late, begin_late
    with pytest.raises(MemoryError):
        next(merge)
    assert next(merge, None) is None
    may_let_go.set()
    thread.join(SOON)
    assert len(merge) == 0


def test_closed_when_somebody_is_about_to_leave(serve, buffer):
    """Whoever leaves lets go of what the one who closed it could not let go of."""
    backend = serve(otherwise=lambda _: stalled(), buffer=buffer)
    streams = [backend.stream("x") for _ in range(3)]
    merge, given = ie.merge(streams), []

    def close_on_yield(frame, *_):
        if frame is not merge._going.gi_frame:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if merge._rounds.given and "yield" in line and not merge._rounds.is_closed:
            closed_by_another(merge)
        return close_on_yield

    def consume():
        sys.settrace(close_on_yield)
        try:
            given.append(next(merge, None))
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=consume)
    thread.start()
    thread.join(SOON)
    assert given == [None]
    assert len(merge) == 0
    assert all(stream._reading.released_at is not None for stream in streams)


def test_an_error_is_not_kept(serve, buffer):
    """Nor is its stream, once the iteration is over."""
    backend = serve(Reply([chunk("a")]), buffer=buffer)
    with ie.merge([backend.stream("x")]) as merge:
        seen = [weakref.ref(one) for one in list(merge)[-1]]
        until(lambda: [one() for one in seen] == [None, None])


# --- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize(
    ("option", "phase", "steps"),
    [
        ("first_token_timeout", "first_token", [Stall()]),
        ("first_token_timeout", "first_token", [Trickle(b": ping\n\n", 0.005, forever=True)]),
        ("idle_timeout", "idle", [chunk("a"), Stall()]),
        ("idle_timeout", "idle", [chunk("a"), Trickle(b"data: " + b"x" * 100_000, 0.01)]),
        ("timeout", "total", [chunk("a"), Stall()]),
        ("timeout", "total", [Trickle(chunk("a"), 0.002, forever=True)]),
    ],
)
def test_every_stream_has_its_own_clocks(serve, option, phase, steps, tls, buffer):
    """A deadline that passes ends its own stream, whatever trickles, and no other."""
    gate = Gate()
    backend = serve(
        Reply(steps),
        Reply([chunk("a"), gate, chunk("b", finish_reason="stop"), DONE]),
        tls=tls,
        buffer=buffer,
        timeout=None,
    )
    begun = time.monotonic()
    late = backend.with_options(**{option: LIMIT}).stream("x")
    other = backend.stream("x")
    with ie.merge([late, other]) as merge:
        stream, error = next(pair for pair in merge if isinstance(pair[1], ie.GenerateError))
        elapsed = time.monotonic() - begun
        assert stream is late
        assert isinstance(error, ie.DeadlineError)
        assert error.phase == phase
        assert LIMIT * 0.9 <= elapsed <= LIMIT + SLACK
        gate.open()
        rest = gather(merge)
    assert rest[other][-1] is other.done


class Asked(Action):
    """Wait until the test has asked for what comes next."""

    def __init__(self):
        self.asked = threading.Semaphore(0)

    def take(self, _):
        self.asked.acquire(timeout=SOON)


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_a_stream_that_has_something_at_every_look(serve, tls, buffer):
    """Its time runs out all the same."""
    asked = Asked()
    backend = serve(Reply([chunk("a"), asked] * 20_000), tls=tls, buffer=buffer, timeout=LIMIT)
    stream, given = backend.stream("x"), []
    fileno = stream._reading.source.fileno()
    with ie.merge([stream]) as merge:
        for _, event in merge:
            given.append(event)
            if isinstance(event, ie.GenerateError):
                break
            asked.asked.release()
            select.select([fileno], [], [], SOON)  # it is there before it is looked for
    asked.asked.release(20_000)
    assert isinstance(given[-1], ie.DeadlineError)
    assert given[-1].phase == "total"


def test_what_came_in_time_is_given_though_nobody_was_there(serve, buffer):
    """A consumer that is slower than the deadlines loses nothing that had come."""
    backend = serve(otherwise=lambda _: reply(), buffer=buffer, idle_timeout=0.2)
    with ie.merge([backend.stream("x") for _ in range(3)]) as merge:
        first = next(merge)
        until(lambda: all(received.gone for received in backend.upstream.requests))
        threading.Event().wait(0.5)
        given = gather(merge)
        given[first[0]].insert(0, first[1])
    check_whole(given, 3)


def test_the_clock_of_silence_begins_with_each_event(serve, buffer):
    """Silence is counted from the last event, however many came one by one before it."""
    steps = [step for _ in range(20) for step in (chunk("a"), Pause(0.1))]
    backend = serve(Reply([*steps, Stall()]), buffer=buffer, idle_timeout=3.0)
    heard = []
    with ie.merge([backend.stream("x")]) as merge:
        heard.extend((time.monotonic(), event) for _, event in merge)
    assert isinstance(heard[-1][1], ie.DeadlineError)
    assert 2.9 <= heard[-1][0] - heard[-2][0] <= 4.0  # it would be 4.8 from the next look on


def test_silence_is_counted_from_the_last_payload(serve, buffer):
    """A comment behind texts neither begins the clock anew nor has it run out early."""
    comment, end = b": ping\n\n", [chunk("d", finish_reason="stop"), DONE]
    late = [chunk("a"), Pause(0.2), chunk("b"), Pause(1.6), comment, Pause(1.2), chunk("c")]
    twice = [Pause(0.2), comment, Pause(0.2), comment]
    live = [chunk("a"), Pause(1.0), chunk("b"), *twice, Pause(1.2), chunk("c"), Pause(1.4)]
    backend = serve(Reply([*late, *end]), Reply([*live, *end]), buffer=buffer, idle_timeout=2.0)
    streams = [backend.stream("x") for _ in range(2)]
    with ie.merge(streams) as merge:
        given = gather(merge)
    assert [event.delta for event in given[streams[0]][:-1]] == ["a", "b"]
    assert isinstance(given[streams[0]][-1], ie.DeadlineError)
    assert text_of(given[streams[1]]) == "abcd"


def test_a_finish_reason_without_an_end(serve, buffer, monkeypatch):
    """After a finish reason a silent upstream is waited for no longer than that is allowed."""
    monkeypatch.setattr("inferd_engine.net.deadlines.LINGER", 0.2)
    backend = serve(Reply([chunk("a"), chunk(finish_reason="stop"), Stall()]), buffer=buffer)
    stream = backend.stream("x")
    with ie.merge([stream]) as merge:
        begun = time.monotonic()
        given = gather(merge)[stream]
        assert time.monotonic() - begun < SLACK
    assert [event.type for event in given] == ["text", "done"]


def test_a_worker_that_nothing_wakes_is_left(buffer):
    """A stream whose worker waits in somebody else's code leaves when it is closed."""
    may_end = threading.Event()

    def stuck():
        yield ie.TextDelta("a")
        may_end.wait(30)

    stream = Backend(stuck, buffer).stream("x")
    with ie.merge([stream]) as merge:
        assert next(merge)[1] == ie.TextDelta("a")
        thread, given = in_a_thread(merge)
        in_wait(merge)
        stream.close()
        thread.join(SOON)
        assert not thread.is_alive()
        assert given == []
    may_end.set()


def test_a_worker_that_was_replaced():
    """It says nothing of an end that somebody else has read: that is told once."""
    reading, buffer = Reading(Queued()), EventBuffer(4)
    reading.posts["post"] = post = object()
    reading.outcome = ie.Done(ie.StopReason.END_TURN)
    read_ahead(reading, buffer, post=object())
    assert buffer.queue == []
    read_ahead(reading, buffer, post=post)
    assert len(buffer.queue) == 1


def test_a_worker_that_cannot_be_started(monkeypatch):
    """Where no thread can be started the stream fails, and the merge goes on."""
    stream = Backend(Deaf, 0).stream("x")
    other = ie.Mock("a", buffer=0).stream("x")

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with ie.merge([stream, other]) as merge:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            given = gather(merge)
    assert isinstance(given[stream][-1], ie.InternalError)
    assert text_of(given[other]) == "a"


# --- signals and processes -----------------------------------------------------------------------


def interrupt_when_waiting(merge):
    def send():
        in_wait(merge)
        os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@contextlib.contextmanager
def handling(handler):
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_ctrl_c_closes_all(serve, buffer):
    """KeyboardInterrupt inside of next() closes all streams and goes on up."""
    backend = serve(otherwise=lambda _: stalled(), buffer=buffer)
    streams = [backend.stream("x") for _ in range(4)]
    merge = ie.merge(streams)
    for _ in streams:
        next(merge)
    with handling(signal.default_int_handler):
        thread = interrupt_when_waiting(merge)
        with pytest.raises(KeyboardInterrupt):
            next(merge)
        thread.join()
    assert all(stream.cancelled for stream in streams)
    assert all(received.gone.wait(SOON) for received in backend.upstream.requests)
    assert len(merge) == 0


def test_another_exception_of_a_handler_leaves_them_open(serve, buffer):
    """What else a signal handler raises goes up, and the streams go on after it."""
    gate = Gate()
    steps = [chunk("a"), gate, chunk("b", finish_reason="stop"), DONE]
    backend = serve(*[Reply(steps)] * 4, buffer=buffer)
    streams = [backend.stream("x") for _ in range(4)]

    def fail(*_):
        raise ZeroDivisionError

    with ie.merge(streams) as merge, handling(fail):
        for _ in streams:
            next(merge)
        thread = interrupt_when_waiting(merge)
        with pytest.raises(ZeroDivisionError):
            next(merge)
        thread.join()
        assert not any(stream.ended for stream in streams)
        gate.open()
        given = gather(merge)
    assert [text_of(given[stream]) for stream in streams] == ["b"] * 4


@pytest.mark.parametrize("what", ["stream", "merge"])
def test_a_handler_closes(serve, what, buffer):
    """close() may be called in a signal handler of the thread that waits."""
    backend = serve(stalled(), stalled(), buffer=buffer)
    streams = [backend.stream("x") for _ in range(2)]
    merge = ie.merge(streams)
    for _ in streams:
        next(merge)

    def close(*_):
        merge.close()
        for stream in streams:
            stream.close()

    def close_streams(*_):
        for stream in streams:
            stream.close()

    with handling(close if what == "merge" else close_streams):
        thread = interrupt_when_waiting(merge)
        assert [*merge] == []
        thread.join()
    merge.close()
    until(lambda: all(stream._reading.released_at for stream in streams))


@needs_fork
def test_a_child_that_is_forked_while_all_is_closed(serve, buffer):
    """It lets go of nothing: that is its parent's."""
    backend = serve(otherwise=lambda _: stalled(), buffer=buffer)
    streams = [backend.stream("x") for _ in range(2)]
    with ie.merge(streams) as merge:
        for _ in streams:
            next(merge)
        merge._rounds.is_closed = True  # what close() does first

        def check():
            with pytest.raises(ie.InternalError):
                next(merge)
            with pytest.raises(ie.InternalError):
                merge.poll(0)
            assert len(merge) == 2
            assert not any(stream.ended for stream in streams)

        check_in_a_child(check)
        for stream in streams:
            fileno = stream._reading.source.fileno()
            if hasattr(select, "epoll"):
                merge._rounds.waiter._poll.modify(fileno, select.EPOLLIN)  # it is there


@needs_fork
def test_a_forked_child_leaves_it_alone(serve, buffer):
    """A merge belongs to the process that made it: its child gives nothing and closes nothing."""
    gate = Gate()
    steps = [chunk("a"), chunk("b"), gate, chunk("c", finish_reason="stop"), DONE]
    backend = serve(*[Reply([b"".join(steps[:2]), *steps[2:]])] * 2, buffer=buffer)
    streams = [backend.stream("x") for _ in range(2)]

    def check():
        nonlocal merge
        with pytest.raises(ie.InternalError):
            next(merge)
        with pytest.raises(ie.InternalError):
            merge.poll(0)
        with pytest.raises(ie.InternalError):
            merge.add(streams[0])
        merge.close()
        del merge
        gc.collect()

    with ie.merge(streams) as merge:
        assert next(merge)[1].delta == "a"
        check_in_a_child(check)  # while there is more that was read
        gate.open()
        given = gather(merge)
    assert sorted(text_of(given[stream]) for stream in streams) == ["abc", "bc"]


@needs_fork
def test_a_child_that_lives_on(serve):
    """Connections that end while a forked child holds them, too, are waited for no more."""
    may_go_on = threading.Event()  # a Gate is a socket, which the child would hold open

    class Wait(Action):
        def take(self, peer):
            may_go_on.wait(30)

    ended = Reply([chunk("a", finish_reason="stop"), DONE], framing="close")
    backend = serve(*[ended] * 4, Reply([Wait(), chunk("b", finish_reason="stop"), DONE]), buffer=0)
    streams = [backend.stream("x") for _ in range(5)]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    try:
        with ie.merge(streams) as merge:
            for _ in range(8):
                next(merge)
            waits = []
            wait = merge._rounds.waiter.wait

            def counted(*arguments):
                waits.append(arguments)
                return wait(*arguments)

            merge._rounds.waiter.wait = counted
            assert merge.poll(0.3) is None
            assert len(waits) < 10
            may_go_on.set()
            assert text_of(gather(merge)[streams[4]]) == "b"
    finally:
        may_go_on.set()
        os.close(writing)
        os.waitpid(child, 0)


def test_a_stream_is_added_while_all_are_closed(serve, buffer):
    """It is closed with the others, and its connection with it."""
    backend = serve(otherwise=lambda _: stalled(), buffer=buffer)
    merge, stream = ie.merge(), backend.stream("x")
    join = merge._rounds.join

    def join_meanwhile(member):
        join(member)
        assert merge.poll(SOON)  # its reader has had a look at it
        merge._rounds.is_closed = True  # what close() does first

    merge._rounds.join = join_meanwhile
    merge.add(stream)
    merge.close()
    assert stream.cancelled
    assert backend.upstream.requests[0].gone.wait(SOON)
    until(lambda: stream._reading.released_at is not None)
    with backend.stream("x") as late, pytest.raises(RuntimeError, match="the merge is closed"):
        merge.add(late)

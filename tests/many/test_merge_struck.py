"""An exception at any line of a thread that reads many streams: nothing hangs, nothing is lost."""

from __future__ import annotations

import contextlib
import gc
import linecache
import threading

import pytest
from forking import check_in_a_child, needs_fork
from stream.test_struck_anywhere import (
    FAULTS,
    SOON,
    Generating,
    Sourced,
    Striker,
    TimeLimitError,
    gone,
    run,
)

import inferd_engine as ie
from inferd_engine._native import IMPLEMENTATION
from inferd_engine.stream.merged import Merged
from inferd_engine.testing import DONE, Gate, Pause, Reply, Upstream, chunk

# Lines from which on an event is on its way; no handler runs in them.
GIVING = {"self.given = member.stream, event", "if pair is None:", "return pair"}
WHOLE = ["text"] * 3 + ["done"]
WAYS = ["http, buffer=0", "all"]
MOST = 60  # strikes of one test, evenly spread over all lines: each is a run of its own


class MergeStriker(Striker):
    """Strike at the n-th line; know whether a pair was about to be returned."""

    def _line(self, frame, what, argument):
        try:
            return super()._line(frame, what, argument)
        except BaseException:
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            self.is_giving = line.strip() in GIVING
            raise


@pytest.fixture
def streams():
    """Give ways to open streams of three texts."""
    reply = Reply([chunk("a"), chunk("b"), chunk("c", finish_reason="stop"), DONE])
    with Upstream(otherwise=lambda _: reply) as upstream:
        options = {"base_url": upstream.url, "api_key": "", "timeout": 20.0}
        with ie.OpenAiCompat(**options) as threaded, ie.OpenAiCompat(buffer=0, **options) as plain:
            backends = {
                "mock": ie.Mock(["a", "b", "c"], buffer=0),
                "iterator": Generating(),
                "source": Sourced(),
                "http": threaded,
                "http, buffer=0": plain,
            }

            def make(way):
                chosen = backends.values() if way == "all" else [backends[way]] * 2
                return [backend.stream("x") for backend in chosen]

            yield make
    gc.collect()  # sockets whose closing was struck


def consume(merge, given, ends):
    """Iterate to the end, and keep what came and how it ended."""
    try:
        for stream, event in merge:
            given[stream].append(getattr(event, "type", event))
        ends.append("over")
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is an end
        ends.append(error)


def go_on(merge, given, ends):
    """Iterate to the end, and go on after what strikes."""
    while True:
        try:
            pair = next(merge, None)
        except BaseException:  # noqa: BLE001 - it is caught, and life goes on
            continue
        if pair is None:
            ends.append("over")
            return
        given[pair[0]].append(getattr(pair[1], "type", pair[1]))


def strikes(streams, way, target, fault):
    """Give strikers: for lines that are evenly spread over those that a thread comes to."""
    counter = MergeStriker(fault, -1)
    opened = streams(way)
    merge = ie.merge(opened)
    assert gone(run(counter, target, merge, {stream: [] for stream in opened}, []))
    merge.close()
    lines = -counter._left
    assert lines > 100
    step = max(1, lines // MOST)
    for number in range(1 + FAULTS.index(fault) if fault in FAULTS else 1, lines, step):
        yield MergeStriker(fault, number)


def check_given(given, where):
    """Every stream gave all that it had and Done, or ended with an error."""
    for events in given.values():
        *before, last = events
        assert events == WHOLE or isinstance(last, ie.GenerateError), (where, events)
        assert "done" not in before, (where, events)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of streams whose closing was struck
@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("way", WAYS)
def test_a_consumer_that_ends(streams, way, fault):
    """Struck at any line, the thread leaves; the merge can be closed, and no worker is left."""
    for striker in strikes(streams, way, consume, fault):
        opened, ends = streams(way), []
        given = {stream: [] for stream in opened}
        merge = ie.merge(opened)
        assert gone(run(striker, consume, merge, given, ends)), striker.where
        if ends == ["over"]:
            check_given(given, striker.where)
        else:
            assert isinstance(ends[0], fault), (striker.where, ends)
        merge.close()
        assert len(merge) == 0, striker.where
        for stream in opened:
            assert stream.ended, striker.where
            assert stream._worker is None or gone(stream._worker), striker.where


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("fault", [MemoryError, TimeLimitError])
@pytest.mark.parametrize("way", WAYS)
def test_a_consumer_that_goes_on(streams, way, fault):
    """What it is given afterwards is all that there is of each stream, or ends with an error."""
    for striker in strikes(streams, way, go_on, fault):
        opened, ends = streams(way), []
        given = {stream: [] for stream in opened}
        merge = ie.merge(opened)
        assert gone(run(striker, go_on, merge, given, ends)), striker.where
        merge.close()
        if ends == ["over"] and not striker.is_giving:
            check_given(given, striker.where)


def struck_once(merge):
    """Have its next wait that finds something raise an exception instead of telling."""
    wait = merge._rounds.waiter.wait

    def strike(seconds):
        if wait(seconds):
            del merge._rounds.waiter.wait
            raise TimeLimitError
        return []

    merge._rounds.waiter.wait = strike


def test_struck_before_what_was_received_is_read_and_again():
    """What a wait has received is taken back at any line, or its stream ends with an error."""
    gates = []

    def reply(_):
        gates[:] = Gate(), Gate()
        last = [chunk("c", finish_reason="stop"), DONE]
        return Reply([chunk("a"), gates[0], chunk("b"), gates[1], *last])

    with Upstream(otherwise=reply) as upstream, ie.OpenAiCompat(upstream.url, api_key="") as asked:
        for number in range(1, 100):
            striker, ends = MergeStriker(TimeLimitError, number), []
            with asked.stream("x") as stream, ie.merge([stream]) as merge:
                given = {stream: [next(merge)[1].type]}
                struck_once(merge)
                gates[0].open()
                with pytest.raises(TimeLimitError):
                    next(merge)
                gates[1].open()
                assert gone(run(striker, go_on, merge, given, ends)), striker.where
                if ends == ["over"] and not striker.is_giving:
                    check_given(given, striker.where)


@pytest.mark.skipif(IMPLEMENTATION != "native", reason="there is no C part")
def test_what_c_is_told_of_is_kept():
    """However it is struck, no pointer to a way is left that nobody keeps."""
    from inferd_engine._native import ffi
    from inferd_engine.many.merging._waiter_native import NativeWaiter

    class Way:
        part = ffi.new("struct socket_texts *")

    def expect(fileno, way):
        with contextlib.suppress(RuntimeError):
            waiter.expect(fileno, way)

    waiter = NativeWaiter()
    for number in range(1, 12):
        for fileno, way in ((9, Way()), (9, None), (600 * number, Way())):
            waiter.expect(9, Way())
            striker = Striker(RuntimeError, number)
            assert gone(run(striker, expect, fileno, way))
            told = {at for at, part in enumerate(waiter._ways) if part != ffi.NULL}
            assert told <= waiter._kept.keys(), striker.where
    waiter.close()


def test_a_thread_that_dies_in_it(streams):
    """What a dead thread had goes to the next that iterates."""
    opened = streams("all")
    given = {stream: [] for stream in opened}
    merge = ie.merge(opened)
    thread = threading.Thread(target=lambda: merge._entry.take(threading.current_thread()))
    thread.start()
    thread.join()
    ends = []
    assert gone(run(None, consume, merge, given, ends))
    assert ends == ["over"]
    check_given(given, None)
    merge.close()


@pytest.mark.parametrize("is_read_here", [True, False])
def test_what_was_received_ahead(is_read_here, monkeypatch):
    """A source that is read here keeps it; one that its worker reads is left alone."""
    turned_back, cancelled = [], threading.Event()

    class Silent(ie.Source):
        can_wait = is_read_here

        def read(self, give_up):
            if give_up is None:
                cancelled.wait()
            return []

        def cancel(self):
            cancelled.set()

        def fileno(self):
            return -1

        def turn_back(self):
            turned_back.append(threading.current_thread())

    def strike(*_):
        monkeypatch.undo()
        raise MemoryError

    with ie.merge([ie.Mock().open_stream(Silent())]) as merge:
        assert merge.poll(0) is None
        monkeypatch.setattr(merge._rounds.waiter, "wait", strike)
        with pytest.raises(MemoryError):
            merge.poll(0)
        assert merge.poll(0) is None
        assert turned_back == [threading.current_thread()] * is_read_here


def test_a_stream_that_was_about_to_be_waited_for(monkeypatch):
    """Struck on the way to the descriptor, the next one who iterates waits for it all the same."""
    gate = Gate()

    def strike(*_):
        monkeypatch.undo()
        raise MemoryError

    with Upstream() as upstream:
        upstream.enqueue(Reply([chunk("a"), gate, chunk("b"), DONE]))
        backend = ie.OpenAiCompat(upstream.url, api_key="", model="m")
        with ie.merge([backend.stream("x")]) as merge:
            monkeypatch.setattr(merge._rounds.waiter, "watch", strike)
            with pytest.raises(MemoryError):
                merge.poll(SOON)
            assert merge.poll(SOON)[1] == ie.TextDelta("a")
            gate.open()
            assert merge.poll(SOON)[1] == ie.TextDelta("b")


@pytest.mark.parametrize("way", [next, lambda merge: merge.poll(SOON)], ids=["next", "poll"])
def test_a_handler_that_reads_what_is_being_read(way, streams):
    """Whoever is inside is let in once; what it came for is given when the handler is through."""
    refused = []

    def refuse(seconds):
        with pytest.raises(RuntimeError, match="one consumer at a time") as caught:
            way(merge)
        refused.append(caught.value)
        del merge._rounds.waiter.wait
        return merge._rounds.waiter.wait(seconds)

    with ie.merge(streams("http")) as merge:
        merge._rounds.waiter.wait = refuse
        assert way(merge)[1] == ie.TextDelta("a")
    assert len(refused) == 1
    assert refused[0].__suppress_context__


def test_a_handler_that_closes_what_is_being_read(streams):
    """The iteration ends, and everything is let go of."""

    def close(seconds):
        merge.close()
        assert next(merge, None) is None
        return wait(seconds)

    opened = streams("all")
    merge = ie.merge(opened)
    wait, merge._rounds.waiter.wait = merge._rounds.waiter.wait, close
    assert next(merge, None) is None
    assert len(merge) == 0
    assert all(stream._reading.released_at is not None for stream in opened)


def test_a_handler_of_its_own_mistake(streams):
    """What it raises is raised, also where it is of the kind that refuses a second consumer."""

    def fail(_):
        del merge._rounds.waiter.wait
        raise ValueError("not a number")

    with ie.merge(streams("http")) as merge:
        merge._rounds.waiter.wait = fail
        with pytest.raises(ValueError, match="not a number"):
            next(merge)
        assert next(merge)[1] == ie.TextDelta("a")


class StruckOnTheWayOut(ie.Merge):
    """One whose consumer is struck when there is something to take."""

    is_struck = True

    def _go(self, give_up):
        found = super()._go(give_up)
        if self.is_struck:
            self.is_struck = False
            raise TimeLimitError
        return found


@pytest.mark.parametrize("way", [next, lambda merge: merge.poll(SOON)], ids=["next", "poll"])
def test_struck_on_the_way_out(way, streams):
    """What was about to be taken is there for the next who comes."""
    stream, other = streams("mock")
    other.close()
    with StruckOnTheWayOut([stream]) as merge:
        with pytest.raises(TimeLimitError):
            way(merge)
        assert way(merge) == (stream, ie.TextDelta("a"))
        assert [event.type for _, event in merge] == ["text", "text", "done"]


def test_struck_on_the_way_out_with_the_last(streams):
    """A stream that has ended is one of the merge until its end was taken."""
    stream, other = streams("mock")
    other.close()
    with StruckOnTheWayOut([stream]) as merge:
        merge.is_struck = False
        assert [next(merge)[1].type for _ in range(3)] == ["text"] * 3
        merge.is_struck = True
        with pytest.raises(TimeLimitError):
            next(merge)
        assert len(merge) == 1
        assert next(merge)[1].type == "done"
        assert len(merge) == 0


@needs_fork
def test_what_was_about_to_be_taken_is_not_for_a_child(streams):
    """A forked child is told that the merge is its parent's."""
    with StruckOnTheWayOut(streams("http")) as merge:
        with pytest.raises(TimeLimitError):
            next(merge)

        def check():
            with pytest.raises(ie.InternalError):
                next(merge)

        check_in_a_child(check)
        assert next(merge)[1] == ie.TextDelta("a")


def test_another_takes_what_was_found(streams):
    """Of two that iterate without a lock one is told so; the iteration does not look finished."""

    class Robbed(ie.Merge):
        def _go(self, give_up):
            found = super()._go(give_up)
            self._rounds.given = None
            return found

    with Robbed(streams("mock")) as merge:
        with pytest.raises(RuntimeError, match="one consumer at a time"):
            next(merge)
        with pytest.raises(RuntimeError, match="one consumer at a time"):
            merge.poll(SOON)


def test_what_was_about_to_be_taken_of_a_stream_that_is_closed(streams):
    """It is dropped: a closed stream leaves without a word."""
    with StruckOnTheWayOut(streams("mock")) as merge:
        with pytest.raises(TimeLimitError):
            next(merge)
        closed = merge._rounds.given[0]
        closed.close()
        rest = list(merge)
    assert [event.type for stream, event in rest] == WHOLE
    assert closed not in {stream for stream, _ in rest}


@pytest.mark.skipif(IMPLEMENTATION != "native", reason="there is no short way")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_struck_on_the_short_way(moment):
    """What was received is lost then, so the stream ends with an error, and not without a word."""
    gate = Gate()
    steps = [chunk("a"), Pause(0.02), chunk("b"), Pause(0.02), chunk("c"), gate, chunk("d"), DONE]
    with Upstream(otherwise=lambda _: Reply(steps)) as upstream:
        backend = ie.OpenAiCompat(upstream.url, api_key="", model="m")
        with backend.stream("x") as stream, ie.merge([stream]) as merge:
            given = [next(merge)[1].delta for _ in range(3)]
            way = stream._reading.source.way
            read = way.read

            def strike(seconds):
                if moment == "after":
                    read(seconds)
                raise MemoryError

            way.read = strike
            gate.open()
            rest = [event for _, event in merge]
    assert given == ["a", "b", "c"]
    assert [type(event) for event in rest] == [ie.InternalError]


@pytest.mark.parametrize("moment", ["in", "after"])
def test_struck_at_the_end_of_a_stream_that_failed(moment, monkeypatch):
    """The next one who comes is given the error."""
    end = Merged.end

    def strike(*_):
        monkeypatch.undo()
        raise MemoryError

    def end_and_strike(member):
        if end(member):
            strike()
        return False

    if moment == "in":
        monkeypatch.setattr("inferd_engine.stream.merged.Bell", strike)
    else:
        monkeypatch.setattr(Merged, "end", end_and_strike)
    with Upstream(Reply([chunk("a"), chunk("b")])) as upstream:
        backend = ie.OpenAiCompat(upstream.url, api_key="", model="m")
        with ie.merge([backend.stream("x")]) as merge:
            given = []
            with pytest.raises(MemoryError):
                given.extend(event for _, event in iter(lambda: next(merge), None))
            given.extend(event for _, event in merge)
    assert [type(event) for event in given][-1] is ie.StreamInterruptedError


class Crossed(ie.Merge):
    """One that a second thread finds empty just before the first one is to take a pair."""

    first = second = None

    def __init__(self, streams):
        self.has_looked, self.is_given, self.is_taken = (threading.Event() for _ in range(3))
        super().__init__(streams)

    @property
    def _going(self):
        if threading.current_thread() is self.second:  # which has found nothing to take
            self.has_looked.set()
            assert self.is_given.wait(SOON)
        return self.going

    @_going.setter
    def _going(self, going):
        self.going = going

    def _go(self, give_up):
        if threading.current_thread() is not self.first:
            return super()._go(give_up)
        assert self.has_looked.wait(SOON)
        found = super()._go(give_up)
        self.is_given.set()
        assert self.is_taken.wait(SOON)
        return found


def test_two_that_come_by_turns_lose_nothing():
    """One that comes when the other is about to take a pair takes that, and the other is told."""
    taken, refused = [], []
    merge = Crossed([ie.Mock(["0", "1", "2", "3"], buffer=0).stream("x")])

    def take():
        try:
            taken.append(next(merge)[1].delta)
            merge.is_taken.set()
        except RuntimeError as error:
            refused.append(error)

    threads = merge.first, merge.second = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert len(refused) == 1
    assert taken + [event.delta for _, event in merge if event.type == "text"] == list("0123")

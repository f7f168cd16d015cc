"""What a backend of somebody else's may rely on, and what its streams promise all the same."""

from __future__ import annotations

import functools
import gc
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest
from fed_source import Queued

import inferd_engine as ie

DONE = ie.Done(ie.StopReason.END_TURN)
TEXTS = [ie.TextDelta("a"), ie.TextDelta("b")]
WORKER = "inferd-engine-worker"
SOON = 5.0


class Backend(ie.Backend):
    """A backend over what a function makes, and nothing else of its own: not even __init__."""

    def __init__(self, make=None, buffer=512):
        self.make = make
        self.buffer = buffer

    name = "somebody's"

    def capabilities(self):
        return ie.BackendCapabilities(v2=True)

    def generate_v2(self, request, *, cancel=None, include_raw=False):
        return self.open_stream(self.make(), cancel=cancel, request_id=request.id)


class Listed(ie.Source):
    """A source that gives these lists, each a read; what is an exception it raises."""

    def __init__(self, *lists):
        self.lists = list(lists)
        self.readers = []
        self.calls = []

    def read(self, give_up):
        self.readers.append(threading.current_thread())
        found = self.lists.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    def cancel(self):
        self.calls.append("cancel")

    def close(self):
        self.calls.append("close")


class Waiting(Queued):
    """A source that somebody else feeds; it gives up in time if it may say so."""

    def __init__(self, *, can_wait):
        super().__init__()
        self.can_wait = can_wait
        self.closed_by = []

    def close(self):
        self.closed_by.append(threading.current_thread().name)


class Generated:
    """A generator of events that says who has read and closed it, and waits if it is told to."""

    def __init__(self, *events, wait_after=None):
        self.closed = threading.Event()
        self.may_go_on = threading.Event()
        self.waits = threading.Event()
        self.threads = []
        self._events = events
        self._wait_after = wait_after

    def __call__(self):
        try:
            for number, event in enumerate(self._events):
                self.threads.append(threading.current_thread().name)
                if number == self._wait_after:
                    self.waits.set()
                    self.may_go_on.wait(30)
                yield event
        finally:
            self.threads.append(threading.current_thread().name)
            self.closed.set()


WAYS = {
    "generator": lambda: (event for event in [*TEXTS, DONE]),
    "iterator": lambda: iter([*TEXTS, DONE]),
    "source": lambda: Listed([TEXTS[0]], [], [TEXTS[1], DONE]),
    "tuples": lambda: Listed((), tuple(TEXTS), (DONE,)),
}


@pytest.mark.parametrize("buffer", [512, 1, 0])
@pytest.mark.parametrize("way", WAYS)
def test_events_then_done(way, buffer):
    """Whatever the source is, events come in order, then one Done, then StopIteration."""
    backend = Backend(WAYS[way], buffer)
    stream = backend.stream("x", id="mine")
    assert list(stream) == [*TEXTS, DONE]
    assert next(stream, "over") == "over"
    assert (stream.done, stream.request_id, stream.stats.events) == (DONE, "mine", 3)
    completion = backend.complete("x")
    assert (completion.text, completion.done, completion.model) == ("ab", DONE, "")
    assert 0 <= completion.stats.ttft <= completion.stats.duration < SOON


@pytest.mark.parametrize("way", WAYS)
def test_heartbeats_and_polls(way):
    """poll() and with_heartbeat() work on any source."""
    with Backend(WAYS[way]).stream("x") as stream:
        assert stream.poll(SOON) == TEXTS[0]
        assert [event for event in stream.with_heartbeat(SOON) if event] == [TEXTS[1], DONE]


@pytest.mark.parametrize("buffer", [512, 0])
@pytest.mark.parametrize(
    "make",
    [
        lambda: iter(TEXTS),
        lambda: (event for event in TEXTS),
        lambda: Listed([TEXTS[0]], [TEXTS[1]], StopIteration()),
    ],
    ids=["iterator", "generator", "source"],
)
def test_without_done_it_was_cut(make, buffer):
    """What ends without a Done was cut; what came before is in partial."""
    backend = Backend(make, buffer)
    with pytest.raises(ie.StreamInterruptedError, match="without Done") as caught:
        backend.complete("x")
    assert caught.value.partial.text == "ab"
    stream, given = backend.stream("x"), []
    with pytest.raises(ie.StreamInterruptedError):
        given.extend(iter(stream.__next__, None))
    assert stream.stats.events == 2
    assert stream.done is None


@pytest.mark.parametrize("buffer", [512, 0])
@pytest.mark.parametrize("kind", ["generator", "source"])
@pytest.mark.parametrize("fault", [ValueError("v"), KeyError("k"), OSError(5, "io")])
def test_a_fault_is_an_internal_error_with_its_cause(fault, kind, buffer):
    """An exception that is not ours becomes an InternalError with its cause."""

    def failing():
        yield TEXTS[0]
        raise fault

    make = failing if kind == "generator" else lambda: Listed([TEXTS[0]], fault)
    with pytest.raises(ie.InternalError, match=type(fault).__name__) as caught:
        Backend(make, buffer).complete("x")
    assert caught.value.__cause__ is fault
    assert caught.value.partial.text == "a"


class UnportableError(Exception):
    """An exception that no pickle can hold, or that cannot be made again."""

    def __init__(self, one, *, lock):
        super().__init__(f"lost {one}")
        self.lock = lock


@pytest.mark.parametrize(
    "fault", [UnportableError(1, lock=None), UnportableError(1, lock=threading.Lock())]
)
def test_any_cause_goes_through_a_pickle(fault):
    """An error pickles whatever its cause is; a cause that does not is told in words."""
    with pytest.raises(ie.InternalError) as caught:
        Backend(lambda: Listed([TEXTS[0]], fault)).complete("x")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is ie.InternalError
    assert str(copy) == str(caught.value)
    assert copy.partial.text == "a"
    assert str(copy.__cause__) == "UnportableError: lost 1"


@pytest.mark.parametrize("fault", [KeyboardInterrupt("k"), SystemExit(3), GeneratorExit()])
def test_what_ends_a_worker_is_told(fault):
    """Whatever a generator raises in the worker, the consumer hears of it."""

    def failing():
        yield TEXTS[0]
        raise fault

    with pytest.raises(ie.InternalError, match=type(fault).__name__) as caught:
        Backend(failing).complete("x")
    assert caught.value.__cause__ is fault


@pytest.mark.parametrize("kind", ["generator", "source"])
def test_an_error_of_ours_is_raised_as_it_is(kind):
    """A GenerateError ends the stream as it is, with the request's id."""
    error = ie.UpstreamError("overloaded", code="overloaded")

    def failing():
        yield TEXTS[0]
        raise error

    make = failing if kind == "generator" else lambda: Listed([TEXTS[0]], error)
    stream = Backend(make).stream("x", id="mine")
    assert next(stream) == TEXTS[0]
    with pytest.raises(ie.UpstreamError) as caught:
        next(stream)
    assert caught.value is error
    assert (error.request_id, error.retryable) == ("mine", False)


def test_empty_pieces_are_left_out():
    """Text and thoughts are never empty, whatever a backend gives."""
    pieces = [ie.TextDelta(""), TEXTS[0], ie.ThinkingDelta(""), DONE]
    for make in (lambda: iter(pieces), lambda: Listed(pieces[:2], pieces[2:])):
        assert list(Backend(make).stream("x")) == [TEXTS[0], DONE]


# --- endings -------------------------------------------------------------------------------------


def test_a_generator_is_closed_by_its_worker():
    """At the end the worker closes the generator that it has read."""
    generated = Generated(*TEXTS, DONE, ie.TextDelta("never"))
    stream = Backend(generated).stream("x")
    assert list(stream) == [*TEXTS, DONE]
    assert generated.closed.wait(SOON)
    assert all(name.startswith(WORKER) for name in generated.threads)
    assert len(generated.threads) == 4


@pytest.mark.parametrize("how", ["close", "drop", "stop", "token"])
def test_ending_early(how):
    """However a stream ends, the consumer is awake at once and the generator is closed later."""
    generated = Generated(*TEXTS, DONE, wait_after=1)
    backend, token = Backend(generated), ie.CancelToken()
    stream = backend.stream("x", cancel=token)
    assert next(stream) == TEXTS[0]
    assert generated.waits.wait(SOON)
    if how == "drop":
        with pytest.warns(ResourceWarning, match="dropped"):
            del stream
            gc.collect()
    else:
        over, given = [], []

        def consume():
            given.extend(stream)
            over.append(time.monotonic())

        consumer = threading.Thread(target=consume)
        consumer.start()
        begun = time.monotonic()
        {"close": stream.close, "stop": lambda: backend.stop(0.0), "token": token.cancel}[how]()
        consumer.join(SOON)
        assert given == []
        assert over[0] - begun < 0.5
        assert stream.cancelled
    assert not generated.closed.is_set()
    generated.may_go_on.set()
    assert generated.closed.wait(SOON)


def test_a_stream_is_a_source():
    """A stream handed on by another backend is closed at once when that one's stream is."""
    inner = ie.Mock(token_delay=3600.0).stream("x")
    with Backend(lambda: inner).stream("x") as outer:
        assert outer.poll(0.05) is None
    assert inner.cancelled
    outer.wait_released(SOON)
    assert Backend(lambda: ie.Mock("a").stream("x")).complete("x").text == "a"


def test_a_cancel_that_fails():
    """What a source raises from cancel() keeps no stream open, and stop() from no other one."""

    class Broken(Waiting):
        def cancel(self):
            super().cancel()
            raise OSError("cancel")

    sources = [Broken(can_wait=True), Broken(can_wait=False), Waiting(can_wait=True)]
    backend = Backend()
    streams = [backend.open_stream(source) for source in sources]
    backend.stop()
    assert all(stream.cancelled for stream in streams)
    assert [len(source.closed_by) for source in sources] == [1, 1, 1]


class Ended(ie.Done):
    """A Done of somebody's own."""


def test_a_subclass_of_done_ends_too():
    """What is a Done ends the stream, whatever its class."""
    end = Ended(ie.StopReason.END_TURN)
    for make in (lambda: iter([end]), lambda: Listed([end])):
        assert list(Backend(make).stream("x")) == [end]


@pytest.mark.parametrize("buffer", [512, 0])
def test_a_token_ends_complete(buffer):
    """complete() ends at once when its token does, though nothing wakes the generator."""
    generated = Generated(DONE, wait_after=0)
    token = ie.CancelToken()
    threading.Thread(target=lambda: generated.waits.wait(SOON) and token.cancel()).start()
    with pytest.raises(ie.RequestCancelledError):
        Backend(generated, buffer).complete("x", cancel=token)
    generated.may_go_on.set()
    assert generated.closed.wait(SOON)


@pytest.mark.parametrize("buffer", [512, 0])
@pytest.mark.parametrize("can_wait", [True, False])
def test_closing_wakes_a_source(can_wait, buffer):
    """close() cancels the source, which wakes its reader; it is closed once, by whoever read."""
    source = Waiting(can_wait=can_wait)
    stream = Backend(lambda: source, buffer).stream("x")
    consumer = threading.Thread(target=lambda: list(stream), name="consumer")
    consumer.start()
    source.events.put(TEXTS[0])
    while not stream.stats.events:
        time.sleep(0.001)
    stream.close()
    consumer.join(SOON)
    assert not consumer.is_alive()
    stream.wait_released(SOON)
    assert len(source.closed_by) == 1
    assert next(stream, "over") == "over"


def test_who_reads():
    """A consumer that waits reads in its own thread where the source gives up in time."""
    for can_wait in (True, False):
        source = Waiting(can_wait=can_wait)
        with Backend(lambda source=source: source).stream("x") as stream:
            source.events.put(TEXTS[0])
            assert next(stream) == TEXTS[0]
            begun = time.monotonic()
            assert stream.poll(0.1) is None
            assert 0.1 <= time.monotonic() - begun < SOON
        names = {name.startswith(WORKER) for name in source.readers}
        assert (False in names) is can_wait


@pytest.mark.parametrize("stopped", [True, False])
def test_what_gets_no_stream_is_closed(stopped):
    """A source that comes too late is cancelled and closed, and the call raises."""
    backend, source, token = Backend(), Listed(), ie.CancelToken()
    generator = Generated(*TEXTS)()
    assert next(generator) == TEXTS[0]
    if stopped:
        backend.stop()
    else:
        token.cancel()
    for one in (source, generator):
        with pytest.raises(ie.NotReadyError if stopped else ie.RequestCancelledError):
            backend.open_stream(one, cancel=token)
    assert source.calls == ["cancel", "close"]
    assert generator.gi_frame is None
    assert backend.ready() is not stopped


def test_time_that_the_source_keeps():
    """What a source says of its time ends a stream whose consumer stays away, after what came."""

    class Late(Listed):
        is_late = False

        def out_of_time(self):
            return ie.DeadlineError("late", phase="total") if self.is_late else None

    source = Late([TEXTS[0]], [TEXTS[1]], [TEXTS[1]])
    stream = Backend(lambda: source, buffer=1).stream("x")
    while len(source.readers) < 2:  # the second waits for room
        time.sleep(0.001)
    source.is_late = True
    stream.wait_released(SOON)
    assert next(stream) == TEXTS[0]
    with pytest.raises(ie.DeadlineError):
        list(stream)


def test_what_waits_is_bounded_in_bytes():
    """At most 8 MiB of events, and one more, wait for a consumer that is busy."""
    read = []

    def large():
        for number in range(100):
            read.append(number)
            yield ie.TextDelta("x" * 1024 * 1024)
        yield DONE

    with Backend(large).stream("x") as stream:
        seen = -1
        while len(read) != seen:
            seen = len(read)
            time.sleep(0.1)
        assert seen <= 9
        assert len(list(stream)) == 101


# --- misuse --------------------------------------------------------------------------------------


async def asynchronous():
    yield DONE


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (asynchronous(), "asynchronous"),
        (None, "of type NoneType"),
        ("text", "of type str"),
        (b"text", "of type bytes"),
        (["a", "b"], r"iter\(…\)"),
        ([DONE], r"iter\(…\)"),
        ({}, r"iter\(…\)"),
        (7, "of type int"),
        (Listed, r"a class: make one, Listed\(…\)"),
        (Generated(DONE).__call__, "a function: call it"),
    ],
)
def test_what_is_no_source_is_refused(given, said):
    """What is neither a source nor an iterator is refused by the call, with what to give."""
    with pytest.raises(TypeError, match=said):
        Backend().open_stream(given)


@pytest.mark.parametrize("buffer", [512, 0])
@pytest.mark.parametrize("found", [None, TEXTS[0], "a", {}, iter(TEXTS), ["a"], [None], [b"a"]])
def test_a_read_that_gives_something_else(found, buffer):
    """What read() gives in place of a list of events ends the stream, and names the source."""
    source = Listed([TEXTS[0]], found)
    with pytest.raises(ie.InternalError, match=r"Listed.read\(\) gave") as caught:
        Backend(lambda: source, buffer).complete("x")
    assert caught.value.partial.text == "a"
    assert source.calls[-1] == "close"


@pytest.mark.parametrize("thing", ["a", None, 7, ["a"], {"type": "text"}])
def test_an_iterator_of_something_else(thing):
    """What an iterator gives in place of an event ends the stream, and names the iterator."""

    def wrongly():
        yield TEXTS[0]
        yield thing

    with pytest.raises(ie.InternalError, match=r"wrongly gave .*TextDelta") as caught:
        Backend(wrongly).complete("x")
    assert caught.value.partial.text == "a"


def test_nothing_comes_after_done():
    """Something after Done in the list of a read is an error."""
    with pytest.raises(ie.InternalError, match="after Done"):
        Backend(lambda: Listed([DONE, TEXTS[0]])).complete("x")


def test_a_source_is_read_once():
    """A second stream over the same source or iterator is refused; the first goes on."""
    generator = (event for event in [*TEXTS, DONE])
    for one in (Listed(TEXTS, [DONE]), generator):
        backend = Backend()
        stream = backend.open_stream(one)
        with pytest.raises(ie.InternalError, match="read once"):
            backend.open_stream(one)
        assert list(stream) == [*TEXTS, DONE]
    with pytest.raises(ie.InternalError, match="read once"):
        backend.open_stream(generator)  # nothing is left of it
    for wrap in (iter, functools.partial(filter, None)):  # the latter does not know its state
        generated = Generated(DONE, wait_after=0)
        one = wrap(generated())
        stream = backend.open_stream(one)
        assert generated.waits.wait(SOON)
        with pytest.raises(ie.InternalError, match="read once"):
            backend.open_stream(one)
        stream.close()
        generated.may_go_on.set()


def test_the_least_backend():
    """A backend needs a name, what it can do, and generate_v2; the rest is there."""
    backend = Backend(lambda: iter([DONE]))
    assert backend.ready()
    request = ie.Request([ie.Message("user", "hi")]).resolve()
    with pytest.raises(ie.InternalError, match="v2 only"):
        backend.generate(request)
    with pytest.raises(TypeError):
        type("Bare", (Backend,), {"__init__": ie.Backend.__init__})(1)
    with pytest.raises(TypeError, match="abstract"):
        ie.Backend()
    with pytest.raises(TypeError, match="abstract"):
        ie.Source()
    backend.stop()
    assert not backend.ready()


# --- processes -----------------------------------------------------------------------------------

_EXIT = """
import threading, time
import inferd_engine as ie

def blocked():
    yield ie.TextDelta("a")
    threading.Event().wait(60)

stream = ie.Mock().open_stream(blocked())
print(next(stream).delta, flush=True)
kept = [stream]
"""


def test_the_interpreter_ends():
    """A stream whose generator waits for ever holds up no exit, and nothing is printed."""
    begun = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", _EXIT], capture_output=True, text=True, check=True, timeout=30
    )
    assert (ran.stdout, ran.stderr) == ("a\n", "")
    assert time.monotonic() - begun < 15


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # threads and fork: that is the point
def test_a_forked_child_has_no_share():
    """In a child the stream is an error; the parent reads on."""
    source = Waiting(can_wait=True)
    with Backend(lambda: source).stream("x") as stream:
        source.events.put(TEXTS[0])
        assert next(stream) == TEXTS[0]
        child = os.fork()
        if not child:
            code = 1
            try:
                next(stream)
            except ie.InternalError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        source.events.put(DONE)
        assert list(stream) == [DONE]

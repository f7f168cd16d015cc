"""An exception at any line of worker or consumer: the consumer ends all the same, and soon."""

from __future__ import annotations

import functools
import gc
import linecache
import sys
import threading
import warnings
from pathlib import Path

import pytest
from stream.hiring import hire

import inferd_engine as ie
from inferd_engine.testing import DONE, Reply, Upstream, chunk

pytestmark = pytest.mark.timeout(300)  # a few hundred answers each: 20 s where others work too

PACKAGE = Path(ie.__file__).parent
PURE = {PACKAGE / "wire", PACKAGE / "proto", PACKAGE / "testing"}
SOON = 5.0  # seconds: what takes milliseconds, unless somebody waits for ever
FAULTS = [MemoryError, KeyboardInterrupt, RuntimeError]


class Striker:
    """Raise an exception at the n-th line of the stream's code that a thread comes to."""

    def __init__(self, fault, number):
        self._fault = fault
        self._left = number
        self.where = None
        self.is_giving = False  # between having an event and returning it: no handler runs there

    def __call__(self, frame, what, argument):
        path = Path(frame.f_code.co_filename)
        is_ours = PACKAGE in path.parents and not PURE & set(path.parents)
        if not is_ours and path.name != "queue.py":
            return None
        # A finalizer of an earlier stream may run in this thread too; its lines are nobody's here.
        return None if is_finalizing(frame) else self._line

    def _line(self, frame, what, argument):
        if what == "line":
            self._left -= 1
            if not self._left:
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
                self.is_giving = line.strip() == "return event"
                raise self._fault("struck")
        return self._line


def is_finalizing(frame):
    """Say whether a frame belongs to a finalizer, directly or not."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def consume(stream, given):
    """Iterate to the end, and keep how it ended."""
    try:
        for event in stream:
            given.append(event.type)
        given.append("closed" if stream.cancelled else "over")
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is an end
        given.append(error)


def run(striker, target, *arguments):
    """Run something in a thread whose lines the striker counts."""

    def traced():
        sys.settrace(striker)
        try:
            target(*arguments)
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=traced, daemon=True)
    thread.start()
    return thread


def gone(thread):
    """Wait until a thread has ended; say whether it has."""
    thread.join(SOON)
    return not thread.is_alive()


def check_ending(given, fault, where):
    """The end is the answer's own, and then it is whole, or an error of ours, or what struck."""
    *events, end = given
    if end == "over":
        assert events == ["text"] * 3 + ["done"], where
    else:
        assert isinstance(end, (ie.GenerateError, fault)), (where, end)
        assert "done" not in events or isinstance(end, fault), where


class Generating(ie.Backend):
    """A backend over a generator, which the worker alone reads."""

    name = "generating"

    def capabilities(self):
        return ie.BackendCapabilities(v2=True)

    def generate_v2(self, request, *, cancel=None, include_raw=False):
        def events():
            yield from map(ie.TextDelta, "abc")
            yield ie.Done(ie.StopReason.END_TURN)

        return self.open_stream(events(), cancel=cancel)


class Whole(ie.Source):
    """A source that gives all in one read: a strike behind that loses it."""

    can_wait = True

    def read(self, give_up):
        return [*map(ie.TextDelta, "abc"), ie.Done(ie.StopReason.END_TURN)]

    def cancel(self):
        pass


class Sourced(Generating):
    """A backend over such a source, which consumer and worker read."""

    def generate_v2(self, request, *, cancel=None, include_raw=False):
        return self.open_stream(Whole(), cancel=cancel)


@pytest.fixture
def asks():
    """Give ways to ask: a script, an iterator, a source, an upstream, one without a worker."""
    reply = Reply([chunk("a"), chunk("b"), chunk("c", finish_reason="stop"), DONE])
    with Upstream(otherwise=lambda _: reply) as upstream:
        options = {"base_url": upstream.url, "api_key": "", "timeout": 20.0}
        with ie.OpenAiCompat(**options) as threaded, ie.OpenAiCompat(buffer=0, **options) as plain:
            yield {
                "mock": ie.Mock(["a", "b", "c"]),
                "iterator": Generating(),
                "source": Sourced(),
                "http": threaded,
                "http, buffer=0": plain,
            }
    gc.collect()  # sockets whose closing was struck


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of streams whose closing was struck
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", ["mock", "iterator", "source", "http", "http, buffer=0"])
def test_consumer(asks, way, fault):
    """Struck at any line, a consumer ends, and so does its worker; the stream can be closed."""
    number = 0
    while True:
        number += 1
        striker = Striker(fault, number)
        stream, given = asks[way].stream("x"), []
        assert gone(run(striker, consume, stream, given)), striker.where
        check_ending(given, fault, striker.where)
        stream.close()
        assert stream.ended
        assert stream._worker is None or gone(stream._worker), striker.where
        if striker.where is None:
            break
    assert number > 50


class TimeLimitError(BaseException):
    """What a task queue throws into a thread."""


def go_on(stream, given, *, later):
    """Iterate to the end, and go on after what strikes: at once, or when the worker is gone."""
    while True:
        try:
            event = next(stream, None)
        except ie.GenerateError as error:
            given.append(type(error).__name__)
            return
        except RuntimeError:  # struck while it left: it is refused as a second consumer
            given.append("refused")
            return
        except BaseException:  # noqa: BLE001 - it is caught, and life goes on
            stream.wait_released(0.5 if later else 0.0)  # longer than its first pause
            continue
        if event is None:
            return
        given.append(event.type)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("fault", [MemoryError, TimeLimitError])
@pytest.mark.parametrize(
    ("way", "later"),
    [
        *((way, False) for way in ("mock", "iterator", "source", "http", "http, buffer=0")),
        ("source", True),
    ],
)
def test_a_consumer_that_goes_on(asks, way, fault, later):
    """What a struck consumer is given afterwards is whole, or ends with an error: none is lost."""
    number = 0
    while True:
        number += 1
        striker = Striker(fault, number)
        stream, given = asks[way].stream("x"), []
        consume_on = functools.partial(go_on, later=later)
        assert gone(run(striker, consume_on, stream, given)), striker.where
        stream.close()
        if striker.where is None:
            break
        if "done" in given and not striker.is_giving:
            assert given == ["text"] * 3 + ["done"], striker.where
    assert number > 50


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", ["mock", "iterator", "source", "http"])
def test_worker(asks, way, fault, monkeypatch):
    """Struck at any line, a worker ends the stream: its consumer is never left waiting."""
    striker = None
    live = threading.Thread.run

    def traced(self):
        if self.name.startswith("inferd-engine-worker"):
            sys.settrace(striker)
        live(self)

    monkeypatch.setattr(threading.Thread, "run", traced)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # it may die of it
    number = 0
    while True:
        number += 1
        striker = Striker(fault, number)
        stream, given = asks[way].stream("x"), []
        gone(hire(stream))
        consumer = threading.Thread(target=consume, args=(stream, given), daemon=True)
        consumer.start()
        assert gone(consumer), striker.where
        assert gone(stream._worker), striker.where
        check_ending(given, fault, striker.where)
        if striker.where is None:
            break
    assert number > 50


def test_a_worker_that_dies_without_a_word(monkeypatch):
    """A worker that could not tell the end is seen to be dead; what it had read is given first."""
    monkeypatch.setattr(
        "inferd_engine.stream.buffer.EventBuffer.end", lambda *_: sys.exit("killed")
    )
    stream, given = Generating().stream("x"), []
    assert gone(run(None, consume, stream, given))
    assert given[:3] == ["text"] * 3
    assert isinstance(given[3], ie.InternalError)
    assert not stream._worker.is_alive()


@pytest.mark.parametrize("who", ["consumer", "worker"])
@pytest.mark.parametrize("fault", [KeyError("k"), AttributeError("a"), ZeroDivisionError()])
def test_the_same_fault_is_the_same_error(monkeypatch, asks, who, fault):
    """A fault in reading an answer is an InternalError with its cause, whoever was reading."""

    def broken(*_):
        raise fault

    monkeypatch.setattr("inferd_engine.wire.openai.answer.Answer.feed", broken)
    stream = asks["http"].stream("x")
    if who == "worker":
        gone(hire(stream))
    with pytest.raises(ie.InternalError, match=type(fault).__name__) as caught:
        list(stream)
    assert caught.value.__cause__ is fault
    assert stream.ended


def test_nothing_is_printed(asks, capfd):
    """A worker that fails says so to its consumer, and to nobody else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asks["http"].complete("x").text == "abc"
    assert capfd.readouterr() == ("", "")

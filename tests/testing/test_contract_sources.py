"""Backends of others, over ``open_stream()``: right ones pass the contract, wrong ones fail.

The wrong ones make mistakes that are easily made: each is one line away from a right one.
"""

from __future__ import annotations

import queue
import threading
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import BackendContract, contract_checks

PATIENCE = 1.5  # seconds that a check waits for what hangs here
made, sources = [], []


def pieces_of(script):
    """Give the events of a script, ``Done`` as the last, and whether it is cut after them."""
    events = [ie.TextDelta(text) for text in script.tokens if text]
    events = list(events if script.events is None else script.events)
    done = ie.Done(ie.StopReason.END_TURN)
    if events and isinstance(events[-1], ie.Done):
        done = events.pop()
    kept = events[: script.mid_stream_drop_after]
    return (kept, True) if len(kept) < len(events) else ([*kept, done], False)


class Theirs(ie.Backend):
    """What all of them are."""

    name = "theirs"

    def __init__(self, script):
        self.script = script
        self.buffer = script.buffer
        self.stopping = threading.Event()
        made.append(self)

    def __reduce__(self):
        return type(self), (self.script,)

    def capabilities(self):
        return ie.BackendCapabilities(v2=True, tools=True, thinking=True)

    def generate_v2(self, request, *, cancel=None, include_raw=False):
        if self.script.pre_stream_error is not None:
            raise self.script.pre_stream_error
        return self.open_stream(self.answer(), cancel=cancel, request_id=request.id)

    def stop(self, timeout=5.0):
        self.stopping.set()
        super().stop(timeout)


class WithAGenerator(Theirs):
    """The shortest way; what waits in it is woken by ``stop()`` alone."""

    def answer(self):
        events, is_cut = pieces_of(self.script)
        for event in events:
            self.stopping.wait(self.script.token_delay)
            yield event
        if is_cut:
            raise ie.StreamInterruptedError("the other side has gone")


class Queued(ie.Source):
    """Events that a thread puts into a short queue; ``cancel()`` wakes whoever waits for them."""

    def __init__(self, script):
        self.script = script
        self.gone = threading.Event()
        sources.append(self)
        self.events = self.make_queue()
        self.producer = threading.Thread(target=self.produce, daemon=True)
        self.producer.start()

    def make_queue(self):
        return queue.Queue(2)

    def produce(self):
        events, is_cut = pieces_of(self.script)
        for event in [*events, *([ie.StreamInterruptedError("cut")] if is_cut else [])]:
            if self.gone.wait(self.script.token_delay):
                return
            while not self.gone.is_set():
                try:
                    self.events.put(event, timeout=0.05)
                    break
                except queue.Full:
                    continue

    def read(self, give_up):
        while not self.gone.is_set():
            left = 0.05 if give_up is None else min(0.05, give_up - time.monotonic())
            if left <= 0:
                return []
            try:
                event = self.events.get(timeout=left)
            except queue.Empty:
                continue
            if isinstance(event, Exception):
                raise event
            return [event]
        return []

    def cancel(self):
        self.gone.set()

    def close(self):
        self.gone.set()


class ReadByTheConsumer(Queued):
    can_wait = True


class WithASource(Theirs):
    source = Queued

    def answer(self):
        return self.source(self.script)


class WithASourceThatWaits(WithASource):
    source = ReadByTheConsumer


class TestGenerator(BackendContract):
    make_backend = staticmethod(WithAGenerator)


class TestSource(BackendContract):
    make_backend = staticmethod(WithASource)


class TestSourceThatWaits(BackendContract):
    make_backend = staticmethod(WithASourceThatWaits)


# --- mistakes ------------------------------------------------------------------------------------


class AsksLate(WithAGenerator):
    def answer(self):
        if self.script.pre_stream_error is not None:
            raise self.script.pre_stream_error
        yield from super().answer()

    def generate_v2(self, request, *, cancel=None, include_raw=False):
        return self.open_stream(self.answer(), cancel=cancel)


class ForgetsTheToken(WithAGenerator):
    def generate_v2(self, request, *, cancel=None, include_raw=False):
        return self.open_stream(self.answer())


class ForgetsTheId(WithAGenerator):
    def generate_v2(self, request, *, cancel=None, include_raw=False):
        return self.open_stream(self.answer(), cancel=cancel)


class ForgetsDone(WithAGenerator):
    def answer(self):
        yield from (event for event in super().answer() if event.type != "done")


class TakesACutForTheEnd(WithAGenerator):
    def answer(self):
        try:
            yield from super().answer()
        except ie.StreamInterruptedError:
            yield ie.Done(ie.StopReason.END_TURN)


class RaisesItsOwnErrors(WithAGenerator):
    def answer(self):
        try:
            yield from super().answer()
        except ie.StreamInterruptedError as error:
            raise ConnectionError(str(error)) from None


class GivesPartsOfCalls(WithAGenerator):
    def answer(self):
        for event in super().answer():
            yield ie.ToolUse("1", "weather", {}) if event.type == "tool_use" else event


class OneStreamAtATime(WithAGenerator):
    lock = threading.Lock()

    def answer(self):
        with self.lock:
            yield from super().answer()


class StopsForItself(WithAGenerator):
    def stop(self, timeout=5.0):
        self.stopping.set()


class StopsAndIsReady(WithAGenerator):
    def ready(self):
        return True


class Deaf(ReadByTheConsumer):
    """``cancel()`` does nothing: whoever reads goes on waiting."""

    def cancel(self):
        pass


class IsDeaf(WithASource):
    source = Deaf


class Stubborn(ReadByTheConsumer):
    """It says that it keeps ``give_up``, and does not."""

    def read(self, give_up):
        return super().read(None)


class IsStubborn(WithASource):
    source = Stubborn


class Locked(ReadByTheConsumer):
    """``cancel()`` takes a lock that ``read()`` holds while it waits."""

    def __init__(self, script):
        self.lock = threading.Lock()
        super().__init__(script)

    def read(self, give_up):
        with self.lock:
            return super().read(give_up)

    def cancel(self):
        with self.lock:
            super().cancel()


class IsLocked(WithASource):
    source = Locked


class Greedy(Queued):
    def make_queue(self):
        return queue.Queue()


class ReadsAllAhead(WithASource):
    source = Greedy


class LosesItsScript(WithAGenerator):
    def __reduce__(self):
        return type(self), (ie.MockConfig(),)


class OneProducer(WithAGenerator):
    """A thread of its own makes all answers; a forked child has no such thread."""

    def __init__(self, script):
        super().__init__(script)
        self.asked = queue.Queue()
        threading.Thread(target=self.produce, daemon=True).start()

    def produce(self):
        while not self.stopping.is_set():
            try:
                answer = self.asked.get(timeout=0.05)
            except queue.Empty:
                continue
            answer.put(list(super().answer()))

    def answer(self):
        given = queue.Queue()
        self.asked.put(given)
        yield from given.get(timeout=60)


WRONG = {
    AsksLate: ["test_an_error_before_the_answer"],
    ForgetsTheToken: [
        "test_a_token_ends_a_stream",
        "test_a_token_ends_a_call",
        "test_a_token_that_was_cancelled_before",
    ],
    ForgetsTheId: ["test_the_id_of_a_request"],
    ForgetsDone: ["test_events_come_in_order", "test_an_answer_that_is_finished"],
    TakesACutForTheEnd: [
        "test_an_answer_that_is_cut",
        "test_the_part_of_an_answer_that_is_cut",
    ],
    RaisesItsOwnErrors: ["test_an_answer_that_is_cut"],
    GivesPartsOfCalls: ["test_events_of_every_kind"],
    OneStreamAtATime: ["test_several_answers_at_once"],
    StopsForItself: ["test_after_stop"],
    StopsAndIsReady: ["test_after_stop"],
    IsDeaf: ["test_close_wakes_the_consumer", "test_stop_ends_every_stream"],
    IsStubborn: ["test_poll_keeps_its_time"],
    IsLocked: ["test_close_wakes_the_consumer"],  # a worker lets go of the lock twice a second
    ReadsAllAhead: ["test_a_consumer_that_stays_away"],
    LosesItsScript: ["test_pickling"],
    OneProducer: ["test_a_forked_process_asks_for_itself"],
}


@pytest.fixture(autouse=True)
def _all_is_stopped():
    """End what wrong backends leave behind."""
    yield
    for source in sources:
        source.gone.set()
    for backend in made:
        backend.stopping.set()
        ie.Backend.stop(backend)
    made.clear()
    sources.clear()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("wrong", "check"),
    [(wrong, check) for wrong in WRONG for check in WRONG[wrong]],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_it_is_found(wrong, check, monkeypatch):
    """The check fails, soon."""
    monkeypatch.setattr(contract_checks, "LIMIT", PATIENCE)

    class Contract(BackendContract):
        make_backend = staticmethod(wrong)

    with pytest.raises((AssertionError, ie.GenerateError)):
        getattr(Contract(), check)()

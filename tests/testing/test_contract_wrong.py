"""Each check of the contract finds a backend that breaks it: one that is deliberately wrong."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import BackendContract, Upstream, contract_checks, script_reply

CHECKS = [name for name in dir(BackendContract) if name.startswith("test_")]
PATIENCE = 1.5  # seconds that a check waits for what hangs here

made = []  # every backend, to be stopped in the end by what is right


class Around:
    """A stream that is all right but for what a subclass breaks."""

    def __init__(self, stream):
        self.stream = stream

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.stream)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def collect(self):
        return ie.Completion.of(self)

    def text(self):
        return (event.delta for event in self if event.type == "text")


class Right(ie.Mock):
    """A backend that is right, to begin with."""

    around = staticmethod(lambda stream: stream)

    def __init__(self, config=None, **fields):
        super().__init__(config, **fields)
        made.append(self)

    def generate_v2(self, request, **options):
        return self.around(super().generate_v2(request, **options))


# --- what comes ----------------------------------------------------------------------------------


class Nameless(Right):
    name = ""


class Backwards(Right):
    def __init__(self, script):
        super().__init__(script, tokens=script.tokens[::-1])


class Endless(Right):
    class around(Around):  # noqa: N801 - it is a function to its user
        def __next__(self):
            event = super().__next__()
            if event.type == "done":
                raise StopIteration
            return event


class DoneTwice(Right):
    class around(Around):  # noqa: N801
        again = True

        def __next__(self):
            try:
                return super().__next__()
            except StopIteration:
                self.again, before = False, self.again
                if before:
                    return self.stream.done
                raise


class WithEmptyDeltas(Right):
    class around(Around):  # noqa: N801
        count = 0

        def __next__(self):
            self.count += 1
            return ie.TextDelta("") if self.count == 2 else super().__next__()


class AfterDone(Right):
    class around(DoneTwice.around):  # noqa: N801
        def __next__(self):
            was = self.stream.done
            event = super().__next__()
            return ie.TextDelta("late") if was else event


class NeverDone(Right):
    class around(Around):  # noqa: N801
        done = None


class WithoutCalls(Right):
    class around(Around):  # noqa: N801
        def __next__(self):
            event = super().__next__()
            return ie.TextDelta("I would call") if event.type == "tool_use" else event


class CompleteForgets(Right):
    def complete(self, *asked, **options):
        completion = super().complete(*asked, **options)
        return ie.Completion(completion.text[:-1], done=completion.done)


class FlatTextInDeltas(Right):
    def generate(self, request):
        return self.stream("Hi")


class WithoutIds(Right):
    class around(Around):  # noqa: N801
        request_id = None


class OneAtATime(Right):
    lock = threading.Lock()

    def complete(self, *asked, **options):
        with self.lock:
            return super().complete(*asked, **options)


# --- what goes wrong -----------------------------------------------------------------------------


class CutLooksWhole(Right):
    class around(Around):  # noqa: N801
        def __next__(self):
            try:
                return super().__next__()
            except ie.StreamInterruptedError:
                raise StopIteration from None


class CutIsAnyError(Right):
    class around(Around):  # noqa: N801
        def text(self):
            for event in self:
                yield event.delta

        def __next__(self):
            try:
                return super().__next__()
            except ie.StreamInterruptedError as error:
                raise ValueError(str(error)) from None


class NothingPartial(Right):
    def complete(self, *asked, **options):
        try:
            return super().complete(*asked, **options)
        except ie.StreamInterruptedError as error:
            error.partial = None
            raise


class FailsLate(Right):
    """The request is made by whoever reads first: a generator's favourite mistake."""

    def generate_v2(self, request, **options):
        def late():
            stream = Right.generate_v2(self, request, **options)
            yield from stream

        return late()


class TornError(ie.StreamInterruptedError):
    def __reduce__(self):
        return ie.StreamInterruptedError, ("something",)


class ErrorsDoNotTravel(Right):
    def complete(self, *asked, **options):
        try:
            return super().complete(*asked, **options)
        except ie.StreamInterruptedError as error:
            raise TornError(str(error)) from None


class SendsAnything(Right):
    def complete(self, prompt, **options):
        return super().complete(prompt or "nothing", **options)


# --- who waits for whom --------------------------------------------------------------------------


class PollWaits(Right):
    class around(Around):  # noqa: N801
        def poll(self, timeout):
            time.sleep(timeout + 1.0)


class WithoutBeats(Right):
    class around(Around):  # noqa: N801
        def with_heartbeat(self, seconds):
            return iter(self)


class RaisesAgain(Right):
    class around(Around):  # noqa: N801
        error = None

        def __next__(self):
            if self.error is not None:
                raise self.error
            try:
                return super().__next__()
            except ie.StreamInterruptedError as error:
                self.error = error
                raise


class NoDeadline(ie.OpenAiCompat):
    def __init__(self, script):
        self.upstream = Upstream(otherwise=lambda _: script_reply(script)).__enter__()
        super().__init__(self.upstream.url, api_key="")

    def with_options(self, **options):
        return self

    def stop(self, timeout=5.0):
        super().stop(timeout)
        self.upstream.close()


class TwoConsumers(Right):
    class around(Around):  # noqa: N801
        def __init__(self, stream):
            super().__init__(stream)
            self.lock = threading.Lock()

        def __next__(self):
            with self.lock:
                return super().__next__()


class ReadsAllAhead(Right):
    class around(Around):  # noqa: N801
        def __init__(self, stream):
            super().__init__(stream)
            self.events = []
            self.reader = threading.Thread(target=self.read, daemon=True)
            self.reader.start()

        def read(self):
            self.events.extend(self.stream)

        def __next__(self):
            while not self.events:
                if not self.reader.is_alive():
                    raise StopIteration
                time.sleep(0.001)
            return self.events.pop(0)


# --- ending early --------------------------------------------------------------------------------


class CloseForgetsTheConsumer(Right):
    class around(Around):  # noqa: N801
        def close(self):
            pass


class CloseKeepsWhatCame(Right):
    class around(Around):  # noqa: N801
        def __init__(self, stream):
            super().__init__(stream)
            self.events = iter([*stream])
            self.cancelled = False

        def __next__(self):
            return next(self.events)

        def close(self):
            self.cancelled, self.done = True, None


class CloseUndoesTheEnd(Right):
    class around(Around):  # noqa: N801
        def close(self):
            self.stream.close()
            self.cancelled = True


class CloseOnceOnly(Right):
    class around(Around):  # noqa: N801
        is_closed = False

        def close(self):
            self.stream.close()
            if self.is_closed:
                raise RuntimeError("closed already")
            self.is_closed = True


class CloseTakesALock(Right):
    class around(Around):  # noqa: N801
        def __init__(self, stream):
            super().__init__(stream)
            self.lock = threading.Lock()

        def __next__(self):
            with self.lock:
                return super().__next__()

        def close(self):
            with self.lock:
                self.stream.close()


class CollectsHalf(Right):
    class around(Around):  # noqa: N801
        def collect(self):
            return ie.Completion("half")


class ViewsOnly(Right):
    class around(Around):  # noqa: N801
        pass  # its text() is a generator, which knows nothing of the stream


class NeverForgets(Right):
    def __init__(self, config=None, **fields):
        super().__init__(config, **fields)
        self.streams = []

    def generate_v2(self, request, **options):
        stream = super().generate_v2(request, **options)
        self.streams.append(stream)
        return stream


class IgnoresTokens(Right):
    def generate_v2(self, request, *, cancel=None, include_raw=False):
        return super().generate_v2(request, include_raw=include_raw)


class StopsNothing(Right):
    def stop(self, timeout=5.0):
        self._stopped = True


class NeverStopped(Right):
    def stop(self, timeout=5.0):
        pass


class AlwaysReady(Right):
    def ready(self):
        return True


class SwallowsInterrupts(Right):
    class around(Around):  # noqa: N801
        def __next__(self):
            try:
                return super().__next__()
            except KeyboardInterrupt:
                raise StopIteration from None


# --- processes -----------------------------------------------------------------------------------


class OneProcess(Right):
    def __init__(self, config=None, **fields):
        super().__init__(config, **fields)
        self.process = os.getpid()

    def complete(self, *asked, **options):
        if os.getpid() != self.process:
            raise RuntimeError("somewhere else")
        return super().complete(*asked, **options)


class HangsInTheChild(OneProcess):
    def complete(self, *asked, **options):
        if os.getpid() != self.process:
            time.sleep(600)
        return super().complete(*asked, **options)


class StreamsEverywhere(Right):
    around = CloseKeepsWhatCame.around


class PicklesAnother(Right):
    def __reduce__(self):
        return ie.Mock, (ie.MockConfig(tokens=["another"]),)


WRONG = {
    "test_it_says_what_it_is": [Nameless],
    "test_events_come_in_order": [Backwards, Endless, DoneTwice, WithEmptyDeltas, AfterDone],
    "test_an_answer_that_is_finished": [NeverDone],
    "test_events_of_every_kind": [WithoutCalls],
    "test_complete_is_the_stream_as_a_whole": [CompleteForgets, Backwards],
    "test_flat_text": [FlatTextInDeltas],
    "test_the_id_of_a_request": [WithoutIds],
    "test_several_answers_at_once": [OneAtATime, CompleteForgets],
    "test_an_answer_that_is_cut": [CutLooksWhole, CutIsAnyError, RaisesAgain],
    "test_the_part_of_an_answer_that_is_cut": [NothingPartial, CutLooksWhole],
    "test_an_error_before_the_answer": [FailsLate],
    "test_errors_can_be_pickled": [ErrorsDoNotTravel],
    "test_a_request_that_cannot_be_sent": [SendsAnything],
    "test_poll_keeps_its_time": [PollWaits],
    "test_a_heartbeat": [WithoutBeats],
    "test_deadlines": [NoDeadline],
    "test_one_consumer_at_a_time": [TwoConsumers],
    "test_a_consumer_that_stays_away": [ReadsAllAhead],
    "test_close_wakes_the_consumer": [CloseForgetsTheConsumer, CloseTakesALock],
    "test_close_before_anybody_waits": [CloseKeepsWhatCame],
    "test_close_after_the_end": [CloseUndoesTheEnd],
    "test_close_from_many_threads": [CloseOnceOnly, CloseForgetsTheConsumer],
    "test_close_in_a_signal_handler": [CloseTakesALock, CloseForgetsTheConsumer],
    "test_collect_of_a_stream_that_was_closed": [CollectsHalf],
    "test_closing_a_view": [ViewsOnly],
    "test_a_stream_that_is_dropped": [NeverForgets],
    "test_a_token_ends_a_stream": [IgnoresTokens],
    "test_a_token_ends_a_call": [IgnoresTokens],
    "test_a_token_with_a_deadline": [IgnoresTokens],
    "test_a_token_that_was_cancelled_before": [IgnoresTokens],
    "test_stop_ends_every_stream": [StopsNothing],
    "test_after_stop": [NeverStopped, AlwaysReady],
    "test_an_interrupt": [SwallowsInterrupts],
    "test_a_forked_process_asks_for_itself": [OneProcess, HangsInTheChild],
    "test_a_stream_does_not_cross_a_fork": [StreamsEverywhere],
    "test_pickling": [PicklesAnother],
}


@pytest.fixture(autouse=True)
def _all_is_stopped(monkeypatch):
    """Let checks give up soon, and end what wrong backends leave behind."""
    monkeypatch.setattr(contract_checks, "LIMIT", PATIENCE)
    monkeypatch.setattr("inferd_engine.testing.contract_stops.LIMIT", PATIENCE)
    yield
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    for backend in made:
        ie.Mock.stop(backend)
    made.clear()


def test_every_check_is_checked():
    """No check is without a backend that it finds."""
    assert sorted(WRONG) == sorted(CHECKS)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("check", "wrong"),
    [(check, wrong) for check in WRONG for wrong in WRONG[check]],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_it_is_found(check, wrong):
    """The check fails, soon, and says what is wrong."""

    class Contract(BackendContract):
        def make_backend(self, script):
            return wrong(script)

    with pytest.raises((AssertionError, RuntimeError, ie.GenerateError)):
        getattr(Contract(), check)()


def test_without_the_method():
    """Whoever forgets make_backend() is told."""
    with pytest.raises(NotImplementedError, match="make_backend"):
        BackendContract().test_after_stop()

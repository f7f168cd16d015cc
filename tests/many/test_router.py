"""Several backends as one: who is asked, what counts, and what is told if nobody answers."""

from __future__ import annotations

import contextlib
import gc
import logging
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from many.clocks import clock
from scripted import OverHttp

import inferd_engine as ie
from inferd_engine.testing import (
    BackendContract,
    Cut,
    Reply,
    Upstream,
    chunk,
    error_reply,
)

__all__ = ["clock"]  # a fixture

HAS_NOTES = sys.version_info >= (3, 11)
SOON = 10.0  # seconds: what takes milliseconds, on a busy machine
CUT = ["half", ie.StreamInterruptedError("cut")]


def status(number, **fields):
    return ie.HttpStatusError(f"status {number}", status=number, **fields)


def notes_of(error):
    return getattr(error, "__notes__", [])


class Named(ie.Mock):
    """A mock with a name of its own, and capabilities that the test gives it."""

    def __init__(self, answer, can=None):
        super().__init__(answer)
        self.can = can

    def capabilities(self):
        return super().capabilities() if self.can is None else self.can


class TestRouterOfMocks(BackendContract):
    def make_backend(self, script):
        return ie.Router([ie.Mock(script), NeverReady()])


class TestRouterToTheSecond(OverHttp):
    """The first one is not ready: everything is promised of the second."""

    def make_backend(self, script):
        return ie.Router([NeverReady(), self.over_http(script)])


class NeverReady(ie.Mock):
    def __init__(self, *_):
        super().__init__()

    def ready(self):
        return False


def test_the_first_is_asked():
    """As long as it answers, nobody else is."""
    first, second = ie.Mock("first"), ie.Mock("second")
    router = ie.Router([first, second])
    assert [router.complete("Hi").text for _ in range(5)] == ["first"] * 5
    assert (len(first.requests), len(second.requests)) == (5, 0)


def test_one_that_is_not_ready_is_passed_over():
    """And it is asked again as soon as it is ready."""
    first, second = ie.Mock("first"), ie.Mock("second")
    router = ie.Router([first, second])
    first.set_ready(False)
    assert router.complete("Hi").text == "second"
    first.set_ready(True)
    assert router.complete("Hi").text == "first"


def test_the_next_answers_for_one_that_fails(clock):
    """Each is asked once a call; after three failures the first is not asked for thirty seconds."""
    first, second = ie.Mock(status(503)), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    assert [router.complete("Hi").text for _ in range(5)] == ["second"] * 5
    assert len(first.requests) == 3
    clock.now += 29.9
    router.complete("Hi")
    assert len(first.requests) == 3
    clock.now += 0.1
    assert [router.complete("Hi").text for _ in range(5)] == ["second"] * 5
    assert len(first.requests) == 4, "one try, which failed"


def test_one_that_is_well_again_is_asked_again(clock):
    """One try whose answer is whole, and it is the first as before."""
    first, second = ie.Mock(answers=[status(500)] * 3 + ["first"]), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    for _ in range(3):
        router.complete("Hi")
    clock.now += 30
    assert [router.complete("Hi").text for _ in range(5)] == ["first"] * 5


@pytest.mark.parametrize("number", [401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 529])
def test_what_is_the_backends_fault(number, clock):
    """Also a key that is refused and a model that is not there: another may have both."""
    first, second = ie.Mock(status(number, retryable=number > 407)), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    for _ in range(4):
        assert router.complete("Hi").text == "second"
    assert len(first.requests) == 3


@pytest.mark.parametrize(
    "error",
    [
        ie.InvalidRequestError("x"),
        ie.AttachmentUnsupportedError("x"),
        ie.UnsupportedError("x"),
        ie.RequestCancelledError("x"),
        status(400, retryable=False),
        status(413, retryable=False),
        status(422, retryable=False),
        ie.UpstreamError("x", code="invalid_request_error", retryable=False),
        ie.UpstreamError("x", code="context_length_exceeded", retryable=False),
        ie.UpstreamError("x", code="400", retryable=False),
        ie.UpstreamError("x", code="validationException", retryable=False),
    ],
    ids=repr,
)
def test_what_is_the_callers_affair(error, clock):
    """A wrong request and a cancel are raised at once, and count for nobody."""
    first, second = ie.Mock(error), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    for _ in range(4):
        with pytest.raises(type(error)) as caught:
            router.complete("Hi")
        assert (caught.value.attempts, notes_of(caught.value)) == (1, [])
    assert (len(first.requests), len(second.requests)) == (4, 0)


@pytest.mark.parametrize("error", [ie.NotReadyError("x"), ie.InternalError("x")], ids=repr)
def test_one_that_cannot_now(error, clock):
    """A backend that says so itself is passed over, and it counts for nothing."""
    first, second = ie.Mock(error), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    assert [router.complete("Hi").text for _ in range(9)] == ["second"] * 9
    assert len(first.requests) == 9


def test_what_is_no_error_of_ours_goes_up(clock):
    """A fault of a backend's author, or Ctrl-C, is not hidden by the next one."""

    def fault(_):
        raise ZeroDivisionError

    router = ie.Router([ie.Mock(fault), ie.Mock("second")], clock=clock)
    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            router.complete("Hi")


# --- in the middle -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        CUT,
        ["half", ie.TransportError("reset")],
        ["half", ie.DeadlineError("slow", phase="idle")],
        ["half", ie.Done(ie.StopReason.ERROR, None, "abort")],
    ],
    ids=["cut", "reset", "idle", "gave up"],
)
def test_a_stream_that_breaks_counts_for_its_backend(broken, clock):
    """Nobody else is asked for that answer, and after three of them the next is asked."""
    first, second = ie.Mock(answers=[broken]), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    for _ in range(3):
        with router.stream("Hi") as stream, contextlib.suppress(ie.UnavailableError):
            assert next(stream).delta == "half"
            list(stream)
    assert router.complete("Hi").text == "second"
    assert len(first.requests) == 3


def test_a_stream_that_breaks_over_http():
    """The same, from an upstream that cuts."""
    with Upstream(otherwise=lambda _: Reply([chunk("half"), Cut()])) as upstream:
        first, second = ie.OpenAiCompat(upstream.url, api_key=""), ie.Mock("second")
        with ie.Router([first, second]) as router:
            for _ in range(3):
                with pytest.raises(ie.StreamInterruptedError):
                    router.complete("Hi")
            assert router.complete("Hi").text == "second"


@pytest.mark.parametrize("how", ["close", "token", "drop", "leave"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_stream_that_is_closed_does_not_count(how, clock):
    """Whoever stops reading says nothing about the backend."""
    first, second = ie.Mock(["a", "b", "c"]), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    for _ in range(5):
        token = ie.CancelToken()
        stream = router.stream("Hi", cancel=token)
        next(stream)
        if how == "close":
            stream.close()
        elif how == "token":
            token.cancel()
        elif how == "leave":
            with stream:
                pass
        del stream
        gc.collect()
    assert router.complete("Hi").text == "abc"
    assert len(first.requests) == 6


def test_a_try_that_is_closed_leaves_the_door_open(clock):
    """The next call tries."""
    first, second = ie.Mock(answers=[status(500)] * 3 + [["a", "b"]]), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    for _ in range(3):
        router.complete("Hi")
    clock.now += 30
    with router.stream("Hi") as stream:
        next(stream)
        assert router.complete("Hi").text == "second", "one tries at a time"
    assert router.complete("Hi").text == "ab"


def test_a_try_that_is_lost_leaves_the_door_open(clock):
    """Whatever strikes between the answer and its end."""
    first = ie.Mock(answers=[status(500)] * 3 + ["a"])
    router = ie.Router([first, ie.Mock("second")], clock=clock)
    for _ in range(3):
        router.complete("Hi")
    clock.now += 30
    stream, *_ = router._first(
        lambda one: one.stream("Hi"), None, lambda _: True
    )  # as if struck before anybody is told of its end
    stream.close()
    del _
    gc.collect()
    assert router.complete("Hi").text == "a"


# --- nobody --------------------------------------------------------------------------------------


def test_all_have_failed():
    """The last error is raised; it counts, and says what became of each."""
    third = ie.Mock("never")
    third.set_ready(False)
    router = ie.Router([ie.Mock(status(503)), third, ie.Mock(ie.TransportError("reset"))])
    with pytest.raises(ie.TransportError) as caught:
        router.complete("Hi")
    assert (str(caught.value), caught.value.attempts) == ("reset", 2)
    said = [
        "backends[0] (mock) failed: HttpStatusError: status 503",
        "backends[1] (mock) is not ready",
        "backends[2] (mock) failed: TransportError: reset",
    ]
    assert notes_of(caught.value) == (said if HAS_NOTES else [])


def test_one_that_may_be_asked_again_is_enough():
    """The last error is retryable if a second call might reach somebody."""
    router = ie.Router(
        [ie.Mock(status(503, retry_after=2.0)), ie.Mock(status(401, retryable=False))]
    )
    with pytest.raises(ie.HttpStatusError, match="401") as caught:
        router.complete("Hi")
    assert (caught.value.retryable, caught.value.retry_after) == (True, 2.0)
    router = ie.Router(
        [ie.Mock(status(404, retryable=False)), ie.Mock(status(401, retryable=False))]
    )
    with pytest.raises(ie.HttpStatusError, match="401") as caught:
        router.complete("Hi")
    assert not caught.value.retryable


def test_a_router_of_one_says_nothing_twice():
    """With one backend its error is the error."""
    with pytest.raises(ie.HttpStatusError) as caught:
        ie.Router([ie.Mock(status(503))]).complete("Hi")
    assert (caught.value.attempts, notes_of(caught.value)) == (1, [])


def test_nobody_may_be_asked(clock):
    """``NotReadyError`` says of each why, and when one may be asked."""
    first, second = ie.Mock(status(503)), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    second.set_ready(False)
    for _ in range(3):
        with pytest.raises(ie.HttpStatusError):
            router.complete("Hi")
    assert not router.ready()
    clock.now += 12.0
    with pytest.raises(ie.NotReadyError) as caught:
        router.complete("Hi")
    assert (caught.value.retryable, caught.value.retry_after) == (True, 18.0)
    assert str(caught.value) == (
        "no backend may be asked now: backends[0] (mock) has failed again and again: it is asked "
        "in 18 s; backends[1] (mock) is not ready"
    )
    clock.now += 18.0
    assert router.ready()


def test_a_retry_waits_until_one_may_be_asked(clock):
    """What the breaker says is what ``Retry`` waits for."""
    router = ie.Router([ie.Mock(answers=[status(500)] * 3 + ["well again"])], clock=clock)
    for _ in range(3):
        with pytest.raises(ie.HttpStatusError):
            router.complete("Hi")
    with pytest.raises(ie.NotReadyError) as caught:
        router.complete("Hi")
    assert ie.Retry().pause(caught.value, attempt=1, elapsed=0.0) == 30.0
    clock.now += 30.0
    assert ie.Retrying(router).complete("Hi").text == "well again"


# --- the other calls -----------------------------------------------------------------------------


def test_vectors(clock):
    """Who makes none is passed over; failures and answers count as those of streams do."""
    none = ie.BackendCapabilities(v2=True)
    first, third = Named("first", none), ie.Mock("third")
    with Upstream(otherwise=lambda _: error_reply(503, "m")) as upstream:
        second = ie.OpenAiCompat(f"{upstream.url}/v1", api_key="")
        with ie.Router([first, second, third], clock=clock) as router:
            for _ in range(5):
                assert router.embeddings("Hi").model == "mock"
    assert len(first.requests) == 0
    assert len(third.requests) == 5
    router = ie.Router([first])
    with pytest.raises(ie.UnsupportedError):
        router.embeddings("Hi")


def test_flat_text_and_models():
    """Version 1 goes to whoever speaks it; models are those of the first that tells."""
    request = ie.Request([ie.Message("user", "Hi")]).resolve()
    with ie.Router([ie.OpenAiCompat("http://localhost:9", api_key=""), ie.Mock("b")]) as router:
        assert ie.Completion.of(list(router.generate(request))).text == "b"
        assert router.models() == ["mock"]
    with ie.Router([Listless(), ie.Mock("b")]) as router:
        assert router.models() == ["mock"]
    with ie.Router([Listless()]) as router, pytest.raises(ie.UnsupportedError, match="none of"):
        router.models()


class Listless(ie.Backend):
    """A backend of somebody's own, which does what it has to and no more."""

    @property
    def name(self):
        return "listless"

    def capabilities(self):
        return ie.BackendCapabilities(v2=True)

    def generate_v2(self, request, *, cancel=None, include_raw=False):
        return self.open_stream(iter([ie.Done(ie.StopReason.END_TURN)]), cancel=cancel)


def test_capabilities_are_those_of_all():
    """A request may rely on what all can do; vectors are made if one makes them."""
    every = ie.BackendCapabilities(*[True] * 7, ie.AcceleratorInfo("cuda"))
    some = ie.BackendCapabilities(v2=True, tools=True)
    router = ie.Router([Named("a", every), Named("b", some)])
    assert router.capabilities() == ie.BackendCapabilities(v2=True, tools=True, embed=True)
    assert ie.Router([Named("a", every)] * 2).capabilities() == every


def test_other_settings_over_the_same_breakers(clock):
    """What is known of who has failed is known to both."""
    first, second = ie.Mock(status(503)), ie.Mock("second")
    router = ie.Router([first, second], clock=clock)
    for _ in range(3):
        router.complete("Hi")
    other = router.with_options(token_delay=0.0)
    assert type(other) is ie.Router
    assert other.complete("Hi").text == "second"
    assert len(first.requests) == 3


# --- life ----------------------------------------------------------------------------------------


def test_it_stops_all():
    """The backends are its own: they are stopped with it, and refuse for good."""
    backends = [ie.Mock("a"), ie.Mock("b")]
    with ie.Router(backends) as router:
        stream = router.stream("Hi")
        assert router.ready()
    assert stream.cancelled
    assert not any(backend.ready() for backend in [router, *backends])
    with pytest.raises(ie.NotReadyError, match="'router' was stopped") as caught:
        router.complete("Hi")
    assert not caught.value.retryable


def test_a_cancelled_call_asks_nobody_else():
    """A token that strikes while one backend is asked ends the call there."""
    token, second = ie.CancelToken(), ie.Mock("second")

    def fail(_):
        token.cancel()
        return status(503)

    router = ie.Router([ie.Mock(fail), second])
    with pytest.raises(ie.RequestCancelledError):
        router.complete("Hi", cancel=token)
    assert second.requests == []


def test_it_goes_through_a_pickle(clock):
    """With its backends and its clock, and as if nobody had failed."""
    router = ie.Router([ie.Mock(status(503)), ie.Mock("second")])
    for _ in range(3):
        router.complete("Hi")
    copy = pickle.loads(pickle.dumps(router))
    assert copy.complete("Hi").text == "second"
    assert len(copy.backends[0].requests) == 1
    assert copy._clock is time.monotonic


@pytest.mark.parametrize(
    ("backends", "error", "said"),
    [
        ([], ie.InvalidRequestError, "backends is empty"),
        (ie.Mock(), TypeError, "backends is of type Mock: give a list"),
        (None, TypeError, "backends is None: give a list"),
        ([ie.Mock(), "http://localhost"], TypeError, r"backends\[1\] is of type str"),
    ],
)
def test_what_it_is_not_made_of(backends, error, said):
    """It is refused when it is made."""
    with pytest.raises(error, match=said):
        ie.Router(backends)


def test_a_clock_that_is_none():
    """It is refused when the router is made, and not when a backend fails for the first time."""
    with pytest.raises(TypeError, match="clock is of type float: give a function"):
        ie.Router([ie.Mock()], clock=time.monotonic())


def test_what_it_shows():
    """The names of those that it asks, in a line."""
    assert repr(ie.Router([ie.Mock(), ie.Retrying(ie.Mock())])) == "Router([mock, mock])"
    assert ie.Router([ie.Mock()]).name == "router"


def test_who_is_out_is_logged(caplog, clock):
    """When a backend is not asked any more, and when it answers again."""
    caplog.set_level(logging.INFO, "inferd_engine")
    first = ie.Mock(answers=[status(503)] * 3 + ["well"])
    router = ie.Router([first, ie.Mock("second")], clock=clock)
    for _ in range(3):
        router.complete("Hi")
    clock.now += 30.0
    router.complete("Hi")
    assert [one.getMessage() for one in caplog.records] == [
        "backends[0] (mock) has failed again and again: it is not asked for 30 s",
        "backends[0] (mock) answers again",
    ]


def test_a_hundred_threads_at_the_half_open_door(clock):
    """One of them tries, and the others are answered by the next."""
    lock, together = threading.Lock(), threading.Barrier(100)
    gate, asked = threading.Event(), []

    def answer(request):
        with lock:
            asked.append(request)
        if len(asked) <= 3:
            return status(503)
        gate.wait(SOON * 6)
        return "first"

    router = ie.Router([ie.Mock(answer), ie.Mock("second")], clock=clock)
    for _ in range(3):
        router.complete("Hi")
    clock.now += 30.0

    def call(_):
        together.wait()
        text = router.complete("Hi").text
        if text == "second":
            with lock:
                answered.append(text)
                if len(answered) == 99:
                    gate.set()
        return text

    answered: list[str] = []
    with ThreadPoolExecutor(100) as pool:
        texts = list(pool.map(call, range(100)))
    assert sorted(texts) == ["first"] + ["second"] * 99
    assert len(asked) == 4
    assert router.complete("Hi").text == "first"


def test_many_threads_at_once():
    """Whoever fails and whoever answers, each call has an answer, and the row is what it was."""
    first = ie.Mock(answers=[status(503), "first", CUT, "first"] * 50)
    router = ie.Router([first, ie.Mock("second")])

    def call(_):
        try:
            return router.complete("Hi").text
        except ie.StreamInterruptedError:
            return "cut"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(call, range(300))) <= {"first", "second", "cut"}

"""A backend that asks again: until there is a stream, and never after."""

from __future__ import annotations

import logging
import pickle
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripted import OverHttp

import inferd_engine as ie
from inferd_engine.testing import (
    BackendContract,
    Cut,
    Reply,
    Stall,
    Upstream,
    chunk,
    error_reply,
    json_reply,
    text_reply,
)

SOON = 10.0  # seconds: what takes milliseconds, on a busy machine
AT_ONCE = ie.Retry(max_wait=0)
HAS_NOTES = sys.version_info >= (3, 11)
KEY = "sk-canary-canary-canary"


def busy(said="busy", **fields):
    return ie.HttpStatusError(said, status=503, **fields)


def notes_of(error):
    return getattr(error, "__notes__", [])


class TestRetryingMock(BackendContract):
    def make_backend(self, script):
        return ie.Retrying(ie.Mock(script), ie.Retry(2, max_wait=0))


class TestRetryingOpenAiCompat(OverHttp):
    def make_backend(self, script):
        return ie.Retrying(self.over_http(script), ie.Retry(2, max_wait=0))


class Waiting(threading.Thread):
    """Make a call in a thread of its own; ``result()`` gives what it raised or gave."""

    def __init__(self, backend, call):
        super().__init__(daemon=True)
        self.call, self.given = call, None
        self.start()
        until = time.monotonic() + 30
        while not [*backend._live] and self.is_alive() and time.monotonic() < until:
            time.sleep(0.001)  # until it waits for the next attempt

    def run(self):
        try:
            self.given = self.call()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.given = error

    def result(self):
        self.join(SOON)
        assert not self.is_alive(), "it still waits"
        return self.given


def test_it_asks_until_there_is_an_answer():
    """Two refusals and an answer are an answer, after three requests."""
    mock = ie.Mock(answers=[busy(), ie.TransportError("reset"), "done"])
    backend = ie.Retrying(mock, AT_ONCE)
    assert backend.complete("Hi").text == "done"
    assert len(mock.requests) == 3
    with backend.stream("Hi") as stream:
        assert "".join(stream.text()) == "done"


def test_the_last_error_tells_of_the_others():
    """It is raised as it is, counts the attempts, and holds what the others failed with."""
    mock = ie.Mock(answers=[busy("one"), ie.TransportError("two"), busy("three"), "done"])
    with pytest.raises(ie.HttpStatusError, match="three") as caught:
        ie.Retrying(mock, AT_ONCE).complete("Hi")
    assert (str(caught.value), caught.value.attempts) == ("three", 3)
    said = ["attempt 1 failed: HttpStatusError: one", "attempt 2 failed: TransportError: two"]
    assert notes_of(caught.value) == (said if HAS_NOTES else [])
    assert caught.value.to_dict()["attempts"] == 3
    assert caught.value.to_dict().get("notes", said) == said
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.attempts, notes_of(copy)) == (3, notes_of(caught.value))


def test_the_outer_one_counts():
    """Around a router the attempts are rows, in a router the backends are: as the page says."""
    mock = ie.Mock(ie.HttpStatusError("busy", status=503))
    with pytest.raises(ie.HttpStatusError) as caught:
        ie.Retrying(ie.Router([mock, mock]), ie.Retry(attempts=2, max_wait=0)).complete("x")
    assert (caught.value.attempts, len(mock.requests)) == (2, 4)
    mock = ie.Mock(ie.HttpStatusError("busy", status=503))
    patient = ie.Retrying(mock, ie.Retry(attempts=3, max_wait=0))
    with pytest.raises(ie.HttpStatusError) as caught:
        ie.Router([patient, mock]).complete("x")
    assert (caught.value.attempts, len(mock.requests)) == (2, 4)


def test_one_attempt_is_not_worth_a_word():
    """An error of the first attempt is what it would be without the wrapper."""
    mock = ie.Mock(ie.HttpStatusError("no", status=400, retryable=False))
    with pytest.raises(ie.HttpStatusError) as caught:
        ie.Retrying(mock).complete("Hi")
    assert (caught.value.attempts, notes_of(caught.value), len(mock.requests)) == (1, [], 1)
    assert "attempts" not in caught.value.to_dict()


@pytest.mark.parametrize(
    "error",
    [
        ie.InvalidRequestError("x"),
        ie.UnsupportedError("x"),
        ie.InternalError("x"),
        ie.RequestCancelledError("x"),
        busy(retryable=False),
        busy(retry_after=61.0),
    ],
)
def test_what_is_final_is_asked_once(error):
    """A wrong request, a cancel, an empty account, and who wants to be left alone for a day."""
    mock = ie.Mock(answers=[error, "done"])
    with pytest.raises(type(error)):
        ie.Retrying(mock).complete("Hi")
    assert len(mock.requests) == 1


def test_no_answer_is_stitched_together():
    """What breaks after the stream began is told, and not asked for again."""
    mock = ie.Mock(answers=[["half", ie.TransportError("reset")], "whole"])
    backend = ie.Retrying(mock, AT_ONCE)
    with backend.stream("Hi") as stream:
        assert next(stream).delta == "half"
        with pytest.raises(ie.TransportError):
            next(stream)
    with Upstream(Reply([chunk("half"), Cut()]), text_reply("whole")) as upstream:
        with ie.Retrying(ie.OpenAiCompat(upstream.url, api_key=""), AT_ONCE) as backend:
            with pytest.raises(ie.StreamInterruptedError) as caught:
                backend.complete("Hi")
            assert caught.value.partial.text == "half"
        assert len(upstream.requests) == 1
    assert len(mock.requests) == 1


def test_it_waits_as_the_upstream_says(inferd_fast_forward):
    """``Retry-After`` is waited for; who says nothing is waited for with jitter."""
    replies = [
        error_reply(429, "m", headers={"retry-after": "7"}),
        error_reply(503, "m", headers={"retry-after-ms": "1500"}),
        error_reply(429, "m", headers={"x-ratelimit-reset-requests": "1m2s"}),
        error_reply(500, "m"),
        text_reply("done"),
    ]
    with Upstream(*replies) as upstream:
        asked = ie.OpenAiCompat(upstream.url, api_key="", timeout=None)
        with ie.Retrying(asked, ie.Retry(5, max_wait=70.0)) as backend:
            assert backend.complete("Hi").text == "done"
    *named, last = inferd_fast_forward.slept
    assert named == [7.0, 1.5, 62.0]
    assert 2.0 <= last <= 4.0


def test_no_attempt_is_begun_after_the_whole_time(inferd_fast_forward):
    """``timeout`` is the time of the whole request: a wait beyond it is not begun."""
    with Upstream(error_reply(503, "m", headers={"retry-after": "50"})) as upstream:
        asked = ie.OpenAiCompat(upstream.url, api_key="", timeout=40.0)
        with ie.Retrying(asked) as backend, pytest.raises(ie.HttpStatusError) as caught:
            backend.complete("Hi")
        assert (len(upstream.requests), caught.value.attempts) == (1, 1)
    assert inferd_fast_forward.slept == []


def test_the_time_of_all_attempts():
    """``max_elapsed`` bounds them together."""
    mock = ie.Mock(busy(retry_after=2.0))
    with pytest.raises(ie.HttpStatusError):
        ie.Retrying(mock, ie.Retry(max_elapsed=1.0)).complete("Hi")
    assert len(mock.requests) == 1


@pytest.mark.parametrize("how", ["token", "deadline", "stop"])
def test_who_waits_can_be_ended(how):
    """A token, its deadline and ``stop()`` end a call that waits for the next attempt."""
    backend, token = ie.Retrying(ie.Mock(busy("one", retry_after=60.0))), ie.CancelToken()
    call = Waiting(backend, lambda: backend.complete("Hi", cancel=token))
    if how == "stop":
        backend.stop()
    elif how == "token":
        token.cancel()
    else:
        token.cancel_after(0.01)
    error = call.result()
    assert isinstance(error, ie.RequestCancelledError)
    assert notes_of(error) == (["attempt 1 failed: HttpStatusError: one"] if HAS_NOTES else [])
    assert not [*backend._live]
    assert not token._live


def test_a_token_ends_what_is_asked():
    """It goes through to the backend, and ends a call that waits for headers."""
    with Upstream(Reply(before=[Stall()])) as upstream:
        with ie.Retrying(ie.OpenAiCompat(upstream.url, api_key="")) as backend:
            token = ie.CancelToken()
            call = Waiting(backend.backend, lambda: backend.complete("Hi", cancel=token))
            upstream.wait_for_request()
            token.cancel()
            assert isinstance(call.result(), ie.RequestCancelledError)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no pthread_kill()")
def test_an_interrupt():
    """Ctrl-C ends the waiting, and goes up."""
    backend, me = ie.Retrying(ie.Mock(busy(retry_after=60.0))), threading.get_ident()

    def interrupt():
        until = time.monotonic() + 30
        while not any(token._waiting for token in backend._live) and time.monotonic() < until:
            time.sleep(0.001)
        signal.pthread_kill(me, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        backend.complete("Hi")
    thread.join()


def test_vectors_and_models_are_asked_for_again():
    """Whatever fails before anything was handed out."""
    vectors = {"data": [{"index": 0, "embedding": [1.0, 2.0]}], "model": "m"}
    with Upstream(error_reply(503, "m"), json_reply(vectors)) as upstream:
        with ie.Retrying(ie.OpenAiCompat(upstream.url, api_key=""), AT_ONCE) as backend:
            assert backend.embeddings("Hi").embeddings == ((1.0, 2.0),)
            assert backend.models() == ["test-model"]
    request = ie.Request([ie.Message("user", "Hi")]).resolve()
    backend = ie.Retrying(ie.Mock(answers=[busy(), "done"]), AT_ONCE)
    assert [event.type for event in backend.generate(request)] == ["token", "done"]


def test_a_backend_that_is_not_ready_yet():
    """One that is loading may be ready the next time; one that was stopped will not."""
    mock = ie.Mock("done")
    mock.set_ready(False)
    backend = ie.Retrying(mock, ie.Retry(2, max_wait=0))
    assert not backend.ready()
    with pytest.raises(ie.NotReadyError) as caught:
        backend.complete("Hi")
    assert caught.value.attempts == 2
    mock.set_ready(True)
    assert backend.ready()
    backend.stop()
    assert not mock.ready()
    with pytest.raises(ie.NotReadyError) as caught:
        backend.complete("Hi")
    assert (caught.value.retryable, caught.value.attempts) == (False, 1)


def test_it_is_what_it_asks():
    """Name, capabilities and configuration are the backend's; other settings make another one."""
    with ie.Retrying(ie.OpenAiCompat("http://localhost:9", api_key=""), ie.Retry(5)) as backend:
        assert backend.name == "openai-compat"
        assert backend.capabilities() == backend.backend.capabilities()
        assert backend.config is backend.backend.config
        other = backend.with_options(timeout=5.0)
        assert type(other) is ie.Retrying
        assert (other.config.timeout, other.retry) == (5.0, ie.Retry(5))
        with pytest.raises(TypeError, match="with_options"):
            backend.complete("Hi", timeout=5.0)
    assert ie.Retrying(ie.Mock()).config is not None
    assert repr(ie.Retrying(ie.Mock(), ie.Retry(5))) == "Retrying(Mock(), Retry(attempts=5))"


def test_it_goes_through_a_pickle():
    """With the backend and the rule, and without the key."""
    backend = ie.Retrying(ie.OpenAiCompat("http://localhost:9", api_key=KEY), ie.Retry(5))
    data = pickle.dumps(backend)
    assert KEY.encode() not in data
    copy = pickle.loads(data)
    assert (type(copy), copy.retry, copy.name) == (ie.Retrying, ie.Retry(5), "openai-compat")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("http://localhost",), "backend is of type str: give a Backend"),
        ((ie.Mock,), "backend is the class Mock: give a Backend"),
        ((ie.Mock(), 3), "retry is of type int: give a Retry"),
    ],
)
def test_what_it_is_not_made_of(arguments, said):
    """It is refused when it is made."""
    with pytest.raises(TypeError, match=said):
        ie.Retrying(*arguments)


def test_each_attempt_is_logged_without_secrets(caplog):
    """A line says which attempt failed, with what, and when the next comes."""
    caplog.set_level(logging.INFO, "inferd_engine")
    with Upstream(error_reply(503, f"for {KEY}"), text_reply("done"), api_key=KEY) as upstream:
        with ie.Retrying(ie.OpenAiCompat(upstream.url, api_key=KEY), AT_ONCE) as backend:
            assert backend.complete("Hi").text == "done"
    [line] = [one.getMessage() for one in caplog.records if "attempt" in one.getMessage()]
    assert line.startswith("attempt 1 of 3 failed, the next comes in 0.00 s: HttpStatusError: ")
    assert KEY not in caplog.text


def test_many_threads_at_once():
    """Calls share nothing: each has attempts of its own."""
    lock, asked = threading.Lock(), {}

    def answer(request):
        text = request.messages[-1].content[0].text
        with lock:
            asked[text] = asked.get(text, 0) + 1
        return busy() if asked[text] < 3 else text

    backend = ie.Retrying(ie.Mock(answer), AT_ONCE)
    prompts = [f"prompt {number}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda prompt: backend.complete(prompt).text, prompts))
    assert answers == prompts
    assert set(asked.values()) == {3}


def test_a_traceback_ends_at_the_program():
    """No frame of ours is shown, however often was asked."""
    try:
        ie.Retrying(ie.Mock(busy()), AT_ONCE).complete("Hi")
    except ie.HttpStatusError as error:
        frames, traceback = [], error.__traceback__
        while traceback is not None:
            frames.append(traceback.tb_frame.f_code.co_filename)
            traceback = traceback.tb_next
    assert set(frames[:1]) == {__file__}
    assert len(frames) <= (1 if HAS_NOTES else 2)

"""A function that gives the key: anew for each call, checked and hidden as any key."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from loopback.conftest import SOON
from loopback.test_secrets import everything_about

import inferd_engine as ie
from inferd_engine.testing import Reply, Stall, error_reply

KEY = "sk-canary-0123456789"
OTHER = "sk-other-9876543210"


def sent_keys(backend):
    """Give what was sent as keys."""
    return [received.headers.get("authorization") for received in backend.upstream.requests]


def test_each_call_asks_anew(ask):
    """Every call is made with the key of its moment."""
    numbers = itertools.count()
    backend = ask(api_key=lambda: f"sk-number-{next(numbers)}")
    for _ in range(2):
        backend.complete("x")
    backend.models()
    backend.with_options(model="m").complete("x")
    assert sent_keys(backend) == [f"Bearer sk-number-{number}" for number in range(4)]


def test_it_may_give_none(ask):
    """An empty key is no key, and there is no header."""
    backend = ask(api_key=str)  # gives ""
    assert backend.complete("x").text
    assert sent_keys(backend) == [None]


def test_it_goes_into_its_header(ask):
    """As any key does."""
    backend = ask(api_key=lambda: KEY, api_key_header="api-key")
    backend.complete("x")
    assert backend.upstream.requests[0].headers["api-key"] == KEY


def test_it_goes_where_the_caller_wants(ask):
    """It is given explicitly: it may go to an upstream that is not known to be this machine."""
    backend = ask(api_key=lambda: KEY)
    url = backend.config.base_url.replace("127.0.0.1", "0.0.0.0")
    assert backend.with_options(base_url=url).complete("x").text
    assert sent_keys(backend) == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "gave a NoneType, not a str"),
        (b"sk", "gave a bytes, not a str"),
        (5, "gave a int, not a str"),
        (f"{KEY}\n", "holds a blank, a line end"),
        (f"{KEY}\r\nX-A: b", "holds a blank, a line end"),
        (f"Bearer {KEY}", "holds a blank, a line end"),
    ],
)
def test_what_is_no_key(ask, given, said):
    """It is refused before anything is sent, and not shown."""
    backend = ask(api_key=[given].pop)
    with pytest.raises(ie.InvalidRequestError, match=said) as caught:
        backend.stream("x")
    del given
    assert "api_key" in str(caught.value)
    assert KEY not in everything_about(caught.value).replace("/test_key_functions.py", "")
    assert backend.upstream.requests == []


@pytest.mark.parametrize(
    ("problem", "retryable"),
    [(RuntimeError("no"), False), (ConnectionError("no"), True), (TimeoutError("no"), True)],
)
def test_a_function_that_raises(ask, problem, retryable):
    """What it raised is the cause; trouble of its own network may pass."""

    def give():
        secret = KEY  # in its frame
        assert secret
        raise problem

    with pytest.raises(ie.InvalidRequestError) as caught:
        ask(api_key=give).complete("x")
    error = caught.value
    assert type(problem).__name__ in str(error)
    assert error.__cause__ is problem
    assert error.retryable is retryable
    assert KEY not in everything_about(error)


@pytest.mark.parametrize("problem", [ie.NotReadyError("not yet"), KeyboardInterrupt()])
def test_errors_that_are_ours_or_nobodys(ask, problem):
    """What is an error of ours already, or none, goes up as it is."""

    def give():
        raise problem

    with pytest.raises(type(problem)) as caught:
        ask(api_key=give).complete("x")
    assert caught.value is problem


def test_what_is_said_back(ask):
    """The key of this call is masked, and not that of another."""
    keys = iter([KEY, OTHER])
    replies = [error_reply(401, f"bad {KEY} or {OTHER}") for _ in range(2)]
    backend = ask(*replies, api_key=lambda: next(keys))
    for shown in (f"bad *** or {OTHER}", f"bad {KEY} or ***"):
        with pytest.raises(ie.HttpStatusError) as caught:
            backend.stream("x")
        assert caught.value.message == shown


def test_a_stopped_backend_does_not_ask(ask):
    """Nobody is asked for a key that is not sent."""
    asked = []
    backend = ask(api_key=lambda: asked.append(1) or KEY)
    backend.stop()
    with pytest.raises(ie.NotReadyError):
        backend.stream("x")
    token = ie.CancelToken()
    assert asked == []
    assert token


def test_a_call_that_is_cancelled_while_it_asks(ask):
    """A function that takes long delays the call's end by as long, and nothing is sent after it."""
    asked, go_on = threading.Event(), threading.Event()

    def give():
        asked.set()
        assert go_on.wait(SOON)
        return KEY

    backend = ask(Reply(before=[Stall()]), api_key=give)
    token, errors = ie.CancelToken(), []

    def call():
        try:
            backend.stream("x", cancel=token)
        except ie.GenerateError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert asked.wait(SOON)
    token.cancel()
    go_on.set()
    begun = time.monotonic()
    thread.join(SOON)
    assert time.monotonic() - begun < SOON
    assert [type(error) for error in errors] == [ie.RequestCancelledError]
    assert backend.upstream.requests == []


def test_the_hint_of_a_refusal(ask):
    """401: the key came from the function that was given."""
    with pytest.raises(ie.HttpStatusError, match="the key came from api_key"):
        ask(error_reply(401, "no"), api_key=lambda: KEY).stream("x")

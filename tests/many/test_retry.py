"""When to ask again, how long to wait first, and when to give up."""

from __future__ import annotations

import pickle

import pytest

import inferd_engine as ie
from inferd_engine.errors import GenerateError, HttpStatusError, NotReadyError, TransportError


def never():
    raise AssertionError("chance has no part in it")


def busy(retry_after=None, **fields):
    return HttpStatusError("busy", status=429, retry_after=retry_after, **fields)


def test_waits_as_long_as_the_upstream_says():
    """What the upstream names is waited for to the letter, 0 too, and chance has no part in it."""
    for named in (0.0, 0.3, 60.0):
        assert ie.Retry().pause(busy(named), attempt=1, elapsed=0.0, random=never) == named


def test_a_wait_above_the_longest_gives_up():
    """An upstream that wants a day is not asked again."""
    assert ie.Retry().pause(busy(60.001), attempt=1, elapsed=0.0) is None
    assert ie.Retry(max_wait=86400.0).pause(busy(86400.0), attempt=1, elapsed=0.0) == 86400.0


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (7, 32.0), (8, 60.0), (9999, 60.0)]
)
def test_else_the_wait_doubles_and_half_of_it_is_chance(attempt, longest):
    """From half a second to the longest wait; never less than the half of it."""
    retry = ie.Retry(attempts=10_000)
    waits = [
        retry.pause(busy(), attempt=attempt, elapsed=0.0, random=lambda luck=luck: luck)
        for luck in (0.0, 0.5, 1.0)
    ]
    assert waits == [longest / 2, longest * 0.75, longest]


def test_the_longest_wait_may_be_none_at_all():
    """With a longest wait of 0 the next attempt is made at once."""
    assert ie.Retry(max_wait=0).pause(busy(), attempt=2, elapsed=0.0) == 0.0


def test_the_last_attempt_is_the_last():
    """Three attempts are three in all, and one is none again."""
    assert ie.Retry().pause(busy(1.0), attempt=2, elapsed=0.0) == 1.0
    assert ie.Retry().pause(busy(1.0), attempt=3, elapsed=0.0) is None
    assert ie.Retry(attempts=1).pause(busy(1.0), attempt=1, elapsed=0.0) is None


def test_what_is_not_retryable_is_final():
    """An error that would come again is not asked for again, whatever wait it names."""
    for error in (busy(1.0, retryable=False), ie.InvalidRequestError("x"), GenerateError("x")):
        assert ie.Retry().pause(error, attempt=1, elapsed=0.0) is None


def test_what_would_end_too_late_is_not_begun():
    """The time of all attempts is bounded; the wait counts before it is waited."""
    retry = ie.Retry(max_elapsed=10.0)
    assert retry.pause(busy(4.0), attempt=1, elapsed=6.0) == 4.0
    assert retry.pause(busy(4.1), attempt=1, elapsed=6.0) is None


def test_every_error_may_name_a_wait():
    """Not the HTTP error alone: whatever knows when to come back says so."""
    assert GenerateError("x").retry_after is None
    assert TransportError("x").retry_after is None
    error = NotReadyError("warming up", retry_after=2.5)
    assert ie.Retry().pause(error, attempt=1, elapsed=0.0) == 2.5
    assert pickle.loads(pickle.dumps(error)).retry_after == 2.5
    assert error.to_dict()["retry_after"] == 2.5
    assert "retry_after" not in NotReadyError("x").to_dict()


def test_an_error_of_somebody_elses_is_refused():
    """An ``except`` that is too wide is told so."""
    with pytest.raises(TypeError, match="error is of type OSError: give a GenerateError"):
        ie.Retry().pause(OSError("no"), attempt=1, elapsed=0.0)


@pytest.mark.parametrize("attempt", [0, -1, 1.5, None, True])
def test_attempts_are_counted_from_one(attempt):
    """A loop that counts from 0 would ask once more than was said."""
    with pytest.raises(ie.InvalidRequestError, match=r"^attempt is "):
        ie.Retry().pause(busy(), attempt=attempt, elapsed=0.0)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"attempts": 0}, "attempts"),
        ({"attempts": 2.5}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"attempts": None}, "attempts"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": None}, "max_wait"),
        ({"max_wait": float("nan")}, "max_wait"),
        ({"max_wait": "1"}, "max_wait"),
        ({"max_elapsed": 0}, "max_elapsed"),
        ({"max_elapsed": float("inf")}, "max_elapsed"),
    ],
)
def test_what_cannot_be_is_refused(fields, named):
    """A wrong setting is named when it is made, not when the first call fails."""
    with pytest.raises(ie.InvalidRequestError, match=f"^{named} is "):
        ie.Retry(**fields)


def test_it_is_a_value():
    """It is frozen, hashable, compares by its fields, pickles, and is shown in a line."""
    retry = ie.Retry(attempts=5)
    assert retry == ie.Retry(attempts=5) != ie.Retry()
    assert hash(retry) == hash(ie.Retry(5))
    assert pickle.loads(pickle.dumps(retry)) == retry
    assert repr(retry) == "Retry(attempts=5)"
    with pytest.raises(AttributeError):
        retry.attempts = 1

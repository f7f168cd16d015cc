"""How fast a batch goes: a function of what it is told, time included."""

from __future__ import annotations

import itertools

import pytest

import inferd_engine as ie
from inferd_engine.many.batch.pace import Pace, is_overload, names_wait


def climb(pace, rounds, now=1000.0):
    """Answer so many rounds of as many requests as may be under way."""
    limits = [pace.limit]
    for _ in range(rounds):
        for _ in range(pace.limit):
            pace.answered(pace.limit, now)
        limits.append(pace.limit)
    return limits


def test_a_number_is_where_it_begins_and_its_ceiling():
    """A number of the user's own is not exceeded."""
    assert climb(Pace(16), 3) == [16, 16, 16, 16]


def test_auto_doubles_until_it_is_refused():
    """At first each round of answers doubles the limit; after a refusal it grows by one."""
    pace = Pace("auto")
    limits = climb(pace, 3)
    assert limits[0] == 4
    assert all(later >= 1.9 * earlier for earlier, later in itertools.pairwise(limits))
    before = pace.limit
    pace.refused(begun_at=1.0, now=2.0)
    assert pace.limit == pytest.approx(0.7 * before, abs=1)
    limits = climb(pace, 5)
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(limits))
    assert limits[-1] > limits[0]


def test_auto_has_a_ceiling():
    """It stays below what a backend keeps connections for."""
    assert climb(Pace("auto"), 30)[-1] == 256


def test_what_was_under_way_is_one_refusal():
    """A crowd that is refused together cuts the limit once."""
    pace = Pace(100)
    for late in range(50):
        pace.refused(begun_at=1.0, now=2.0 + late)
    assert pace.limit == 70
    pace.refused(begun_at=60.0, now=61.0)
    assert pace.limit == 49


def test_one_is_the_least():
    """Whatever the upstream says, somebody asks."""
    pace = Pace(2)
    for moment in range(20):
        pace.refused(begun_at=moment, now=moment + 0.5)
    assert pace.limit == 1


def test_a_limit_that_is_not_used_does_not_grow():
    """Few requests say nothing about many."""
    pace = Pace("auto")
    for _ in range(100):
        pace.answered(underway=2, now=1.0)
    assert pace.limit == 4


def test_all_wait_for_the_longest():
    """A later moment wins, an earlier one changes nothing."""
    pace = Pace(4)
    assert pace.opens_in(0.0) <= 0
    pace.hold(0.0, 10.0)
    pace.hold(1.0, 4.0)
    assert pace.opens_in(4.0) == 6.0
    assert pace.opens_in(10.0) == 0


def test_a_wait_that_is_named_makes_content():
    """After "too many, wait a minute" what was refused is not tried at once: it is paid for."""
    pace = Pace("auto")
    refused = climb(pace, 3)[-1]
    pace.refused(begun_at=1.0, now=2.0)
    pace.hold(2.0, 60.0, is_named=True)
    assert climb(pace, 50, now=601.9)[-1] == refused - 1
    assert climb(pace, 5, now=602.1)[-1] > refused


@pytest.mark.parametrize("number", [1, 2, 3])
def test_content_with_little(number):
    """What is refused one or two asks with one."""
    pace = Pace(number)
    pace.refused(begun_at=1.0, now=2.0)
    pace.hold(2.0, 60.0, is_named=True)
    assert climb(pace, 9, now=3.0)[-1] == max(1, number - 1)


def test_a_wait_of_our_own_does_not():
    """A server that was away, and has said nothing, is given as much as before, by and by."""
    pace = Pace(20)
    pace.refused(begun_at=1.0, now=2.0)
    pace.hold(2.0, 60.0)
    assert climb(pace, 5, now=63.0)[-1] > 14


def test_who_names_a_wait_because_of_too_many():
    """429 with Retry-After, and nothing else."""
    assert names_wait(ie.HttpStatusError("", status=429, retry_after=1.0))
    assert not names_wait(ie.HttpStatusError("", status=429))
    assert not names_wait(ie.HttpStatusError("", status=503, retry_after=1.0))
    assert not names_wait(ie.TransportError(""))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ie.HttpStatusError("", status=429), True),
        (ie.HttpStatusError("", status=429, retryable=False), False),
        (ie.HttpStatusError("", status=503), True),
        (ie.HttpStatusError("", status=529), True),
        (ie.HttpStatusError("", status=500), False),
        (ie.HttpStatusError("", status=400, retryable=False), False),
        (ie.UpstreamError("", code="overloaded_error"), True),
        (ie.UpstreamError("", code="throttlingException"), True),
        (ie.UpstreamError("", code="malformed"), False),
        (ie.UpstreamError(""), False),
        (ie.TransportError(""), True),
        (ie.DeadlineError(""), True),
        (ie.NotReadyError(""), True),
        (ie.StreamInterruptedError(""), False),
        (ie.InvalidRequestError(""), False),
    ],
)
def test_what_says_that_a_server_is_busy(error, expected):
    """What is one request's own fault, or chance, slows nobody else down."""
    assert is_overload(error) is expected

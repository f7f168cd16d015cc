"""A breaker: closed, open, half-open, by a clock that the test turns."""

from __future__ import annotations

import gc
import itertools
import random
import sys
import threading

import pytest
from forking import check_in_a_child, needs_fork
from many.clocks import clock

from inferd_engine.many.breaker import FAILURES, PAUSE, WINDOW, Breaker

__all__ = ["clock"]  # a fixture


@pytest.fixture
def breaker(clock):
    return Breaker(clock)


def fail(breaker, times=1):
    return [breaker.enter().failed() for _ in range(times)]


def opened(breaker):
    assert fail(breaker, FAILURES)[-1]
    return breaker


def test_it_lets_everybody_in(breaker):
    """Closed, and at any number of calls at once."""
    passes = [breaker.enter() for _ in range(100)]
    assert all(passes)
    assert not any(one.is_try for one in passes)
    assert breaker.wait() is None


def test_the_third_failure_opens_it(breaker, clock):
    """For thirty seconds nobody is let in, and it says for how long."""
    assert fail(breaker, 3) == [False, False, True]
    assert breaker.enter() is None
    assert breaker.wait() == PAUSE == 30.0
    clock.now += 29.0
    assert breaker.enter() is None
    assert breaker.wait() == 1.0


def test_failures_grow_old(breaker, clock):
    """Three count within sixty seconds."""
    assert WINDOW == 60.0
    fail(breaker, 2)
    clock.now += 60.1
    assert fail(breaker) == [False]
    clock.now += 59.0
    assert fail(breaker) == [False]
    assert fail(breaker) == [True]


def test_three_at_the_edge(breaker, clock):
    """Sixty seconds are within sixty seconds."""
    fail(breaker, 2)
    clock.now += 60.0
    assert fail(breaker) == [True]


def test_an_answer_in_between_counts(breaker):
    """A backend that answers is well: failures before are forgotten."""
    for _ in range(10):
        fail(breaker, 2)
        assert breaker.enter().succeeded() is False
    assert breaker.wait() is None


def test_one_is_let_in_to_try(breaker, clock):
    """After thirty seconds it is one, and the others are not, until it is over."""
    opened(breaker)
    clock.now += 30.0
    assert breaker.wait() is None
    attempt = breaker.enter()
    assert attempt.is_try
    assert [breaker.enter() for _ in range(5)] == [None] * 5
    assert breaker.wait() == 0.0
    assert attempt.succeeded() is True
    assert breaker.enter()
    assert breaker.wait() is None


def test_a_try_that_fails(breaker, clock):
    """It is open again, for another thirty seconds from now."""
    opened(breaker)
    clock.now += 45.0
    attempt = breaker.enter()
    clock.now += 5.0
    assert attempt.failed() is True
    assert breaker.wait() == 30.0
    clock.now += 30.0
    assert breaker.enter().is_try


def test_a_try_that_is_given_up(breaker, clock):
    """A call that somebody cancelled says nothing: the next one tries."""
    opened(breaker)
    clock.now += 30.0
    breaker.enter().given_up()
    assert breaker.enter().is_try


def test_a_try_that_is_lost(breaker, clock):
    """The pass of a call that something struck is given up when it is dropped."""
    opened(breaker)
    clock.now += 30.0
    attempt = breaker.enter()
    assert breaker.enter() is None
    del attempt
    gc.collect()
    assert breaker.enter().is_try


def test_after_a_try_it_is_as_new(breaker, clock):
    """One failure more does not open it: three do."""
    opened(breaker)
    clock.now += 30.0
    breaker.enter().succeeded()
    assert fail(breaker, 3) == [False, False, True]


@pytest.mark.parametrize("how", ["succeeded", "failed", "given_up"])
def test_calls_from_before_say_nothing(breaker, clock, how):
    """What was let in before it opened neither closes it nor keeps it open."""
    early = [breaker.enter() for _ in range(3)]
    opened(breaker)
    clock.now += 10.0
    assert not getattr(early[0], how)()
    assert breaker.wait() == 20.0
    clock.now += 20.0
    attempt = breaker.enter()
    assert not getattr(early[1], how)()
    assert breaker.enter() is None
    assert attempt.failed()
    assert not getattr(attempt, how)()
    assert not getattr(early[2], how)()
    assert breaker.wait() == 30.0


def test_a_call_counts_once(breaker):
    """However often its end is told."""
    call = breaker.enter()
    assert [call.failed() for _ in range(9)] == [False] * 9
    assert breaker.wait() is None


def test_many_fail_at_once(breaker, clock):
    """Whoever fails while it opens adds nothing."""
    calls = [breaker.enter() for _ in range(50)]
    assert sum(call.failed() for call in calls) == 1
    assert breaker.wait() == 30.0
    clock.now += 30.0
    breaker.enter().succeeded()
    assert breaker.enter()


def test_a_backend_that_flaps(breaker, clock):
    """While it is down it is asked thrice, then once a pause; when it is well, within a pause."""
    for _ in range(20):
        failed = 0
        for _ in range(1000):  # a hundred seconds, ten calls in each
            clock.now += 0.1
            call = breaker.enter()
            failed += call is not None
            if call:
                call.failed()
        assert failed <= FAILURES + 100 / PAUSE
        asked_in_vain = 0
        for _ in range(1000):
            clock.now += 0.1
            call = breaker.enter()
            asked_in_vain += call is None
            if call:
                call.succeeded()
        assert asked_in_vain <= PAUSE / 0.1 + 1


def test_a_hundred_threads_at_the_door(breaker, clock):
    """One passes, at every opening."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            opened(breaker)
            clock.now += 30.0
            barrier, passed = threading.Barrier(100), []

            def enter(barrier=barrier, passed=passed):
                barrier.wait()
                passed.append(breaker.enter())

            threads = [threading.Thread(target=enter) for _ in range(100)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            [one] = filter(None, passed)
            assert one.is_try
            one.succeeded()
    finally:
        sys.setswitchinterval(old)


def test_threads_that_fail_and_succeed():
    """Whatever comes when, it is in one of its states, and comes back to life."""
    ticks = itertools.count()
    breaker = Breaker(lambda: next(ticks) * 0.05)
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(seed):
        chance = random.Random(seed)
        for _ in range(2000):
            call = breaker.enter()
            if call is not None:
                getattr(call, chance.choice(["failed", "failed", "succeeded", "given_up"]))()

    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(old)
    for _ in range(2000):
        call = breaker.enter()
        if call is not None:
            call.succeeded()
            break
    else:
        raise AssertionError("nobody is ever let in again")
    assert breaker.enter()


@needs_fork
def test_a_forked_process_tries_for_itself(breaker, clock):
    """Whoever tries in the parent does not stand in the child's door."""
    opened(breaker)
    clock.now += 30.0
    mine = breaker.enter()

    def check():
        attempt = breaker.enter()
        assert attempt is not None
        assert breaker.enter() is None

    check_in_a_child(check)
    assert breaker.enter() is None
    mine.given_up()
    assert breaker.enter()

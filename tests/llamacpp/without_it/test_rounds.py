"""Rounds: each step is computed once, by one leader at a time, with those who come along."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import inferd_engine as ie
from inferd_engine.backends.llamacpp import rounds as module
from inferd_engine.backends.llamacpp.rounds import Rounds, Share, Step
from inferd_engine.stream.turn import Bell

THREADS = 8
STEPS = 300


class Flag:
    """As ``AbortFlag``: what a round looks at."""

    def __init__(self):
        self.is_set = False

    def __bool__(self):
        return self.is_set

    def set(self):
        self.is_set = True


class Counted(Rounds):
    """Rounds that compute nothing, and write down what they were given."""

    def __init__(self, seconds=0.0):
        self._begin()
        self._seconds = seconds
        self.rounds = []
        self._inside = threading.Lock()

    def _compute(self, steps):
        assert self._inside.acquire(blocking=False), "two lead at a time"
        flag = Flag()
        self._round = flag, [Share(step, *step.images.get("share", (1, 1))) for step in steps]
        self.look()
        self.rounds.append([(step.context, step.tokens) for step in steps])
        until = time.monotonic() + self._seconds
        while time.monotonic() < until and not flag:
            threading.Event().wait(0.001)
        for step in steps:
            step.is_undone = bool(flag and not step.flag)
            if flag and step.flag:
                step.error = ie.RequestCancelledError("stopped")
            elif not flag:
                step.token = 1
        self._inside.release()


def test_each_step_is_computed_once():
    """Eight answers, each in a thread of its own, some of which are stopped at random."""
    rounds = Counted()

    def answer(number):
        chance = random.Random(number)
        done = []
        for index in range(STEPS):
            flag, bell = Flag(), Bell()
            step = Step(number, index, {}, None, flag, bell)
            if chance.random() < 0.2:
                flag.set()
                bell.ring()
                rounds.look()
            try:
                rounds.compute(step)
            except ie.RequestCancelledError:
                rounds.forget(number)
                continue
            assert step.token == 1
            done.append((number, index))
        return done

    with ThreadPoolExecutor(THREADS) as pool:
        done = [one for found in pool.map(answer, range(THREADS)) for one in found]
    computed = [one for steps in rounds.rounds for one in steps]
    assert len(computed) == len({*computed})
    assert {*done} <= {*computed}
    assert not rounds._waiting
    assert rounds._leader is None


def test_who_was_there_is_waited_for(monkeypatch):
    """Two answers that go on share their rounds, until one of them has ended."""
    monkeypatch.setattr(module, "_PATIENCE", 1e6)
    rounds = Counted(0.01)

    def answer(name):
        for index in range(20):
            rounds.compute(Step(name, index, {}, None, Flag(), Bell()))
        rounds.forget(name)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(answer, "ab"))
    assert sum(map(len, rounds.rounds)) == 40
    alone = [steps for steps in rounds.rounds if len(steps) == 1]
    assert len(alone) in (0, 2)  # one may have begun before the other, and so ended, too


def test_who_stays_away_is_not_waited_for_again():
    """But for a moment, once."""
    rounds = Counted(0.01)
    rounds._last, rounds._until = {"a", "b"}, time.monotonic() + 0.1
    rounds.compute(Step("a", 0, {}, None, Flag(), Bell()))
    assert rounds._last == {"a"}


def test_who_waits_for_a_round_may_leave():
    """At once; the round goes on for the other, and ends when that is stopped, too."""
    rounds = Counted(20.0)
    flags, bells = [Flag(), Flag()], [Bell(), Bell()]
    steps = [
        Step(name, 0, {}, None, flag, bell)
        for name, flag, bell in zip("ab", flags, bells, strict=True)
    ]

    def stop(index):
        flags[index].set()
        bells[index].ring()
        rounds.look()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(rounds.compute, steps[0])
        while rounds._round is None:
            threading.Event().wait(0.001)
        second = pool.submit(rounds.compute, steps[1])
        while not rounds._waiting:
            threading.Event().wait(0.001)
        stop(1)
        with pytest.raises(ie.RequestCancelledError):
            second.result(5)
        assert not first.done()
        stop(0)
        with pytest.raises(ie.RequestCancelledError):
            first.result(5)


@pytest.mark.parametrize(
    ("leaving", "staying", "is_ended"),
    [
        ((5, 5), (3, 3), True),
        ((3, 3), (3, 3), True),
        ((1, 1), (3, 3), False),
        ((5, 5), (1, 9), False),
    ],
    ids=["most", "half", "little", "little to what is lost"],
)
def test_who_has_most_of_a_round_ends_it(leaving, staying, is_ended):
    """When it is stopped; the other comes again by itself, and is computed."""
    rounds = Counted(20.0)
    rounds._last, rounds._until = {"a", "b"}, time.monotonic() + 60.0
    steps = [
        Step(name, 0, {"share": share}, None, Flag(), Bell())
        for name, share in zip("ab", (leaving, staying), strict=True)
    ]
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(rounds.compute, step) for step in steps)
        while rounds._round is None:
            threading.Event().wait(0.001)
        flag, rounds._seconds = rounds._round[0], 0.0
        steps[0].flag.set()
        rounds.look()
        assert bool(flag) == is_ended
        flag.set()
        with pytest.raises(ie.RequestCancelledError):
            first.result(5)
        second.result(5)
    assert steps[1].token == 1
    assert [sorted(name for name, _ in steps) for steps in rounds.rounds] == [["a", "b"], ["b"]]


def test_a_leader_that_fails_lets_the_next_lead():
    """Whoever was in its round hears of it; whoever comes later is served."""
    rounds = Counted()
    compute = rounds._compute

    def fail(_):
        raise MemoryError

    rounds._compute = fail
    with pytest.raises(MemoryError):
        rounds.compute(Step("a", 0, {}, None, Flag(), Bell()))
    rounds._compute = compute
    step = Step("a", 1, {}, None, Flag(), Bell())
    rounds.compute(step)
    assert step.token == 1

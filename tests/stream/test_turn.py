"""Rights that threads take and leave behind, and bells that wake them."""

from __future__ import annotations

import threading
import time

import pytest

from inferd_engine.stream.turn import Bell, Turn

MANY = 16  # threads that all want the same


def in_thread(target, *arguments):
    """Run something in a thread of its own to its end; give the thread, which is dead then."""
    thread = threading.Thread(target=target, args=arguments)
    thread.start()
    thread.join()
    return thread


@pytest.fixture
def me():
    return threading.current_thread()


def test_one_at_a_time(me):
    """While a thread that lives has it, nobody else gets it; the same thread is let in again."""
    turn, held, free = Turn(), threading.Event(), threading.Event()

    def hold():
        turn.take(threading.current_thread())
        held.set()
        free.wait(10)
        turn.give(threading.current_thread())

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    assert turn.holder is not None
    assert not turn.take(me)
    turn.give(me)  # it is not ours to give
    assert turn.holder is not None
    free.set()
    holder.join()
    assert turn.holder is None
    assert turn.take(me)
    assert turn.take(me)
    turn.give(me)
    assert turn.holder is None


def test_the_dead_have_one_heir():
    """What a dead thread had goes to one of those who ask, and comes back from there."""
    for _ in range(20):
        turn = Turn()
        in_thread(lambda turn=turn: turn.take(threading.current_thread()))
        assert turn.holder is not None
        start, heirs = threading.Barrier(MANY), []

        def ask(turn=turn, start=start, heirs=heirs):
            start.wait()
            if turn.take(threading.current_thread()):
                heirs.append(threading.current_thread())
            start.wait()  # nobody dies before all have asked

        threads = [threading.Thread(target=ask) for _ in range(MANY)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(heirs) == 1
        assert turn.take(threading.current_thread())  # and the heir is dead by now


def test_rings_are_heard_once():
    """However often it was rung before, one wait hears it, and the next one waits."""
    bell = Bell()
    for _ in range(3):
        bell.ring()
    begun = time.monotonic()
    bell.wait(10.0)
    assert time.monotonic() - begun < 5.0
    bell.wait(0.0)  # does not wait
    bell.wait(-1.0)
    begun = time.monotonic()
    bell.wait(0.05)
    assert time.monotonic() - begun >= 0.04


def test_a_ring_wakes(me):
    """Whoever waits is woken."""
    bell, woken = Bell(), []

    def wait():
        bell.wait(10.0)
        woken.append(True)

    thread = threading.Thread(target=wait)
    begun = time.monotonic()
    thread.start()
    bell.ring()
    thread.join()
    assert woken
    assert time.monotonic() - begun < 5.0

"""What an event costs, in Python function calls: the same number on every machine, unlike time.

A change that adds a call for each event, or for each read, shows here.  The bounds leave room for
a few; raise one only with a figure that says what is gained.
"""

from __future__ import annotations

import collections
import gc
import sys
import threading

import pytest

import inferd_engine as ie
from inferd_engine.stream.watcher import watcher
from inferd_engine.testing import DONE, Gate, Reply, chunk
from inferd_engine.wire.sse import IMPLEMENTATION

BURST = 300  # events, 60 KB: what the kernel takes before anybody reads
# Functions called for an event: those in Python, of many in a read and alone in its read, and those
# in C, alone.
MOST = {"native": (3, 9, 12), "pure": (4, 31, 37)}[IMPLEMENTATION]
# The same alone in its read over TLS, where nobody looks whether there is more.
MOST_TLS = {"native": (15, 18), "pure": (36, 40)}[IMPLEMENTATION]
# The same of a stream among many that one thread reads.
MOST_MERGED = {"native": (9, 11), "pure": (43, 42)}[IMPLEMENTATION]


def calls_of(consume, *, is_main=False):
    """Count the functions that a thread calls while it consumes: those in Python, those in C."""
    counted = collections.Counter()

    def count(frame, what, _):
        counted[what] += 1

    def run():
        sys.setprofile(count)
        try:
            consume()
        finally:
            sys.setprofile(None)

    thread = threading.Thread(target=run)
    gc.collect()
    gc.disable()  # finalizers of what other tests left behind would be counted
    try:
        if is_main:
            run()
        else:
            thread.start()
            thread.join()
    finally:
        gc.enable()
    return counted["call"], counted["c_call"]


def calls_of_burst(ask, count, **options):
    """Count the calls for so many events that are all there before the first is read."""
    backend = ask(Reply([chunk(" b") * count, DONE]), **options)
    with backend.stream("x") as stream:
        assert backend.upstream.requests[-1].finished.wait(10)
        calls, _ = calls_of(lambda: list(stream))
        assert stream.stats.events == count + 1
    return calls


def test_burst(ask, buffer):
    """Of events that come many in a read, each costs little more than its turn in the loop."""
    assert calls_of_burst(ask, BURST, buffer=buffer) / BURST <= MOST[0]


@pytest.mark.parametrize("is_main", [False, True], ids=["thread", "main"])
def test_one_event_a_read(ask, buffer, is_main):
    """An event that comes alone costs a dozen calls of each kind, from the socket to the consumer.

    In the main thread too, where a signal handler may raise.
    """
    check_one_event_a_read(ask, MOST[1:], is_main, buffer=buffer)


def test_one_event_a_record(ask, authority, buffer):
    """Over TLS it costs a few more, in the layers of ``ssl``."""
    context, trusted = authority
    options = {"buffer": buffer, "ssl_context": context, "verify": trusted}
    check_one_event_a_read(ask, MOST_TLS, False, **options)


def check_one_event_a_read(ask, most, is_main, **options):
    gates, last = [Gate() for _ in range(20)], Gate()
    steps = [step for gate in gates for step in (gate, chunk(" b"))]
    backend = ask(Reply([chunk("a"), *steps, last, DONE]), **options)
    calls = []
    with backend.stream("x") as stream:
        watcher.discard(stream._consumer)  # which finds that this one stays away, if all is slow
        next(stream)
        for gate in gates:
            gate.open()  # not counted
            calls.append(calls_of(lambda: next(stream), is_main=is_main))
        last.open()
        assert list(stream)[-1] is stream.done
    # What counts the calls is one, and so is ``next``; while the first two come, it is learnt what
    # they are like.
    assert sum(python for python, _ in calls[2:]) / len(calls[2:]) - 1 <= most[0]
    assert sum(in_c for _, in_c in calls[2:]) / len(calls[2:]) - 2 <= most[1]


def test_one_event_of_a_merge(ask):
    """In one thread for many streams it costs no more than in a thread of its own."""
    gates, last = [Gate() for _ in range(20)], Gate()
    steps = [step for gate in gates for step in (gate, chunk(" b"))]
    backend = ask(Reply([chunk("a"), *steps, last, DONE]))
    calls = []
    with ie.merge([backend.stream("x")]) as merged:
        next(merged)
        for gate in gates:
            gate.open()  # not counted
            calls.append(calls_of(lambda: next(merged)))
        last.open()
        assert sum(1 for _ in merged) == 1
    assert sum(python for python, _ in calls[2:]) / len(calls[2:]) - 1 <= MOST_MERGED[0]
    assert sum(in_c for _, in_c in calls[2:]) / len(calls[2:]) - 2 <= MOST_MERGED[1]


def test_growth(ask):
    """Calls grow with reads, not with events: each event more costs its turn in the loop."""
    few, many = (calls_of_burst(ask, count, buffer=0) for count in (BURST // 3, BURST))
    assert many - few <= 2 * (BURST - BURST // 3)


@pytest.mark.skipif(IMPLEMENTATION != "native", reason="there is no short way without the C part")
def test_what_takes_turns_is_learnt_again(ask):
    """However often thoughts and text take turns, either soon comes the short way."""
    kinds = [chunk(reasoning_content="t"), chunk("a")] * 6
    gates = [Gate() for _ in range(40 * len(kinds))]
    pairs = zip(gates, (kind for kind in kinds for _ in range(40)), strict=True)
    backend = ask(Reply([chunk("a"), *(step for pair in pairs for step in pair), DONE]), buffer=0)
    are_short = []
    with backend.stream("x") as stream:
        next(stream)
        for gate in gates:
            gate.open()
            next(stream)
            way = stream._reading.source.way
            are_short.append(way is not None and way.events > 0)
    assert sum(are_short[-40:]) > 30

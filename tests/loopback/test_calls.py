"""What an event costs, in Python function calls: the same number on every machine, unlike time.

A change that adds a call for each event, or for each read, shows here.  The bounds leave room for
a few; raise one only with a figure that says what is gained.
"""

from __future__ import annotations

import gc
import sys
import threading

from inferd_engine.testing import DONE, Gate, Reply, chunk
from inferd_engine.wire.sse import IMPLEMENTATION

BURST = 300  # events, 60 KB: what the kernel takes before anybody reads
# Python functions called for an event: of many in a read, and alone in its read.
MOST = {"native": (3, 31), "pure": (4, 42)}[IMPLEMENTATION]


def calls_of(consume):
    """Count the Python functions that a thread calls while it consumes."""
    counted = 0

    def count(frame, what, _):
        nonlocal counted
        counted += what == "call"

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
        thread.start()
        thread.join()
    finally:
        gc.enable()
    return counted


def calls_of_burst(ask, count, **options):
    """Count the calls for so many events that are all there before the first is read."""
    backend = ask(Reply([chunk(" b") * count, DONE]), **options)
    with backend.stream("x") as stream:
        assert backend.upstream.requests[-1].finished.wait(10)
        calls = calls_of(lambda: list(stream))
        assert stream.stats.events == count + 1
    return calls


def test_burst(ask, buffer):
    """Of events that come many in a read, each costs little more than its turn in the loop."""
    assert calls_of_burst(ask, BURST, buffer=buffer) / BURST <= MOST[0]


def test_one_event_a_read(ask, buffer):
    """An event that comes alone costs a few dozen calls, from the socket to the consumer."""
    gates = [Gate() for _ in range(20)]
    steps = [step for gate in gates for step in (gate, chunk(" b"))]
    backend = ask(Reply([chunk("a"), *steps, DONE]), buffer=buffer)
    with backend.stream("x") as stream:
        next(stream)

        def consume():
            for gate in gates:
                gate.open()
                assert next(stream).delta == " b"

        calls = calls_of(consume)
        assert list(stream)[-1] is stream.done
    assert calls / len(gates) - 1 <= MOST[1]  # one of them is the gate's


def test_growth(ask):
    """Calls grow with reads, not with events: each event more costs its turn in the loop."""
    few, many = (calls_of_burst(ask, count, buffer=0) for count in (BURST // 3, BURST))
    assert many - few <= 2 * (BURST - BURST // 3)

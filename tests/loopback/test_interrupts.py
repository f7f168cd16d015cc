"""Ctrl-C at random moments of a stream's life."""

from __future__ import annotations

import signal

import pytest
from loopback.conftest import start

from inferd_engine.testing import Upstream

INTERRUPTED = """
    import gc, os, random, signal, sys, threading, time, warnings
    import inferd_engine as ie

    warnings.simplefilter("ignore", ResourceWarning)
    def alive():  # a thread whose start() was interrupted stays in CPython's list, never started
        return [one for one in threading.enumerate() if "initial" not in repr(one)]

    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="", buffer=int(sys.argv[2]))
    for _ in range(3):
        backend.complete("warm up")
    rng, hits = random.Random(7), 0
    while hits < 150:
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0001, 0.006))
            with backend.stream("x") as stream:
                for event in stream:
                    pass
                time.sleep(0.01)  # the rest of the time
        except KeyboardInterrupt:
            hits += 1
        while True:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)
                break
            except KeyboardInterrupt:
                hits += 1
    stream = None
    gc.collect()
    deadline = time.monotonic() + 10.0
    while len(alive()) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(alive()) == 1, alive()
    assert backend.complete("hello").text == "You said: hello"
    backend.close()
    print("fine")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer signal")
@pytest.mark.parametrize("buffer", ["512", "0"])
def test_interrupts_at_any_moment(buffer):
    """Ctrl-C at 150 random moments of a stream's life leaves no thread, and the backend works."""
    program = INTERRUPTED.replace(
        "rng, hits", "signal.signal(signal.SIGALRM, signal.default_int_handler)\n    rng, hits"
    )
    with Upstream() as upstream:
        process = start(program, upstream.url, buffer)
        out, errors = process.communicate(timeout=60.0)
    assert (process.returncode, out) == (0, "fine\n"), errors

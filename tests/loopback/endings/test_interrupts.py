"""Signals in a stream's life: Ctrl-C at random moments, and handlers that raise."""

from __future__ import annotations

import signal

import pytest
from loopback.conftest import start

import inferd_engine as ie
from inferd_engine.testing import DONE, Gate, Pause, Reply, Upstream, chunk

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


class _Handler:
    """A signal handler that cannot be hashed."""

    __hash__ = None

    def __call__(self, *_):
        raise SoftLimitError

    def __eq__(self, other):
        return self is other


def test_any_handler_will_do(ask):
    """Whatever a program has as a signal handler, reading goes on."""
    old = signal.signal(signal.SIGALRM, _Handler())
    try:
        assert ask().complete("x").text == "You said: x"
    finally:
        signal.signal(signal.SIGALRM, old)


class SoftLimitError(Exception):
    """What a task queue raises from its signal handler."""


@pytest.mark.parametrize("before", [b": ping\n\n", b'data: {"choices"', b"data:\n\n"])
def test_a_handlers_exception_after_a_comment(ask, buffer, before):
    """A stream stays open although what came last before the interruption gave no event."""
    gate = Gate()
    rest = b": []}\n\n" if before.startswith(b"data: {") else b""
    last = [rest, chunk("b", finish_reason="stop"), DONE]
    backend = ask(Reply([chunk("a"), Pause(0.02), before, gate, *last]), buffer=buffer)

    def strike(*_):
        raise SoftLimitError

    old = signal.signal(signal.SIGALRM, strike)
    try:
        with backend.stream("x") as stream:
            assert next(stream) == ie.TextDelta("a")
            signal.setitimer(signal.ITIMER_REAL, 0.15)
            with pytest.raises(SoftLimitError):
                next(stream)
            gate.open()
            assert [event.type for event in stream] == ["text", "done"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)

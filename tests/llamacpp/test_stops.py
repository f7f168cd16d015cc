"""Stops: the call returns at once, the computing ends soon, and the next request is right.

The bounds are those of a machine with other work; the figures of an idle one are in the docs.
"""

from __future__ import annotations

import gc
import logging
import random
import subprocess
import sys
import threading
import time
import types
import weakref

import pytest
from llamacpp.conftest import forget, is_idle, until

import inferd_engine as ie
from inferd_engine.backends.llamacpp import source

LONG = "я" * 7000  # characters, a token each: the slow model reads some hundreds a second
RETURNS = 0.25  # seconds; some milliseconds where nothing else runs
ENDS = 2.0  # seconds; 0.15 where nothing else runs
# A prompt is one batch, which takes many seconds, and which nothing ends but the flag.
SETTINGS = {"n_ctx": 8192, "n_batch": 8192, "n_threads": 1, "cache_type": "f32"}


@pytest.fixture(scope="module")
def reader(slow):
    """A backend for a model that takes long to read."""
    with ie.LlamaCpp(model_path=slow, **SETTINGS) as backend:
        backend.load()
        yield backend


@pytest.fixture(scope="module")
def right(reader):
    """What it answers to a short question."""
    return ask(reader)


def ask(backend):
    forget(backend)
    return backend.complete("Hi", max_tokens=8, temperature=0).text


def is_reading(backend):
    return not is_idle(backend)


def timed(call):
    started = time.monotonic()
    call()
    return time.monotonic() - started


def check_after(backend, right):
    """The computing ends, and the next answer is right, with what is kept and without."""
    assert timed(lambda: until(lambda: is_idle(backend))) < ENDS
    kept = backend.complete("Hi", max_tokens=8, temperature=0).text
    assert kept == right
    assert ask(backend) == right


def in_prefill(backend, **fields):
    stream = backend.stream(LONG, max_tokens=100, **fields)
    assert until(lambda: is_reading(backend))
    threading.Event().wait(0.05)  # inside of llama.cpp, which tells nobody
    return stream


def test_close_in_prefill(reader, right):
    """From another thread, while the consumer waits: both go at once."""
    stream = in_prefill(reader)
    threading.Timer(0.2, stream.close).start()
    assert list(stream) == []
    assert timed(stream.close) < RETURNS
    assert stream.cancelled
    check_after(reader, right)


def test_close_while_generating(reader, right):
    """In the middle of an answer that goes on."""
    stream = reader.stream("Hi", max_tokens=4000)
    next(stream)
    assert timed(stream.close) < RETURNS
    check_after(reader, right)


def test_a_token_ends_a_prefill(reader, right):
    """complete() raises, as it does for every backend."""
    token = ie.CancelToken()
    token.cancel_after(0.3)
    started = time.monotonic()
    with pytest.raises(ie.RequestCancelledError):
        reader.complete(LONG, cancel=token)
    assert time.monotonic() - started < 0.3 + RETURNS
    check_after(reader, right)


@pytest.mark.parametrize("buffer", [512, 0])
@pytest.mark.parametrize("clock", ["timeout", "first_token_timeout"])
def test_a_deadline_ends_a_prefill(reader, right, clock, buffer):
    """At its time, though the worker is inside of llama.cpp, and the phase is told."""
    hasty = reader.with_options(**{clock: 0.4}, buffer=buffer)
    started = time.monotonic()
    with pytest.raises(ie.DeadlineError) as caught:
        hasty.complete(LONG)
    assert 0.4 <= time.monotonic() - started < 0.9  # at 0.5 s a consumer looks for itself
    assert caught.value.phase == {"timeout": "total"}.get(clock, "first_token")
    check_after(reader, right)


def test_a_deadline_ends_a_prefill_that_nobody_reads(reader, right):
    """Nor is anybody needed who looks at the clock; the error is given when somebody comes."""
    stream = reader.with_options(timeout=0.4).stream(LONG)
    assert until(lambda: is_reading(reader))
    assert timed(lambda: until(lambda: is_idle(reader))) < 0.4 + ENDS
    with pytest.raises(ie.DeadlineError):
        list(stream)
    check_after(reader, right)


def test_a_stop_is_no_error_in_the_log(reader, caplog):
    """llama.cpp calls it one; whoever stops knows."""
    caplog.set_level(logging.DEBUG, "inferd_engine.llamacpp")
    in_prefill(reader).close()
    assert until(lambda: is_idle(reader))
    assert "failed to compute graph" in caplog.text
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_deadline_ends_an_answer_that_nobody_reads(reader, right):
    """The total clock goes on while the consumer is away, and what had come is given."""
    hasty = reader.with_options(timeout=0.5, buffer=1)
    stream = hasty.stream("Hi", max_tokens=4000)
    assert until(lambda: is_idle(reader))
    with pytest.raises(ie.DeadlineError):
        list(stream)
    check_after(reader, right)


def test_silence_is_told_from_a_prefill(reader):
    """The idle clock begins with the first token."""
    patient = reader.with_options(idle_timeout=20.0)
    assert patient.complete("я" * 600, max_tokens=2).usage.output_tokens == 2
    hasty = reader.with_options(idle_timeout=0.0001)
    with pytest.raises(ie.DeadlineError) as caught:
        list(hasty.stream("Hi", max_tokens=4000))
    assert caught.value.phase == "idle"


@pytest.mark.filterwarnings("ignore:.*dropped before its end:ResourceWarning")
def test_a_dropped_stream_stops(reader, right):
    """Nobody can read it any more."""
    stream = in_prefill(reader)
    del stream
    gc.collect()
    check_after(reader, right)


def test_stop_ends_all(slow):
    """What computes, what waits; and then the model is freed."""
    backend = ie.LlamaCpp(model_path=slow, **SETTINGS)
    streams = [backend.stream(LONG) for _ in range(3)]
    assert until(lambda: is_reading(backend))
    assert timed(backend.stop) < ENDS
    assert all(stream.cancelled for stream in streams)
    with pytest.raises(ie.NotReadyError):
        backend.complete("Hi")


@pytest.mark.filterwarnings("ignore:.*dropped before its end:ResourceWarning")
@pytest.mark.parametrize("way", ["cancel", "deadline", "drop"])
def test_other_ways_to_stop_while_generating(reader, right, way):
    """A token, a deadline, and the last reference: as close() does."""
    token = ie.CancelToken()
    hasty = reader.with_options(timeout=1.0) if way == "deadline" else reader
    stream = hasty.stream("Hi", max_tokens=7000, cancel=token)
    next(stream)
    if way == "cancel":
        token.cancel()
        assert stream.cancelled
    elif way == "deadline":
        with pytest.raises(ie.DeadlineError):
            list(stream)
    del stream
    gc.collect()
    check_after(reader, right)


CTRL_C = """
import os, signal, sys, threading, time
import inferd_engine as ie

backend = ie.LlamaCpp(model_path=sys.argv[1], n_ctx=8192, n_threads=1, buffer=int(sys.argv[2]))
backend.load()
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
started = time.monotonic()
try:
    if sys.argv[3] == "complete":
        backend.complete("я" * 7000)
    else:
        for event in backend.stream("я" * 7000):
            pass
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - started - 0.5)
    print(backend.complete("Hi", max_tokens=2).usage.output_tokens)
"""


@pytest.mark.parametrize("call", ["complete", "stream"])
@pytest.mark.parametrize("buffer", [512, 0])
def test_ctrl_c_in_a_prefill(slow, buffer, call):
    """It is heard at once, the next request is served, and the program ends when it has ended."""
    program = [sys.executable, "-X", "faulthandler", "-c", CTRL_C, str(slow), str(buffer), call]
    run = subprocess.run(program, capture_output=True, text=True, check=True, timeout=50)
    word, seconds, count = run.stdout.split()
    assert (word, count) == ("interrupted", "2")
    assert float(seconds) < RETURNS + 0.5


EXIT = """
import sys, time, threading
import inferd_engine as ie

backend = ie.LlamaCpp(model_path=sys.argv[1], n_ctx=8192, n_threads=1)
stream = backend.stream("я" * int(sys.argv[2]), max_tokens=7000)
threading.Event().wait(0.3)
print(time.monotonic())
"""


@pytest.mark.parametrize("length", [7000, 1], ids=["reading", "generating"])
def test_the_program_may_end_in_an_answer(slow, length):
    """Without a crash, and without waiting for it."""
    program = [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", EXIT, str(slow)]
    program.append(str(length))
    run = subprocess.run(program, check=False, capture_output=True, text=True, timeout=50)
    assert (run.returncode, run.stderr) == (0, "")
    assert time.monotonic() - float(run.stdout) < ENDS + 1.0


def test_a_late_cancel_hits_nobody(reader, right):
    """A stream that is over cannot end the one after it, however often it is told to."""
    first = reader.stream("Hi", max_tokens=2, temperature=0)
    source = first._reading.source
    list(first)
    stream = reader.stream("Hi", max_tokens=8, temperature=0)
    pieces = []
    for text in stream.text():
        source.cancel()
        first.close()
        pieces.append(text)
    assert "".join(pieces) == right


def test_who_waits_may_leave(reader, right):
    """In the queue for the context: closed, cancelled, out of time; the others go on."""
    busy = in_prefill(reader)
    waiting = reader.stream("Hi", max_tokens=8, temperature=0)
    token = ie.CancelToken()
    with pytest.raises(ie.DeadlineError) as caught:
        reader.with_options(first_token_timeout=0.1).complete("Hi")
    assert caught.value.phase == "first_token"
    token.cancel_after(0.1)
    with pytest.raises(ie.RequestCancelledError):
        reader.complete("Hi", cancel=token)
    leaving = reader.stream("Hi")
    assert timed(leaving.close) < RETURNS
    assert waiting.poll(0.05) is None
    busy.close()
    assert waiting.collect().text == right
    check_after(reader, right)


def test_more_than_may_wait_are_refused(slow):
    """At once, with an error that may be tried again."""
    with ie.LlamaCpp(model_path=slow, max_waiting=1, **SETTINGS) as backend:
        first, second = backend.stream(LONG), backend.stream(LONG)
        with pytest.raises(ie.NotReadyError, match="max_waiting=1") as caught:
            backend.stream("Hi")
        assert caught.value.retryable
        first.close()
        second.close()
        assert until(lambda: is_idle(backend))
        assert backend.complete("Hi", max_tokens=2).usage.output_tokens == 2


def test_random_stops_are_each_followed_by_a_right_answer(tiny):
    """Five hundred times, in whatever the model is doing then."""
    chance = random.Random(3)
    settings = {**SETTINGS, "n_ctx": 512}
    with ie.LlamaCpp(model_path=tiny, **settings) as backend:
        backend.load()
        expected = ask(backend)
        for number in range(500):
            stream = backend.stream("я" * chance.randrange(400) + str(number), max_tokens=100)
            threading.Event().wait(chance.random() * 0.02)
            stream.close()
            assert backend.complete("Hi", max_tokens=8, temperature=0).text == expected


def test_random_stops_beside_an_answer_that_goes_on(tiny):
    """What is computed together is stopped alone, and what goes on says what it says alone."""
    chance = random.Random(4)
    with ie.LlamaCpp(model_path=tiny, n_parallel=3, **{**SETTINGS, "n_ctx": 512}) as backend:
        backend.load()
        right = ask(backend)
        long = backend.complete("Well", max_tokens=300, temperature=0).text
        for _ in range(10):
            going_on = backend.stream("Well", max_tokens=300, temperature=0)
            for number in range(10):
                stream = backend.stream("я" * chance.randrange(400) + str(number), max_tokens=100)
                threading.Event().wait(chance.random() * 0.01)
                stream.close()
            assert backend.complete("Hi", max_tokens=8, temperature=0).text == right
            assert going_on.collect().text == long
        assert until(lambda: is_idle(backend))


def test_a_prompt_that_is_stopped_beside_an_answer(slow):
    """It ends at once, in the middle of their round; the answer goes on, and says what is right."""
    with ie.LlamaCpp(model_path=slow, n_parallel=2, **SETTINGS) as backend:
        backend.load()
        expected = backend.complete("Hi", max_tokens=200, temperature=0).text
        forget(backend)
        staying = backend.stream("Hi", max_tokens=200, temperature=0)
        first = next(staying).delta
        leaving = in_prefill(backend)
        rounds = leaving._reading.source._context.rounds
        assert until(lambda: sizes_of(rounds)[1:] > [len(LONG) // 2])
        assert timed(leaving.close) < RETURNS
        assert timed(lambda: until(lambda: backend._engine.loaded.slots._free)) < ENDS
        assert first + "".join(staying.text()) == expected
        assert until(lambda: is_idle(backend))


def sizes_of(rounds):
    """Return how much of each is computed now, if anything is."""
    current = rounds._round
    return sorted(share.size for share in current[1]) if current else []


def test_a_stop_beside_a_longer_prompt_ends_with_their_round(slow):
    """The call returns at once; what is little beside the other's is computed to the end."""
    settings = {**SETTINGS, "n_batch": 256}
    with ie.LlamaCpp(model_path=slow, n_parallel=2, **settings) as backend:
        backend.load()
        expected = backend.complete("я" * 600, max_tokens=4, temperature=0).text
        forget(backend)
        leaving = backend.stream(LONG)
        staying = backend.stream("я" * 600, max_tokens=4, temperature=0)
        assert until(lambda: not backend._engine.loaded.slots._free)
        assert timed(leaving.close) < RETURNS
        assert staying.collect().text == expected
        assert until(lambda: is_idle(backend))


def test_two_contexts_answer_at_a_time(tiny):
    """Neither waits for the other, and each says what it says alone."""
    with ie.LlamaCpp(model_path=tiny, n_parallel=2, **{**SETTINGS, "n_ctx": 512}) as backend:
        backend.load()
        alone = [backend.complete("Hi", max_tokens=60, seed=n).text for n in (1, 2)]
        streams = [backend.stream("Hi", max_tokens=60, seed=n) for n in (1, 2)]
        pieces = [next(stream).delta for stream in streams]
        assert not any(stream.ended for stream in streams)
        rest = ["".join(stream.text()) for stream in streams]
        assert [first + text for first, text in zip(pieces, rest, strict=True)] == alone


def test_an_answer_whose_time_nobody_can_keep_is_none(backend, monkeypatch):
    """Where no thread can be started for the clocks, the call says so, and gives back its place."""

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(source, "_thread", types.SimpleNamespace(start_new_thread=refuse))
    with pytest.raises(ie.InternalError, match="deadlines: can't start") as caught:
        backend.complete("Hi", max_tokens=300)
    assert caught.value.retryable
    assert until(lambda: is_idle(backend))
    timeless = backend.with_options(timeout=None)
    assert timeless.complete("Hi", max_tokens=2).usage.output_tokens == 2


def test_a_call_that_was_interrupted_leaves_no_place(tiny):
    """Before its stream was there: nobody else could give the context back."""
    with ie.LlamaCpp(model_path=tiny, **{**SETTINGS, "n_ctx": 512}) as backend:
        backend.load()

        def interrupt(*_, **__):
            raise KeyboardInterrupt

        backend.open_stream = interrupt
        with pytest.raises(KeyboardInterrupt):
            backend.complete("Hi")
        del backend.open_stream
        gc.collect()
        assert is_idle(backend)


def test_a_thousand_requests_take_no_memory(tiny):
    """Finished ones, and such as were stopped."""
    import resource

    with ie.LlamaCpp(model_path=tiny, **{**SETTINGS, "n_ctx": 512}) as backend:
        backend.load()
        sizes = []
        for number in range(1000):
            with backend.stream("Hi", max_tokens=4, seed=number) as stream:
                next(stream)
                if number % 2:
                    list(stream)
            if number in (300, 999):
                sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        assert sizes[1] - sizes[0] < 4096  # KiB


def test_a_dropped_backend_frees_its_model(tiny):
    """At once, and not before its last stream is gone."""
    backend = ie.LlamaCpp(model_path=tiny, **{**SETTINGS, "n_ctx": 512})
    backend.load()
    model = weakref.ref(backend._engine.loaded.model)
    stream = backend.stream("Hi", max_tokens=5)
    del backend
    assert len(list(stream)) > 1
    del stream
    assert until(lambda: model() is None, 2.0)


def test_the_interpreters_lock_is_free_while_it_computes(reader):
    """Other threads run: a thread that counts is not slower for a prefill."""
    stream = in_prefill(reader)
    ticks = 0
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        time.sleep(0.001)
        ticks += 1
    stream.close()
    assert ticks > 50

"""Streams closed at random moments by random threads: the invariants hold after each."""

from __future__ import annotations

import os
import pathlib
import random
import threading
import time

import pytest
from loopback.conftest import SOON, open_files

from inferd_engine.testing import DONE, Pause, Reply, Trickle, chunk

TEXTS = [f"t{number} " for number in range(20)]


def reply(received):
    """A short answer, in one piece, in several, or slowly: by the request's own choice."""
    chunks = [chunk(text) for text in TEXTS]
    end = [chunk(finish_reason="stop"), DONE]
    kind = received.json["messages"][-1]["content"]
    if kind == "burst":
        return Reply([b"".join(chunks + end)])
    if kind == "slow":
        return Reply([step for one in chunks for step in (one, Pause(0.0005))] + end)
    if kind == "bytes":
        return Reply([*chunks[:10], Trickle(b"".join(chunks[10:11]), 0.00001), *chunks[11:], *end])
    return Reply([*chunks, *end], framing="close")


def consume(stream, how, rng):
    """Read a stream in one of the ways, until it ends or one has had enough."""
    given = []
    enough = rng.randint(0, 40)
    if how == "poll":
        while not stream.ended and len(given) < enough:
            event = stream.poll(0.001)
            given += [event] if event is not None else []
    else:
        for event in stream:
            given.append(event)
            if len(given) > enough:
                break
    return given


@pytest.mark.timeout(300)
@pytest.mark.parametrize("buffer", [512, 3, 0])
def test_random_closing(ask, buffer):
    """One ending, a prefix of what was sent, no thread, no descriptor, no victim beside."""
    backend = ask(otherwise=reply, buffer=buffer)
    for kind in ("close", "burst"):
        backend.complete(kind)  # what is made once is there, and a connection that waits for use
    files = open_files()
    rng = random.Random(4)
    begun, number = time.monotonic(), 0
    while number < 400 and time.monotonic() - begun < 30.0:
        number += 1
        one_stream(backend, rng, buffer)
        if rng.random() < 0.1:  # who closes nothing is hit by nobody
            assert backend.complete("burst").text == "".join(TEXTS)
    assert number > 100
    deadline = time.monotonic() + SOON
    while open_files() > files + 3 and time.monotonic() < deadline:
        assert not threading.Event().wait(0.01)  # the upstream's side closes a moment later
    assert open_files() <= files + 3  # one more such connection: two ends and the handle


def one_stream(backend, rng, buffer):
    """Read one stream while another thread closes it, now or never."""
    kind = rng.choice(["burst", "slow", "bytes", "close"])
    how = rng.choice(["next", "poll"] if buffer else ["next"])
    stream = backend.stream(kind)
    closer = threading.Thread(target=close_after, args=(stream, rng.choice([None, 0, 1e-4, 3e-3])))
    closer.start()
    try:
        given = consume(stream, how, rng)
    finally:
        closer.join()
        left_alone = not stream.ended
        stream.close()
    texts = [event.delta for event in given if event.type == "text"]
    dones = [event for event in given if event.type == "done"]
    assert texts == TEXTS[: len(texts)], "events are a prefix of what was sent"
    assert len(dones) <= 1
    assert (stream.done is not None) == bool(dones)
    assert stream.cancelled == (not dones)
    assert not dones or texts == TEXTS
    assert next(stream, None) is None
    assert left_alone == (stream.cancelled and left_alone)
    stream.wait_released(SOON)
    assert stream._worker is None or not stream._worker.is_alive()


def close_after(stream, seconds):
    """Close a stream in a moment; or do not."""
    if seconds is not None:
        if seconds:
            threading.Event().wait(seconds)
        stream.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["http", "https"])
def test_nobody_is_hit_beside(ask_by, way):
    """Threads that share a backend and close at random never end each other's streams."""
    backend = ask_by(way, otherwise=reply)
    failures = []
    stop_at = time.monotonic() + 3.0

    def work(seed):
        rng = random.Random(seed)
        while time.monotonic() < stop_at:
            try:
                with backend.stream("burst") as stream:
                    if rng.random() < 0.5:
                        for _ in range(rng.randint(0, 25)):
                            next(stream, None)
                        continue  # closed somewhere around its end
                    assert "".join(stream.text()) == "".join(TEXTS)
            except BaseException as error:  # noqa: BLE001 - it is looked at in the test's thread
                failures.append(error)
                return

    workers = [threading.Thread(target=work, args=[seed]) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert len(backend.upstream.requests) > 50


def test_two_consumers_lose_nothing(ask):
    """Several threads that take turns, or try to, get every event once."""
    steps = [step for text in TEXTS for step in (chunk(text), Pause(0.002))]
    backend = ask(Reply([*steps, chunk(finish_reason="stop"), DONE]))
    taken, refused = [], []

    def work(stream):
        while not stream.ended:
            try:
                event = next(stream, None)
            except RuntimeError as error:
                refused.append(error)
                continue
            if event is not None:
                taken.append(event)

    with backend.stream("x") as stream:
        workers = [threading.Thread(target=work, args=[stream]) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(SOON)
    texts = [event.delta for event in taken if event.type == "text"]
    assert sorted(texts) == sorted(TEXTS)
    assert [event.type for event in taken].count("done") == 1


@pytest.mark.timeout(300)
@pytest.mark.skipif(not pathlib.Path("/proc/self").is_dir(), reason="needs /proc")
def test_ten_thousand_streams(ask):
    """A process that opened and finished 10 000 streams is as it was at the start."""
    backend = ask(otherwise=lambda _: Reply([chunk("a", finish_reason="stop") + DONE]))

    def run(count):
        for number in range(count):
            with backend.stream("x") as stream:
                for _ in stream:
                    if number % 50 == 0:
                        break
            if number % 1000 == 0:
                backend.upstream.requests.clear()

    run(1000)  # whatever is made once
    threads, files, memory = threading.active_count(), open_files(), resident()
    run(10_000)
    backend.upstream.requests.clear()
    deadline = time.monotonic() + SOON
    while threading.active_count() > threads + 1 and time.monotonic() < deadline:
        assert not threading.Event().wait(0.01)
    assert threading.active_count() <= threads + 1
    assert open_files() <= files + 2
    assert resident() - memory < 2 * 1024 * 1024


def resident():
    """Give this process's resident memory in bytes."""
    import gc

    gc.collect()
    with pathlib.Path("/proc/self/statm").open() as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_many_threads_share_a_backend(ask):
    """Streams of one backend in many threads do not mix."""
    backend = ask()
    texts = {}

    def call(number):
        texts[number] = backend.complete(f"number {number}").text

    callers = [threading.Thread(target=call, args=[number]) for number in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(SOON)
    assert texts == {number: f"You said: number {number}" for number in range(20)}

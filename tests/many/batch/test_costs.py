"""What a batch costs for each answer, in numbers that are the same on every machine.

Python functions that are called, and objects that are left.
"""

from __future__ import annotations

import collections
import gc
import itertools
import sys
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import Cut, Reply, Upstream, chunk, text_reply

CALLS = 24  # Python functions for an answer given from the journal (22 on CPython 3.11)


def calls_of_resuming(count, path):
    """Count the Python functions that are called in this thread to give so many answers again."""
    prompts = [f"prompt {number}" for number in range(count)]
    list(ie.Mock("a b").map(prompts, journal=path))
    counted = 0

    def look(frame, what, _):
        nonlocal counted
        counted += what == "call"

    gc.collect()
    gc.disable()  # finalizers of what other tests left behind would be counted
    sys.setprofile(look)
    try:
        given = list(ie.Mock("c").map(prompts, journal=path))
    finally:
        sys.setprofile(None)
        gc.enable()
    assert [result.completion.text for result in given] == ["a b"] * count
    return counted


def test_calls_of_resuming(tmp_path):
    """A hundred thousand answers are given again in a second or two: none has many calls."""
    few, many = (calls_of_resuming(count, tmp_path / str(count)) for count in (100, 400))
    assert (many - few) / 300 <= CALLS


def at_rest(batch):
    """Wait until all that was begun has ended, and nobody takes it; count what there is."""
    deadline = time.monotonic() + 20
    while batch._batch.outbox.qsize() < batch._asked - batch._ended:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    gc.collect()
    return collections.Counter(type(found).__name__ for found in gc.get_objects())


def growth(batch, between, first=1000, last=4000):
    """Take so many results; give what there is more of after the last of them than early on."""
    counts = []
    for number, result in enumerate(batch, 1):
        assert result.completion is not None, result.error
        if number in (first, last):
            between()
            counts.append(at_rest(batch))
        if number == last:
            break
    batch.close()
    early, late = counts
    return {name: late[name] - early[name] for name in late if late[name] > early[name]}


def endless():
    return (f"p{number}" for number in itertools.count())


@pytest.mark.parametrize("ordered", [False, True])
def test_nothing_is_left_of_an_answer(ordered):
    """After four thousand answers there is what there was after one thousand: memory is flat.

    There may be more threads, some hundred objects; one for each answer would be three thousand.
    """
    mock = ie.Mock("a b c")
    batch = mock.map(endless(), concurrency=16, ordered=ordered)
    more = growth(batch, mock.requests.clear)
    assert sum(more.values()) < 1000, more


def test_nothing_is_left_of_an_answer_over_http(tmp_path):
    """Neither of connections, nor of attempts that were cut, nor of lines in a journal."""
    numbers = itertools.count(1)

    def reply(_):
        return Reply([chunk("a"), Cut()]) if next(numbers) % 10 == 0 else text_reply("a")

    retry, path = ie.Retry(attempts=9, max_wait=0.001), tmp_path / "answers.jsonl"
    with Upstream(otherwise=reply) as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            batch = backend.map(endless(), concurrency=16, retry=retry, journal=path)
            more = growth(batch, upstream.requests.clear, first=500, last=2000)
    assert sum(more.values()) < 500, more

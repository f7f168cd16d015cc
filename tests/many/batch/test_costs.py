"""What a batch costs for each answer, in numbers that are the same on every machine: calls."""

from __future__ import annotations

import gc
import sys

import inferd_engine as ie

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

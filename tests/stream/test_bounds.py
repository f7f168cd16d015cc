"""How much may be undelivered, in events and in bytes, wherever it waits."""

from __future__ import annotations

import threading

import pytest

import inferd_engine as ie
from inferd_engine.cancel import LiveSet
from inferd_engine.stream.buffer import EventBuffer
from inferd_engine.stream.token_stream import TokenStream

MIB = 1024 * 1024


class Batches(ie.Source):
    """A source that gives these batches, each a count of events and the size of one."""

    def __init__(self, *batches):
        self._batches = list(batches)
        self._size = 0
        self.read_so_far = 0
        self.is_reading = threading.Semaphore(0)

    def read(self, give_up):
        self.is_reading.release()
        if not self._batches:
            return [ie.Done(ie.StopReason.END_TURN)]
        count, size = self._batches.pop(0)
        self._size = count * size
        self.read_so_far += count
        return [ie.TextDelta("x")] * count

    def weight(self, events):
        return self._size

    def cancel(self):
        pass


def waiting(source):
    """Give how many events were read when the worker stands still."""
    seen = -1
    while seen != source.read_so_far:
        seen = source.read_so_far
        while source.is_reading.acquire(timeout=0.05):
            pass
    return seen


@pytest.mark.parametrize("buffer", [1, 2, 8, 512])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_events_are_bounded(buffer, batch):
    """At most `buffer` events, and one read's worth more, are read and not delivered."""
    source = Batches(*[(batch, 1)] * 5000)
    with TokenStream(source, buffer=buffer, live=LiveSet()) as stream:
        assert waiting(source) <= buffer + batch
        for delivered in range(1, 4):
            next(stream)
            assert waiting(source) - delivered <= buffer + batch


def test_bytes_are_bounded():
    """At most 8 MiB, and one read's worth more, are read and not delivered."""
    source = Batches(*[(1, 60_000)] * 1000)
    with TokenStream(source, buffer=512, live=LiveSet()) as stream:
        for _ in range(5):
            next(stream)
            assert (waiting(source) - stream.stats.events) * 60_000 <= 8 * MIB + 60_000


def test_events_larger_than_the_bound_come_one_at_a_time():
    """An event that is larger than the bound waits alone."""
    source = Batches(*[(1, 20 * MIB)] * 10)
    with TokenStream(source, buffer=512, live=LiveSet()) as stream:
        assert waiting(source) <= 2  # one in the queue, one in the worker's hands
        assert len(list(stream)) == 11


def test_everything_comes_through():
    """Whatever the batches and the bound, all events come, in order and once."""
    for buffer in (1, 2, 7):
        source = Batches((3, 1), (100, 100_000), (1, 9 * MIB), (17, 1))
        stream = TokenStream(source, buffer=buffer, live=LiveSet())
        assert [event.type for event in stream] == ["text"] * 121 + ["done"]


def test_a_waiting_piece_does_not_wake_the_consumer():
    """An empty queue is empty, whatever waits to be put."""
    buffer = EventBuffer(4)
    buffer.piece = (2, 100)
    assert buffer.qsize() == 0

"""What an ending lets go of: the turn, the connection, its descriptors, what was received."""

from __future__ import annotations

import gc
import threading
import time

import pytest
from loopback.conftest import SOON, open_files
from stream.hiring import hire

import inferd_engine as ie
from inferd_engine.stream.buffer import EventBuffer
from inferd_engine.testing import DONE, Gate, Reply, Stall, chunk


def test_the_end_is_there_before_the_turn_is_free(ask, monkeypatch):
    """A consumer that comes while the worker ends the stream finds the end, not a closed source."""
    late, put_beyond = threading.Event(), EventBuffer.put_beyond

    def put_late(self, events):
        late.wait(0.3)
        put_beyond(self, events)

    monkeypatch.setattr(EventBuffer, "put_beyond", put_late)
    backend = ask(Reply([chunk("a"), chunk("b", finish_reason="stop"), DONE]))
    stream = backend.stream("x")
    while stream._reading.outcome is None:  # until the worker has come to the end
        late.wait(0.01)
    assert [event.type for event in stream] == ["text", "text", "done"]


def test_a_turn_that_nobody_gives_up(ask):
    """A closed stream's worker goes, though a reader died without giving up its turn."""
    stream = ask(Reply([chunk("a"), Stall()])).stream("x")

    def read_and_die():
        next(stream)
        assert stream._reading.turn.take(threading.current_thread())
        hire(stream)

    reader = threading.Thread(target=read_and_die)
    reader.start()
    reader.join(SOON)
    stream.close()
    stream.wait_released(SOON)
    assert not stream._worker.is_alive()
    assert stream._reading.released_at is not None


@pytest.mark.parametrize("place", ["drain", "close"])
@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_a_connection_that_cannot_be_let_go(ask, monkeypatch, buffer, place, error):
    """A failure while the connection is given back does not keep the ending from the consumer."""
    gate = Gate()
    backend = ask(Reply([chunk("a"), gate, chunk(finish_reason="stop"), DONE]), buffer=buffer)
    stream = backend.stream("x")
    body = stream._reading.source._body

    def fail(*_):
        raise error

    if place == "drain":
        monkeypatch.setattr(body, "drain", fail)
    else:
        monkeypatch.setattr(body._raw, "close", fail)
    gate.open()
    given = []
    consumer = threading.Thread(target=lambda: given.extend(stream))
    consumer.start()
    consumer.join(SOON)
    assert [event.type for event in given] == ["text", "done"]


def test_stop_closes_what_waits_for_use(ask):
    """stop() closes idle connections itself, whoever refers to their pool."""
    backend = ask()
    files = open_files()
    assert backend.complete("x").text
    (adapter,) = backend._transport._adapters.values()
    pools = adapter.poolmanager.pools
    pools = [pools[key] for key in pools.keys()]  # noqa: SIM118 - it cannot be iterated over
    backend.stop()
    deadline = time.monotonic() + SOON
    while open_files() > files and time.monotonic() < deadline:
        assert not threading.Event().wait(0.01)  # the upstream's side closes a moment later
    assert open_files() <= files
    assert pools


def test_a_failed_answer_is_not_kept(ask, buffer, monkeypatch):
    """What was received of an answer that failed goes with it, not with a garbage collection."""
    import weakref

    from inferd_engine.wire.answer import body

    kept = weakref.WeakSet()

    class Watched(body.SSEDecoder):
        def __init__(self, **options):
            super().__init__(**options)
            kept.add(self)

    monkeypatch.setattr(body, "SSEDecoder", Watched)
    backend = ask(Reply([b"data: " + b"x" * 200_000]), buffer=buffer, max_event_bytes=100_000)
    gc.disable()
    try:
        with pytest.raises(ie.UpstreamError):
            backend.complete("x")
        assert not kept
    finally:
        gc.enable()

"""What a merge gives: all of every stream, in order, by one thread, whatever it is read from."""

from __future__ import annotations

import pickle
import random
import threading
import time

import pytest
from fed_source import Queued
from many.streams import (
    OTHERS,
    SOON,
    WAYS,
    WORDS,
    WORKER,
    Backend,
    buffer,
    check_whole,
    events,
    gather,
    reply,
    serve,
    text_of,
    until,
    workers,
)

import inferd_engine as ie
from inferd_engine.testing import DONE, Gate, Pause, Reply, Stall, chunk

__all__ = ["buffer", "serve"]  # fixtures

# --- what it gives -------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("way", WAYS)
def test_answers_over_http(serve, way, tls, buffer):
    """Every stream gives all its events in order, then its Done, whatever its answer is in."""
    backend = serve(otherwise=lambda _: WAYS[way](), tls=tls, buffer=buffer)
    streams = [backend.stream("x") for _ in range(5)]
    with ie.merge(streams) as merge:
        check_whole(gather(merge), 5)
    assert backend.complete("x").text == "".join(WORDS)


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_what_comes_behind_a_burst(serve, tls, buffer):
    """Where the first read has left more, the connection is waited for when that was given."""
    gate = Gate()
    backend = serve(Reply([chunk("a") * 300, gate, chunk("b"), DONE]), tls=tls, buffer=buffer)
    with ie.merge([backend.stream("x")]) as merge:
        while merge.poll(0.3) is not None:
            pass
        gate.open()
        assert merge.poll(SOON)[1].delta == "b"


@pytest.mark.parametrize("way", OTHERS)
def test_other_sources(way, buffer):
    """So does every stream that no socket tells of."""
    backend = OTHERS[way](buffer)
    with ie.merge([backend.stream("x") for _ in range(5)]) as merge:
        check_whole(gather(merge), 5)


def test_all_kinds_at_once(serve, buffer):
    """Streams of every kind are read together."""
    backends = [serve(otherwise=lambda _, way=way: way(), buffer=buffer) for way in WAYS.values()]
    backends += [make(buffer) for make in OTHERS.values()]
    streams = [backend.stream("x") for backend in backends * 3]
    random.Random(17).shuffle(streams)
    with ie.merge(streams) as merge:
        check_whole(gather(merge), len(streams))


def test_one_thread_reads_sockets(serve):
    """No thread is left that reads what one thread can wait for; a worker that there was goes."""
    gate = Gate()
    backend = serve(*[Reply([chunk("a"), gate, chunk("b", finish_reason="stop"), DONE])] * 8)
    with ie.merge([backend.stream("x") for _ in range(8)]) as merge:
        assert [next(merge)[1].delta for _ in range(8)] == ["a"] * 8
        until(lambda: not workers())
        gate.open()
        assert len(gather(merge)) == 8
        assert not workers()


def test_a_worker_reads_what_cannot_be_waited_for():
    """A source without a descriptor is read by its worker, and by nobody else."""
    source = Queued(*events())
    with ie.merge([Backend(lambda: source).stream("x")]) as merge:
        check_whole(gather(merge), 1)
    assert all(name.startswith(WORKER) for name in source.readers)


def test_what_was_read_ahead_comes_first(serve):
    """What a worker has read before the streams were merged is given first."""
    backend = serve(otherwise=lambda _: reply(), buffer=20)
    streams = [backend.stream("x") for _ in range(3)]
    until(lambda: all(stream._buffer.queue for stream in streams))
    with ie.merge(streams) as merge:
        check_whole(gather(merge), 3)


def test_a_worker_in_the_middle_of_a_read_hands_it_over(serve):
    """A worker that waits in a read when the streams are merged gives what it reads, and goes."""
    gate = Gate()
    backend = serve(Reply([gate, chunk("a"), chunk("b", finish_reason="stop"), DONE]))
    stream = backend.stream("x")
    until(lambda: bool(stream._reading.turn))  # it has been left alone, and reads ahead
    with ie.merge([stream]) as merge:
        assert merge.poll(0.0) is None
        gate.open()
        given = gather(merge)[stream]
    assert text_of(given) == "ab"
    assert given[-1] is stream.done


def test_what_was_taken_in_comes_first(serve, buffer):
    """A stream that was begun elsewhere goes on where it was."""
    backend = serve(otherwise=lambda _: reply(), buffer=buffer)
    streams = [backend.stream("x") for _ in range(3)]
    begun = {stream: next(stream).delta for stream in streams}
    with ie.merge(streams) as merge:
        given = gather(merge)
    for stream, first in begun.items():
        assert first + text_of(given[stream]) == "".join(WORDS)


def test_an_answer_that_fails_gives_its_error(serve, buffer):
    """An error is given in place of an event, and the others go on."""
    cut = Reply([chunk("a"), chunk("b")])
    backend = serve(reply(), cut, reply(), buffer=buffer)
    whole, broken, other = (backend.stream("x") for _ in range(3))
    with ie.merge([whole, broken, other]) as merge:
        given = gather(merge)
    assert text_of(given[whole]) == text_of(given[other]) == "".join(WORDS)
    *texts, error = given[broken]
    assert [event.delta for event in texts] == ["a", "b"]
    assert isinstance(error, ie.StreamInterruptedError)
    assert not error.retryable
    assert error.__traceback__ is None
    assert broken.ended
    assert broken.done is None


def test_an_error_of_the_upstream_is_that_of_a_single_stream(serve, buffer):
    """A merged stream fails with the very error that iterating over it would raise."""
    body = Reply([chunk("a"), b'data: {"error": {"message": "too hot", "code": "hot"}}\n\n'])
    backend = serve(body, body, buffer=buffer)
    with pytest.raises(ie.UpstreamError) as caught:
        list(backend.stream("x"))
    stream = backend.stream("x")
    with ie.merge([stream]) as merge:
        *_, (_, error) = merge
    assert (str(error), error.code, error.retryable) == (
        str(caught.value),
        caught.value.code,
        caught.value.retryable,
    )


def test_a_wrong_source_gives_an_error(buffer):
    """What a source raises, and an end without Done, are given as errors."""

    def broken():
        yield ie.TextDelta("a")
        raise ZeroDivisionError

    backends = [Backend(broken, buffer), Backend(lambda: iter([ie.TextDelta("a")]), buffer)]
    with ie.merge([backend.stream("x") for backend in backends]) as merge:
        ends = [given[-1] for given in gather(merge).values()]
    assert {type(end) for end in ends} == {ie.InternalError, ie.StreamInterruptedError}


def test_several_thousand_events(serve, buffer):
    """Many events of many streams: none is lost, none is given twice, none is out of order."""
    counts = [random.Random(n).randrange(1, 400) for n in range(40)]
    replies = [reply([f"{n} " for n in range(count)]) for count in counts]
    backend = serve(*replies, buffer=buffer)
    streams = [backend.stream("x") for _ in counts]
    with ie.merge(streams) as merge:
        given = gather(merge)
    assert [text_of(given[stream]) for stream in streams] == [
        "".join(f"{n} " for n in range(count)) for count in counts
    ]


def test_five_hundred_streams(serve):
    """Hundreds of streams are open at a time, and one thread reads them."""
    gate = Gate()
    backend = serve(
        otherwise=lambda _: Reply([chunk("a"), gate, chunk("b", finish_reason="stop"), DONE]),
        buffer=0,
    )
    streams = [backend.stream("x") for _ in range(500)]
    before = threading.active_count()
    with ie.merge(streams) as merge:
        assert [next(merge)[1].delta for _ in streams] == ["a"] * 500
        assert threading.active_count() == before
        gate.open()
        given = gather(merge)
    assert all(text_of(given[stream]) == "b" and stream.done for stream in streams)


def test_a_connection_is_used_again(serve):
    """What has ended gives its connection back."""
    backend = serve(otherwise=lambda _: reply(), buffer=0)
    for _ in range(5):
        with ie.merge([backend.stream("x") for _ in range(3)]) as merge:
            check_whole(gather(merge), 3)
    assert backend.upstream.connections <= 3


# --- turns ---------------------------------------------------------------------------------------


def test_a_flood_starves_nobody(serve, buffer):
    """While one stream floods, the events of another come between its own."""
    flood = Reply([chunk("x" * 100)] * 20_000)
    backend = serve(flood, reply(), buffer=buffer)
    flooding, other = backend.stream("x"), backend.stream("x")
    seen = 0
    with ie.merge([flooding, other]) as merge:
        for stream, event in merge:
            seen += stream is flooding
            if event.type == "done":
                break
    assert stream is other
    assert seen < 10_000


def test_all_that_are_ready_get_a_turn():
    """Streams that always have something take turns."""
    mock = ie.Mock(["a", "b", "c"], buffer=0)
    with ie.merge([mock.stream("x") for _ in range(4)]) as merge:
        order = [stream for stream, _ in merge]
    assert [len({*order[n : n + 4]}) for n in range(0, 12, 4)] == [4, 4, 4]


def test_what_is_not_asked_for_stays_with_the_upstream(serve, buffer):
    """A consumer that stays away makes every upstream wait."""
    sent = []

    class Counted(Pause):
        def take(self, peer):
            sent.append(peer)

    endless = Reply([step for _ in range(4_000) for step in (chunk("x" * 8192), Counted(0))])
    backend = serve(endless, endless, buffer=min(buffer, 8))
    with ie.merge([backend.stream("x") for _ in range(2)]) as merge:
        for _ in range(4):
            next(merge)
        count = -1
        while count != len(sent):  # until nothing more is sent for a while
            count = len(sent)
            threading.Event().wait(0.3)
        assert count < 4_000  # 32 MB of each
        assert len(merge) == 2


# --- waiting -------------------------------------------------------------------------------------


def test_poll(serve, buffer):
    """poll() gives a pair, or None when nothing came in time; the stream goes on after that."""
    gate = Gate()
    backend = serve(
        Reply([chunk("a"), gate, chunk("b", finish_reason="stop"), DONE]), buffer=buffer
    )
    stream = backend.stream("x")
    with ie.merge([stream]) as merge:
        assert merge.poll(SOON) == (stream, ie.TextDelta("a"))
        assert merge.poll(0) is None
        assert merge.poll(0.01) is None
        gate.open()
        assert merge.poll(SOON) == (stream, ie.TextDelta("b"))
        assert merge.poll(SOON) == (stream, stream.done)
        assert len(merge) == 0
        assert merge.poll(0) is None
    assert merge.poll(SOON * 9) is None


@pytest.mark.parametrize("timeout", ["1", None, float("nan")])
def test_poll_of_no_number(timeout):
    """A timeout is a number."""
    with ie.merge() as merge, pytest.raises((TypeError, ValueError), match="timeout"):
        merge.poll(timeout)


def test_a_stream_is_added_while_another_waits(serve):
    """add() wakes whoever waits, from any thread."""
    backend = serve(Reply([Stall()]), reply(), buffer=0)
    silent = backend.stream("x")
    added = []
    with ie.merge([silent]) as merge:

        def add():
            until(lambda: merge._rounds.waiter._is_waiting)
            added.append(backend.stream("x"))
            merge.add(added[0])

        thread = threading.Thread(target=add)
        thread.start()
        begun = time.monotonic()
        given = [next(merge) for _ in range(len(WORDS) + 1)]
        assert time.monotonic() - begun < SOON
        thread.join()
        assert {stream for stream, _ in given} == {added[0]}
        assert len(merge) == 1
        assert not silent.ended
    assert silent.cancelled


def test_streams_are_added_in_the_loop(serve, buffer):
    """What is added while the loop runs is read by it, until no stream is left."""
    backend = serve(otherwise=lambda _: reply(["a", "b"]), buffer=buffer)
    texts = []
    with ie.merge([backend.stream("x")]) as merge:
        for _, event in merge:
            if event.type == "text":
                texts.append(event.delta)
            elif len(texts) < 20:
                merge.add(backend.stream("x"))
    assert texts == ["a", "b"] * 10


def test_poll_waits_for_a_stream_that_is_added():
    """A merge that has no stream waits for one as long as it may."""
    with ie.merge() as merge:
        thread = threading.Thread(target=lambda: merge.add(ie.Mock("a").stream("x")))
        thread.start()
        assert merge.poll(SOON)[1] == ie.TextDelta("a")
        thread.join()
        assert merge.poll(SOON)[1].type == "done"


def test_no_streams():
    """A merge of nothing gives nothing."""
    with ie.merge([]) as merge:
        assert [*merge] == []
        assert len(merge) == 0


# --- what is refused -----------------------------------------------------------------------------


def test_a_stream_given_twice():
    """A stream is in one merge once; then none of those that came with it is taken."""
    stream, other = ie.Mock("a").stream("x"), ie.Mock("b").stream("x")
    with pytest.raises(RuntimeError, match="is in a merge already"):
        ie.merge([other, stream, stream])
    assert other.collect().text == "b"
    with ie.merge([stream]) as merge:
        with pytest.raises(RuntimeError, match="is in a merge already"):
            merge.add(stream)
        with pytest.raises(RuntimeError, match="is in a merge already"):
            ie.merge([stream])
        assert text_of(gather(merge)[stream]) == "a"


def test_a_merged_stream_is_not_read_elsewhere(serve):
    """Nobody else may iterate over a stream that is merged; it loses nothing by that."""
    backend = serve(otherwise=lambda _: reply())
    stream = backend.stream("x")
    with ie.merge([stream]) as merge:
        first = next(merge)[1].delta
        for read in (lambda: next(stream), stream.collect, lambda: next(stream.text())):
            with pytest.raises(RuntimeError, match=r"is in a merge: .*one consumer"):
                read()
        assert first + text_of(gather(merge)[stream]) == "".join(WORDS)


def test_a_stream_that_is_being_read(serve):
    """A stream whose consumer waits in another thread is refused."""
    gate = Gate()
    backend = serve(Reply([gate, chunk("a", finish_reason="stop"), DONE]))
    stream, texts = backend.stream("x"), []
    thread = threading.Thread(target=lambda: texts.extend(stream.text()))
    thread.start()
    until(lambda: stream._consumer.is_inside)
    with pytest.raises(RuntimeError, match="one consumer"):
        ie.merge([stream])
    gate.open()
    thread.join()
    assert texts == ["a"]


def test_two_threads_iterate():
    """One thread at a time iterates over a merge."""
    source = Queued()
    with ie.merge([Backend(lambda: source).stream("x")]) as merge:
        given = []
        thread = threading.Thread(target=lambda: given.extend(merge))
        thread.start()
        until(lambda: merge._going.gi_running)
        with pytest.raises(RuntimeError, match="one consumer"):
            next(merge)
        for event in events():
            source.events.put(event)
        thread.join()
    assert len(given) == len(WORDS) + 1


def test_a_stream_in_place_of_streams():
    """It is told so, and nothing is taken out of it."""
    with ie.Mock("a").stream("x") as stream:
        with pytest.raises(TypeError, match=r"streams is of type TokenStream: give a list"):
            ie.merge(stream)
        assert stream.collect().text == "a"


@pytest.mark.parametrize("wrong", [ie.Mock("a"), None, 5])
def test_what_is_no_list_of_streams(wrong):
    """It is told by its name."""
    with pytest.raises(TypeError, match=r"^streams is .*: give a list of streams"):
        ie.merge(wrong)


@pytest.mark.parametrize("wrong", [["x"], [ie.Mock("a")], [iter(())]])
def test_what_is_no_stream(wrong):
    """A merge takes streams."""
    with pytest.raises(TypeError, match="TokenStream"):
        ie.merge(wrong)
    with ie.merge() as merge, pytest.raises(TypeError, match="TokenStream"):
        merge.add(wrong[0])


def test_a_closed_merge_takes_no_stream():
    """A stream that comes too late is refused, and stays the caller's."""
    with ie.merge() as merge:
        pass
    stream = ie.Mock("a").stream("x")
    with pytest.raises(RuntimeError, match="closed"):
        merge.add(stream)
    assert stream.collect().text == "a"


def test_a_stream_that_has_ended():
    """A stream whose end was given elsewhere has nothing to say."""
    stream = ie.Mock("a").stream("x")
    stream.collect()
    with ie.merge([stream, ie.Mock("b").stream("x")]) as merge:
        assert stream not in gather(merge)


def test_it_cannot_be_pickled():
    """A merge belongs to its process."""
    with ie.merge() as merge, pytest.raises(TypeError, match="process"):
        pickle.dumps(merge)


def test_repr():
    """It says how many streams are left."""
    with ie.merge([ie.Mock("a").stream("x"), ie.Mock("a").stream("x")]) as merge:
        assert repr(merge) == "<Merge of 2 streams>"
        gather(merge)
        assert repr(merge) == "<Merge of 0 streams>"

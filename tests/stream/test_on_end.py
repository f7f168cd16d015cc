"""How a stream has ended, told to whoever has asked for it."""

from __future__ import annotations

import gc
import sys
import threading

import pytest

import inferd_engine as ie


@pytest.fixture
def told():
    return []


def test_an_answer_that_is_finished(told):
    """``Done`` is told when the consumer has come to it, and not before."""
    stream = ie.Mock(["a", "b"]).stream("x")
    stream.on_end(told.append)
    assert next(stream).delta == "a"
    assert told == []
    list(stream)
    assert told == [stream.done]


def test_an_answer_that_failed(told):
    """The error is told that the consumer is given."""
    stream = ie.Mock(["a", "b"], mid_stream_drop_after=1).stream("x")
    stream.on_end(told.append)
    with pytest.raises(ie.StreamInterruptedError) as caught:
        list(stream)
    assert told == [caught.value]


@pytest.mark.parametrize("how", ["close", "token", "stop", "drop"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_answer_that_was_closed(told, how):
    """None is told: somebody did not want it."""
    backend, token = ie.Mock(["a", "b"], token_delay=3600.0), ie.CancelToken()
    stream = backend.stream("x", cancel=token)
    stream.on_end(told.append)
    if how == "close":
        stream.close()
    elif how == "token":
        token.cancel()
    elif how == "stop":
        backend.stop()
    del stream
    gc.collect()
    assert told == [None]
    backend.stop()


def test_a_stream_that_is_over(told):
    """It is told at once."""
    stream = ie.Mock("a").stream("x")
    list(stream)
    stream.on_end(told.append)
    assert told == [stream.done]


@pytest.mark.parametrize("wrong", [None, "x", 5])
def test_who_cannot_be_told(wrong):
    """It is refused where it is given, and not in whatever ends the stream."""
    with ie.Mock("a").stream("x") as stream:
        with pytest.raises(TypeError, match=r"listener is .*: give a function"):
            stream.on_end(wrong)
        assert stream.collect().text == "a"


def test_each_is_told_once(told):
    """However many ask, and however often it is closed."""
    stream = ie.Mock("a").stream("x")
    for number in range(3):
        stream.on_end(lambda ending, number=number: told.append((number, ending)))
    for _ in range(3):
        stream.close()
    assert sorted(told) == [(0, None), (1, None), (2, None)]


def test_a_stream_is_not_kept_by_who_is_told(told):
    """A listener does not keep a stream from being dropped."""
    stream = ie.Mock(["a"], token_delay=3600.0).stream("x")
    stream.on_end(told.append)
    with pytest.warns(ResourceWarning):
        del stream
        gc.collect()
    assert told == [None]


def test_nobody_is_missed():
    """Whoever asks while somebody closes is told, by the one or the other, and once."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            stream, told = ie.Mock(["a"], token_delay=3600.0).stream("x"), []
            barrier = threading.Barrier(2)

            def close(stream=stream, barrier=barrier):
                barrier.wait()
                stream.close()

            thread = threading.Thread(target=close)
            thread.start()
            barrier.wait()
            stream.on_end(told.append)
            thread.join()
            assert told == [None]
    finally:
        sys.setswitchinterval(old)

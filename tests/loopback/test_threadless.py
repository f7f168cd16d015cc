"""Where no thread can be started: at the end of the interpreter, at the system's limit."""

from __future__ import annotations

import threading

import pytest
from loopback.conftest import start

import inferd_engine as ie
from inferd_engine.testing import DONE, Reply, chunk

REPLY = Reply([chunk("a"), chunk("b", finish_reason="stop"), DONE])


@pytest.fixture
def no_threads(monkeypatch):
    """Let no thread start any more."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    def forbid():
        monkeypatch.setattr(threading.Thread, "start", refuse)

    yield forbid
    monkeypatch.undo()


@pytest.mark.parametrize("buffer", [512, 0])
def test_complete_needs_no_thread(ask, no_threads, buffer):
    """complete() reads in the caller's own thread, whatever the buffer."""
    backend = ask(REPLY, REPLY, buffer=buffer)
    assert backend.complete("x").text == "ab"
    no_threads()
    assert backend.complete("x").text == "ab"  # over the same connection, which has its thread


def test_a_stream_goes_without(ask, no_threads):
    """A stream whose consumer comes for its events needs no thread, whatever the buffer."""
    backend = ask(REPLY, REPLY)
    backend.complete("x")
    no_threads()
    assert "".join(backend.stream("x").text()) == "ab"


def test_a_worker_that_is_needed(no_threads):
    """Where one has to read, the refusal is told, also while the program handles another error."""
    backend = ie.Mock()
    no_threads()
    try:
        {}["the program's own"]
    except KeyError:
        with pytest.raises(ie.InternalError, match="no worker thread"):
            backend.open_stream(iter([ie.TextDelta("a")]))


@pytest.mark.parametrize("armed", ["before", "after"])
@pytest.mark.parametrize("buffer", [512, 0])
def test_a_timer_that_cannot_start(ask, no_threads, armed, buffer):
    """A token whose time nobody can keep is an error of ours, and the call leaves nothing open."""
    backend, token = ask(REPLY, REPLY, buffer=buffer), ie.CancelToken()
    backend.complete("x")
    if armed == "before":
        token.cancel_after(60)
        no_threads()
        with pytest.raises(ie.InternalError, match="cancel_after") as caught:
            backend.complete("x", cancel=token)
    else:
        with backend.with_options(buffer=0).stream("x", cancel=token):
            no_threads()
            with pytest.raises(ie.InternalError, match="cancel_after") as caught:
                token.cancel_after(60)
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, RuntimeError)


AT_EXIT = """
    import atexit, sys, threading
    import inferd_engine as ie
    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="")
    backend.complete("x")

    @atexit.register
    def report():
        print(backend.complete("x").text, flush=True)
"""


def test_complete_at_exit(ask):
    """A program may ask in its last moments, when it can start no thread any more (3.12)."""
    backend = ask(REPLY, REPLY)
    process = start(AT_EXIT, backend.upstream.url)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, out, errors) == (0, "ab\n", "")

"""A batch that ends early takes everything with it, at once.

How fast is a matter of milliseconds; here the bound says that nobody waited for an upstream which
stalls for ever.
"""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from forking import check_in_a_child, needs_fork

import inferd_engine as ie
from inferd_engine.testing import Reply, Stall, Upstream, chunk, text_reply

SOON = 10.0
AT_ONCE = 6


@pytest.fixture(autouse=True)
def _collected():
    """Have what a test leaves open told in that test."""
    yield
    gc.collect()


HEADS = {
    "before the headers": Reply([chunk("a")], before=[Stall()]),
    "in the body": Reply([chunk("a"), Stall()]),
}


@pytest.fixture(params=HEADS)
def stalled(request):
    """Give an upstream whose answers never end, and a backend for it."""
    with Upstream(otherwise=lambda _: HEADS[request.param]) as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            yield upstream, backend


def assert_all_gone(upstream, since):
    """Look at what was under way: the upstream has seen each of them go, soon."""
    assert len(upstream.requests) == AT_ONCE
    for received in upstream.requests:
        assert received.gone.wait(SOON)
        assert received.gone_at - since < 2  # promised: 0.1


def iterating(backend, **options):
    """Iterate in a thread; give it, and a list for what that ends with."""
    ends = []

    def consume():
        try:
            ends.append([*backend.map(itertools.repeat("x"), concurrency=AT_ONCE, **options)])
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            ends.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    return thread, ends


def test_a_token_ends_it(stalled):
    """cancel() ends all that is under way, and iterating raises RequestCancelledError."""
    upstream, backend = stalled
    token = ie.CancelToken()
    thread, ends = iterating(backend, cancel=token)
    upstream.wait_for_request(AT_ONCE)
    since = time.monotonic()
    token.cancel()
    thread.join(SOON)
    assert_all_gone(upstream, since)
    assert isinstance(ends[0], ie.RequestCancelledError)


def test_stop_ends_it(stalled):
    """stop() of the backend ends the batch: its prompts are not failures."""
    upstream, backend = stalled
    thread, ends = iterating(backend)
    upstream.wait_for_request(AT_ONCE)
    since = time.monotonic()
    backend.stop()
    thread.join(SOON)
    assert_all_gone(upstream, since)
    assert isinstance(ends[0], (ie.RequestCancelledError, ie.NotReadyError))


def test_close_ends_it(stalled):
    """close() from another thread ends what is under way, and the iteration."""
    upstream, backend = stalled
    results = backend.map(itertools.repeat("x"), concurrency=AT_ONCE)
    ends = []
    thread = threading.Thread(target=lambda: ends.append([*results]))
    thread.start()
    upstream.wait_for_request(AT_ONCE)
    since = time.monotonic()
    results.close()
    thread.join(SOON)
    assert_all_gone(upstream, since)
    assert ends == [[]]


@pytest.mark.skipif(os.name == "nt", reason="a signal that a process sends itself")
def test_ctrl_c_ends_it(stalled):
    """KeyboardInterrupt in next() ends what is under way, and goes on up."""
    upstream, backend = stalled
    since = []

    def strike():
        upstream.wait_for_request(AT_ONCE)
        since.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    striker = threading.Thread(target=strike)
    striker.start()
    with pytest.raises(KeyboardInterrupt):
        next(backend.map(itertools.repeat("x"), concurrency=AT_ONCE))
    striker.join()
    assert_all_gone(upstream, since[0])


@pytest.fixture
def mostly_stalled():
    """Give an upstream that answers once and then never, and a backend for it."""
    with Upstream(text_reply("a"), otherwise=lambda _: HEADS["in the body"]) as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            yield upstream, backend


def test_an_exception_in_the_loop_ends_it(mostly_stalled):
    """An error in the body of the loop ends what is under way, without a word about it."""
    upstream, backend = mostly_stalled
    since = 0.0
    with pytest.raises(ZeroDivisionError):
        for _ in backend.map(itertools.repeat("x"), concurrency=AT_ONCE - 1):
            upstream.wait_for_request(AT_ONCE)
            since = time.monotonic()
            _ = 1 / 0
    gc.collect()
    assert upstream.requests[0].finished.wait(SOON)
    for received in upstream.requests[1:]:
        assert received.gone.wait(SOON)
        assert received.gone_at - since < 2


def test_break_ends_it(mostly_stalled):
    """Leaving the loop ends what is under way."""
    upstream, backend = mostly_stalled
    for _ in backend.map(itertools.repeat("x"), concurrency=AT_ONCE - 1):
        upstream.wait_for_request(AT_ONCE)
        break
    assert all(received.gone.wait(SOON) for received in upstream.requests[1:])


def test_a_with_block_ends_it(mostly_stalled):
    """The end of a with block does, too, though somebody holds the iterator."""
    upstream, backend = mostly_stalled
    with backend.map(itertools.repeat("x"), concurrency=AT_ONCE - 1) as results:
        next(results)
        upstream.wait_for_request(AT_ONCE)
    assert all(received.gone.wait(SOON) for received in upstream.requests[1:])
    assert [*results] == []


def test_what_was_cancelled_before_is_refused():
    """A token that was cancelled, or a backend that was stopped, asks nothing."""
    mock, token = ie.Mock("a"), ie.CancelToken()
    token.cancel()
    with pytest.raises(ie.RequestCancelledError):
        mock.map(["x"], cancel=token)
    mock.stop()
    with pytest.raises(ie.NotReadyError):
        mock.map(["x"])
    assert mock.requests == []


def test_a_token_that_strikes_late_does_nothing():
    """When all results were given, the batch is over: it has left the token."""
    token = ie.CancelToken()
    assert len(list(ie.Mock("a").map(["x"] * 5, cancel=token))) == 5
    assert not token._live


def test_cancel_while_it_waits_to_ask_again():
    """A batch that waits out a Retry-After is awake at once."""
    busy = ie.HttpStatusError("busy", status=429, retry_after=50.0)
    token = ie.CancelToken()
    asked = threading.Event()

    def answer(_):
        asked.set()
        return busy

    thread, ends = iterating(ie.Mock(answers=[answer]), cancel=token, retry=ie.Retry())
    assert asked.wait(SOON)
    token.cancel()
    thread.join(SOON)
    assert isinstance(ends[0], ie.RequestCancelledError)


def test_no_thread_is_left_when_it_is_dropped():
    """A batch that nobody iterates over, or no more, is gone with its last reference."""
    results = ie.Mock("a").map(itertools.repeat("x"))
    next(results)
    del results
    gc.collect()
    deadline = time.monotonic() + SOON
    while any(t.name.startswith("inferd-engine-batch") for t in threading.enumerate()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


@needs_fork
def test_a_forked_child_is_told():
    """In a forked child it gives nothing, and says so; the parent's goes on."""
    results = ie.Mock("a").map(["x"] * 20, concurrency=2)
    next(results)

    def check():
        with pytest.raises(ie.InternalError):
            next(results)

    check_in_a_child(check)
    assert len([*results]) == 19


@pytest.mark.parametrize(("patch", "is_late"), [("gevent", True), ("eventlet", False)])
def test_greenlets_in_the_place_of_threads(tmp_path, patch, is_late):
    """Where threads are greenlets a batch goes on, and lets the others run."""
    pytest.importorskip(patch)
    patching = {
        "gevent": "from gevent import monkey; monkey.patch_all()",
        "eventlet": "import eventlet; eventlet.monkey_patch()",
    }[patch]
    program = f"""
        import sys, warnings
        warnings.simplefilter("ignore")  # eventlet's own, of its end
        {"import inferd_engine.many.batch.map" if is_late else ""}
        {patching}
        import inferd_engine as ie
        with ie.OpenAiCompat(base_url=sys.argv[1], api_key="") as backend:
            results = [*backend.map(["x"] * 20, concurrency=5, journal="j", retry=ie.Retry())]
            print(len([r for r in results if r.completion]))
            for _ in backend.map(["x"] * 20, concurrency=5):
                break
    """
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Upstream(otherwise=lambda _: text_reply("a b c", delay=0.01)) as upstream:
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), upstream.url],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
            cwd=tmp_path,
            env=clean,
        )
    assert (ran.returncode, ran.stdout) == (0, "20\n"), ran.stderr

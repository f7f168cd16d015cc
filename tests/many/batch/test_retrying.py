"""Asking again, and slowing down as one."""

from __future__ import annotations

import threading
import time

import inferd_engine as ie
from inferd_engine.testing import Cut, Reply, Upstream, chunk, error_reply, text_reply

QUICK = ie.Retry(attempts=5, max_wait=0.05)
DAY = 86_400.0


def busy(seconds, status=429):
    return error_reply(status, "busy", headers={"retry-after": str(seconds)})


def backend_of(upstream, **fields):
    return ie.OpenAiCompat(base_url=upstream.url, api_key="", **fields)


def test_a_cut_answer_is_asked_for_anew():
    """With retry a whole answer is asked for again: nothing of the half had been given."""
    with Upstream(Reply([chunk("half"), Cut()]), text_reply("whole")) as upstream:
        with backend_of(upstream) as backend:
            (result,) = backend.map(["x"], retry=QUICK)
    assert (result.completion.text, result.attempts) == ("whole", 2)


def test_it_gives_up_in_the_end():
    """After the last attempt the last error is the result."""
    with Upstream(otherwise=lambda _: error_reply(503, "down")) as upstream:
        with backend_of(upstream) as backend:
            (result,) = backend.map(["x"], retry=ie.Retry(attempts=3, max_wait=0.01))
        assert len(upstream.requests) == 3
    assert (result.error.status, result.attempts) == (503, 3)


def test_what_is_final_is_asked_once():
    """A refusal that would be the same again is not asked again."""
    with Upstream(otherwise=lambda _: error_reply(401, "no")) as upstream:
        with backend_of(upstream) as backend:
            (result,) = backend.map(["x"], retry=QUICK)
        assert len(upstream.requests) == 1
    assert result.attempts == 1


def test_a_day_is_not_waited_for():
    """A Retry-After of a day gives up at once, for its own prompt alone."""
    with Upstream(busy(DAY), otherwise=lambda _: text_reply("a")) as upstream:
        with backend_of(upstream) as backend:
            results = list(backend.map(["x"] * 5, retry=ie.Retry(), concurrency=1, ordered=True))
    assert [result.error is None for result in results] == [False, True, True, True, True]
    assert results[0].error.retry_after == DAY


def test_a_day_is_not_waited_for_without_retry():
    """Neither does a batch that asks once stand still for it."""
    with Upstream(otherwise=lambda _: busy(DAY)) as upstream:
        with backend_of(upstream) as backend:
            assert len(list(backend.map(["x"] * 5))) == 5


def test_a_named_wait_holds_for_all():
    """After a 429 nobody asks until its Retry-After is over: not the others, either."""
    wait = 0.6
    lock, seen = threading.Lock(), []

    def answer(_):
        with lock:
            seen.append(time.monotonic())
            first = len(seen) == 1
        return busy(wait) if first else text_reply("a")

    for retry in (None, ie.Retry()):
        seen.clear()
        with Upstream(otherwise=answer) as upstream, backend_of(upstream) as backend:
            results = list(backend.map(["x"] * 10, concurrency=1, retry=retry))
        assert sum(result.error is None for result in results) == (9 if retry is None else 10)
        assert seen[1] - seen[0] >= wait * 0.9
        assert seen[-1] - seen[1] < 5


def test_the_whole_batch_slows_down():
    """One refusal cuts what is under way for all, and answers raise it again."""
    lock, now, most, count = threading.Lock(), [0], [], [0]

    def answer(_):
        with lock:
            count[0] += 1
            now[0] += 1
            most.append(now[0])
            refuses = 40 <= count[0] < 50
        threading.Event().wait(0.01)
        with lock:
            now[0] -= 1
        return ie.HttpStatusError("busy", status=429, retry_after=0.0) if refuses else "a"

    mock = ie.Mock(answers=[answer])
    results = list(mock.map(["x"] * 200, concurrency=20, retry=QUICK))
    assert all(result.error is None for result in results)
    assert max(most[:40]) > 10  # 20, where nobody else needs the machine
    assert min(most[80:120]) < max(most[:40])


def test_an_upstream_that_dies_and_comes_back():
    """While it is away the batch waits; no prompt is lost, and each is answered once."""
    prompts = [f"p{number}" for number in range(60)]
    lock, count = threading.Lock(), [0]

    def answer(request):
        with lock:
            count[0] += 1
            is_away = 20 <= count[0] < 40
        if is_away:
            raise ie.TransportError("connection refused")
        return request.messages[-1].content[0].text

    retry = ie.Retry(attempts=100, max_wait=0.01)
    results = list(ie.Mock(answers=[answer]).map(prompts, concurrency=8, retry=retry))
    assert sorted(result.completion.text for result in results) == sorted(prompts)


def test_auto_finds_what_a_server_bears():
    """With concurrency="auto" a server that bears ten is kept busy, and seldom refused."""
    bears, lock, now, high, refused = 10, threading.Lock(), [0], [], [0]

    def answer(_):
        with lock:
            now[0] += 1
            high.append(now[0])
            refuses = now[0] > bears
            refused[0] += refuses
        threading.Event().wait(0 if refuses else 0.005)
        with lock:
            now[0] -= 1
        return ie.HttpStatusError("busy", status=429, retry_after=0.001) if refuses else "a"

    mock = ie.Mock(answers=[answer])
    retry = ie.Retry(attempts=100)
    results = list(mock.map(["x"] * 600, concurrency="auto", retry=retry))
    assert all(result.error is None for result in results)
    assert max(high) <= 2 * bears + 1
    late = high[-300:]
    assert sum(late) / len(late) > bears / 3
    assert refused[0] < 150


def test_attempts_are_in_the_journal(tmp_path):
    """How often it was asked is kept with the answer."""
    with Upstream(busy(0), text_reply("a")) as upstream, backend_of(upstream) as backend:
        (first,) = backend.map(["x"], retry=QUICK, journal=tmp_path / "j")
        (again,) = backend.map(["x"], journal=tmp_path / "j")
    assert (first.attempts, again.attempts) == (2, 2)

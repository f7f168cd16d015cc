"""The same body under ASGI: awaited, cancelled, closed, dropped."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest
from web.conftest import SOON, events_of, soon

import inferd_engine as ie
from inferd_engine import web
from inferd_engine.testing import Cut, Reply, Stall, chunk

ENDLESS = [chunk("word " * 200)] * 20_000


def reading_threads():
    return [t for t in threading.enumerate() if t.name.startswith("inferd-engine-body")]


async def all_of(body):
    return b"".join([piece async for piece in body])


@pytest.mark.parametrize("protocol", ["inferd", "openai", "vercel", "ag-ui"])
def test_it_gives_the_same(protocol):
    """What is awaited is what is iterated over."""
    backend = ie.Mock(tokens=["Hel", "lo"])

    def body():
        return web.sse(backend.stream("Hi", id="r1"), protocol=protocol)

    awaited, iterated = asyncio.run(all_of(body())), b"".join(body())
    assert len(events_of(awaited)) == len(events_of(iterated))
    assert b"Hel" in awaited


def test_it_ends_once():
    """After its end it goes on ending."""

    async def run():
        body = web.ndjson(ie.Mock().stream("Hi"))
        assert await all_of(body)
        for _ in range(3):
            with pytest.raises(StopAsyncIteration):
                await body.__anext__()
        await body.aclose()

    asyncio.run(run())


def test_text_raises_what_failed(ask):
    """An error of text() is raised in the loop."""
    backend = ask(Reply([chunk("Hel"), Cut()]))

    async def run():
        body = web.text(backend.stream("Hi"))
        assert await body.__anext__() == b"Hel"
        with pytest.raises(ie.StreamInterruptedError):
            await body.__anext__()

    asyncio.run(run())


def test_no_thread_can_be_had(ask, monkeypatch):
    """Where no thread can be started that is raised, and the upstream is told."""
    backend = ask(Reply([chunk("Hel"), Stall()]))

    async def run():
        body = web.sse(backend.stream("Hi"))

        def refuse(self):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="thread"):
            await body.__anext__()
        monkeypatch.undo()

    asyncio.run(run())
    assert backend.upstream.wait_for_request().gone.wait(SOON)


def test_cancelling_closes(ask):
    """A task that is cancelled while it waits stops the upstream at once."""
    backend = ask(Reply([chunk("Hel"), Stall()]))

    async def run():
        body = web.sse(backend.stream("Hi"))
        task = asyncio.create_task(all_of(body))
        await asyncio.to_thread(soon, reading_threads)
        await asyncio.sleep(0.05)  # it waits now, or is about to
        task.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        gone = backend.upstream.wait_for_request().gone
        assert await asyncio.to_thread(gone.wait, SOON)
        assert time.monotonic() - began < 0.5

    asyncio.run(run())


@pytest.mark.parametrize("read", [0, 2])
def test_aclose(ask, read):
    """aclose() stops the upstream, before the iteration and in it; twice is once."""
    backend = ask(Reply([chunk("Hel"), Stall()]))

    async def run():
        body = web.sse(backend.stream("Hi"))
        for _ in range(read):
            await body.__anext__()
        await body.aclose()
        await body.aclose()
        assert await all_of(body) == b""

    asyncio.run(run())
    assert backend.upstream.wait_for_request().gone.wait(SOON)


def test_closed_while_another_task_waits(ask):
    """Whoever waits for a chunk is awake at once."""
    backend = ask(Reply([chunk("Hel"), Stall()]))

    async def run():
        body = web.sse(backend.stream("Hi"))
        await body.__anext__()
        await body.__anext__()
        waiting = asyncio.create_task(all_of(body))
        await asyncio.sleep(0.02)
        began = time.monotonic()
        threading.Thread(target=body.close).start()
        assert await waiting == b""
        assert time.monotonic() - began < 0.5

    asyncio.run(run())


def test_dropped(ask):
    """A body that its server has dropped stops the upstream and its thread."""
    backend = ask(Reply(ENDLESS))

    async def run():
        body = web.sse(backend.stream("Hi"))
        await body.__anext__()

    asyncio.run(run())
    gc.collect()
    assert backend.upstream.wait_for_request().gone.wait(SOON)


def test_the_loop_is_gone(ask):
    """A loop that has ended takes nothing more: the upstream is told, the thread goes."""
    backend = ask(Reply(ENDLESS))
    kept = []

    async def run():
        body = web.sse(backend.stream("Hi"))
        kept.append(body)
        await body.__anext__()

    asyncio.run(run())
    kept[0].close()
    assert backend.upstream.wait_for_request().gone.wait(SOON)


def test_a_reader_that_stops_stops_the_upstream(ask):
    """Nobody takes the chunks, so nobody reads them: the upstream waits."""
    backend = ask(Reply(ENDLESS), buffer=8)

    async def run():
        body = web.sse(backend.stream("Hi"))
        await body.__anext__()
        before = -1
        received = backend.upstream.wait_for_request()
        while received.sent != before:
            before = received.sent
            await asyncio.sleep(0.7)  # longer than a worker waits before it reads ahead
        assert not received.finished.is_set()
        assert received.sent < len(ENDLESS) * len(ENDLESS[0])
        await body.aclose()

    asyncio.run(run())


def test_many_silent_ones_leave_the_loop_alone(ask):
    """A silent stream costs a thread of its own, and none of the loop's pool."""
    backend = ask(*[Reply([chunk("Hel"), Stall()])] * 50)

    async def run():
        bodies = [web.sse(backend.stream("Hi"), heartbeat=30.0) for _ in range(50)]
        tasks = [asyncio.create_task(all_of(body)) for body in bodies]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await asyncio.gather(*(asyncio.to_thread(int) for _ in range(10)))
        assert time.monotonic() - began < 1.0
        assert len(reading_threads()) == 50
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)

    asyncio.run(run())


def test_a_burst_comes_whole_and_in_order():
    """What waits for the loop is not lost."""
    words = [f"{number} " for number in range(2000)]
    text = asyncio.run(all_of(web.text(ie.Mock(tokens=words).stream("Hi"))))
    assert text.decode().split() == [str(number) for number in range(2000)]

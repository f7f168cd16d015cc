"""How answers are read: each in a thread of its own, by tasks of one loop, or merged in one thread.

Every reader does the same five things, so that what is measured (``measure.py``) is said once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from async_clients import AskLater
    from clients import Ask
    from window import Window

PATIENCE = 0.001  # seconds until it is looked again whether one more stream may be started


class Reader(Protocol):
    """Read answers."""

    def drain(self, model: str) -> int:
        """Read an answer; give how many events it had."""

    def read(self, models: list[str], window: Window) -> None:
        """Read an answer of each model, all at once."""

    def first(self, model: str) -> float:
        """Read an answer; give how many seconds it took until its first event was there."""

    def hold(self, model: str, count: int) -> None:
        """Read some events of an answer, and keep it open."""

    def let_go(self) -> None:
        """Close the answers that are held."""


def seconds_to_first(open_it: Callable[[], Iterable[Any]]) -> float:
    """Begin an answer and read it to its end; give how long its first event took."""
    begun = time.perf_counter()
    events = iter(open_it())
    next(events)
    took = time.perf_counter() - begun
    for _ in events:
        pass
    return took


class Threads:
    """Read with a synchronous client."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._held: list[Any] = []

    def drain(self, model: str) -> int:
        count = 0
        for _ in self._ask(model):
            count += 1
        return count

    def read(self, models: list[str], window: Window) -> None:
        def consume(model: str) -> None:
            take = window.take
            for event in self._ask(model):
                take(getattr(event, "delta", event))

        threads = [threading.Thread(target=consume, args=(model,)) for model in models]
        for thread in threads:
            while not window.may_ask():
                time.sleep(PATIENCE)
            thread.start()
        for thread in threads:
            thread.join()

    def first(self, model: str) -> float:
        return seconds_to_first(lambda: self._ask(model))

    def hold(self, model: str, count: int) -> None:
        events = iter(self._ask(model))
        for _ in range(count):
            next(events)
        self._held.append(events)

    def let_go(self) -> None:
        for events in self._held:
            events.close()


class Tasks:
    """Read with an asynchronous client."""

    def __init__(self, make: Any, address: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)  # which is told of what was left open
        self._ask: AskLater = self._run(self._made(make, address))
        self._held: list[Any] = []

    @staticmethod
    async def _made(make: Any, address: str) -> AskLater:
        return make(address)

    def _run(self, what: Any) -> Any:
        return self._loop.run_until_complete(what)

    def drain(self, model: str) -> int:
        async def drain() -> int:
            count = 0
            async for _ in self._ask(model):
                count += 1
            return count

        return self._run(drain())

    def read(self, models: list[str], window: Window) -> None:
        async def consume(model: str) -> None:
            take = window.take
            async for text in self._ask(model):
                take(text)

        async def consume_all() -> None:
            tasks = []
            for model in models:
                while not window.may_ask():  # noqa: ASYNC110 - all readers ask alike
                    await asyncio.sleep(PATIENCE)
                tasks.append(asyncio.create_task(consume(model)))
            await asyncio.gather(*tasks)

        self._run(consume_all())

    def first(self, model: str) -> float:
        async def first() -> float:
            begun = time.perf_counter()
            events = self._ask(model)
            await anext(events)
            took = time.perf_counter() - begun
            async for _ in events:
                pass
            return took

        return self._run(first())

    def hold(self, model: str, count: int) -> None:
        async def hold() -> None:
            events = self._ask(model)
            for _ in range(count):
                await anext(events)
            self._held.append(events)

        self._run(hold())

    def let_go(self) -> None:
        async def let_go() -> None:
            for events in self._held:
                await events.aclose()

        self._run(let_go())


class Merged:
    """Read streams of ours in one thread, with ``ie.merge()``."""

    def __init__(self, ask: Ask) -> None:
        import inferd_engine

        self._ask, self._merge = ask, inferd_engine.merge
        self._held = self._merge()

    def drain(self, model: str) -> int:
        count = 0
        for _ in self._merge([self._ask(model)]):
            count += 1
        return count

    def read(self, models: list[str], window: Window) -> None:
        take = window.take
        for _, event in self._merge([self._ask(model) for model in models]):
            take(getattr(event, "delta", event))

    def first(self, model: str) -> float:
        return seconds_to_first(lambda: self._merge([self._ask(model)]))

    def hold(self, model: str, count: int) -> None:
        self._held.add(self._ask(model))
        for _ in range(count):
            next(self._held)

    def let_go(self) -> None:
        self._held.close()

"""Threads that ask, one for each request under way: daemons, started as they are needed.

Rejected: ``ThreadPoolExecutor`` (the interpreter waits for its threads, for as long as they read).
"""

from __future__ import annotations

import itertools
import queue
import threading
from typing import TYPE_CHECKING, Protocol

from inferd_engine.errors import InternalError
from inferd_engine.many.batch.asking import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine.backends.base import Backend
    from inferd_engine.cancel import CancelToken
    from inferd_engine.errors import GenerateError
    from inferd_engine.events import Completion
    from inferd_engine.many.batch.tasks import Task

    Ended = Callable[[Task, Completion | GenerateError], None]

_numbers = itertools.count(1)


class Asker(Protocol):
    """Who asks; called by one thread."""

    def begin(self, task: Task) -> None:
        """Ask, without waiting; what comes of it is told later, by any thread."""

    def close(self) -> None:
        """Begin nothing more, and let go of what is held; do not wait."""


class Threads:
    """Ask in threads of this process.

    Args:
        backend: Who is asked.
        token: Ends what is under way.
        ended: Is told what came of a task.
    """

    def __init__(self, backend: Backend, token: CancelToken, ended: Ended) -> None:
        self._work: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._idle: queue.SimpleQueue[None] = (
            queue.SimpleQueue()
        )  # one for each thread that waits for work
        self._asked = (backend, token, ended, self._work, self._idle)
        self._threads = 0

    def begin(self, task: Task) -> None:
        """Ask in a thread that has nothing to do, or in a new one.

        Raises:
            InternalError: There is no thread, and none can be started.
        """
        if self._idle.empty():
            self._start()
        else:
            self._idle.get()
        self._work.put(task)

    def _start(self) -> None:
        name = f"inferd-engine-ask-{next(_numbers)}"
        thread = threading.Thread(target=_ask, args=self._asked, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                raise InternalError(f"no thread can be started that asks: {error}") from error
            return  # those that are there take what there is, one after the other
        self._threads += 1

    def close(self) -> None:
        """Send the threads away: each goes when its call has ended."""
        for _ in range(self._threads):
            self._work.put(None)


def _ask(
    backend: Backend,
    token: CancelToken,
    ended: Ended,
    work: queue.SimpleQueue[Task | None],
    idle: queue.SimpleQueue[None],
) -> None:
    """Ask what there is to ask: the whole life of a thread."""
    while (task := work.get()) is not None:
        outcome = answer(backend, task.request, token)
        idle.put(None)
        ended(task, outcome)
        del task, outcome  # while it waits

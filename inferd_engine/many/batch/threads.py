"""Threads that ask, one for each request that has no answer yet, and one that reads all answers.

They are daemons, started as they are needed.  What the one cannot read for all (an iterator, where
threads are greenlets) is read by the thread that has asked.

Rejected: ``ThreadPoolExecutor`` (the interpreter waits for its threads, for as long as they read).
"""

from __future__ import annotations

import itertools
import queue
import threading
from typing import TYPE_CHECKING, Protocol

from inferd_engine.errors import InternalError
from inferd_engine.many.batch.asking import begun, collected
from inferd_engine.many.batch.reading import Reader
from inferd_engine.stream.consumer import are_threads_greenlets
from inferd_engine.stream.merged import can_be_led
from inferd_engine.stream.token_stream import TokenStream

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
        self._backend = backend
        self._token = token
        self._ended = ended
        self._work: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._idle: queue.SimpleQueue[None] = queue.SimpleQueue()  # one for each that waits
        self._reader: Reader | None = None
        self._threads = 0

    def begin(self, task: Task) -> None:
        """Ask in a thread that has nothing to do, or in a new one.

        Raises:
            InternalError: There is no thread, and none can be started.
        """
        if self._reader is None and not are_threads_greenlets():
            self._reader = Reader(self._ended)
            self._reader.start()
        if self._idle.empty():
            self._start()
        else:
            self._idle.get()
        self._work.put(task)

    def _start(self) -> None:
        asked = (self._backend, self._token, self._ended, self._reader, self._work, self._idle)
        name = f"inferd-engine-ask-{next(_numbers)}"
        thread = threading.Thread(target=_ask, args=asked, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                raise InternalError(f"no thread can be started that asks: {error}") from error
            return  # those that are there take what there is, one after the other
        self._threads += 1

    def close(self) -> None:
        """Send the threads away: each goes when its call has ended."""
        if self._reader is not None:
            self._reader.close()
        for _ in range(self._threads):
            self._work.put(None)


def _ask(
    backend: Backend,
    token: CancelToken,
    ended: Ended,
    reader: Reader | None,
    work: queue.SimpleQueue[Task | None],
    idle: queue.SimpleQueue[None],
) -> None:
    """Ask what there is to ask: the whole life of a thread."""
    while (task := work.get()) is not None:
        found = begun(backend, task.request, token)
        if not isinstance(found, TokenStream):
            idle.put(None)
            ended(task, found)
        elif reader is not None and can_be_led(found):
            idle.put(None)
            reader.add(task, found)
        else:
            outcome = collected(found, token)
            idle.put(None)
            ended(task, outcome)
            del outcome
        del task, found  # while it waits

"""The one thread that runs a batch: who is asked next, who again, and what goes to the disk.

Who does what::

    caller  ──Task──►  inbox  ──►  conductor  ──begin()──►  asker (threads, or an executor)
    (prompts)            ▲             │                      │
                         └─────(task, outcome)────────────────┘
    caller  ◄──Task────  outbox  ◄─────┘ journal

Nothing here is shared but queues: what is under way, what waits and how fast all goes is known by
this thread alone.  So there is no lock that a signal handler, a finalizer or a token could find
taken: they set a flag, cancel the token that all calls carry, and ring by putting None into both
queues.

A retry is a task that comes back to the front of those that wait, when its time is there; a slot is
not kept for it.  The conductor goes when it was closed, or when the last prompt has its result, and
lets its askers go.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Union

from inferd_engine.cancel import CancelToken
from inferd_engine.errors import (
    GenerateError,
    InternalError,
    NotReadyError,
    RequestCancelledError,
)
from inferd_engine.many.batch.executors import is_fatal
from inferd_engine.many.batch.pace import is_overload, names_wait
from inferd_engine.many.batch.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine.events import Completion
    from inferd_engine.many.batch.journal import Journal
    from inferd_engine.many.batch.pace import Pace
    from inferd_engine.many.batch.threads import Asker
    from inferd_engine.many.retry import Retry

    Outcome = Union[Completion, GenerateError]

_LONGEST_HOLD = 60.0  # seconds that a batch which asks once waits for an upstream that says so


class Batch:
    """What the caller's side and the conductor share; it refers to neither.

    Args:
        pace: How many may be under way.
        retry: When to ask again; None: once.
        journal: Where answers go; None: nowhere.
    """

    def __init__(self, pace: Pace, retry: Retry | None, journal: Journal | None) -> None:
        self.pace = pace
        self.retry = retry
        self.journal = journal
        self.token = CancelToken()
        """Carried by every call; ends them all."""
        self.inbox: queue.SimpleQueue[Task | tuple[Task, Outcome] | None] = queue.SimpleQueue()
        self.outbox: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.is_closed = False
        self.failure: GenerateError | None = None
        """Why there will be no more results, if that is not because there are no more prompts."""

    def ended(self, task: Task, outcome: Outcome) -> None:
        """Hear what came of a task; from any thread."""
        self.inbox.put((task, outcome))

    def close(self) -> None:
        """End all that is under way, at once; from anywhere, as often as you like."""
        self.is_closed = True
        self.token.cancel()
        self.inbox.put(None)
        self.outbox.put(None)

    def cancel(self) -> None:
        """Do what the caller's token asks for."""
        self.fail(RequestCancelledError("the batch was cancelled by its token"))

    def fail(self, error: GenerateError) -> None:
        """End the batch with an error, unless it has one."""
        if self.failure is None:
            self.failure = error
        self.close()


class Conductor:
    """Run a batch; ``run()`` is the life of its thread.

    Args:
        batch: What is shared with the caller's side.
        make_asker: Makes who asks, of whom to tell what came of it.
    """

    def __init__(
        self, batch: Batch, make_asker: Callable[[Callable[[Task, Outcome], None]], Asker]
    ) -> None:
        self._batch = batch
        self._asker = make_asker(batch.ended)
        self._waiting: deque[Task] = deque()
        self._again: list[tuple[float, int, Task]] = []  # a heap of what is to be asked when
        self._underway = 0

    def start(self) -> threading.Thread:
        """Start the thread.

        Raises:
            InternalError: None can be started.
        """
        thread = threading.Thread(target=self.run, name="inferd-engine-batch", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._asker.close()
            raise InternalError(f"no thread can be started that runs the batch: {error}") from error
        return thread

    def run(self) -> None:
        """Do what there is to do, until the batch is closed."""
        batch = self._batch
        try:
            while not batch.is_closed:
                self._begin()
                self._hear()
        except GenerateError as error:
            batch.fail(error)
        except BaseException as error:  # noqa: BLE001 - the caller is told
            failure = InternalError(f"the batch failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            batch.fail(failure)
        finally:
            self._asker.close()

    def _hear(self) -> None:
        """Wait for what comes next, and take in all that is there."""
        try:
            heard = self._batch.inbox.get(timeout=self._patience())
            while heard is not None:
                if isinstance(heard, Task):
                    self._waiting.append(heard)
                else:
                    self._ended(*heard)
                heard = self._batch.inbox.get_nowait()
        except queue.Empty:
            pass

    def _patience(self) -> float | None:
        """Return the seconds until there is something to do, if nothing is heard."""
        now, pace = time.monotonic(), self._batch.pace
        due = [self._again[0][0] - now] if self._again else []
        opens_in = pace.opens_in(now)
        if self._waiting and self._underway < pace.limit:
            due.append(opens_in)
        return max(0.0, *due) if due else None

    def _begin(self) -> None:
        """Ask as many as may be asked now."""
        now, pace = time.monotonic(), self._batch.pace
        while self._again and self._again[0][0] <= now:
            self._waiting.appendleft(heapq.heappop(self._again)[2])
        if pace.opens_in(now) > 0:
            return
        while self._waiting and self._underway < pace.limit and not self._batch.is_closed:
            task = self._waiting.popleft()
            task.attempts += 1
            task.begun_at = now
            task.first_at = task.first_at or now
            self._underway += 1
            self._asker.begin(task)

    def _ended(self, task: Task, outcome: Outcome) -> None:
        batch = self._batch
        if batch.is_closed:
            return
        if isinstance(outcome, GenerateError):
            if self._ends_all(outcome):
                batch.fail(outcome)
                return
            if self._asks_again(task, outcome):
                self._underway -= 1
                return
            task.error = outcome
        else:
            task.completion = outcome
            batch.pace.answered(self._underway, time.monotonic())
            if batch.journal is not None:
                batch.journal.write(task, outcome)
        self._underway -= 1
        batch.outbox.put(task)

    @staticmethod
    def _ends_all(error: GenerateError) -> bool:
        """Whether an error is not one request's: the backend was stopped, the executor is gone."""
        is_stopped = isinstance(error, NotReadyError) and not error.retryable
        return is_stopped or isinstance(error, RequestCancelledError) or is_fatal(error)

    def _asks_again(self, task: Task, error: GenerateError) -> bool:
        """Hear of a failure; say whether the task is to be asked again, and when."""
        now, retry, pace = time.monotonic(), self._batch.retry, self._batch.pace
        pause = None
        if retry is not None:
            pause = retry.pause(error, attempt=task.attempts, elapsed=now - task.first_at)
            if pause is not None:
                heapq.heappush(self._again, (now + pause, task.index, task))
        if is_overload(error):
            pace.refused(task.begun_at, now)
            named = error.retry_after
            held = pause
            if held is None and named is not None and named <= _LONGEST_HOLD:
                held = named
            if held is not None:
                pace.hold(now, held, is_named=names_wait(error))
        return pause is not None

"""Ask one backend many prompts: the caller's side of a batch.

Goal: a loop over results, and nothing to get wrong in it: what is under way is bounded, what ended
is given, what was begun ends with the loop, and what was answered once is never paid for twice.

Who reads the prompts: the caller's thread, in ``next()``, because an iterable may belong to it (a
cursor, a generator that opens files).  Each ``next()`` reads one prompt at least, and more only
while it has nothing to give: so a slow consumer is no reason to read ahead, and a quick one keeps
all slots busy.

Bounds, in terms of what may be under way (the *limit*):

* twice the limit are asked for and have not ended: the half of them that waits is begun at once
  when another ends;
* twice the limit were begun and not given; four times where order is kept, so that one long
  answer does not hold up all others soon.

A journal is looked through before anything is asked: what it holds is given as its prompts come by,
and compared with them; prompts that it does not answer are put aside until it is known to be the
right one.  So a wrong journal is refused as it was found.

Rejected: a generator (one that was never started cannot be closed, and its ``finally`` does not
run).
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.cancel import LiveSet
from inferd_engine.errors import InternalError, InvalidRequestError, RequestCancelledError
from inferd_engine.frames import drop_frames
from inferd_engine.many.batch.conductor import Batch, Conductor
from inferd_engine.many.batch.executors import Elsewhere, check_executor
from inferd_engine.many.batch.journal import Journal
from inferd_engine.many.batch.pace import AUTO, Pace
from inferd_engine.many.batch.progress import Progress, progress_of
from inferd_engine.many.batch.requests import Asking
from inferd_engine.many.batch.results import MapResult
from inferd_engine.many.batch.tasks import Task
from inferd_engine.many.batch.threads import Threads
from inferd_engine.many.retry import Retry
from inferd_engine.proto.v2 import MessageV2, RequestV2

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from types import TracebackType

    from typing_extensions import Self

    from inferd_engine.backends.base import Backend
    from inferd_engine.cancel import CancelToken
    from inferd_engine.proto.fields import RequestFields

_SLICE = 0.5  # seconds: where no signal wakes a thread that waits, it looks around
_AHEAD = 2  # times the limit: see above
_AHEAD_IN_ORDER = 4
_GRACE = 1.0  # seconds that the conductor is given to let go of the journal


@attrs.frozen
class Order:
    """What ``Backend.map()`` was told beside prompts and fields; checked."""

    concurrency: int | str = 16
    retry: Retry | None = None
    ordered: bool = False
    cancel: CancelToken | None = None
    progress: bool = False
    journal: str | os.PathLike[str] | None = None
    executor: Executor | None = None

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            TypeError: Something is of another kind.
            InvalidRequestError: A number is out of its range.
        """
        number = self.concurrency
        is_number = isinstance(number, int) and not isinstance(number, bool)
        if not (is_number and int(number) >= 1) and number != AUTO:
            raise InvalidRequestError(
                f"concurrency is {number!r}: it has to be a whole number, 1 or more, or {AUTO!r}"
            )
        if not isinstance(self.retry, (Retry, type(None))):
            raise TypeError(
                f"retry is {self.retry!r}: give a Retry, such as Retry(attempts=3), or None"
            )
        if not isinstance(self.journal, (str, os.PathLike, type(None))):
            raise TypeError(f"journal is {self.journal!r}: give the path of a file, or None")
        for name in ("ordered", "progress"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is {getattr(self, name)!r}: give True or False")
        if self.executor is not None:
            check_executor(self.executor)


def check_prompts(prompts: object) -> None:
    """Refuse what is one prompt, or none.

    Raises:
        TypeError: It is not an iterable of prompts.
    """
    if isinstance(prompts, (str, bytes, bytearray, dict, MessageV2, RequestV2)):
        kind = type(prompts).__name__
        raise TypeError(f"prompts is of type {kind}, one prompt: give a list of them, [prompt]")
    if not isinstance(prompts, Iterable):
        raise TypeError(f"prompts is of type {type(prompts).__name__}: give an iterable of prompts")


class Results(Iterator[MapResult]):
    """Iterate over it to get results; leave it, or close it, to end all that is under way.

    Args:
        backend: Who is asked.
        prompts: What is asked.
        system: Put in front of every prompt.
        fields: Of every request.
        order: How.
    """

    def __init__(
        self,
        backend: Backend,
        prompts: Iterable[Any],
        system: str | None,
        fields: RequestFields,
        order: Order,
    ) -> None:
        self._pid = os.getpid()
        self._cancel = order.cancel
        self._conductor: threading.Thread | None = None
        self._progress: Progress | None = None
        self._asking = Asking(system, fields)
        journal = None if order.journal is None else Journal(order.journal)
        self._batch = batch = Batch(Pace(order.concurrency), order.retry, journal)
        self._ordered = order.ordered
        try:
            self._prompts = iter(prompts)
            self._progress = progress_of(prompts) if order.progress else None
            if order.executor is None:
                self._start(lambda ended: Threads(backend, batch.token, ended))
            else:
                executor = order.executor
                self._start(lambda ended: Elsewhere(executor, backend, batch.token, ended))
        except BaseException:
            self.close()
            raise
        if self._cancel is not None:
            self._cancel.join(batch)

    def _start(self, make_asker: Any) -> None:  # a function of whom to tell what came of a task
        self._known = 0 if self._batch.journal is None else self._batch.journal.known
        self._aside: list[Task] = []  # what the journal does not answer, until it is known as ours
        self._ready: deque[MapResult | _Recorded] = deque()
        self._held: dict[int, MapResult | _Recorded] = {}  # where order is kept: what came early
        self._read = self._asked = self._ended = self._given = 0
        self._is_exhausted = False
        self._conductor = Conductor(self._batch, make_asker).start()
        _open_batches.add(self._batch)

    # --- iterating -------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> MapResult:
        try:
            return self._next()
        except BaseException as error:
            self.close()
            drop_frames(error)
            raise

    def _next(self) -> MapResult:
        if self._pid != os.getpid():
            raise InternalError(
                "this batch belongs to the process that was forked: make a new one in this one"
            )
        batch = self._batch
        while True:
            if batch.is_closed and self._is_cancelled():
                raise batch.failure or StopIteration
            self._read_prompts()
            if self._ready:
                return self._give()
            if not self._wait():
                raise batch.failure or StopIteration

    def _is_cancelled(self) -> bool:
        """Whether nothing more is wanted; after a failure what was there before it is."""
        failure = self._batch.failure
        return failure is None or isinstance(failure, RequestCancelledError)

    def _give(self) -> MapResult:
        result = self._ready.popleft()
        if isinstance(result, _Recorded):
            result = self._loaded(result)
        self._given += 1
        return result

    # --- the way in ------------------------------------------------------------------------------

    def _read_prompts(self) -> None:
        """Read one prompt at least, if there is room, and more while there is nothing to give."""
        while not self._is_exhausted and self._has_room():
            self._read_one()
            if self._ready or not self._batch.outbox.empty():
                return

    def _has_room(self) -> bool:
        if self._batch.is_closed:
            return False
        if self._read < self._known:
            return True
        limit = self._batch.pace.limit
        begun = self._read - self._given
        is_early = begun < limit * (_AHEAD_IN_ORDER if self._ordered else _AHEAD)
        return is_early and self._asked - self._ended < limit * _AHEAD

    def _read_one(self) -> None:
        """Read a prompt: ask it, put it aside, or find its answer in the journal."""
        index, journal = self._read, self._batch.journal
        try:
            prompt = next(self._prompts)
        except StopIteration:
            self._is_exhausted = True
            if journal is not None:
                journal.check_count(index)
            return
        self._read += 1
        prompt = _kept(prompt)
        if journal is not None and index in journal:
            journal.check(index, self._digest(prompt))
            self._take_in(index, _Recorded(index, prompt))
        else:
            try:
                request = self._asking.request(prompt).resolve()
            except InvalidRequestError as error:
                self._take_in(index, MapResult(index, prompt, error=error, attempts=0))
            else:
                digest = "" if journal is None else self._digest(prompt)
                self._aside.append(Task(index, prompt, request, digest))
        if self._aside:
            self._end_of_journal()

    def _digest(self, prompt: Any) -> str:
        """Return what the journal knows a prompt by; empty for what no journal knows."""
        try:
            return self._asking.digest(prompt)
        except InvalidRequestError:
            return ""

    def _end_of_journal(self) -> None:
        """Ask what was put aside, once all that the journal holds is known to be ours."""
        if self._read < self._known:
            return
        for task in self._aside:
            self._asked += 1
            self._batch.inbox.put(task)
        self._aside.clear()

    # --- the way out -----------------------------------------------------------------------------

    def _wait(self) -> bool:
        """Wait until there is a result; False if there will be none any more."""
        batch = self._batch
        if batch.is_closed and batch.outbox.empty():
            return False
        if self._asked == self._ended and not batch.is_closed:
            return not self._is_exhausted
        tasks: list[Task] = []
        try:
            heard = batch.outbox.get(timeout=_SLICE)
            while heard is not None:
                tasks.append(heard)
                heard = batch.outbox.get_nowait()
        except queue.Empty:
            pass
        if batch.journal is not None and tasks:
            batch.journal.sync()
        for task in tasks:
            self._ended += 1
            result = _result_of(task)
            self._take_in(task.index, result)
            if self._progress is not None:
                self._progress.answered(result)
        if self._progress is not None:
            self._progress.show()
        return True

    def _take_in(self, index: int, result: MapResult | _Recorded) -> None:
        """Put a result where it is given from; where order is kept, when its turn comes."""
        if not self._ordered:
            self._ready.append(result)
            return
        self._held[index] = result
        while (following := self._given + len(self._ready)) in self._held:
            self._ready.append(self._held.pop(following))

    def _loaded(self, recorded: _Recorded) -> MapResult:
        """Return what the journal holds."""
        journal = self._batch.journal
        assert journal is not None  # noqa: S101 - it has said that it holds this
        completion, attempts = journal.load(recorded.index)
        result = MapResult(recorded.index, recorded.prompt, completion, attempts=attempts)
        if self._progress is not None:
            self._progress.answered(result, is_new=False)
            self._progress.show()
        return result

    # --- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """End all that is under way, and let go of the journal; as often as you like."""
        batch: Batch | None = getattr(self, "_batch", None)
        if batch is None or self._pid != os.getpid():
            return
        batch.close()
        _open_batches.discard(batch)
        if self._cancel is not None:
            self._cancel.leave(batch)
        conductor = self._conductor
        if conductor is not None and conductor is not threading.current_thread():
            conductor.join(_GRACE)
        if batch.journal is not None:
            batch.journal.close()
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.close()

    def __repr__(self) -> str:
        own = vars(self)  # a constructor that failed has not all of it
        given = own.get("_given", 0)
        state = "closed" if self._batch.is_closed else f"{own.get('_read', 0) - given} begun"
        return f"<Results of map(): {given} given, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


@attrs.define(slots=True)
class _Recorded:
    """A result that the journal holds."""

    index: int
    prompt: Any


def _kept(prompt: Any) -> Any:
    """Return a prompt that can be read more than once: one that is an iterator as a list."""
    if isinstance(prompt, str):
        return prompt  # what most are: asking about Iterator takes longer
    return list(prompt) if isinstance(prompt, Iterator) else prompt


def _result_of(task: Task) -> MapResult:
    if task.completion is None:
        return MapResult(task.index, task.prompt, error=task.error, attempts=task.attempts)
    return MapResult(task.index, task.prompt, task.completion, attempts=task.attempts)


_open_batches: LiveSet[Batch] = LiveSet()


@atexit.register
def _close_all() -> None:
    """End what is under way before the interpreter does: no thread is cut off in a write."""
    for batch in _open_batches:
        batch.close()

"""Ask by way of an executor: processes, a cluster, whatever has ``submit()``.

The backend is pickled once, without its secrets, and each worker process makes it once: a
connection is used again there.  What is sent for each prompt is the request alone; what comes back
is the answer, or the error.

A request that runs in another process cannot be ended from here: what waits in the executor's queue
is cancelled, what runs ends by the backend's deadlines.  Threads of this process are told, as ours
are.

Rejected: an executor's ``map()`` (it reads all prompts at once), and a semaphore around
``submit()`` (the batch bounds what is under way already).
"""

from __future__ import annotations

import concurrent.futures
import pickle
import uuid
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import GenerateError, InternalError, InvalidRequestError, UnavailableError
from inferd_engine.many.batch.asking import answer, answer_there

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from inferd_engine.backends.base import Backend
    from inferd_engine.cancel import CancelToken
    from inferd_engine.events import Completion
    from inferd_engine.many.batch.tasks import Task
    from inferd_engine.many.batch.threads import Ended

    Outcome = Completion | GenerateError


class Elsewhere:
    """Ask by way of an executor.

    Args:
        executor: Whose workers ask.
        backend: Who is asked.
        token: Ends what is under way, in threads of this process.
        ended: Is told what came of a task.

    Raises:
        InvalidRequestError: The backend does not go to other processes.
    """

    def __init__(
        self, executor: Executor, backend: Backend, token: CancelToken, ended: Ended
    ) -> None:
        self._executor = executor
        self._ended = ended
        self._underway: set[Future[Outcome]] = set()
        self._is_here = _is_here(executor)
        self._token = token
        self._backend: Any = backend if self._is_here else _pickled(backend)

    def begin(self, task: Task) -> None:
        """Hand a request to the executor.

        Raises:
            InternalError: The executor takes nothing more.
        """
        there = (answer_there, self._backend, task.request, uuid.uuid4().hex)
        here = (answer, self._backend, task.request, self._token)
        call: tuple[Any, ...] = here if self._is_here else there
        try:
            future = self._executor.submit(*call)
        except Exception as error:
            raise _lost(error) from error
        self._underway.add(future)

        def tell(future: Future[Outcome]) -> None:
            self._underway.discard(future)
            self._ended(task, _outcome_of(future))

        future.add_done_callback(tell)

    def close(self) -> None:
        """Take back what has not begun."""
        for future in list(self._underway):
            future.cancel()


def check_executor(executor: object) -> None:
    """Refuse what has no ``submit()``.

    Raises:
        TypeError: It has none; the message says what to give.
    """
    if isinstance(executor, type):
        raise TypeError(f"executor is a class: make one of it, {executor.__name__}()")
    if not callable(getattr(executor, "submit", None)):
        kind = "None" if executor is None else f"of type {type(executor).__name__}"
        raise TypeError(
            f"executor is {kind}: give one of concurrent.futures', or what has a submit() "
            "like theirs (Dask: client.get_executor())"
        )


def is_fatal(error: GenerateError) -> bool:
    """Whether an error says that the executor is broken: no prompt will be answered any more."""
    return isinstance(error, ExecutorLostError)


class ExecutorLostError(InternalError):
    """The executor does nothing any more; what caused it is its cause."""


def _is_here(executor: Executor) -> bool:
    """Whether an executor's workers are threads of this process, which share its objects."""
    is_threads = isinstance(executor, concurrent.futures.ThreadPoolExecutor)
    interpreters = getattr(concurrent.futures, "InterpreterPoolExecutor", ())  # since 3.14
    return is_threads and not isinstance(executor, interpreters)


def _pickled(backend: Backend) -> bytes:
    try:
        return pickle.dumps(backend)
    except Exception as error:  # noqa: BLE001 - whatever does not pickle
        raise InvalidRequestError(
            "the backend cannot be pickled, and so cannot go to the executor's processes "
            f"({type(error).__name__}: {error}): leave out what does not pickle, such as a "
            "function of somebody's own, or give an executor of threads"
        ) from None


def _outcome_of(future: Future[Outcome]) -> Outcome:
    """Return what came of a call in an executor."""
    try:
        return future.result(timeout=0)
    except GenerateError as error:  # of an executor of somebody's own, which is as well
        return error
    except (concurrent.futures.CancelledError, concurrent.futures.BrokenExecutor) as error:
        return _lost(error)
    except Exception as error:  # noqa: BLE001 - what somebody's executor raises
        lost = UnavailableError(
            f"the executor has lost the request: {type(error).__name__}: {error}", retryable=True
        )
        lost.__cause__ = error
        return lost


def _lost(error: BaseException) -> ExecutorLostError:
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    lost = ExecutorLostError(
        f"the executor answers no more ({what}): make a new one; with a journal, "
        "what was answered is kept, and the same call goes on from there"
    )
    lost.__cause__ = error
    return lost

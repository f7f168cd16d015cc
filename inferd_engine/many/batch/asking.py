"""Ask one request for its whole answer: in a thread of ours, or in somebody else's process."""

from __future__ import annotations

import functools
import pickle
import threading
import time
from typing import TYPE_CHECKING

from inferd_engine.errors import GenerateError, InternalError
from inferd_engine.stream.token_stream import TokenStream
from inferd_engine.stream.worker import collecting

if TYPE_CHECKING:
    from inferd_engine.backends.base import Backend
    from inferd_engine.cancel import CancelToken
    from inferd_engine.events import Completion
    from inferd_engine.proto.v2 import ResolvedV2

_BACKENDS_KEPT = 8  # in a worker process: one for each batch that it works for
_making = threading.Lock()  # or each of its threads would make one


def answer(
    backend: Backend, request: ResolvedV2, cancel: CancelToken | None = None
) -> Completion | GenerateError:
    """Return the whole answer, or what it failed with."""
    found = begun(backend, request, cancel)
    return collected(found, cancel) if isinstance(found, TokenStream) else found


def begun(
    backend: Backend, request: ResolvedV2, cancel: CancelToken | None
) -> TokenStream | GenerateError:
    """Return the stream of an answer, or why there is none."""
    try:
        with collecting():
            return backend.generate_v2(request, cancel=cancel)
    except GenerateError as error:
        return error
    except Exception as error:  # noqa: BLE001 - of somebody's own backend
        return wrapped(error)


def collected(stream: TokenStream, cancel: CancelToken | None) -> Completion | GenerateError:
    """Return the whole answer, read in this thread, or what it failed with."""
    try:
        with stream:
            rest = time.sleep if cancel is None else cancel.wait
            return stream._collected(rest)  # noqa: SLF001 - one of us
    except GenerateError as error:
        return error


def answer_there(payload: bytes, request: ResolvedV2, _: str) -> Completion | GenerateError:
    """Return the whole answer, in a process of an executor.

    Args:
        payload: The backend, pickled once for all that it is asked.
        request: What is asked.
        _: Something else at each call: Dask takes a function of the same arguments for the same
            answer.
    """
    try:
        with _making:
            backend = _backend_of(payload)
    except Exception as error:  # noqa: BLE001 - whatever is missing there
        return wrapped(error, "the backend cannot be made in the worker process")
    return answer(backend, request)


@functools.lru_cache(_BACKENDS_KEPT)
def _backend_of(payload: bytes) -> Backend:
    backend: Backend = pickle.loads(payload)  # noqa: S301 - what our own side has pickled
    return backend


def wrapped(error: Exception, what: str = "the backend failed") -> InternalError:
    """Return an exception of somebody else's as one of ours."""
    ours = InternalError(f"{what}: {type(error).__name__}: {error}")
    ours.__cause__ = error
    return ours

"""A backend that asks again, for as long as nothing has been handed out.

Goal: what a program does in a loop around each call is done once, below the call, and the program
goes on writing ``backend.complete(…)``.  ``Retry`` says when; here it is waited.

Rules:

* a call is asked again until it has a stream, and never after: no answer is ever put together from
  two.  What breaks later is told as ever, and whoever has kept nothing of it may ask again;
* whoever waits between two attempts is a call like any other: a token, ``stop()`` and Ctrl-C end it
  at once;
* each attempt is a request with clocks of its own; none is begun when the time of the whole request
  (``timeout``) has passed since the first.  A token's deadline holds for all of them together;
* nothing is shared between calls, so that any number of threads may make them.

Rejected: to start a stream over in ``complete()`` (the same object would keep another promise than
``stream()``; ``Backend.map`` does it, where it says how often), and a hook before each attempt
(what wants one is a loop of the program's own, see docs/retries.md).
"""

from __future__ import annotations

import itertools
import logging
import time
from typing import TYPE_CHECKING, Any, TypeVar

from inferd_engine.backends.base import Backend
from inferd_engine.cancel import CancelToken
from inferd_engine.errors import GenerateError, RequestCancelledError
from inferd_engine.frames import without_frames
from inferd_engine.many.retry import Retry
from inferd_engine.many.told import in_short, tell
from inferd_engine.proto.values import kind_of
from inferd_engine.reprs import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from inferd_engine.backends.base import BackendCapabilities
    from inferd_engine.proto.embed import EmbedResolved
    from inferd_engine.proto.v1 import Resolved
    from inferd_engine.proto.v2 import ResolvedV2
    from inferd_engine.stream.token_stream import TokenStream
    from inferd_engine.vectors import EmbedResult

_Given = TypeVar("_Given")
_log = logging.getLogger("inferd_engine")


class Retrying(Backend):
    """Ask a backend, and ask it again while that may help and there is no stream yet.

    Args:
        backend: Whom to ask.  It is the wrapper's own from now on: ``stop()`` stops it too.
        retry: How often, how long to wait between, and when to give up.

    Attributes:
        backend: Whom it asks.
        retry: When it asks again.

    Raises:
        TypeError: ``backend`` is not a ``Backend``, or ``retry`` not a ``Retry``.
    """

    @without_frames
    def __init__(self, backend: Backend, retry: Retry | None = None) -> None:
        super().__init__()
        if not isinstance(backend, Backend):
            raise TypeError(f"backend is {kind_of(backend)}: give a Backend")
        if not isinstance(retry, (Retry, type(None))):
            raise TypeError(f"retry is {kind_of(retry)}: give a Retry, such as Retry(attempts=5)")
        self.backend = backend
        self.retry = retry or Retry()

    def __repr__(self) -> str:
        own = vars(self)  # a constructor that failed has none yet
        return named("Retrying", f"{own.get('backend')!r}, {own.get('retry')!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.backend, self.retry)

    @property
    def name(self) -> str:
        """The name of the backend that it asks."""
        return self.backend.name

    @property
    def config(self) -> Any:  # of whatever class
        """What the backend that it asks is configured by; None if it has no such thing."""
        return getattr(self.backend, "config", None)

    def ready(self) -> bool:
        """Whether the backend may be asked now."""
        return not self._stopped and self.backend.ready()

    def capabilities(self) -> BackendCapabilities:
        """What the backend can do."""
        return self.backend.capabilities()

    @without_frames
    def with_options(self, **fields: Any) -> Self:  # those of the backend
        """Return one of its own that asks the backend with other settings.

        Raises:
            AttributeError: The backend has no ``with_options()``.
        """
        return type(self)(self.backend.with_options(**fields), self.retry)  # type: ignore[attr-defined]

    @without_frames
    def generate(self, request: Resolved) -> TokenStream:
        """Ask with flat text (v1) until there is a stream; return it.

        Raises:
            GenerateError: As from ``generate_v2()``.
        """
        return self._again(lambda: self.backend.generate(request), None)

    @without_frames
    def generate_v2(
        self,
        request: ResolvedV2,
        *,
        cancel: CancelToken | None = None,
        include_raw: bool = False,
    ) -> TokenStream:
        """Ask until there is a stream; return it.

        Args:
            request: What ``RequestV2.resolve()`` gave.
            cancel: Ends the call, also while it waits for the next attempt, and the stream.
            include_raw: Give a ``RawChunk`` before the events of each chunk.

        Raises:
            RequestCancelledError: ``cancel`` or ``stop()`` ended the call.
            GenerateError: What the last attempt failed with; ``attempts`` says how many there
                were, and its notes what the others failed with.
        """
        return self._again(
            lambda: self.backend.generate_v2(request, cancel=cancel, include_raw=include_raw),
            cancel,
        )

    @without_frames
    def embed(self, request: EmbedResolved, *, cancel: CancelToken | None = None) -> EmbedResult:
        """Ask for vectors until they are there.

        Raises:
            GenerateError: As from ``generate_v2()``.
        """
        return self._again(lambda: self.backend.embed(request, cancel=cancel), cancel)

    @without_frames
    def models(self, *, cancel: CancelToken | None = None) -> list[str]:
        """Return the backend's list of models; ask again while that fails.

        Raises:
            AttributeError: The backend has no ``models()``.
            GenerateError: As from ``generate_v2()``.
        """
        models: Callable[..., list[str]] = self.backend.models  # type: ignore[attr-defined]
        return self._again(lambda: models(cancel=cancel), cancel)

    @without_frames
    def stop(self, timeout: float = 5.0) -> None:
        """End whoever waits for another attempt, and stop the backend.

        Args:
            timeout: Seconds to wait for workers that are on their way out.
        """
        super().stop(timeout)
        self.backend.stop(timeout)

    # --- inside ----------------------------------------------------------------------------------

    def _again(self, ask: Callable[[], _Given], cancel: CancelToken | None) -> _Given:
        """Ask until there is an answer or no use in asking."""
        began = time.monotonic()
        failures: list[str] = []
        for attempt in itertools.count(1):
            if self._stopped:
                self._check_ready()
            try:
                return ask()
            except GenerateError as error:
                elapsed = time.monotonic() - began
                pause = self._pause(error, attempt, elapsed)
                if pause is None:
                    tell(error, attempt, failures)
                    raise
                failures.append(f"attempt {attempt} failed: {in_short(error)}")
            _log.info(
                "attempt %d of %d failed, the next comes in %.2f s: %s",
                *(attempt, self.retry.attempts, pause, failures[-1].partition(": ")[2]),
            )
            self._wait(pause, cancel, failures)
        raise AssertionError  # there is always another number

    def _pause(self, error: GenerateError, attempt: int, elapsed: float) -> float | None:
        """Return how long to wait; None when it is of no use, or the whole time is over by then."""
        pause = self.retry.pause(error, attempt=attempt, elapsed=elapsed)
        whole = getattr(self.config, "timeout", None)
        return None if pause is None or (whole and elapsed + pause > whole) else pause

    def _wait(self, seconds: float, cancel: CancelToken | None, failures: list[str]) -> None:
        """Wait for the next attempt, as a call that a token and ``stop()`` can end.

        Raises:
            RequestCancelledError: One of them did.
        """
        waiting = CancelToken()
        self._live.add(waiting)
        if cancel is not None:
            cancel.join(waiting)
        try:  # after joining: either stop() sees who waits, or that sees it
            if not (self._stopped or waiting.wait(seconds)):
                return
        finally:
            self._live.discard(waiting)
            if cancel is not None:
                cancel.leave(waiting)
        error = RequestCancelledError("the call was cancelled while it waited for another attempt")
        tell(error, len(failures), failures)
        raise error

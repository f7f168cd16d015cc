"""Several backends as one: the first that may be asked answers.

Goal: a program has one backend, and behind it a server of its own, and a cloud for when that is
down.

Backends stand in the order of their priority.  Each call goes down the row and asks each once,
until one has a stream; it passes over those that are not ready and those whose breaker is open
(``breaker.py``).  What it makes of an error is decided by who is at fault:

=====================================================  =========  =====================
what failed                                            counts     then
=====================================================  =========  =====================
the request: ``InvalidRequestError``, 400, 413, 422 …  no         raised at once
nobody: a token, ``stop()``, ``close()``               no         raised at once
the backend is not ready, or cannot do this kind       no         the next is asked
everything else, 401 and 404 and 429 too               yes        the next is asked
in the middle of a stream                              yes        raised to the consumer
=====================================================  =========  =====================

A key that is refused and a model that is not there are the backend's fault and not the request's:
another one may have both.

Rules:

* no answer is put together from two: once there is a stream, nobody else is asked;
* how a stream ends is told by itself (``TokenStream.on_end``), to a breaker that takes no lock;
* if all fail, the last error is raised, with a note on each backend; it is ``retryable`` if one of
  them may be asked again, because that is what a second call would do;
* the capabilities that a request may rely on are those of all, because any of them may be asked.

Rejected: to hedge (two backends asked at once cost twice), and to choose by load or price (that is
a policy of the program's own: it can put its backends into an order).
"""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from inferd_engine.backends.base import AcceleratorInfo, Backend, BackendCapabilities
from inferd_engine.errors import (
    GenerateError,
    HttpStatusError,
    InternalError,
    InvalidRequestError,
    NotReadyError,
    RequestCancelledError,
    UnsupportedError,
    UpstreamError,
)
from inferd_engine.events import Done, StopReason
from inferd_engine.frames import without_frames
from inferd_engine.many.breaker import PAUSE, Breaker
from inferd_engine.many.told import in_short, tell
from inferd_engine.proto.values import kind_of
from inferd_engine.reprs import named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

    from inferd_engine.cancel import CancelToken
    from inferd_engine.many.breaker import Pass
    from inferd_engine.proto.embed import EmbedResolved
    from inferd_engine.proto.v1 import Resolved
    from inferd_engine.proto.v2 import ResolvedV2
    from inferd_engine.stream.token_stream import TokenStream
    from inferd_engine.vectors import EmbedResult

_Given = TypeVar("_Given")
_log = logging.getLogger("inferd_engine")

# Statuses that blame the request: any other server would say so, too.
_WRONG_REQUEST = frozenset({400, 405, 406, 411, 413, 414, 415, 422, 431, 451})
# What the same is called inside an answer.
_WRONG_CODES = re.compile(
    r"(?:400|413|415|422)$|invalid_request|context_length|content_(?:policy|filter)|validation",
    re.IGNORECASE,
)
_IN_ALL = ("v2", "vision", "audio", "video", "tools", "thinking")


class Router(Backend):
    """Ask the first of several backends that is ready and has not just failed again and again.

    Args:
        backends: In the order of their priority.  They are the router's own from now on: ``stop()``
            stops them all.
        clock: Gives seconds that never go back; for tests.

    Attributes:
        backends: Whom it asks, in this order.

    Raises:
        TypeError: One of them is not a ``Backend``, or ``clock`` is not a function.
        InvalidRequestError: There is none.
    """

    @without_frames
    def __init__(
        self, backends: Iterable[Backend], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        if isinstance(backends, Backend) or not isinstance(backends, Iterable):
            raise TypeError(f"backends is {kind_of(backends)}: give a list of backends")
        self.backends: Sequence[Backend] = tuple(backends)
        for number, backend in enumerate(self.backends):
            if not isinstance(backend, Backend):
                raise TypeError(f"backends[{number}] is {kind_of(backend)}: give a Backend")
        if not self.backends:
            raise InvalidRequestError("backends is empty: give one or more")
        if not callable(clock):
            raise TypeError(f"clock is {kind_of(clock)}: give a function, such as time.monotonic")
        self._clock = clock
        self._breakers = [Breaker(clock) for _ in self.backends]

    def __repr__(self) -> str:
        names = [backend.name for backend in vars(self).get("backends", ())]
        return named("Router", f"[{', '.join(names)}]")

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), clock=self._clock), (self.backends,)

    @property
    def name(self) -> str:
        """``"router"``."""
        return "router"

    def ready(self) -> bool:
        """Whether one of the backends may be asked now."""
        return not self._stopped and any(
            breaker.wait() is None and backend.ready()
            for backend, breaker in zip(self.backends, self._breakers, strict=True)
        )

    def capabilities(self) -> BackendCapabilities:
        """What all of them can do, because any may be asked; ``embed`` if one can.

        Those that make no embeddings are passed over where these are asked for.
        """
        all_of_them = [backend.capabilities() for backend in self.backends]
        accelerators = {one.accelerator for one in all_of_them}
        return BackendCapabilities(
            **{name: all(getattr(one, name) for one in all_of_them) for name in _IN_ALL},
            embed=any(one.embed for one in all_of_them),
            accelerator=accelerators.pop() if len(accelerators) == 1 else AcceleratorInfo(),
        )

    @without_frames
    def with_options(self, **fields: Any) -> Self:  # those that all of them have
        """Return a router of its own over the same backends with other settings.

        What is known of who has failed is the same for both.

        Raises:
            TypeError: One of the backends has no such field.
            AttributeError: One of them has no ``with_options()``.
        """
        others = [one.with_options(**fields) for one in self.backends]  # type: ignore[attr-defined]
        other = type(self)(others, clock=self._clock)
        other._breakers = self._breakers  # noqa: SLF001 - one of us
        return other

    @without_frames
    def generate(self, request: Resolved) -> TokenStream:
        """Ask with flat text (v1); backends that speak version 2 only are passed over.

        Raises:
            GenerateError: As from ``generate_v2()``.
        """
        return self._stream(lambda backend: backend.generate(request), None)

    @without_frames
    def generate_v2(
        self,
        request: ResolvedV2,
        *,
        cancel: CancelToken | None = None,
        include_raw: bool = False,
    ) -> TokenStream:
        """Ask each backend once, in their order, until one has a stream; return it.

        Args:
            request: What ``RequestV2.resolve()`` gave.
            cancel: Ends the call while it waits, and the stream afterwards.
            include_raw: Give a ``RawChunk`` before the events of each chunk.

        Raises:
            InvalidRequestError: The request is wrong for the backend whose turn it was.
            NotReadyError: None may be asked now; ``retry_after`` says when, if that is known.
            RequestCancelledError: ``cancel`` or ``stop()`` ended the call.
            GenerateError: What the last one failed with; ``attempts`` says how many were asked, and
                its notes what became of each.
        """
        return self._stream(
            lambda backend: backend.generate_v2(request, cancel=cancel, include_raw=include_raw),
            cancel,
        )

    @without_frames
    def embed(self, request: EmbedResolved, *, cancel: CancelToken | None = None) -> EmbedResult:
        """Ask for vectors: each backend that makes some, until one has made them.

        Raises:
            UnsupportedError: None of them makes any.
            GenerateError: As from ``generate_v2()``.
        """
        if not self.capabilities().embed:
            return super().embed(request, cancel=cancel)
        return self._whole(
            lambda backend: backend.embed(request, cancel=cancel),
            cancel,
            lambda backend: backend.capabilities().embed,
        )

    @without_frames
    def models(self, *, cancel: CancelToken | None = None) -> list[str]:
        """Return the list of models of the first backend that gives one.

        Raises:
            UnsupportedError: None of them lists any.
            GenerateError: As from ``generate_v2()``.
        """
        if not any(map(_lists_models, self.backends)):
            raise UnsupportedError("none of the backends lists its models")
        return self._whole(
            lambda backend: backend.models(cancel=cancel),  # type: ignore[attr-defined]
            cancel,
            _lists_models,
        )

    @without_frames
    def stop(self, timeout: float = 5.0) -> None:
        """Stop all backends.

        Args:
            timeout: Seconds to wait for workers that are on their way out, for all together.
        """
        super().stop(timeout)
        deadline = time.monotonic() + timeout
        for backend in self.backends:
            backend.stop(max(0.0, deadline - time.monotonic()))

    # --- inside ----------------------------------------------------------------------------------

    def _stream(
        self, ask: Callable[[Backend], TokenStream], cancel: CancelToken | None
    ) -> TokenStream:
        """Ask for a stream, and have it tell how it ends."""
        stream, number, mine = self._first(ask, cancel, lambda _: True)
        stream.on_end(functools.partial(self._settle, number, mine))
        return stream

    def _whole(
        self,
        ask: Callable[[Backend], _Given],
        cancel: CancelToken | None,
        can: Callable[[Backend], bool],
    ) -> _Given:
        """Ask for what comes at once."""
        given, number, mine = self._first(ask, cancel, can)
        self._succeeded(number, mine)
        return given

    def _first(
        self,
        ask: Callable[[Backend], _Given],
        cancel: CancelToken | None,
        can: Callable[[Backend], bool],
    ) -> tuple[_Given, int, Pass]:
        """Ask each backend once, until one gives something; return that, whose it is, the pass."""
        failures: list[GenerateError] = []
        notes: list[str] = []
        for number, backend in enumerate(self.backends):
            self._check_wanted(cancel, notes)
            said = self._passed_over(number, can)
            mine = None if said else self._breakers[number].enter()
            if mine is None:
                notes.append(f"{self._place(number)} {said or 'is being tried by another call'}")
                continue
            try:
                return ask(backend), number, mine
            except GenerateError as error:
                notes.append(f"{self._place(number)} failed: {in_short(error)}")
                if not self._goes_on(error, number, mine):
                    tell(error, len(failures) + 1, notes[:-1])
                    raise
                failures.append(error.with_traceback(None))
            except BaseException:
                mine.given_up()
                raise
        raise self._none_has_answered(failures, notes)

    def _check_wanted(self, cancel: CancelToken | None, notes: list[str]) -> None:
        """Refuse to go on when the router was stopped, or nobody wants the answer."""
        if self._stopped:
            self._check_ready()
        if cancel is not None and cancel.cancelled:
            error = RequestCancelledError("the call was cancelled before a backend had answered")
            tell(error, 1, notes)
            raise error

    def _passed_over(self, number: int, can: Callable[[Backend], bool]) -> str:
        """Return why a backend is not asked; empty if it is."""
        backend = self.backends[number]
        if not can(backend):
            return "cannot do it"
        if not backend.ready():
            return "is not ready"
        wait = self._breakers[number].wait()
        return f"has failed again and again: it is asked in {wait:.0f} s" if wait else ""

    def _goes_on(self, error: GenerateError, number: int, mine: Pass) -> bool:
        """Say whether the next backend is asked after an error; count it if it counts."""
        if _is_callers(error):
            mine.given_up()
            return False
        if isinstance(error, (NotReadyError, InternalError)):
            mine.given_up()
        else:
            self._failed(number, mine)
        return True

    def _none_has_answered(self, failures: list[GenerateError], notes: list[str]) -> GenerateError:
        """Make the error of a call that went down the whole row."""
        if not failures:
            waits = [wait for one in self._breakers if (wait := one.wait())]
            return NotReadyError(
                f"no backend may be asked now: {'; '.join(notes)}",
                retry_after=min(waits, default=None),
            )
        last = failures[-1]
        tell(last, len(failures), notes if len(notes) > 1 else ())
        again = [error for error in failures if error.retryable]
        if again and not last.retryable:
            last.retryable, last.retry_after = True, again[-1].retry_after
        return last

    def _settle(self, number: int, mine: Pass, ending: Done | GenerateError | None) -> None:
        """Count how a stream has ended."""
        if ending is None or (isinstance(ending, GenerateError) and _is_callers(ending)):
            mine.given_up()
        elif isinstance(ending, GenerateError) or ending.stop_reason is StopReason.ERROR:
            self._failed(number, mine)
        else:
            self._succeeded(number, mine)

    def _succeeded(self, number: int, mine: Pass) -> None:
        if mine.succeeded():
            _log.info("%s answers again", self._place(number))

    def _failed(self, number: int, mine: Pass) -> None:
        if mine.failed():
            _log.warning(
                "%s has failed again and again: it is not asked for %d s",
                *(self._place(number), PAUSE),
            )

    def _place(self, number: int) -> str:
        return f"backends[{number}] ({self.backends[number].name})"


def _lists_models(backend: Backend) -> bool:
    return hasattr(backend, "models")


def _is_callers(error: GenerateError) -> bool:
    """Whether an error is for the caller alone: the request is wrong, or was cancelled."""
    if isinstance(error, HttpStatusError):
        return error.status in _WRONG_REQUEST and not error.retryable
    if isinstance(error, UpstreamError):
        return not error.retryable and bool(_WRONG_CODES.match(error.code or ""))
    return isinstance(error, (InvalidRequestError, RequestCancelledError))

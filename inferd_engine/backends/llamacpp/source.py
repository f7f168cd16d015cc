"""One answer: it waits for a context, has the prompt read, and gives tokens until the end.

The worker alone reads it (``can_wake`` is false), because whoever is inside of llama.cpp hears no
Ctrl-C.  So a consumer that waits is always free to go, and ``cancel()`` sets the flag that the
computation looks at (``library.AbortFlag``).

The clocks are kept by a thread of their own: the worker is inside of llama.cpp when time runs out,
and the consumer may be away.
"""

from __future__ import annotations

import _thread
import math
import threading
import time
from typing import TYPE_CHECKING

from inferd_engine.backends.llamacpp.library import AbortFlag
from inferd_engine.errors import DeadlineError, InternalError, RequestCancelledError
from inferd_engine.events import Done, StopReason, Usage
from inferd_engine.stream.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferd_engine.backends.llamacpp.answer import Answer
    from inferd_engine.backends.llamacpp.context import Context
    from inferd_engine.backends.llamacpp.engine import Loaded
    from inferd_engine.backends.llamacpp.projector import Prompt
    from inferd_engine.backends.llamacpp.sampling import Sampler
    from inferd_engine.errors import DeadlinePhase, GenerateError
    from inferd_engine.events import Event

_SLICE = 0.5  # seconds of waiting at the most, before looking around


def _call_nobody() -> None:
    """Stand in for what a clock that was stopped would have called."""


class Clock:
    """End an answer when time is up.

    Args:
        expire: What to call then.
        began: When it began to run.
        timeout: Seconds for everything; None sets no limit, here and below.
        first_token: Seconds until the first token.
        idle: Seconds until each of the others.
    """

    def __init__(
        self,
        expire: Callable[[], None],
        *,
        began: float,
        timeout: float | None,
        first_token: float | None,
        idle: float | None,
    ) -> None:
        self._expire = expire
        self._idle = idle
        self._total = math.inf if timeout is None else began + timeout
        self._limits = {"total": timeout, "first_token": first_token, "idle": idle}
        self._phase: DeadlinePhase = "first_token"
        self._silence = math.inf if first_token is None else began + first_token
        self._is_over = threading.Event()

    def start(self) -> None:
        """Have a thread that keeps the time, if there is any to keep.

        Raises:
            InternalError: No thread can be started.
        """
        if all(limit is None for limit in self._limits.values()):
            return
        try:
            # Not by way of threading, which waits until the thread runs: the prompt does not.
            _thread.start_new_thread(self._watch, ())
        except RuntimeError as error:
            raise InternalError(
                f"no thread can be started for the deadlines: {error}", retryable=True
            ) from error

    def _watch(self) -> None:
        while not self.late():
            due = min(self._total, self._silence, time.monotonic() + _SLICE)
            if self._is_over.wait(max(0.0, due - time.monotonic())):
                return
        self._expire()

    def waiting(self) -> None:
        """Begin the clock of silence, once a token has come: the next one is computed."""
        if self._phase == "idle" and self._idle is not None:
            self._silence = time.monotonic() + self._idle

    def token(self) -> None:
        """Stop the clock of silence: a token has come."""
        self._phase, self._silence = "idle", math.inf

    def late(self) -> DeadlineError | None:
        """Return the error if time is up."""
        now = time.monotonic()
        phase = "total" if now >= self._total else self._phase if now >= self._silence else None
        if phase is None:
            return None
        what = {"total": "the answer", "first_token": "the first token", "idle": "a token"}[phase]
        return DeadlineError(f"{what} took longer than {self._limits[phase]} s", phase=phase)

    def stop(self) -> None:
        """Keep no more time, and let go of what was to be called."""
        self._is_over.set()
        self._expire = _call_nobody


class LlamaSource(Source):
    """Read one answer.

    Args:
        loaded: The model, and where to have a context from.
        prompt: What is read.
        sampler: Chooses tokens.
        answer: Makes events of them.
        max_tokens: How many to generate at the most.
        began: When the call was made.
        limits: The deadlines, as ``Clock`` takes them.
        model: Its name.
    """

    can_wake = False
    is_checked = True

    def __init__(
        self,
        loaded: Loaded,
        prompt: Prompt,
        sampler: Sampler,
        answer: Answer,
        *,
        max_tokens: int,
        began: float,
        limits: Mapping[str, float | None],
        model: str,
    ) -> None:
        self.model = model
        self._loaded = loaded  # nothing of it is freed while it computes
        self._tokens, self._images = list(prompt.entries), prompt.images  # and what is answered
        self._asked = len(self._tokens)
        self._sampler = sampler
        self._answer = answer
        self._left = max_tokens
        self._flag = AbortFlag()
        self._clock = Clock(self.cancel, began=began, **limits)
        self._count = 0
        self._context: Context | None = None
        self._ticket = loaded.slots.enter(prompt.entries)

    def keep_time(self) -> None:
        """Start the clocks: by who opened the stream, while its worker computes already.

        Raises:
            InternalError: No thread can be started for them.
        """
        self._clock.start()

    def read(self, give_up: float | None) -> list[Event]:  # noqa: ARG002 - llama.cpp cannot keep it
        """Compute the next part of the prompt, or the next token.

        Raises:
            DeadlineError: Time is up.
            RequestCancelledError: The stream was closed.
            InternalError: llama.cpp cannot go on.
        """
        self._clock.waiting()
        try:
            self._check_flag()
            context = self._context_now()
            if context is None:
                return []
            token = context.compute(
                self._tokens, self._images, self._sampler, self._flag, self._ticket.bell
            )
            return [] if token is None else self._next(token, context)
        except RequestCancelledError:
            late = self._clock.late()
            if late is not None:
                raise late from None
            raise

    def _check_flag(self) -> None:
        if self._flag:
            raise RequestCancelledError("the answer was stopped")

    def _context_now(self) -> Context | None:
        """Return the context; wait for it a moment."""
        if self._context is None:
            self._ticket.bell.wait(_SLICE)
            self._context = self._ticket.context
            if self._context is not None:
                self._context.begin(self._tokens)
        return self._context

    def _next(self, token: int, context: Context) -> list[Event]:
        """Give what a token says."""
        model = self._loaded.model
        self._clock.token()
        if model.is_end(token):
            return self._end(StopReason.END_TURN, "stop")
        self._count += 1
        self._left -= 1
        self._tokens.append(token)
        events = self._answer.push(model.piece(token))
        if self._answer.is_over:
            return [*events, *self._end(StopReason.STOP_SEQUENCE, "stop")]
        if self._left <= 0 or len(context.known) >= context.size:
            return [*events, *self._end(StopReason.MAX_TOKENS, "length")]
        return events

    def _end(self, reason: StopReason, word: str) -> list[Event]:
        events = self._answer.end()
        if self._answer.has_calls and reason is not StopReason.MAX_TOKENS:
            reason, word = StopReason.TOOL_USE, "tool_calls"
        details = {
            "prompt_tokens": self._asked,
            "completion_tokens": self._count,
            "prompt_tokens_details": {"cached_tokens": self._context.kept if self._context else 0},
        }
        usage = Usage(self._asked, self._count, details)
        return [*events, Done(reason, usage, word)]

    def cancel(self) -> None:
        """Stop what is computed, and leave the queue."""
        self._flag.set()
        self._ticket.bell.ring()
        if self._context is not None:
            self._context.rounds.look()

    def close(self) -> None:
        """Let the next have the context."""
        self._clock.stop()
        if self._context is not None:
            self._context.rounds.forget(self._context)
        self._ticket.leave()

    def __del__(self) -> None:
        if hasattr(self, "_ticket"):  # of a call that was interrupted before there was a stream
            self._ticket.leave()

    def out_of_time(self) -> GenerateError | None:
        """Return the error if time is up."""
        return self._clock.late()

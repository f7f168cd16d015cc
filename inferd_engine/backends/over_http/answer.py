"""An HTTP answer as a source of events: blocks from the transport, meaning from the wire.

This is where the two halves meet, and where the clocks are told what counts as life: a payload,
whether or not it gave an event of ours.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.errors import (
    DeadlineError,
    GenerateError,
    RequestCancelledError,
    StreamInterruptedError,
    UpstreamError,
)
from inferd_engine.events import Done

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.events import Event
    from inferd_engine.net.exchange import Exchange
    from inferd_engine.net.transport import Body
    from inferd_engine.secrets.masking import Mask
    from inferd_engine.wire.openai.answer import Answer

DRAIN_SECONDS = 0.01  # for the end of the body, which comes right after [DONE] if it comes at all


class AnswerSource:
    """Read the events of one answer."""

    def __init__(self, body: Body, answer: Answer, exchange: Exchange) -> None:
        self._body = body
        self._answer = answer
        self._exchange = exchange
        self._early: list[tuple[list[Event], int]] = []  # read before there was a stream
        self._rest: Iterator[tuple[Event, int]] | None = None
        self.ending: Done | GenerateError | None = None
        self.can_wait = body.can_wait
        """Whether ``wait()`` waits, and ``read()`` gives up in time."""
        self.skipped = 0
        self.model = ""
        """The model that answered, once it is known."""
        self.started = exchange.deadlines.started
        self.away = exchange.deadlines.away
        self.back = exchange.deadlines.back

    @property
    def bytes(self) -> int:
        """How much of the body was read."""
        return self._body.bytes

    def judge(self) -> None:
        """Read until it is clear what the body is.

        Raises:
            UpstreamError: It is an error object or a page.
        """
        early: list[tuple[list[Event], int]] = []
        while self.ending is None and not self._answer.is_judged:
            early.append(self.read() or ([], 0))  # without a moment to give up it is never None
        self._early = early
        if isinstance(self.ending, RequestCancelledError):
            raise self.ending
        if self._answer.error is not None and not any(events for events, _ in self._early):
            raise self._answer.error

    def wait(self) -> None:
        """Wait until there is something to read."""
        if not self._early and self._rest is None:
            self._body.wait()

    def read(self, give_up: float | None = None) -> tuple[list[Event], int] | None:
        """Wait for what comes next; give its events and their size in bytes.

        There may be no events in it.  ``ending`` is set at the end.  None says that nothing came
        until ``give_up``.
        """
        if self._early or self._rest is not None:
            return self._read_aside()
        answer, deadlines = self._answer, self._exchange.deadlines
        try:
            block = self._body.read(give_up)
        except DeadlineError as error:
            if deadlines.passed() != "linger":
                return self._broken(error)
            block = b""  # nothing more comes after the finish reason: as good as an end
        except GenerateError as error:
            return self._broken(error)
        if block is None:
            return None
        self.can_wait = self._body.can_wait  # not if that block was gzip
        before = answer.payloads
        events: Any = answer.feed(block) if block else answer.end()
        if answer.payloads != before:
            deadlines.payload(has_begun=answer.has_begun)
            self.skipped = answer.skipped
            if answer.has_finish_reason:
                deadlines.linger()
        if answer.is_over:
            self._rest = answer.rest()
        return events, len(block)

    def _read_aside(self) -> tuple[list[Event], int]:
        """Give what was read before there was a stream, or what is left after its end."""
        if self._early:
            return self._early.pop(0)
        for event, size in self._rest or ():
            return [event], size
        self.ending = _masked(self._answer.ending, self._exchange.mask)
        return [], 0

    def _broken(self, error: GenerateError) -> tuple[list[Event], int]:
        """End with an error, after what can be saved of the last, unfinished event."""
        error = error.with_traceback(None)
        if isinstance(error, RequestCancelledError):
            self.ending = error
            return [], 0
        events: list[Event] = list(self._answer.end())
        if not isinstance(error, (DeadlineError, UpstreamError)):
            broken = StreamInterruptedError(f"the answer was cut: {error}")
            broken.__cause__ = error
            error = broken
        self._answer.fail(error)
        self._rest = self._answer.rest()
        return events, 0

    def clean(self, error: GenerateError) -> GenerateError:
        """Take secrets out of an error that was made elsewhere."""
        return self._exchange.mask.error(error)

    def out_of_time(self) -> GenerateError | None:
        """Give the error if the whole request has taken too long."""
        deadlines = self._exchange.deadlines
        if self._rest is not None or time.monotonic() < deadlines.total_end:
            return None  # when all was received, the consumer may take its time
        return DeadlineError(deadlines.describe("total"), phase="total")

    def cancel(self) -> None:
        """Wake the reader for good."""
        self._exchange.cancel()

    def close(self) -> None:
        """Let the connection be used again if the answer was whole, and close it if it was not."""
        # What was kept of the answer goes now, and not with a garbage collection, which counts
        # objects and not bytes.
        self.skipped, self.model = self._answer.skipped, self._answer.model
        del self._answer
        self._rest = None
        try:
            if isinstance(self.ending, Done):
                self._body.drain(DRAIN_SECONDS)
        finally:
            self._body.close()


def _masked(ending: Done | GenerateError | None, mask: Mask) -> Done | GenerateError | None:
    """Take secrets out of how an answer ended: out of an error, or the upstream's word in Done."""
    if not isinstance(ending, Done):
        return ending and mask.error(ending)
    word = ending.finish_reason and mask.text(ending.finish_reason)
    return ending if word == ending.finish_reason else attrs.evolve(ending, finish_reason=word)

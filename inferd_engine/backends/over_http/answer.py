"""An HTTP answer as a source of events: blocks from the transport, meaning from the wire.

This is where the two towers meet, and where the clocks are told what counts as life: a payload,
whether or not it gave an event of ours.  What an answer is written in is nobody's business here:
any ``Answer`` will do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from inferd_engine._native import IMPLEMENTATION
from inferd_engine.errors import (
    DeadlineError,
    GenerateError,
    InternalError,
    RequestCancelledError,
    StreamInterruptedError,
    UpstreamError,
)
from inferd_engine.events import Done
from inferd_engine.net.deadlines import SLICE
from inferd_engine.net.socket_reader import BLOCK
from inferd_engine.stream.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inferd_engine.events import Event, TokenEventV2
    from inferd_engine.net.exchange import Exchange
    from inferd_engine.net.socket_reader import Plain, ShortWay
    from inferd_engine.net.transport import Body
    from inferd_engine.secrets.masking import Mask
    from inferd_engine.wire.answer.body import State

DRAIN_SECONDS = 0.01  # for the end of the body, which comes right after [DONE] if it comes at all


class Answer(Protocol):
    """What takes a body apart, whatever the protocol is that it is written in: pure, and fed."""

    state: State
    """How far it has come; see ``wire.answer.body``."""
    payloads: int
    """How many payloads have come: signs of life, whether or not they gave an event."""
    skipped: int
    """How many payloads could not be read and were left out."""
    error: GenerateError | None
    """What it failed with, as soon as that is known."""
    ending: Done | GenerateError | None
    """How it ended, once ``rest()`` was taken to its end."""

    @property
    def model(self) -> str:
        """The model that answers, in the upstream's word; empty if it does not say."""

    def feed(self, data: bytes, /) -> list[TokenEventV2]:
        """Take the next bytes of the body; give the events that they finish."""

    def end(self) -> list[TokenEventV2]:
        """Take the end of the body; give the events of what had no end of its own."""

    def rest(self) -> Iterator[tuple[TokenEventV2, int]]:
        """Return what was held back to the end, with sizes in bytes; set ``ending``."""

    def fail(self, error: GenerateError, /) -> None:
        """End the answer with an error; what was given before stays given."""


class PlainAnswer(Answer, Protocol):
    """One whose events may be taken apart in the call that receives them; not all can be."""

    def likeness(self, size: int, /) -> Plain | None:
        """Return what the next ones may be like, for reads of so many bytes; None if unknown."""

    @property
    def is_told_once(self) -> bool:
        """Whether one ``add()`` will do for all that come in a row."""

    def add(self, said: list[Any], /) -> list[TokenEventV2]:
        """Take what they say; give the events.  Whoever received them adds to ``payloads``."""


class AnswerSource(Source):
    """Read the events of one answer.

    Args:
        body: Gives the blocks.
        answer: Takes them apart.
        exchange: The clocks, and what ends the request.
    """

    is_checked = True
    minds_itself = True

    def __init__(self, body: Body, answer: Answer, exchange: Exchange) -> None:
        self._body = body
        self._answer = answer
        can_be_short = IMPLEMENTATION == "native" and hasattr(answer, "likeness")
        self._plain_answer: Any = answer if can_be_short else None  # a ``PlainAnswer``
        self._exchange = exchange
        self._deadlines = exchange.deadlines
        self._early: list[tuple[Sequence[Event], int]] = []  # read before there was a stream
        self._rest: Iterator[tuple[Event, int]] | None = None
        self._size = 0  # of what was read last
        self.way: ShortWay | None = None
        """The short way to what comes next, while there is one."""
        self._is_told = False  # whether the answer need not be told of what comes there
        self._is_whole = False
        self.can_wait = body.can_wait
        self.started = exchange.deadlines.started

    @property
    def bytes(self) -> int:  # type: ignore[override]  # nobody sets it
        """How much of the body was read."""
        way, count = self.way, self._body.bytes  # which may be left meanwhile
        return count + way.bytes if way else count

    def judge(self) -> None:
        """Read until it is clear what the body is.

        Raises:
            UpstreamError: It is an error object or a page.
            RequestCancelledError: The call was ended.
        """
        early: list[tuple[Sequence[Event], int]] = []
        while self._answer.state == "unclear":
            early.append((self.read(None), self._size))
        self._early = early
        self.turn_back()
        if self._answer.error is not None and not any(events for events, _ in early):
            raise self._answer.error

    def wait(self) -> None:
        """Wait until there is something to read."""
        if not self._early and self._rest is None:
            self._body.wait()

    def fileno(self) -> int | None:
        """Return the connection's descriptor, if it is one that can be waited for."""
        return self._body.fileno()

    def due(self) -> float:
        """Return when to read: now if something is here already, else when time is up."""
        if self._rest is not None or self._early or self._body.has_more():
            return 0.0
        return self._deadlines.end

    def read(self, give_up: float | None) -> Sequence[Event]:
        """Wait for what comes next; give its events, or none if nothing came until ``give_up``.

        Raises:
            GenerateError: The answer failed.
        """
        way, deadlines = self.way, self._deadlines
        if way is None:
            return self._read_the_long_way(give_up)
        if give_up is not None and give_up <= 0:
            said, may_wait = way.read(0.0), False
            if said is not None:  # who reads like that may not look at the clocks for long
                deadlines.heard_at = time.monotonic()
        else:
            left = deadlines.left()
            may_wait = left is None or left > 0
            seconds = SLICE if left is None or left > SLICE else left
            if give_up is not None:
                seconds = min(seconds, give_up - time.monotonic())
            said = way.read(seconds) if may_wait else None
        if said is None:
            if may_wait and not way.has_left:
                return []  # nothing has come
            self.turn_back()
            return self._read_the_long_way(give_up)
        deadlines.is_heard = self.is_calm = True
        return said if self._is_told else self._add(said)

    def _add(self, said: Sequence[Event]) -> Sequence[Event]:
        """Tell the answer what plain events have said; give its events."""
        events: Sequence[Event] = self._plain_answer.add(said)
        self._is_told = self._plain_answer.is_told_once
        if self._answer.state == "over":  # they were too many
            self.turn_back()
            self._rest = self._answer.rest()
        return events

    def turn_back(self) -> None:
        """Leave the short way, and what was received on it to the long one."""
        self.is_calm = self._is_told = False
        way = self.way
        if way is not None:
            way.turn_back()
            self._size = way.received
            body, answer = self._body, self._answer
            counts = body.bytes + way.bytes, answer.payloads + way.events
            # At once: this may be struck, and is done again then; and anyone may ask for the stats.
            self.way, (body.bytes, answer.payloads) = None, counts

    def _read_the_long_way(self, give_up: float | None) -> Sequence[Event]:
        """Read what may be anything."""
        if self._early or self._rest is not None:
            return self._read_aside()
        answer, deadlines = self._answer, self._deadlines
        try:
            block = self._body.read(give_up)
        except GenerateError as error:
            if not isinstance(error, DeadlineError) or deadlines.passed() != "linger":
                return self._broken(error)
            block = b""  # nothing more comes after the finish reason: as good as an end
        if block is None:
            return []
        self._size = len(block)
        self.can_wait = self._body.can_wait  # not if that block was gzip
        before = answer.payloads
        events = answer.feed(block) if block else answer.end()
        if answer.payloads != before:
            self._heed(events)
        if answer.state == "over":
            self._rest = answer.rest()
        elif (
            self._plain_answer is not None
            and (plain := self._plain_answer.likeness(BLOCK)) is not None
        ):
            self.way = self._body.short_way(plain)
        return events

    def _heed(self, events: Sequence[Event]) -> None:
        """Tell the clocks that payloads have come."""
        answer, deadlines = self._answer, self._deadlines
        deadlines.payload(has_begun=answer.state != "clear")
        self.skipped = answer.skipped
        if answer.state == "finishing":
            deadlines.linger()
        elif answer.state == "clear" and events:
            deadlines.away()  # that of the first token

    def weight(self, events: list[Event]) -> int:  # noqa: ARG002 - the bytes are known already
        """Return the size of what was read last."""
        return (self.way.received if self.way else 0) or self._size

    def _read_aside(self) -> Sequence[Event]:
        """Return what was read before there was a stream, or what is left after its end."""
        if self._early:
            events, self._size = self._early.pop(0)
            return events
        for event, size in self._rest or ():
            self._size = size
            return [event]
        ending = _masked(self._answer.ending, self._exchange.mask)
        if not isinstance(ending, Done):
            raise ending or InternalError("the answer has no ending")
        self._is_whole = True
        return [ending]

    def _broken(self, error: GenerateError) -> Sequence[Event]:
        """Return what can be saved of the last, unfinished event; the error comes after it."""
        error = error.with_traceback(None)
        if isinstance(error, RequestCancelledError):
            raise error
        events = self._answer.end()
        if not isinstance(error, (DeadlineError, UpstreamError)):
            broken = StreamInterruptedError(f"the answer was cut: {error}")
            broken.__cause__ = error
            error = broken
        self._answer.fail(error)
        self._rest = self._answer.rest()
        return events

    def clean(self, error: GenerateError) -> GenerateError:
        """Take secrets out of an error that was made elsewhere."""
        return self._exchange.mask.error(error)

    def out_of_time(self) -> GenerateError | None:
        """Return the error if the whole request has taken too long."""
        deadlines = self._exchange.deadlines
        if self._rest is not None or time.monotonic() < deadlines.total_end:
            return None  # when all was received, the consumer may take its time
        return DeadlineError(deadlines.describe("total"), phase="total")

    def away(self) -> None:
        """Stop the clocks of silence until the next read."""
        self._deadlines.away()

    def cancel(self) -> None:
        """Wake the reader for good."""
        self._exchange.cancel()

    def close(self) -> None:
        """Let the connection be used again if the answer was whole, and close it if it was not."""
        # What was kept of the answer goes now, and not with a garbage collection, which counts
        # objects and not bytes.
        self.skipped, self.model = self._answer.skipped, self._answer.model
        self.turn_back()
        del self._answer, self._plain_answer
        self._rest = None
        try:
            if self._is_whole:
                self._body.drain(DRAIN_SECONDS)
        finally:
            self._body.close()


def _masked(ending: Done | GenerateError | None, mask: Mask) -> Done | GenerateError | None:
    """Take secrets out of how an answer ended: out of an error, or the upstream's word in Done."""
    if not isinstance(ending, Done):
        return ending and mask.error(ending)
    word = ending.finish_reason and mask.text(ending.finish_reason)
    return ending if word == ending.finish_reason else attrs.evolve(ending, finish_reason=word)

"""A backend without an upstream: deterministic, with the failures that matter at hand.

It gives the same ``TokenStream`` as every other backend, with the same worker, bounds and rules of
ending, so that a test against it is a test of real behaviour.
"""

from __future__ import annotations

import contextlib
import queue
import time
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.backends.base import Backend, BackendCapabilities
from inferd_engine.errors import RequestCancelledError, StreamInterruptedError
from inferd_engine.events import Done, StopReason, TextDelta, Token, Usage
from inferd_engine.frames import without_frames
from inferd_engine.stream.token_stream import TokenStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.cancel import CancelToken
    from inferd_engine.errors import GenerateError
    from inferd_engine.events import Event, TokenEventV2
    from inferd_engine.proto.v1 import Resolved
    from inferd_engine.proto.v2 import ResolvedV2


@attrs.frozen(slots=True)
class MockConfig:
    """What a ``Mock`` answers.

    Args:
        tokens: Pieces of text, one event each, followed by ``Done``.
        events: The events in full instead, with or without a ``Done`` at the end (v2 only).
        pre_stream_error: Raised by the call itself.
        mid_stream_drop_after: Break off, without ``Done``, after so many events if there are more.
        token_delay: Seconds before each event.
        buffer: Undelivered events read ahead; 0 for no worker.
    """

    tokens: Sequence[str] = attrs.field(default=("mock-response",), converter=tuple)
    events: Sequence[TokenEventV2] | None = attrs.field(
        default=None, converter=attrs.converters.optional(tuple)
    )
    pre_stream_error: GenerateError | None = None
    mid_stream_drop_after: int | None = None
    token_delay: float = 0.0
    buffer: int = 512


class Mock(Backend):
    """Answer from a script, as ``Mock(MockConfig(…))`` or ``Mock(tokens=[…], …)``."""

    @without_frames
    def __init__(self, config: MockConfig | None = None, **fields: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.config = attrs.evolve(config, **fields) if config else MockConfig(**fields)
        self._ready = True

    @property
    def name(self) -> str:
        """``"mock"``."""
        return "mock"

    def ready(self) -> bool:
        """Whether it may be asked: as ``set_ready()`` said, until ``stop()``."""
        return self._ready and not self._stopped

    def set_ready(self, ready: bool) -> None:  # noqa: FBT001 - inferd's signature
        """Pretend to be loading, or to have loaded."""
        self._ready = ready

    def capabilities(self) -> BackendCapabilities:
        """Everything that a script can say."""
        return BackendCapabilities(v2=True, tools=True, thinking=True)

    @without_frames
    def generate(self, request: Resolved) -> TokenStream:
        """Give the tokens as ``Token``, then ``Done``."""
        tokens: list[Event] = [Token(text) for text in self.config.tokens if text]
        return self._stream([*tokens, self._done()], request.id, None)

    @without_frames
    def generate_v2(
        self,
        request: ResolvedV2,
        *,
        cancel: CancelToken | None = None,
        include_raw: bool = False,  # noqa: ARG002 - a mock has no chunks
    ) -> TokenStream:
        """Give the scripted events, or the tokens as ``TextDelta``, then ``Done``."""
        events: list[Event] = [TextDelta(text) for text in self.config.tokens if text]
        if self.config.events is not None:
            events = [event for event in self.config.events if getattr(event, "delta", True)]
        ends = [number for number, event in enumerate(events) if isinstance(event, Done)]
        events = events[: ends[0] + 1] if ends else [*events, self._done()]
        return self._stream(events, request.id, cancel)

    def _done(self) -> Done:
        return Done(StopReason.END_TURN, Usage(0, len(self.config.tokens)), "stop")

    def _stream(
        self, events: list[Event], request_id: str, cancel: CancelToken | None
    ) -> TokenStream:
        if self.config.pre_stream_error is not None:
            raise self.config.pre_stream_error.with_traceback(None)
        self._check_ready()
        if cancel is not None and cancel.cancelled:
            msg = "the call was cancelled before it was made"
            raise RequestCancelledError(msg)
        source = _Script(events, self.config.token_delay, self.config.mid_stream_drop_after)
        return self._opened(
            TokenStream(
                source,
                buffer=self.config.buffer,
                live=self._live,
                cancel=cancel,
                request_id=request_id or None,
            )
        )


class _Script:
    """A source that reads from a list, one event at a time."""

    can_wait = False  # the worker reads, as it does for an upstream whose connection is not ours

    def __init__(self, events: list[Event], delay: float, drop_after: int | None) -> None:
        *before, done = events
        self._events = before[:drop_after]
        self._delay = delay
        self._end: Done | GenerateError = done  # type: ignore[assignment]
        if len(self._events) < len(before):
            self._end = StreamInterruptedError("the mock dropped the stream, as it was told to")
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()  # may be rung in a signal handler
        self._next = 0
        self._waited = not delay
        self._closed = False
        self.ending: Done | GenerateError | None = None
        self.started = time.monotonic()
        self.bytes = 0

    def wait(self) -> None:
        """Wait as long as the next event takes, or until the stream is closed."""
        if not self._waited:
            with contextlib.suppress(queue.Empty):
                self._bell.get(timeout=self._delay)
                self._closed = True
            self._waited = True

    def read(self, give_up: float | None = None) -> tuple[list[Event], int]:  # noqa: ARG002
        """Give the next event."""
        self.wait()
        self._waited = not self._delay
        if self._closed or not self._bell.empty():
            self.ending = RequestCancelledError("the mock's stream was closed")
            return [], 0
        if self._next == len(self._events):
            self.ending = self._end
            return [], 0
        self._next += 1
        return [self._events[self._next - 1]], 0

    def cancel(self) -> None:
        self._bell.put(None)

    def away(self) -> None:
        """Nothing: a script has no clock."""

    back = close = away

    def out_of_time(self) -> None:
        """Nothing: a script has all the time there is."""

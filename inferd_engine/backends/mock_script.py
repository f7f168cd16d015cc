"""What a mock says, and the source that says it as an answer over HTTP would: in its time.

An answer is put in order once: no empty pieces, one ``Done``, and nothing after it.  The source
waits, is woken, and gives up in time, so that a consumer which waits reads for itself.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import GenerateError, RequestCancelledError, StreamInterruptedError
from inferd_engine.events import (
    Done,
    RawChunk,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolUse,
    Usage,
)
from inferd_engine.stream.source import Source, is_empty
from inferd_engine.stream.turn import Bell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.events import Event

_SLICE = 0.5  # seconds that one wait takes at the most: what is thrown in meanwhile is raised then
_PIECES = (str, TextDelta, ThinkingDelta, ToolUse, Done, RawChunk, GenerateError)


class Script:
    """What an answer says: its events, and how it ends.

    Args:
        answer: A text, or texts and events, of which ``Done`` or an error is the last.
        place: Where it was found, for errors.

    Raises:
        TypeError: Something in it is neither a text nor an event.
    """

    def __init__(self, answer: object, place: str) -> None:
        is_one = isinstance(answer, str) or not isinstance(answer, Iterable)
        pieces: Sequence[Any] = [answer] if is_one else tuple(answer)  # type: ignore[arg-type]
        self.events: list[Event] = []
        ending: Done | GenerateError | None = None
        for number, piece in enumerate(pieces):
            if not isinstance(piece, _PIECES):
                what = f"{place}: piece {number} is of type {type(piece).__name__}"
                raise TypeError(f"{what}; give a str, an event, or an error at the end")
            if isinstance(piece, (Done, GenerateError)):
                ending = piece
                break
            event = TextDelta(piece) if isinstance(piece, str) else piece
            if not is_empty(event):
                self.events.append(event)
        if ending is None:
            is_call = any(isinstance(event, ToolUse) for event in self.events)
            reason, word = (
                (StopReason.TOOL_USE, "tool_calls") if is_call else (StopReason.END_TURN, "stop")
            )
            ending = Done(reason, Usage(0, len(pieces)), word)
        self.ending = ending


class ScriptSource(Source):
    """Read a script, one event at a time.

    Args:
        script: What to say.
        delay: Seconds before each event, and before the end.
        drop_after: Break off after so many events if there are more.
    """

    can_wait = True

    def __init__(self, script: Script, *, delay: float, drop_after: int | None) -> None:
        self._events = script.events[:drop_after]
        self._ending: Done | GenerateError = script.ending
        if len(self._events) < len(script.events):
            self._ending = StreamInterruptedError("the mock dropped the stream, as it was told to")
        self._delay = delay
        self._next = 0
        self._due = time.monotonic() + self._delay
        self._is_cancelled = False
        self._bell = Bell()

    def wait(self) -> None:
        """Wait until the next event is due, or the stream is closed."""
        self._is_due(None)

    def _is_due(self, give_up: float | None) -> bool:
        """Wait likewise, or until it is time to give up; say which."""
        while not self._is_cancelled:
            now = time.monotonic()
            if now >= self._due:
                return True
            if give_up is not None and now >= give_up:
                return False
            until = self._due if give_up is None else min(self._due, give_up)
            self._bell.wait(min(until - now, _SLICE))
        return True

    def read(self, give_up: float | None) -> list[Event]:
        """Return the next event, when it is due."""
        if self._delay and not self._is_due(give_up):
            return []
        if self._is_cancelled:
            raise RequestCancelledError("the mock's stream was closed")
        number, self._next = self._next, self._next + 1
        self._due = time.monotonic() + self._delay
        if number < len(self._events):
            return [self._events[number]]
        if isinstance(self._ending, Done):
            return [self._ending]
        raise copy.copy(self._ending)  # the stream writes into it, and the script may be used again

    def fileno(self) -> int:
        """Nothing to wait for but the clock."""
        return -1

    def due(self) -> float:
        """Return when the next event is."""
        return self._due if self._delay and not self._is_cancelled else 0.0

    def cancel(self) -> None:
        """Wake whoever waits."""
        self._is_cancelled = True
        self._bell.ring()

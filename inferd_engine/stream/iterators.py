"""Two ways to look at a stream: its text alone, and its events with a beat while nothing comes.

They are objects and not generators, because of what ``close()`` means to those who are given one: a
WSGI server closes just that object, from wherever it notices that the browser is gone, and then the
upstream has to be told.  A generator cannot be closed while it runs, and closes itself when it is
dropped, which says nothing about the stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine.errors import GenerateError
from inferd_engine.events import TextDelta, Token
from inferd_engine.frames import drop_frames
from inferd_engine.stream.gathering import keep_partial

if TYPE_CHECKING:
    from typing_extensions import Self

    from inferd_engine.events import Event
    from inferd_engine.stream.token_stream import TokenStream


class _StreamIterator:
    """What both have in common: closing them closes their stream."""

    def __init__(self, stream: TokenStream) -> None:
        self._stream = stream

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._stream!r}>"

    def __iter__(self) -> Self:
        return self

    def close(self) -> None:
        """Close the stream; from any thread, as often as you like."""
        self._stream.close()


class TextIterator(_StreamIterator):
    """Iterate over it to get the text of an answer, as str; ``close()`` closes the stream."""

    def __init__(self, stream: TokenStream) -> None:
        super().__init__(stream)
        self._seen: list[Event] = []

    def __next__(self) -> str:
        try:
            for event in self._stream:
                self._seen.append(event)
                if isinstance(event, TextDelta):
                    return event.delta
                if isinstance(event, Token):
                    return event.text
            self._stream.check_whole()
        except BaseException as error:
            if isinstance(error, GenerateError):
                keep_partial(error, self._seen)
            drop_frames(error)
            raise
        raise StopIteration


class HeartbeatIterator(_StreamIterator):
    """Iterate over it to get events, and None in silence; ``close()`` closes the stream."""

    def __init__(self, stream: TokenStream, seconds: float) -> None:
        super().__init__(stream)
        self._seconds = seconds

    def __next__(self) -> Event | None:
        try:
            event = self._stream.poll(self._seconds)
        except BaseException as error:
            drop_frames(error)
            raise
        if event is None and self._stream.ended:
            raise StopIteration
        return event

"""Read a source: what a stream's worker does, and with ``buffer=0`` the consumer itself.

The worker is a daemon thread with this module's ``read_ahead`` as its whole life.  It refers to a
``Reading`` and a buffer, never to the stream, so that dropping the stream can be seen.  It prints
nothing and calls nobody's callback: a daemon thread that writes while the interpreter ends aborts
it.  What it reads from is a ``Source``: an HTTP answer, or a mock.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, Union

from inferd_engine.errors import GenerateError, InternalError

if TYPE_CHECKING:
    from inferd_engine.buffer import EventBuffer
    from inferd_engine.events import Done, Event


class Source(Protocol):
    """Where a stream's events come from.  One thread reads; any thread may cancel."""

    ending: Done | GenerateError | None
    """How it ended; None while ``read()`` has more to give."""
    started: float
    """When the request began, by ``time.monotonic()``."""

    @property
    def bytes(self) -> int:
        """How much of the body was read."""

    def wait(self) -> None:
        """Wait until ``read()`` need not wait; whatever is raised in here changes nothing."""

    def read(self) -> tuple[list[Event], int]:
        """Wait for events; give them and their size in bytes, and set ``ending`` at the end."""

    def away(self) -> None:
        """Take note that nobody reads: the consumer is busy."""

    def back(self) -> None:
        """Take note that reading goes on."""

    def out_of_time(self) -> GenerateError | None:
        """Give the error if the whole request has taken too long."""

    def cancel(self) -> None:
        """Wake the reader for good: no lock, no waiting, from any thread."""

    def close(self) -> None:
        """Let go of the connection; called once, by the thread that reads."""


class Closed:
    """The ending of a stream that somebody closed."""


CLOSED = Closed()
Ending = Union["Done", GenerateError, Closed]


class EndMark:
    """The last thing in a buffer."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class Reading:
    """What a stream and its worker both refer to: the source, and how it all ended."""

    __slots__ = ("ended_at", "endings", "first_event_at", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.endings: dict[str, Ending] = {}
        self.first_event_at: float | None = None
        self.ended_at: float | None = None

    def take(self) -> tuple[list[Event], int]:
        """Read from the source."""
        events, size = self.source.read()
        if events and self.first_event_at is None:
            self.first_event_at = time.monotonic()
        return events, size

    def release(self) -> None:
        """Close the source, once; for the thread that reads."""
        if self.ended_at is None:
            self.ended_at = time.monotonic()
            self.source.close()


def read_ahead(reading: Reading, buffer: EventBuffer) -> None:
    """Read until the end, as far ahead as the buffer allows: the worker's whole life."""
    source, endings = reading.source, reading.endings
    ending: Ending | None = None
    while not endings and ending is None:
        try:
            events, size = reading.take()
        except Exception as error:  # noqa: BLE001 - whatever it is, the consumer has to hear of it
            ending = InternalError(f"reading the answer failed: {type(error).__name__}: {error}")
            ending.__cause__ = error
            break
        source.away()
        if not buffer.hand_over(events, size, lambda: endings or source.out_of_time()):
            ending = source.out_of_time()
            buffer.put_beyond(events)
            break
        source.back()
        ending = source.ending
    reading.release()
    buffer.put_beyond([EndMark(ending or CLOSED)])

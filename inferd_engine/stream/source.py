"""Where a stream's events come from: what a backend implements, and nothing of threads.

Goal: whoever has an iterator of events, or something to read them from, has a ``TokenStream`` with
all that it promises; ``Backend.open_stream()`` makes it.  A source is read by one thread at a time,
though not always by the same; any thread may cancel it.

Rules:

* events come in order, then one ``Done``, or an error is raised; after that nothing is asked;
* ``read()`` waits.  If it can give up in time (``can_wait``), the consumer that waits reads in its
  own thread, which costs no thread switch; if not, the worker reads;
* ``close()`` comes once, from a thread that may read, when no ``read()`` is under way.

The hooks below ``close()`` have answers that suit most sources.  What strangers give is looked at,
event by event (``checked()``); the sources of this package are tested instead.

Rejected: a source that says by an attribute that it has ended (it can be forgotten, and has to be
cleared), and one that pushes its events (then nobody could make it wait).
"""

from __future__ import annotations

import abc
import math
from typing import TYPE_CHECKING, Any, ClassVar

from inferd_engine.errors import InternalError
from inferd_engine.events import (
    Done,
    RawChunk,
    TextDelta,
    ThinkingDelta,
    Token,
    ToolUse,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.errors import GenerateError
    from inferd_engine.events import Event

_EVENTS = (TextDelta, ThinkingDelta, ToolUse, Done, RawChunk, Token)


class Source(abc.ABC):
    """Subclass it to give a stream its events: ``Backend.open_stream(source)``."""

    can_wait: bool = False
    """Whether ``read()`` keeps ``give_up``, so that a consumer may read in its own thread."""
    can_wake: bool = True
    """Whether ``cancel()`` ends a ``read()`` that waits; if not, only a worker ever reads."""
    started: float = 0.0
    """When the request began, by ``time.monotonic()``; 0 for when its stream was opened."""
    bytes: int = 0
    """How many bytes were read so far, for ``stream.stats``."""
    skipped: int = 0
    """How many payloads were left out so far, for ``stream.stats``."""
    model: str = ""
    """The model that answers, for ``Completion.model``, once it is known."""
    minds_itself: ClassVar[bool] = False
    """Whether ``read()`` itself lets the clock of the upstream's silence go on: then ``away()`` is
    called before the first one, and where one was struck, and ``back()`` has nothing to do."""
    is_calm: bool = False
    """Whether the last ``read()`` took all there was, and no clock runs out before the moment that
    ``due()`` gave last: then it is not asked again."""
    way: Any = None
    """How whoever waits for many sources receives for this one in the same call, so that the next
    ``read()`` finds it there; None if only ``read()`` receives.  Its ``part`` is for the C part
    (``csrc/socket_texts.h``)."""
    is_checked: ClassVar[bool] = False
    """Whether tests have seen to it that it gives events alone, in lists that it does not keep."""

    @abc.abstractmethod
    def read(self, give_up: float | None) -> Sequence[Event]:
        """Return the events of what comes next: a list, maybe an empty one, ``Done`` as the last.

        Args:
            give_up: The moment by ``time.monotonic()`` at which to return an empty list, where
                ``can_wait`` is true; None waits for as long as it takes.

        Raises:
            GenerateError: The answer failed.  Any other exception becomes an ``InternalError``.
        """

    @abc.abstractmethod
    def cancel(self) -> None:
        """Wake ``read()`` for good; what it returns or raises then is dropped.

        Called from any thread, from signal handlers and finalizers, more than once, also when all
        is over: take no lock, and wait for nothing.
        """

    def close(self) -> None:  # noqa: B027 - most sources hold nothing
        """Let go of what is held; called once, when nobody reads any more.

        Called by whoever read last, or by whoever closes a stream that nobody reads: do not wait.
        """

    def wait(self) -> None:  # noqa: B027 - whoever cannot tell lets read() wait
        """Wait until ``read()`` need not wait; whatever is raised in here changes nothing.

        Called before ``read()`` where a signal handler may raise and no worker could read instead.
        """

    def fileno(self) -> int | None:
        """Return what a thread that reads many sources waits on; None lets a worker read this one.

        A descriptor that is readable when ``read()`` has something; -1 if there is none and the
        clock alone tells (``due()``).  Asked where ``can_wait`` is true, by a thread that may read.
        """
        return None

    def due(self) -> float:
        """Return the moment by ``time.monotonic()`` at which to read though nothing has come.

        A moment in the past says that ``read()`` has something now.  Asked of a source that has a
        ``fileno()``, by a thread that may read: after a ``read()``, and when there was none for
        long.
        """
        return math.inf

    def turn_back(self) -> None:  # noqa: B027 - most sources have no ``way``
        """Keep for ``read()`` what was received on the ``way``: its memory is used again now."""

    def away(self) -> None:  # noqa: B027 - most sources have no clock
        """Stop the clock of the upstream's silence: nobody reads, as the consumer is busy."""

    def back(self) -> None:  # noqa: B027 - likewise
        """Let the clock of the upstream's silence go on: reading does."""

    def out_of_time(self) -> GenerateError | None:
        """Return the error if the answer as a whole has taken too long; None if not."""
        return None

    def weight(self, events: list[Event]) -> int:
        """Return the size in bytes of events that were just read, for the bound of what waits."""
        return sum(map(_size, events))

    def clean(self, error: GenerateError) -> GenerateError:
        """Return an error that was made of a fault in ``read()`` without what is secret in it."""
        return error


def _size(event: Event) -> int:
    """Return about how many bytes an event holds."""
    if isinstance(event, (TextDelta, ThinkingDelta)):
        return len(event.delta)
    if isinstance(event, Token):
        return len(event.text)
    return len(event.data if isinstance(event, RawChunk) else repr(event))


def checked(found: object, source: Source) -> list[Event]:
    """Return what a source's ``read()`` has given, as a list of ours, if it is what it has to be.

    Raises:
        InternalError: It is not a list of events, or something comes after ``Done``.
    """
    place = f"{type(source).__name__}.read()"
    if not isinstance(found, (list, tuple)):
        raise InternalError(
            f"{place} gave {_shown(found)}: it has to give a list of events, maybe an empty one"
        )
    for number, event in enumerate(found, 1):
        check_event(event, place)
        if isinstance(event, Done) and number < len(found):
            raise InternalError(
                f"{place} gave {_shown(found[number])} after Done: Done has to be the last"
            )
    return [event for event in found if not is_empty(event)]


def check_event(event: object, place: str) -> None:
    """Check that something is an event.

    Raises:
        InternalError: It is not.
    """
    if not isinstance(event, _EVENTS):
        raise InternalError(
            f"{place} gave {_shown(event)}: give events, such as TextDelta(…), and Done(…) last"
        )


def is_empty(event: Event) -> bool:
    """Whether an event says nothing: no consumer is given one."""
    return not (getattr(event, "delta", True) and getattr(event, "text", True))


def _shown(value: object) -> str:
    """Say what something is without showing much of it: there may be secrets in it."""
    return "None" if value is None else f"an object of type {type(value).__name__}"

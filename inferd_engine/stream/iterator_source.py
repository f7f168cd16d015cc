"""An iterator of events as a source: the shortest way to write a backend is a generator.

Nothing can wake a generator that waits, so only a worker ever reads an iterator, in ``complete()``
and with ``buffer=0`` too.  A consumer whose stream is closed leaves at once; the worker closes the
iterator as soon as that has given what it was about to give.  An iterator that has a ``cancel()``,
as a ``TokenStream`` has, or a call of gRPC, is told by that.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from inferd_engine.errors import InternalError
from inferd_engine.stream.source import Source, check_event, is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.events import Event

_READ_ONCE = "a source is read once, so make a new one for each call"
_open: dict[int, IteratorSource] = {}  # by the iterator's id: nobody else's while it is in here


class IteratorSource(Source):
    """Read an iterator of events, one at a time; it has to give a ``Done`` at its end.

    Args:
        events: A generator, or anything else with ``__next__()``.  If it has a ``cancel()``, any
            thread may call that to wake it; if it has a ``close()``, its reader does in the end.

    Raises:
        InternalError: Another stream is reading it, or has read it.
    """

    can_wake = False
    is_checked = True

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._name = getattr(events, "__qualname__", type(events).__name__)
        is_used = getattr(events, "gi_frame", self) is None  # a generator that has ended
        if is_used or _open.setdefault(id(events), self) is not self:
            raise InternalError(f"{self._name} has had a stream already: {_READ_ONCE}")

    def read(self, give_up: float | None) -> list[Event]:  # noqa: ARG002 - it cannot be kept
        """Wait for the next event.

        Raises:
            InternalError: What came is not an event.
            StopIteration: The iterator has ended.
        """
        event = next(self._events)
        check_event(event, self._name)
        return [] if is_empty(event) else [event]

    def cancel(self) -> None:
        """Wake the iterator, if it can be woken; its reader looks whether the stream is closed."""
        cancel = getattr(self._events, "cancel", None)
        if cancel is not None:
            cancel()

    def close(self) -> None:
        """Close the iterator, if it can be closed."""
        try:
            close = getattr(self._events, "close", None)
            if close is not None:
                close()
        finally:
            _open.pop(id(self._events), None)


def source_of(given: Source | Iterator[Event]) -> Source:
    """Return a source as it is, and one for an iterator.

    Raises:
        TypeError: It is neither; the message says what to give instead.
        InternalError: It has, or had, a stream already.
    """
    if isinstance(given, Source):
        mine = object()
        if vars(given).setdefault("_stream", mine) is not mine:
            raise InternalError(
                f"this {type(given).__name__} has had a stream already: {_READ_ONCE}"
            )
        return given
    if hasattr(type(given), "__next__"):
        return IteratorSource(given)
    raise TypeError(f"open_stream() takes a Source or an iterator of events, not {_advice(given)}")


def _advice(given: object) -> str:
    """Say what was given in place of a source, and what would do."""
    if isinstance(given, type):
        return f"a class: make one, {given.__name__}(…)"
    if inspect.isroutine(given):
        return f"a function: call it, {given.__name__}(…)"
    shown = f"an object of type {type(given).__name__}"
    if hasattr(given, "__anext__") or inspect.isawaitable(given):
        return f"{shown}: it is asynchronous, and a thread reads here; give a plain generator"
    if isinstance(given, (str, bytes)):
        return f"{shown}: give iter([TextDelta(…), Done(StopReason.END_TURN)]), say"
    return f"{shown}: give iter(…) of it" if hasattr(given, "__iter__") else shown

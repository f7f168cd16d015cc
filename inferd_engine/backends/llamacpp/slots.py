"""Who has a context: one request at a time, in the order in which they came.

``enter()`` may run where a signal handler interrupts it, and that handler may close a stream, which
``leave()``s: so there is no lock here.  What is free and who waits are two deques, whose operations
are atomic, and a ticket's place is one dict entry, which the first to set it decides.  A context is
given by ``_serve()``, and whoever changes one of the deques calls that after: so none is left lying
while somebody waits.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Union

from inferd_engine.errors import NotReadyError
from inferd_engine.stream.turn import Bell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.backends.llamacpp.context import Context
    from inferd_engine.backends.llamacpp.projector import Entry

_LEFT = "left"


class Ticket:
    """A place in the queue for a context."""

    def __init__(self, slots: Slots, tokens: Sequence[Entry]) -> None:
        self._slots = slots
        self._place: dict[str, Union[Context, str]] = {}
        self.tokens = tokens
        self.bell = Bell()

    @property
    def context(self) -> Context | None:
        """The context that it was given; None while it waits."""
        place = self._place.get("place")
        return None if isinstance(place, str) else place

    def give(self, context: Context) -> bool:
        """Give it a context; False if it has left."""
        is_given = self._place.setdefault("place", context) is context
        self.bell.ring()
        return is_given

    def leave(self) -> None:
        """Give back the context, or the place in the queue; nothing happens the next time."""
        place = self._place.setdefault("place", _LEFT)
        self._place["place"] = _LEFT
        self._slots.take_back(None if isinstance(place, str) else place, self)


class Slots:
    """Let requests have contexts.

    Args:
        contexts: All that there are.
        max_waiting: How many may wait; None for as many as come.
    """

    def __init__(self, contexts: Sequence[Context], max_waiting: int | None) -> None:
        self._free = collections.deque(contexts)
        self._waiting: collections.deque[Ticket] = collections.deque()
        self._max_waiting = max_waiting

    def enter(self, tokens: Sequence[Entry]) -> Ticket:
        """Queue for a context that is to read these tokens.

        Raises:
            NotReadyError: Too many wait already.
        """
        ticket = Ticket(self, tokens)
        self._waiting.append(ticket)
        self._serve()
        most = self._max_waiting
        if most is not None and ticket.context is None and len(self._waiting) > most:
            ticket.leave()
            raise NotReadyError(
                f"the model is busy, and as many requests wait for it as may: max_waiting={most}"
            )
        return ticket

    def take_back(self, context: Context | None, ticket: Ticket) -> None:
        """Let the next have what a ticket had."""
        if context is None:
            try:
                self._waiting.remove(ticket)
            except ValueError:
                return  # it was about to be served, and refuses
        else:
            self._free.append(context)
        self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting:
            try:
                ticket = self._waiting.popleft()
            except IndexError:
                return  # another thread has served it, and goes on
            context = self._take_free(ticket.tokens)
            if context is None:
                self._waiting.appendleft(ticket)
            elif not ticket.give(context):
                self._free.append(context)

    def _take_free(self, tokens: Sequence[Entry]) -> Context | None:
        """Take the free context that knows most of a prompt."""
        while self._free:
            best = max(tuple(self._free), key=lambda context: context.shared_with(tokens))
            try:
                self._free.remove(best)
            except ValueError:
                continue  # another thread was quicker
            return best
        return None

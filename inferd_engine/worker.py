"""A stream's worker: it reads while the consumer is away.

It is a daemon thread with this module's ``read_ahead`` as its whole life.  It refers to a
``Reading`` (which says when it may read) and a buffer, never to the stream, so that dropping the
stream can be seen.  It prints nothing and calls nobody's callback: a daemon thread that writes
while the interpreter ends aborts it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from inferd_engine.errors import InternalError
from inferd_engine.reading import CLOSED, EndMark

if TYPE_CHECKING:
    from inferd_engine.buffer import EventBuffer
    from inferd_engine.reading import Ending, Reading

# Seconds for which the worker leaves the reading to the consumer, before it looks whether that has
# come since: each time twice as long, because a consumer that came will come again.
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
_LET_GO = 0.05  # seconds: how often the worker of an ended stream looks whether it can close it
_PATIENCE = 2.0  # seconds


def read_ahead(reading: Reading, buffer: EventBuffer) -> None:
    """Read while the consumer does not: the worker's whole life."""
    ending: Ending | None = None
    pause = _FIRST_PAUSE if reading.source.can_wait else 0.0
    while not reading.is_over:
        visits = reading.visits
        reading.sleep(pause)
        if reading.visits != visits or not reading.take_turn():
            pause = max(_FIRST_PAUSE, min(2 * pause, _LONGEST_PAUSE))
            continue
        ending = _read_on(reading, buffer)
        if ending is not None:
            break  # with the turn: until the end mark is there, nobody is to look for more
        reading.give_turn()
        pause = 0.0 if reading.is_awaited else _FIRST_PAUSE
    patience = time.monotonic() + _PATIENCE
    while not reading.take_turn() and time.monotonic() < patience:
        reading.sleep(_LET_GO)
    # Whoever still has the turn was woken long ago: an interrupt has kept it from giving it up.
    reading.release()
    buffer.put_beyond([EndMark(ending or reading.source.ending or CLOSED)])
    reading.give_turn()


def _read_on(reading: Reading, buffer: EventBuffer) -> Ending | None:
    """Read, with the turn, until the end or until the consumer waits; give the end."""
    source, endings = reading.source, reading.endings
    source.back()
    while not reading.is_over:
        try:
            events, size = reading.take() or ([], 0)
        except Exception as error:  # noqa: BLE001 - whatever it is, the consumer has to hear of it
            failure = InternalError(f"reading the answer failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            return failure
        if not events:
            continue
        source.away()
        is_awaited, reading.is_awaited = reading.is_awaited, False
        if not buffer.hand_over(events, size, lambda: endings or source.out_of_time()):
            out_of_time = source.out_of_time()
            buffer.put_beyond(events)
            return out_of_time
        if is_awaited and source.can_wait and source.ending is None:
            return None
        source.back()
    return source.ending

"""A stream's worker: it reads while the consumer is away.

It is a daemon thread with this module's ``read_ahead`` as its whole life.  It refers to a
``Reading`` (which says when it may read) and a buffer, never to the stream, so that dropping the
stream can be seen.  It prints nothing and calls nobody but the source: a daemon thread that writes
while the interpreter ends aborts it.

Whatever is raised in it, at whatever line, ends the stream with an error that the consumer is
given.  If it dies before it could say so, the consumer sees that it is dead (``consumer.py``).
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from typing import TYPE_CHECKING

from inferd_engine.errors import InternalError
from inferd_engine.stream.reading import CLOSED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.errors import GenerateError
    from inferd_engine.events import Event
    from inferd_engine.stream.buffer import EventBuffer
    from inferd_engine.stream.consumer import Consumer
    from inferd_engine.stream.reading import Reading

# Seconds for which the worker leaves the reading to the consumer, before it looks whether that has
# come since: each time twice as long, because a consumer that came will come again.
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
_LOOK = 0.5  # seconds of reading after which it looks whether that is still its post
_SLICE = 0.05  # seconds: how often a worker that waits for room looks at the clock


_numbers = itertools.count(1)
_local = threading.local()


@contextlib.contextmanager
def collecting() -> Iterator[None]:
    """Let streams that this thread opens inside the block have no worker: it collects them here.

    A thread more would only wait, and cannot be had at all while the interpreter ends.
    """
    before = is_collecting()
    _local.is_collecting = True
    try:
        yield
    finally:
        _local.is_collecting = before


def is_collecting() -> bool:
    """Whether this thread is inside of such a block."""
    return getattr(_local, "is_collecting", False)


def start(thread: threading.Thread) -> None:
    """Start a thread; what strikes meanwhile is raised, and not what ``threading`` makes of it.

    Raises:
        RuntimeError: It cannot be started.
    """
    handled = sys.exc_info()[1]  # by the program, which may open a stream meanwhile
    try:
        thread.start()
    except (RuntimeError, KeyError) as error:  # of its lock, or of its own list of threads
        struck = error.__context__
        if struck is not None and struck is not handled:
            raise struck from None
        raise


def start_worker(reading: Reading, buffer: EventBuffer, consumer: Consumer) -> None:
    """Start the worker of a stream, if it has none, and tell its consumer who that is.

    Raises:
        InternalError: No thread can be started.
    """
    post = object()
    try:
        if reading.posts.setdefault("post", post) is not post:
            return  # somebody else is just doing so
        worker = threading.Thread(
            target=read_ahead,
            args=(reading, buffer, post),
            name=f"inferd-engine-worker-{next(_numbers)}",
            daemon=True,
        )
        start(worker)
        consumer.worker = worker
    except BaseException as error:
        if reading.posts.get("post") is post:
            reading.posts.clear()  # so that another can be started; one that runs leaves
        if not isinstance(error, RuntimeError):
            raise
        raise InternalError(
            f"no worker thread can be started ({error}): buffer=0 streams without one",
            retryable=True,
        ) from error


def read_ahead(reading: Reading, buffer: EventBuffer, post: object) -> None:
    """Read while the consumer does not: the worker's whole life, as long as the post is its own."""
    me = threading.current_thread()
    out_of_time: GenerateError | None = None
    try:
        out_of_time = _take_turns(reading, buffer, me, post)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the consumer has to hear of it
        reading.fail(error)
    try:
        if (
            reading.posts.get("post") is post or reading.turn.holder is me
        ):  # else the end is another's to tell
            _end(reading, buffer, me, out_of_time)
    except BaseException as error:  # noqa: BLE001 - likewise, as the last word of a dead thread
        reading.fail(error)
    finally:
        buffer.recover()
        reading.arrival.ring()


def _end(
    reading: Reading, buffer: EventBuffer, me: threading.Thread, out_of_time: GenerateError | None
) -> None:
    """Close the source and tell the end; without the turn, closing is left to whoever has it."""
    has_turn = reading.turn.take(me)
    if has_turn:
        if out_of_time is None:
            reading.check_torn()
        reading.release()
    buffer.end(out_of_time or reading.outcome or CLOSED)
    if has_turn:
        reading.turn.give(me)  # not before the end mark is there: nobody is to look for more


def _take_turns(
    reading: Reading, buffer: EventBuffer, me: threading.Thread, post: object
) -> GenerateError | None:
    """Read whenever the consumer has not for a while; give the error if time ran out meanwhile."""
    pause = 0.0
    while not reading.is_over and reading.posts.get("post") is post:
        visits = reading.visits
        reading.alarm.wait(pause)
        if reading.visits != visits or not reading.turn.take(me):
            pause = max(_FIRST_PAUSE, min(2 * pause, _LONGEST_PAUSE))
            continue
        reading.check_torn()
        out_of_time = _read_on(reading, buffer, post)
        if out_of_time is not None or reading.outcome is not None:
            return out_of_time  # with the turn
        reading.turn.give(me)
        pause = 0.0 if reading.is_awaited else _FIRST_PAUSE
    return None


def _read_on(reading: Reading, buffer: EventBuffer, post: object) -> GenerateError | None:
    """Read, with the turn, until the end or until the consumer waits."""
    source = reading.source
    if not source.minds_itself:
        source.back()
    while not reading.is_over:
        events = reading.step(time.monotonic() + _LOOK if source.can_wait else None)
        if not events:
            if reading.posts.get("post") is not post and reading.outcome is None:
                return None
            continue
        if not source.minds_itself:
            source.away()
        is_awaited, reading.is_awaited = reading.is_awaited, False
        if not _hand_over(reading, buffer, events):
            out_of_time = source.out_of_time() if reading.outcome is None else None
            buffer.put_beyond(events)
            reading.is_torn = False
            return out_of_time
        reading.is_torn = False
        if reading.outcome is None and (
            reading.posts.get("post") is not post or (is_awaited and source.can_wait)
        ):
            return None
        if not source.minds_itself:
            source.back()
    return None


def _hand_over(reading: Reading, buffer: EventBuffer, events: list[Event]) -> bool:
    """Put events into the buffer, as there is room; False if nobody wants them or time is up.

    What was put is taken out of the list.
    """
    size = reading.source.weight(events)
    while events:
        piece = events[: buffer.maxsize or None]
        while not buffer.offer(piece, size):
            if reading.endings or (reading.outcome is None and reading.source.out_of_time()):
                return False
            reading.wants_room = True  # said before looking once more: whoever makes room rings
            if buffer.offer(piece, size):
                break
            reading.alarm.wait(_SLICE)
        reading.arrival.ring()
        del events[: len(piece)]
        size = 0  # it was counted with the first piece
    return True

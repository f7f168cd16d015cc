"""What the threads of one stream share: the source, whose turn it is to read, how it all ended.

Waking a thread costs more than all parsing.  So a consumer that waits reads for itself, in its own
thread (``consumer.py``), and a worker (``worker.py``) takes over when nobody has read for a
while (``watcher.py``): then it reads ahead, as far as the buffer allows, until the consumer is back
and waits.

The race between the two, as a story:

1. Whoever reads the source, or closes it, has the *turn* (``turn.py``); whoever has not can only
   cancel it.  There is no worker, or it sleeps; the consumer takes the turn for every read of its
   own.
2. The consumer stays away.  The watcher finds that nobody has read for a while (``visits``), and
   starts the worker when there is something to read; one that is there finds it out after its
   pause.  It takes the turn and reads ahead.  It puts events into the buffer only with the turn,
   and the consumer reads for itself only while the buffer is empty: so events stay in order.
3. The consumer is back and finds the turn taken.  It says so (``is_awaited``), looks at the turn
   once more, and waits for the buffer.  The worker gives the turn up when it has handed over what
   it read, and looks at ``is_awaited`` after that.  So one of the two always sees the other.
4. The buffer is full.  The worker says so (``wants_room``), tries once more, and waits for the
   alarm.  The consumer empties the buffer, and looks at ``wants_room`` after that.
5. The answer is over.  Whoever read its last part has the ``outcome``, closes the source
   (``release()``), and makes the end known before it gives up the turn: as the last thing in the
   buffer, or as what the consumer took in.
6. Or somebody closes the stream: the ``ending`` is set, the source cancelled, both bells are rung.
   A consumer that waits sees the ending and goes.  Whoever reads sees it when the read is over, and
   releases the source; if nobody does, whoever comes next does so (``settle()``).
7. Or an exception leaves a read half done: what it had taken off the connection is lost, and the
   answer is *torn*.  Whoever has the turn next ends it with an error.

Which thread may set what; everything else is set once, when the stream is made:

    outcome         whoever has the turn, or a worker that dies: Done may yet become an error
    endings         anyone; the first wins (``dict.setdefault`` is atomic)
    is_torn         whoever has the turn
    first_event_at  whoever has the turn
    released_at     whoever has the turn, once
    visits          the consumer
    is_asked        the watcher
    is_awaited      the consumer; the worker clears it when it is about to look at it
    posts           who starts a worker (``dict.setdefault``), and clears it if none was started;
                    who reads in its place clears it, too
    wants_room      the worker; the consumer clears it when it has made room
    turn, bells     anyone
    consumer.events, taken, final   the consumer; who closes the stream drops ``events``

It is over, in five words: the **outcome** is what reading came to, ``Done`` or an error; it is
**final** when the consumer has taken in all that came before it; then it becomes the **ending** of
the stream, unless somebody has closed it before; once the consumer was given that, it is **told**.
The source is **released** when nobody will read any more.

Where a read cannot be told to end in time (``can_wait`` is false), the worker is the only reader.
So it is where an exception may be thrown into a consumer that waits, and be caught there: in the
main thread while a signal has a handler of the program's own, and where threads are greenlets.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Union

from inferd_engine.errors import GenerateError, InternalError, StreamInterruptedError
from inferd_engine.events import Done
from inferd_engine.stream.source import checked
from inferd_engine.stream.turn import Bell, Turn

if TYPE_CHECKING:
    from inferd_engine.events import Event
    from inferd_engine.stream.source import Source


class Closed:
    """The ending of a stream that somebody closed."""


CLOSED = Closed()
Outcome = Union[Done, GenerateError]
Ending = Union[Outcome, Closed]


class EndMark:
    """The last thing in a buffer."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class Reading:
    """What a stream and its worker both refer to; it refers to neither of them."""

    __slots__ = (
        "alarm",
        "arrival",
        "endings",
        "first_event_at",
        "is_asked",
        "is_awaited",
        "is_torn",
        "outcome",
        "posts",
        "released_at",
        "source",
        "started",
        "turn",
        "visits",
        "wants_room",
    )

    def __init__(self, source: Source) -> None:
        self.source = source
        self.started = source.started or time.monotonic()
        self.turn = Turn()
        """The right to read the source, and to close it."""
        self.outcome: Outcome | None = None
        """What the reading came to; None while there is more to read."""
        self.endings: dict[str, Ending] = {}
        """How the stream ended, under ``"ending"``; empty until it has."""
        self.is_torn = False
        """Whether a read was begun whose events are not safe yet."""
        self.first_event_at: float | None = None
        self.released_at: float | None = None
        """When the source was closed: nobody reads it after that."""
        self.visits = 0
        """How often the consumer has read for itself."""
        self.posts: dict[str, object] = {}
        """Under ``"post"``, what the worker has whose place it is to read ahead; others go."""
        self.is_asked = False
        """Whether the watcher has the turn, for the moment that it takes to ask the source."""
        self.is_awaited = False
        """Whether the consumer, who could read for itself, waits for what the worker reads."""
        self.wants_room = False
        """Whether the worker waits for room in the buffer."""
        self.alarm = Bell()
        """Wakes the worker."""
        self.arrival = Bell()
        """Wakes a consumer that waits for the worker."""

    def step(self, give_up: float | None = None) -> list[Event]:
        """Read once, with the turn: the one step of the consumer and of the worker.

        Whoever has put the events in a safe place says so: ``is_torn = False``.  How the answer
        ended, or what was raised, becomes the ``outcome``.
        """
        source = self.source
        self.is_torn = True
        try:
            found = source.read(give_up)
            events: list[Event] = found if source.is_checked else checked(found, source)  # type: ignore[assignment]
        except GenerateError as error:
            self.outcome = error.with_traceback(None)  # its frames hold what was kept to read it
            return []
        except Exception as error:  # noqa: BLE001 - the consumer is told
            self.fail(error)
            return []
        if events and isinstance(events[-1], Done):
            self.outcome = events.pop()  # type: ignore[assignment]  # as was just seen
        if not events:
            self.is_torn = False
        elif self.first_event_at is None:
            self.first_event_at = time.monotonic()
        return events

    def fail(self, error: BaseException) -> None:
        """End the answer with a fault that nobody foresaw, in whosever thread it struck."""
        if not isinstance(self.outcome, GenerateError):
            failure: GenerateError
            if isinstance(error, StopIteration):
                failure = StreamInterruptedError("the answer was cut: it has ended without Done")
            else:
                what = f"{type(error).__name__}: {error}"
                failure = InternalError(f"reading the answer failed: {what}")
                failure.__cause__ = error
            self.outcome = self.source.clean(failure)
        self.cancel()

    def check_struck(self) -> None:
        """Cancel a source whose read was struck half-way: there is nothing more to be had of it."""
        if self.is_torn:
            self.cancel()

    def check_torn(self) -> None:
        """End the answer if an exception has left a read half done; for whoever has the turn."""
        if self.is_torn and not isinstance(self.outcome, GenerateError):
            self.outcome = InternalError("reading the answer was interrupted in the middle")
            self.cancel()

    def cancel(self) -> None:
        """Wake whoever reads, for good; from any thread."""
        with contextlib.suppress(Exception):  # somebody else's: the stream ends all the same
            self.source.cancel()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to read, or nobody who wants it."""
        return bool(self.endings) or self.outcome is not None

    def call_reader(self) -> None:
        """See to it that somebody reads: wake the worker if nobody has the turn."""
        if self.turn.holder is None:
            self.alarm.ring()

    def release(self) -> None:
        """Close the source, once; for whoever has the turn."""
        if self.released_at is None:
            self.released_at = time.monotonic()
            with contextlib.suppress(Exception):  # how it ended is known, and has to be told
                self.source.close()

    def settle(self) -> None:
        """Close the source of an ended stream, unless somebody reads it, who will do so then."""
        me = threading.current_thread()
        if self.released_at is None and self.turn.take(me):
            try:
                self.release()
            finally:
                self.turn.give(me)

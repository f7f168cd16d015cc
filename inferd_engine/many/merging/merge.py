"""Many streams, read by one thread as they come.

Goal: waking a thread costs more than all parsing, so a program that follows many answers at once
has one thread wait for all of them, and no other one is woken.

Strategy: rounds.  One wait tells which streams have something (``waiter.py``), and in C receives a
share for each; then each of them in turn is read once, without waiting (``stream/merged.py``), and
what that read gave is given to the consumer before the next one is read.  So no stream starves
another, a burst is bounded by what one read takes, and what the consumer does not come for stays in
the kernel, until the upstream waits.

A stream is looked at again when

* its descriptor is readable, or for those that have none, its bell was rung: by its worker, or by
  whoever has closed it (``_rung``);
* it has more than one read took (``_again``): records that TLS has decrypted, the end of an answer;
* its clock says so (``_due``, a heap): a deadline, a worker that may have died.  A moment that has
  moved to later since is looked up when it comes; one that moved to earlier is pushed anew.

Rules:

* One thread at a time is in here, which ``_entry`` says by name.
* Anyone may add a stream, close one, or close them all: they join or mark, and ring.  Whoever is in
  here does the rest; if nobody is, whoever closes does (``_settle``).
* An exception may strike any line.  What was read is safe with its stream.  Which streams a round
  still had to come to may be lost with it; so a thread that comes after one that has not left in
  peace looks at all of them (``_is_shaken``).

Rejected: a generator (one that was struck is over, and what is left of its streams looks finished),
a thread that reads for everybody (one slow consumer of it would stop the others), and to read all
that are ready as far as each goes (what is read and not asked for is memory, and late).
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn, Union

from inferd_engine.cancel import bounded
from inferd_engine.errors import GenerateError, InternalError
from inferd_engine.events import Done, RawChunk, TextDelta, ThinkingDelta, Token, ToolUse
from inferd_engine.frames import drop_frames, without_frames
from inferd_engine.many.merging.waiter import waiter
from inferd_engine.stream import here
from inferd_engine.stream.merged import Merged
from inferd_engine.stream.token_stream import TokenStream
from inferd_engine.stream.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

    from inferd_engine.events import Event
    from inferd_engine.many.merging.waiter import Waiter

_MOST_STALE = 1000  # clocks of streams that have ended, before they are thrown away
_SLICE = 0.5  # seconds that one wait takes at the most: what is thrown in meanwhile is raised then

MergedEvent = Union[TextDelta, ThinkingDelta, ToolUse, Done, RawChunk, Token, GenerateError]


@without_frames
def merge(streams: Iterable[TokenStream] = ()) -> Merge:
    """Read many streams in one thread, as they come; use it in a ``with`` statement.

    Args:
        streams: Nobody else may iterate over them from now on.

    Returns:
        What to iterate over: it gives ``(stream, event)``.

    Raises:
        TypeError: It is not a list, or something in it is not a ``TokenStream``.
        RuntimeError: One is being read, or is given twice; then none of them is taken.
    """
    return Merge(streams)


class _MemberBell:
    """Tell a merge which stream to look at; it refers to neither."""

    __slots__ = ("_key", "_rung", "_waiter")

    def __init__(self, key: int, rung: deque[int], waiter: Waiter) -> None:
        self._key, self._rung, self._waiter = key, rung, waiter

    def ring(self) -> None:
        self._rung.append(self._key)
        self._waiter.ring()


class Merge:
    """Iterate over it to get ``(stream, event)`` of many streams, in one thread, as they come.

    Each stream gives its events in order, then its ``Done``, and is gone; one that fails gives its
    error in place of an event, and one that somebody closes leaves without a word.  The iteration
    ends when no stream is left.  One thread at a time may iterate; any thread may add and close.

    A merge has its streams until they end: leaving its ``with`` statement closes them, and so does
    dropping it.
    """

    def __init__(self, streams: Iterable[TokenStream] = ()) -> None:
        if isinstance(streams, TokenStream) or not isinstance(streams, Iterable):
            kind = type(streams).__name__
            raise TypeError(f"streams is of type {kind}: give a list of streams")
        self._pid = os.getpid()
        self._members: dict[int, Merged] = {}
        self._keys = itertools.count()
        self._rung: deque[int] = deque()
        self._again: deque[Merged] = deque()
        self._due: list[tuple[float, int]] = []
        self._round: deque[Merged] = deque()
        self._now: Merged | None = None  # whose events are given
        self._given: Iterator[Event | GenerateError] = iter(())
        self._entry = Turn()
        self._is_inside = False
        self._is_shaken = False
        self._is_closed = False
        self._waiter = waiter()
        joined: list[Merged] = []
        try:
            joined.extend(map(self._joining, streams))
        except BaseException:
            for member in joined:
                member.let_go()
            self._waiter.close()
            raise
        for member in joined:
            self._join(member)
        _merges.add(self)

    def _disown(self) -> None:
        """Give nothing more, in a forked child: what was taken in is for the parent's consumer."""
        self._now, self._given = None, iter(())

    @staticmethod
    def _joining(stream: TokenStream) -> Merged:
        if not isinstance(stream, TokenStream):
            kind = type(stream).__name__
            raise TypeError(f"merge() takes TokenStreams, not an object of type {kind}")
        return Merged(stream)

    def _join(self, member: Merged) -> None:
        member.key = next(self._keys)
        self._members[member.key] = member
        self._rung.append(member.key)
        self._waiter.ring()

    @without_frames
    def add(self, stream: TokenStream) -> None:
        """Read one more stream; from any thread, also while another one iterates.

        Raises:
            TypeError: It is not a ``TokenStream``.
            RuntimeError: It is being read, or it was given before; or the merge is closed.
        """
        self._check_process()
        if self._is_closed:
            raise RuntimeError("the merge is closed: make a new one")
        self._join(self._joining(stream))
        if self._is_closed:  # meanwhile: whoever closes has seen it, or it is closed here
            stream.close()
            self._settle()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise InternalError(
                "this merge belongs to the process that was forked: make a new one in this one"
            )

    # --- iterating -------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[TokenStream, MergedEvent]:
        try:
            while True:
                now = self._now
                if now is not None:
                    if now.endings and now.is_closed:
                        self._given = iter(())
                    for event in self._given:
                        return now.stream, event
                if not self._advance(None):
                    break
        except BaseException as error:
            drop_frames(error)
            raise
        raise StopIteration

    def poll(self, timeout: float) -> tuple[TokenStream, MergedEvent] | None:
        """Wait for the next pair, but not for longer than ``timeout`` seconds.

        While no stream is left it waits for one that is added.

        Returns:
            The pair; None when nothing came in time, and at once when the merge is closed.

        Raises:
            TypeError: ``timeout`` is not a number.
        """
        try:
            give_up = time.monotonic() + bounded("timeout", timeout)
            while True:
                now = self._now
                if now is not None:
                    if now.endings and now.is_closed:
                        self._given = iter(())
                    for event in self._given:
                        return now.stream, event
                if not self._advance(give_up):
                    return None
        except BaseException as error:
            drop_frames(error)
            raise

    def __len__(self) -> int:
        """How many streams have not given all that they have."""
        now = self._now
        is_last = now is not None and now.key not in self._members and now.has_some
        return len(self._members) + is_last

    def _advance(self, give_up: float | None) -> bool:
        """Find the next stream that has something to give; False if time is up or none is left."""
        if self._pid != here.pid:
            self._check_process()
        me, entry = threading.current_thread(), self._entry
        has_entry = entry.__dict__.setdefault("holder", me) is me or entry.take(me)
        if not has_entry or self._is_inside:
            if self._is_closed:
                return False
            raise RuntimeError("the merge is being read by somebody else: one consumer at a time")
        try:
            self._is_inside = True
            if self._is_shaken:
                self._start_over()
            self._is_shaken = True
            found = self._find(give_up)
            self._is_shaken = False
            return found
        except KeyboardInterrupt:
            self.close()
            raise
        finally:
            self._is_inside = False
            if entry.holder is me:
                del entry.holder
            if self._is_closed:
                self._settle()

    def _start_over(self) -> None:
        """Look at every stream: what a round still had to come to may be lost.

        And wait anew for each: whether it is waited for may not be what is noted down.
        """
        members = list(self._members.values())
        for member in members:
            member.turn_back()
            self._watch(member, -1)
        self._round.extend(members)

    def _find(self, give_up: float | None) -> bool:
        now, waiting = self._now, self._round
        if now is not None and not now.is_ready and self._go_on(now):
            return True
        has_waited = False
        while not self._is_closed:
            while waiting:
                member = waiting.popleft()
                if member.is_ready and not member.endings:
                    has_some = member.read()
                    is_known = member.watched == member.fileno and member.planned != math.inf
                    if not (is_known and member.source.is_calm):
                        has_some = self._look_after(member) or has_some
                else:
                    has_some = member.key in self._members and self._look(member)
                if has_some:
                    self._now, self._given = member, member.given
                    return True
            self._now = None
            if not self._members and give_up is None:
                return False
            if has_waited and give_up is not None and time.monotonic() >= give_up:
                return False
            self._gather(give_up)
            has_waited = True
        return False

    def _go_on(self, now: Merged) -> bool:
        """Give more of the stream whose turn it was; say whether there is anything."""
        has_some = now.has_some and not now.is_closed
        has_some = has_some or (now.is_over and now.key in self._members and self._end(now))
        if has_some:
            self._given = now.given
        return has_some

    def _look_after(self, member: Merged) -> bool:
        """See to a stream that was read; say whether it is over and there is something to give."""
        if member.is_ready:
            due = member.source.due()
            if due > 0 and member.watched != member.fileno:
                self._watch(member, member.fileno)
            self._waiter.expect(member.watched, member.source.way)
            if due < member.planned:
                self._plan(member, due)
        elif member.is_over:
            return self._end(member)
        else:
            self._watch(member, -1)
            self._again.append(member)
        return False

    def _look(self, member: Merged) -> bool:
        """Take in what a stream has, whatever it needs; say whether there is something to give."""
        member.take(_MemberBell(member.key, self._rung, self._waiter))
        if member.is_over:
            return self._end(member)
        due = member.due()
        # Where more is here already, the connection may be gone, and its descriptor with it.
        if due > 0 and member.watched != member.fileno:
            self._watch(member, member.fileno)
        self._waiter.expect(member.watched, member.source.way)
        self._plan(member, due)
        return member.has_some

    def _plan(self, member: Merged, due: float) -> None:
        """See to it that a stream is looked at again when its time has come."""
        if due <= 0:
            self._again.append(member)
        elif due < member.planned:
            heapq.heappush(self._due, (due, member.key))
            member.planned = due
            if len(self._due) > _MOST_STALE + 4 * len(self._members):
                known = ((one.planned, key) for key, one in self._members.copy().items())
                self._due = [entry for entry in known if entry[0] != math.inf]
                heapq.heapify(self._due)

    def _watch(self, member: Merged, fileno: int) -> None:
        """Wait for a stream's descriptor, or for none."""
        if member.watched >= 0:
            self._waiter.forget(member.watched, member)
            member.watched = -1
        if fileno >= 0:
            member.watched = fileno
            self._waiter.watch(fileno, member)

    def _end(self, member: Merged) -> bool:
        """Let go of a stream that is over; say whether there is something to give."""
        self._watch(member, -1)
        if member.end():
            self._now = member  # from now on what it has to give is known from here alone
            self._members.pop(member.key, None)
        return member.has_some

    def _gather(self, give_up: float | None) -> None:
        """Wait until there is something to look at, and make a round of it."""
        waiting, rung, again, due = self._round, self._rung, self._again, self._due
        now = time.monotonic()
        while due and due[0][0] <= now:
            moment, key = due[0]
            member = self._members.get(key)
            if member is not None and member.planned == moment:
                member.planned = math.inf
                waiting.append(member)
            heapq.heappop(due)
        seconds = 0.0 if again or waiting else _SLICE
        if due and due[0][0] - now < seconds:
            seconds = due[0][0] - now
        if give_up is not None and give_up - now < seconds:
            seconds = give_up - now
        waiting.extend(self._waiter.wait(seconds, rung.__len__))
        while again:
            waiting.append(again.popleft())
        while rung:
            member = self._members.get(rung.popleft())
            if member is not None:
                waiting.append(member)
                member.is_ready = False

    # --- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close all its streams, and end the iteration; from any thread, as often as you like."""
        if self._pid != os.getpid():
            return  # a forked child: the connections are its parent's
        self._is_closed = True
        for member in list(self._members.values()):
            member.stream.close()
        self._waiter.ring()
        self._settle()

    def _settle(self) -> None:
        """Let go of what a closed merge holds, unless somebody is in here, who will do so then."""
        me = threading.current_thread()
        if self._is_inside or not self._entry.take(me):
            return
        try:
            for member in list(self._members.values()):
                member.given = iter(())
                self._end(member)
            self._members.clear()
            self._now, self._given = None, iter(())
            self._waiter.close()
        finally:
            self._entry.give(me)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        waiter = getattr(self, "_waiter", None)
        if os is None or waiter is None:  # at exit, or of a constructor that failed
            return
        if self._pid == os.getpid() and self._members:
            is_early = not all(member.stream.ended for member in list(self._members.values()))
            self.close()
            if is_early:
                warnings.warn(
                    "a merge was dropped before its streams had ended; "
                    "close it, or use it in a with statement",
                    ResourceWarning,
                    stacklevel=2,
                    source=self,
                )
        waiter.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Merge reads connections of its own process: it cannot be pickled")

    def __repr__(self) -> str:
        count = len(self)
        return f"<Merge of {count} stream{'' if count == 1 else 's'}>"


_merges: weakref.WeakSet[Merge] = weakref.WeakSet()


def _disown_all() -> None:
    for merge in _merges:
        merge._disown()  # noqa: SLF001 - one of us


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)

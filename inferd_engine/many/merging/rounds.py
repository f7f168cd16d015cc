"""Whose turn it is among many streams that one thread reads: rounds, and what they are made of.

Goal: the way from one event to the next is short, because an event that comes alone finds all code
gone cold: what has to be looked up and called is what it costs.

Strategy: one wait tells which streams have something (``waiter.py``), and in C receives a share for
each; then each of them in turn is read once, without waiting (``stream/merged.py``), and what that
read gave is given to the consumer before the next one is read.  So no stream starves another, a
burst is bounded by what one read takes, and what the consumer does not come for stays in the
kernel, until the upstream waits.

A stream is looked at again when

* its descriptor is readable, or for those that have none, its bell was rung: by its worker, or by
  whoever has closed it (``Waiter.rung``);
* it has more than one read took (``_again``): records that TLS has decrypted, the end of an answer;
* its clock says so (``_due``, a heap): a deadline, a worker that may have died.  A moment that has
  moved to later since is looked up when it comes; one that moved to earlier is pushed anew.  A
  stream that is due goes the long way, on which what comes late is counted.

Rules:

* whoever goes round is inside of a generator (``go()``), one thread at a time, and goes on with the
  generator's own variables;
* an exception may strike any line.  Then the generator is over, and what its round still had to
  come to is lost with it; so the next one begins with a look at every stream;
* what was taken from its stream is in ``given`` until the one who came for it has it: a signal's
  handler that raises on the way from here to there loses nothing.

Rejected: a method for each event (to let one thread in, to note that it is there, and to look up
where it was, were half of what an event went through), and to read all that are ready as far as
each goes (what is read and not asked for is memory, and late).
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from typing import TYPE_CHECKING, Any, Union

from inferd_engine.errors import GenerateError
from inferd_engine.events import Done, RawChunk, TextDelta, ThinkingDelta, Token, ToolUse
from inferd_engine.many.merging.waiter import waiter

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from inferd_engine.many.merging.waiter import Waiter
    from inferd_engine.stream.merged import Merged
    from inferd_engine.stream.token_stream import TokenStream

    Going = Generator[bool, float | None, None]

_MOST_STALE = 1000  # clocks of streams that have ended, before they are thrown away
NOBODY = -1  # what to ring with where it is no stream's business
_SLICE = 0.5  # seconds that one wait takes at the most: what is thrown in meanwhile is raised then

MergedEvent = Union[TextDelta, ThinkingDelta, ToolUse, Done, RawChunk, Token, GenerateError]


class _MemberBell:
    """Tell a merge which stream to look at; it refers to neither."""

    __slots__ = ("_key", "_waiter")

    def __init__(self, key: int, waiter: Waiter) -> None:
        self._key, self._waiter = key, waiter

    def ring(self) -> None:
        self._waiter.ring(self._key)


class Rounds:
    """Read many streams; any thread may ``join()`` one."""

    def __init__(self) -> None:
        self.members: dict[int, Merged] = {}
        """The streams that have not ended, by what their bells say."""
        self.is_closed = False
        """Whether nobody is to wait for more: whoever goes round leaves."""
        self.given: tuple[TokenStream, MergedEvent] | None = None
        """The next pair, which is to be taken away from here; None if there is none."""
        self.waiter = waiter()
        self._keys = itertools.count()
        self._last: Merged | None = None  # to end: what it has to give is known from here alone
        self._again: list[Merged] = []
        self._due: list[tuple[float, int]] = []

    def __len__(self) -> int:
        """How many streams have not given all that they have."""
        last, given = self._last, self.given
        is_being_given = given is not None and last is not None and given[0] is last.stream
        return len(self.members) + (last is not None and (last.has_some or is_being_given))

    def has_kept(self) -> bool:
        """Say whether a pair is there that nobody came to take; not of a stream closed since."""
        if self.given is not None and self.given[0].cancelled:
            self.given = None
        return self.given is not None

    def join(self, member: Merged) -> None:
        """Read one more."""
        member.key = next(self._keys)
        self.members[member.key] = member
        self.waiter.ring(member.key)

    def go(self) -> Going:
        """Look at every stream, then go round.

        It yields True when a pair is ``given``, and False when there is none: at first; when the
        moment has come that it was sent, by ``time.monotonic()``; when no stream is left, if it was
        sent None; and when all is closed.
        """
        member: Any
        event: Any
        members, has_waited = self.members, False
        chosen = self._all_anew()
        give_up = yield False
        while True:
            for member in chosen:
                if member.is_ready and not member.endings:
                    has_some = member.read()
                    if not (has_some and member.source.is_calm):
                        has_some = self._look_after(member) or has_some
                else:
                    has_some = self._look(member)
                while has_some and not (member.endings and member.is_closed):
                    for event in member.given:
                        self.given = member.stream, event
                        while self.given is not None:
                            give_up = yield True
                        if member.endings and member.is_closed:
                            break
                    has_some = not member.is_ready and self._is_over_now(member)
                    has_waited = False
            self._last = member = event = None  # what is over is not kept
            chosen, may_be_done = [], not members or give_up is not None or self.is_closed
            while may_be_done and self._is_done(give_up, has_waited=has_waited):
                give_up, has_waited = (yield False), False
            chosen, has_waited = self._gather(give_up), True

    def _all_anew(self) -> list[Merged]:
        """Have every stream looked at: what a round still had to come to may be lost.

        And wait anew for each: whether it is waited for may not be what is noted down.
        """
        members = list(self.members.values())
        for member in members:
            member.turn_back()
            self._watch(member, -1)
        return members if self._last is None else [self._last, *members]

    def _is_done(self, give_up: float | None, *, has_waited: bool) -> bool:
        """Say whether there is nothing to wait for, or no time."""
        if give_up is None or self.is_closed:
            return self.is_closed or not self.members
        return has_waited and time.monotonic() >= give_up

    def _look_after(self, member: Merged) -> bool:
        """See to a stream that was read; say whether it is over and there is something to give."""
        if member.is_ready:
            self._wait_for(member, member.source.due())
        elif member.is_over:
            return self._end(member)
        else:
            self._watch(member, -1)
            self._again.append(member)
        return False

    def _look(self, member: Merged) -> bool:
        """Take in what a stream has, whatever it needs; say whether there is something to give."""
        if member.key not in self.members:  # it has ended: in the last round, or it was struck
            return member.has_some
        member.take(_MemberBell(member.key, self.waiter))
        if member.is_over:
            return self._end(member)
        self._wait_for(member, member.due())
        return member.has_some

    def _wait_for(self, member: Merged, due: float) -> None:
        """See to it that a stream is looked at again when something comes, and when it is due."""
        # Where more is here already, the connection may be gone, and its descriptor with it.
        if due > 0 and member.watched != member.fileno:
            self._watch(member, member.fileno)
        self.waiter.expect(member.watched, member.source.way)
        if due <= 0:
            member.is_ready = False
            self._again.append(member)
        elif due < member.planned:
            heapq.heappush(self._due, (due, member.key))
            member.planned = due
            if len(self._due) > _MOST_STALE + 4 * len(self.members):
                known = ((one.planned, key) for key, one in self.members.copy().items())
                moments = [entry for entry in known if entry[0] != math.inf]
                heapq.heapify(moments)
                self._due = moments

    def _watch(self, member: Merged, fileno: int) -> None:
        """Wait for a stream's descriptor, or for none."""
        if member.watched >= 0:
            self.waiter.forget(member.watched, member)
            member.watched = -1
        if fileno >= 0:
            member.watched = fileno
            self.waiter.watch(fileno, member)

    def _is_over_now(self, member: Merged) -> bool:
        """End a stream that is over and has given all; say whether there is more to give: how."""
        return member.is_over and member.key in self.members and self._end(member)

    def _end(self, member: Merged) -> bool:
        """Let go of a stream that is over; say whether there is something to give."""
        self._watch(member, -1)
        if member.end():
            self._last = member
            self.members.pop(member.key, None)
        return member.has_some

    def _gather(self, give_up: float | None) -> list[Merged]:
        """Wait until there is something to look at, and make a round of it."""
        (chosen, self._again), now = (self._again, []), time.monotonic()
        seconds = 0.0 if chosen else _SLICE
        if self._due and self._due[0][0] - now < seconds:
            seconds = self._due[0][0] - now
        if give_up is not None and give_up - now < seconds:
            seconds = give_up - now
        chosen += self.waiter.wait(seconds)
        if seconds <= 0:
            chosen += self._take_due(now)
        if self.waiter.rung:
            chosen += self._take_rung()
        return chosen

    def _take_due(self, now: float) -> Iterator[Merged]:
        """Give the streams whose time has come, each to be read the long way."""
        due = self._due
        while due and due[0][0] <= now:
            moment, key = due[0]
            member = self.members.get(key)
            if member is not None and member.planned == moment:
                member.turn_back()
                member.planned = math.inf
                yield member
            heapq.heappop(due)

    def _take_rung(self) -> Iterator[Merged]:
        """Give the streams whose bells were rung."""
        rung = self.waiter.rung
        for _ in range(len(rung)):
            member = self.members.get(rung.popleft())
            if member is not None:
                member.is_ready = False
                yield member

    def let_go(self) -> None:
        """Let go of everything; only where nobody goes round, or ever will."""
        for member in list(self.members.values()):
            member.given = iter(())
            self._end(member)
        self.members.clear()
        self.given = self._last = None
        self.waiter.close()

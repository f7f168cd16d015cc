"""Many streams, read by one thread as they come.

Goal: waking a thread costs more than all parsing, so a program that follows many answers at once
has one thread wait for all of them, and no other one is woken.  In here is what a program holds,
and who may do what; what is waited for, and whose turn it is, is in ``rounds.py``.

Rules:

* one thread at a time is inside of the rounds, which are a generator: Python refuses a second one;
* anyone may add a stream, close one, or close them all: they join or mark, and ring.  Whoever is
  inside does the rest, or does it on leaving; if nobody is, whoever closes does (``_settle``);
* an exception may strike any line.  One that strikes the rounds ends them, and whoever comes next
  begins them anew (``_begin_anew``); what was read is safe with its stream;
* a forked child is given nothing: what was taken in is for its parent's consumer.

Rejected: to hand out the generator itself (one that was struck is over, and what is left of its
streams looks finished), and a thread that reads for everybody (one slow consumer of it would stop
the others).
"""

from __future__ import annotations

import os
import threading
import time
import warnings
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

from inferd_engine.cancel import bounded
from inferd_engine.errors import InternalError
from inferd_engine.frames import drop_frames, without_frames
from inferd_engine.many.merging.rounds import NOBODY, MergedEvent, Rounds
from inferd_engine.stream import here
from inferd_engine.stream.merged import Merged
from inferd_engine.stream.token_stream import TokenStream
from inferd_engine.stream.turn import Turn

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from inferd_engine.many.merging.rounds import Going

_BUSY = "the merge is being read by somebody else: one consumer at a time"
_INSIDE = "generator already executing"  # what Python says to a second one


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
        self._rounds = Rounds()
        self._entry = Turn()  # of who puts another generator in its place, or ends it
        self._going: Going = self._rounds.go()
        next(self._going)
        joined: list[Merged] = []
        try:
            joined.extend(map(self._joining, streams))
        except BaseException:
            for member in joined:
                member.let_go()
            self._rounds.waiter.close()
            raise
        for member in joined:
            self._rounds.join(member)
        _merges.add(self)

    def _disown(self) -> None:
        """Give nothing more, in a forked child: what was taken in is for the parent's consumer."""
        self._rounds.given, self._going = None, self._rounds.go()
        self._going.close()  # over before it began

    @staticmethod
    def _joining(stream: TokenStream) -> Merged:
        if not isinstance(stream, TokenStream):
            kind = type(stream).__name__
            raise TypeError(f"merge() takes TokenStreams, not an object of type {kind}")
        return Merged(stream)

    @without_frames
    def add(self, stream: TokenStream) -> None:
        """Read one more stream; from any thread, also while another one iterates.

        Raises:
            TypeError: It is not a ``TokenStream``.
            RuntimeError: It is being read, or it was given before; or the merge is closed.
        """
        self._check_process()
        if self._rounds.is_closed:
            raise RuntimeError("the merge is closed: make a new one")
        self._rounds.join(self._joining(stream))
        if self._rounds.is_closed:  # meanwhile: whoever closes has seen it, or it is closed here
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
        rounds = self._rounds
        try:
            was_given = self._go(None)
        except BaseException as error:
            self._leave(error)
            raise
        # CPython looks for signals at calls and at jumps back: no handler comes in from here on.
        pair, rounds.given = rounds.given, None
        if pair is None:
            raise RuntimeError(_BUSY) if was_given and not rounds.is_closed else StopIteration
        return pair

    def poll(self, timeout: float) -> tuple[TokenStream, MergedEvent] | None:
        """Wait for the next pair, but not for longer than ``timeout`` seconds.

        While no stream is left it waits for one that is added.

        Returns:
            The pair; None when nothing came in time, and at once when the merge is closed.

        Raises:
            TypeError: ``timeout`` is not a number.
        """
        rounds = self._rounds
        try:
            was_given = self._go(time.monotonic() + bounded("timeout", timeout))
        except BaseException as error:
            self._leave(error)
            raise
        pair, rounds.given = rounds.given, None
        if pair is None and was_given and not rounds.is_closed:
            raise RuntimeError(_BUSY)
        return pair

    def __len__(self) -> int:
        """How many streams have not given all that they have."""
        return len(self._rounds)

    def _go(self, give_up: float | None) -> bool:
        """Go round until a pair is given; False if time is up, or no stream is left."""
        rounds, was_given = self._rounds, False
        if rounds.given is not None and rounds.has_kept():
            return True  # the last who came for it was struck before they had it
        going = self._going
        try:
            was_given = going.send(give_up)
        except StopIteration:  # whoever was inside was struck, or all is closed, or it is a child
            self._check_process()
            if not rounds.is_closed:
                self._begin_anew(going)
                return self._go(give_up)
        except ValueError as error:
            if error.args != (_INSIDE,):
                raise
            if not rounds.is_closed:
                raise RuntimeError(_BUSY) from None
        if rounds.is_closed:
            self._settle()
        return was_given

    def _begin_anew(self, over: Going) -> None:
        """Have another generator in the place of the one that is over; one thread makes it."""
        me = threading.current_thread()
        if not self._entry.take(me):
            if self._rounds.is_closed:
                return
            raise RuntimeError(_BUSY)
        try:
            if self._going is over:
                going = self._rounds.go()
                next(going)
                self._going = going
        finally:
            self._entry.give(me)

    def _leave(self, error: BaseException) -> None:
        """See to what an exception leaves to be done."""
        if isinstance(error, KeyboardInterrupt):
            self.close()
        elif self._rounds.is_closed:
            self._settle()
        drop_frames(error)

    # --- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close all its streams, and end the iteration; from any thread, as often as you like."""
        if self._pid != os.getpid():
            return  # a forked child: the connections are its parent's
        rounds = self._rounds
        rounds.is_closed = True
        for member in list(rounds.members.values()):
            member.stream.close()
        rounds.waiter.ring(NOBODY)
        self._settle()

    def _settle(self) -> None:
        """Let go of what a closed merge holds, unless somebody is inside, who will do so then."""
        if self._pid != here.pid:
            return
        me = threading.current_thread()
        while self._entry.take(me):
            try:
                is_over = self._end_going()
                if is_over:
                    self._rounds.let_go()
            finally:
                self._entry.give(me)
            if is_over or self._going.gi_running:  # type: ignore[attr-defined]  # which typeshed's has not
                return
            # Whoever was inside has left, and may have found the entry taken.

    def _end_going(self) -> bool:
        """End the generator; False if somebody is inside."""
        try:
            self._going.close()
        except ValueError:
            return False
        return True

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
        rounds = getattr(self, "_rounds", None)
        if os is None or rounds is None:  # at exit, or of a constructor that failed
            return
        if self._pid == os.getpid() and rounds.members:
            is_early = not all(member.stream.ended for member in list(rounds.members.values()))
            self.close()
            if is_early:
                warnings.warn(
                    "a merge was dropped before its streams had ended; "
                    "close it, or use it in a with statement",
                    ResourceWarning,
                    stacklevel=2,
                    source=self,
                )
        rounds.waiter.close()

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

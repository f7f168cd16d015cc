"""An answer as a whole: one value, or an error that holds what came before it.

A cut answer never looks whole: whoever gathers looks, when the events are over, whether it was the
upstream that had come to its end.

Whoever wants nothing but the whole need not read each token as it comes: a read costs more than all
parsing, and most of it is waking up.  So a batch rests between two reads, for a sixteenth of the
time that the answer has taken, at most a tenth of a second: that is how late, at the most, it
learns of the end.
"""

from __future__ import annotations

import operator
import time
from typing import TYPE_CHECKING

from inferd_engine.errors import GenerateError, StreamInterruptedError
from inferd_engine.events import Completion, Done, StopReason
from inferd_engine.reprs import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from inferd_engine.events import Event
    from inferd_engine.stream.consumer import Consumer
    from inferd_engine.stream.reading import Ending

_SHARE = 1 / 16  # of the time that an answer has taken: a rest costs three percent on average
_LONGEST = 0.1  # seconds
_SHORTEST = 0.002  # seconds: less is not worth falling asleep for


def check_whole(ending: Ending | None, request_id: str | None, *, retryable: bool = False) -> None:
    """Raise if an answer failed, or if the upstream gave it up.

    Args:
        ending: How it ended.
        request_id: The upstream's id of the request, or the caller's own.
        retryable: Whether one that was given up may be asked for again: nothing was handed out.

    Raises:
        GenerateError: What the answer failed with.
        StreamInterruptedError: The upstream's own finish word was a failure.
    """
    if isinstance(ending, GenerateError):
        raise ending.with_traceback(None)  # it may have been raised before
    if isinstance(ending, Done) and ending.stop_reason is StopReason.ERROR:
        word = ending.finish_reason
        said = f"in its words: {shortened(word)}" if word else "and did not say why"
        raise StreamInterruptedError(
            f"the upstream gave the answer up, {said}", retryable=retryable, request_id=request_id
        )


def keep_partial(error: GenerateError, seen: Sequence[Event]) -> None:
    """Put what came before an error on it, unless something is there."""
    error.partial = error.partial or Completion.of(seen)


def unhurried(
    stream: Iterable[Event],
    consumer: Consumer,
    started: float,
    rest: Callable[[float], object],
) -> Iterator[Event]:
    """Give the events of a stream, and rest before each read but the first.

    Args:
        stream: Gives them.
        consumer: Of the stream: it knows what was read and not given yet.
        started: When the request began.
        rest: Waits for as many seconds as it is given.
    """
    for event in stream:
        yield event
        is_all_given = not operator.length_hint(consumer.events) and consumer.final is None
        if is_all_given and (pause := rest_after(time.monotonic() - started)):
            rest(pause)


def rest_after(seconds: float) -> float:
    """Return how long to rest before the next read of an answer that has taken so long."""
    pause = min(seconds * _SHARE, _LONGEST)
    return pause if pause >= _SHORTEST else 0.0

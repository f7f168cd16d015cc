"""An answer as a whole: one value, or an error that holds what came before it.

A cut answer never looks whole: whoever gathers looks, when the events are over, whether it was the
upstream that had come to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine.errors import GenerateError, StreamInterruptedError
from inferd_engine.events import Completion, Done, StopReason
from inferd_engine.reprs import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.events import Event
    from inferd_engine.stream.reading import Ending


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

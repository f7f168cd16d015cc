"""What a script says of pauses, cuts and refusals, for an answer in any protocol over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.testing.steps import Cut, Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from inferd_engine.testing.replies import Reply
    from inferd_engine.testing.steps import Step

_BUSY = 503
_LONGEST_PAUSE = 1e6  # seconds: longer than any test


def events_of(script: ie.MockConfig) -> list[ie.TokenEventV2]:
    """Return what a script says before its end; empty texts are said, too."""
    if script.events is None:
        return [ie.TextDelta(text) for text in script.tokens]
    return [event for event in script.events if event.type != "done"]


def paced(script: ie.MockConfig, said: Iterable[Sequence[Step]], end: Sequence[Step]) -> list[Step]:
    """Return the steps of an answer with the pauses of its script, and cut where that says so.

    Args:
        script: Its delay, and where it breaks off.
        said: What each event of the script is in the protocol's bytes.
        end: How the protocol ends an answer.
    """
    pause = [Pause(min(script.token_delay, _LONGEST_PAUSE))] if script.token_delay else []
    groups = [[*pause, *group] for group in said]
    kept = groups[: script.mid_stream_drop_after]
    ending = [Cut()] if len(kept) < len(groups) else [*pause, *end]
    return [step for group in [*kept, ending] for step in group]


def refusal(error: ie.GenerateError, reply: Callable[..., Reply]) -> Reply:
    """Answer with an error instead: with its ``status``, or 503.

    Args:
        error: That of the script.
        reply: The protocol's, as ``error_reply(status, message, headers=…)``.
    """
    headers = {}
    if (seconds := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(seconds)
    return reply(getattr(error, "status", 0) or _BUSY, str(error), headers=headers)

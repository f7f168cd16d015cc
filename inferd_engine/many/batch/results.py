"""What a batch gives for each prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.reprs import short_repr

if TYPE_CHECKING:
    from inferd_engine.errors import GenerateError
    from inferd_engine.events import Completion


@attrs.frozen(slots=True)
class MapResult:
    """Look at ``error`` first: exactly one of ``completion`` and ``error`` is set.

    Args:
        index: Which prompt it was, counted from 0.
        prompt: The prompt, as it was given.
        completion: The whole answer; None if there is none.
        error: Why there is none.
        attempts: How often it was asked; 0 for a request that could not be sent.
    """

    index: int
    prompt: Any
    completion: Completion | None = None
    error: GenerateError | None = None
    attempts: int = 1

    __repr__ = short_repr

"""One prompt on its way through a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from inferd_engine.errors import GenerateError
    from inferd_engine.events import Completion
    from inferd_engine.proto.v2 import ResolvedV2


@attrs.define(slots=True, eq=False)
class Task:
    """What is asked, how often it was, and what came of it.

    Args:
        index: Which prompt it is.
        prompt: The prompt, as it was given.
        request: What is sent.
        digest: What the journal knows the prompt by; empty without one.
    """

    index: int
    prompt: Any
    request: ResolvedV2
    digest: str = ""
    attempts: int = 0
    first_at: float = 0.0
    """When it was asked first."""
    begun_at: float = 0.0
    """When it was asked last."""
    completion: Completion | None = None
    error: GenerateError | None = None

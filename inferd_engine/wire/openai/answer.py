"""Read the body of an answer of Chat Completions: bytes in, events out, whatever the body is.

What a body may turn out to be is the same for every protocol (``wire.answer.body``); what its
payloads say is found in ``chunks``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from inferd_engine.wire.answer.body import AnyAnswer
from inferd_engine.wire.answer.other_protocols import CHAT
from inferd_engine.wire.openai.chunks import ChunkAccumulator
from inferd_engine.wire.sse.decoder import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine._native import Implementation


class Answer(AnyAnswer):
    """Read the body of an answer of Chat Completions.

    Args:
        implementation: Of the SSE decoder; None takes the best there is.
        max_event_bytes: The largest event, JSON document, or sum of tool calls that is no error.
        include_raw: Give every payload as a ``RawChunk`` before its events.
        split_think_tags: As of ``ChunkAccumulator``.
        choices: How many choices were asked for (``n``).
        request_id: The upstream's id of the request, for errors.
        mask: As of ``ChunkAccumulator``.
    """

    protocol = CHAT

    def __init__(
        self,
        *,
        implementation: Implementation | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
        include_raw: bool = False,
        split_think_tags: bool | Literal["inside"] = False,
        choices: Any = 1,  # of the request's JSON
        request_id: str | None = None,
        mask: Callable[[str], str] = str,
    ) -> None:
        chunks = ChunkAccumulator(
            max_bytes=max_event_bytes,
            split_think_tags=split_think_tags,
            choices=choices,
            request_id=request_id,
            mask=mask,
        )
        super().__init__(
            chunks,
            implementation=implementation,
            max_event_bytes=max_event_bytes,
            include_raw=include_raw,
            request_id=request_id,
        )

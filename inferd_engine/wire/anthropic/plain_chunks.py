"""The common event, a piece of text or of a thought, made fast.

As in ``wire.openai.plain_chunks``: what an event says is declared, and what it must not say is
declared as null.  An event that does not fit goes the general way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

import msgspec

from inferd_engine.events import TextDelta, ThinkingDelta

if TYPE_CHECKING:
    from inferd_engine.wire.answer.likeness import Delta, Said


class _Text(msgspec.Struct, gc=False, tag_field="type", tag="text_delta"):
    text: str


class _Thought(msgspec.Struct, gc=False, tag_field="type", tag="thinking_delta"):
    thinking: str


class _Added(msgspec.Struct, gc=False, tag_field="type", tag="content_block_delta"):
    index: int
    delta: Union[_Text, _Thought]
    error: None = None
    usage: None = None


_decoder = msgspec.json.Decoder(_Added)


def said_plainly(payload: bytes | str) -> Said | None:
    """Return what a payload says, and of which block; None if it is no plain event."""
    try:
        added = _decoder.decode(payload)
    except (ValueError, RecursionError):  # also no UTF-8, or half a character: the general way
        return None
    events: list[Delta] = []
    delta = added.delta
    if isinstance(delta, _Text):
        if delta.text:
            events.append(TextDelta(delta.text))
    elif delta.thinking:
        events.append(ThinkingDelta(delta.thinking))
    return events, added.index

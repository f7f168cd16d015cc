"""The common event, a piece of text or of a thought, made fast.

As in ``wire.openai.plain_chunks``: what an event says is declared, what it must not say is declared
as null, and msgspec decodes a whole run of events in one call.  An event that does not fit goes the
general way.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Union

import msgspec

from inferd_engine.events import TextDelta, ThinkingDelta

if TYPE_CHECKING:
    from inferd_engine.events import TokenEventV2


class PlainText(msgspec.Struct, gc=False, tag_field="type", tag="text_delta"):
    """A piece of text, named as in ``TextDelta``, which is made of it."""

    delta: str = msgspec.field(name="text")


class PlainThought(msgspec.Struct, gc=False, tag_field="type", tag="thinking_delta"):
    """A piece of a thought, named as in ``ThinkingDelta``."""

    delta: str = msgspec.field(name="thinking")


class PlainDelta(msgspec.Struct, gc=False, tag_field="type", tag="content_block_delta"):
    """An event that adds to a block, and says nothing else."""

    index: int
    delta: Union[PlainText, PlainThought]
    error: None = None
    usage: None = None


_decoder = msgspec.json.Decoder(PlainDelta)
_KINDS = {PlainText: list[TextDelta], PlainThought: list[ThinkingDelta]}
_index_of, _delta_of = attrgetter("index"), attrgetter("delta")


def plain_delta(payload: bytes | str) -> PlainDelta | None:
    """Decode a payload; None if it is no plain event."""
    try:
        return _decoder.decode(payload)
    except (ValueError, RecursionError):  # also no UTF-8, or half a character: the general way
        return None


def plain_deltas(payloads: str) -> list[PlainDelta]:
    """Decode payloads, one a line, which add to one block; empty if they are anything else."""
    try:
        if "\n" not in payloads:  # a token that comes alone
            return [_decoder.decode(payloads)]
        deltas = _decoder.decode_lines(payloads)
    except (ValueError, RecursionError):
        return []
    is_one = len(set(map(_index_of, deltas))) == len(set(map(type, map(_delta_of, deltas)))) == 1
    return deltas if is_one else []


def add_events(events: list[TokenEventV2], deltas: list[PlainDelta]) -> str:
    """Add the events of what ``plain_deltas`` gave; give their text, joined."""
    if len(deltas) == 1:
        delta = deltas[0].delta
        if delta.delta:
            kind = TextDelta if type(delta) is PlainText else ThinkingDelta
            events.append(kind(delta.delta))
        return delta.delta
    said = [event.delta for event in deltas if event.delta.delta]
    if said:
        events += msgspec.convert(said, _KINDS[type(said[0])], from_attributes=True)
    return "".join([delta.delta for delta in said])

"""The common chunk, which holds one piece of text or thought and nothing else, made fast.

Whatever else a chunk may hold is declared here as null, so that only a plain chunk decodes: in
0.25 µs instead of the 1.9 µs that ``json.loads`` takes.

Rejected: one typed struct for every chunk, because servers keep to no type; and a JSON parser
without types, because integers of 20 digits and raw control characters are read otherwise there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from inferd_engine.events import TextDelta, ThinkingDelta

if TYPE_CHECKING:
    from inferd_engine.wire.answer.likeness import Delta, Said


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_text: None = None
    reasoning_details: None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    extra_content: None = None
    error: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta
    index: Literal[0] = 0
    finish_reason: Literal["", "null"] | None = None
    finishReason: None = None  # noqa: N815 - the upstream's name
    message: None = None
    usage: None = None
    error: None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: tuple[_Choice]
    error: None = None
    usage: None = None
    x_groq: None = None
    base_resp: None = None
    object: Literal["chat.completion.chunk", ""] | None = None


class _Named(msgspec.Struct, gc=False):
    model: str = ""


_decoder = msgspec.json.Decoder(_Chunk)
_name_decoder = msgspec.json.Decoder(_Named)  # asked once: a name in each chunk would cost a str


def said_plainly(payload: bytes | str) -> Said | None:
    """Return what a payload says; None if it is no plain chunk."""
    try:
        delta = _decoder.decode(payload).choices[0].delta
    except (
        ValueError,
        RecursionError,
    ):  # also no UTF-8, or nested too deeply: the general way tells
        return None
    events: list[Delta] = []
    if thinking := delta.reasoning_content or delta.reasoning:
        events.append(ThinkingDelta(thinking))
    if delta.content:
        events.append(TextDelta(delta.content))
    return events, None


def model_of(payload: bytes | str) -> str:
    """Return the name of the model in a payload; empty if it has none."""
    try:
        return _name_decoder.decode(payload).model
    except (ValueError, RecursionError):
        return ""

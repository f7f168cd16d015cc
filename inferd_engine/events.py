"""The output alphabet: what a stream gives, in the order in which the upstream gave it.

Goal: a consumer needs one ``if event.type == …`` and never sees a half thing: text and thinking
are never empty, a tool call is whole, ``Done`` comes once and only when the upstream said that it
is done.  Values are immutable, so that they may cross threads and caches.

Rejected: a base class with empty fields for every kind (a reader cannot tell what is there), and
partial tool calls (half a JSON document cannot be acted on, and merging it is our work).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union

import attrs

from inferd_engine.proto.v1 import Role
from inferd_engine.proto.v2 import ContentBlock, MessageV2, TextBlock, ThinkingBlock, ToolUseBlock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class StopReason(str, enum.Enum):
    """Why the answer ended."""

    END_TURN = "end_turn"
    MAX_TOKENS = "max_tokens"
    TOOL_USE = "tool_use"
    STOP_SEQUENCE = "stop_sequence"
    CONTENT_FILTER = "content_filter"
    CANCELLED = "cancelled"
    ERROR = "error"

    def __str__(self) -> str:
        return self.value


@attrs.frozen(slots=True)
class Usage:
    """What the answer cost, as the upstream counted it.

    Args:
        input_tokens: Tokens of the prompt; None if the upstream did not say.
        output_tokens: Tokens generated; None if the upstream did not say.
        details: The upstream's whole usage object.
    """

    input_tokens: int | None
    output_tokens: int | None
    details: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(slots=True)
class TextDelta:
    """The next piece of the answer's text, never empty."""

    type: ClassVar[Literal["text"]] = "text"
    delta: str


@attrs.frozen(slots=True)
class ThinkingDelta:
    """The next piece of the model's thoughts, never empty."""

    type: ClassVar[Literal["thinking"]] = "thinking"
    delta: str


@attrs.frozen(slots=True)
class ToolUse:
    """A whole tool call.

    Args:
        tool_call_id: Never empty, unique in the answer; goes into the ``ToolResultBlock``.
        name: The tool's name.
        input: The arguments, decoded.
        extra: What the upstream wants back unchanged when the call is replayed.
    """

    type: ClassVar[Literal["tool_use"]] = "tool_use"
    tool_call_id: str
    name: str
    input: Any
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(slots=True)
class Done:
    """The end of a finished answer.

    Args:
        stop_reason: Why it ended, in our words.
        usage: What it cost; None if the upstream did not say.
        finish_reason: Why it ended, in the upstream's own word; None if it gave none.
    """

    type: ClassVar[Literal["done"]] = "done"
    stop_reason: StopReason
    usage: Usage | None = None
    finish_reason: str | None = None


@attrs.frozen(slots=True)
class RawChunk:
    """A chunk's own bytes, before the events that it gave (with ``include_raw=True``)."""

    type: ClassVar[Literal["raw"]] = "raw"
    data: bytes


@attrs.frozen(slots=True)
class Token:
    """The next piece of text of a v1 stream."""

    type: ClassVar[Literal["token"]] = "token"
    text: str


TokenEventV2 = Union[TextDelta, ThinkingDelta, ToolUse, Done, RawChunk]
TokenEvent = Union[Token, Done]
Event = Union[TokenEventV2, Token]


@attrs.frozen(slots=True)
class Completion:
    """A collected answer.

    Args:
        text: All text, joined.
        thinking: All thoughts, joined.
        tool_uses: The tool calls, in order.
        done: How it ended; None for an answer that was cut.
    """

    text: str = ""
    thinking: str = ""
    tool_uses: tuple[ToolUse, ...] = ()
    done: Done | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> Completion:
        """Collect events into one value."""
        text: list[str] = []
        thinking: list[str] = []
        tool_uses: list[ToolUse] = []
        done: Done | None = None
        for event in events:
            if isinstance(event, TextDelta):
                text.append(event.delta)
            elif isinstance(event, ThinkingDelta):
                thinking.append(event.delta)
            elif isinstance(event, ToolUse):
                tool_uses.append(event)
            elif isinstance(event, Token):
                text.append(event.text)
            elif isinstance(event, Done):
                done = event
        return cls("".join(text), "".join(thinking), tuple(tool_uses), done)

    def to_message(self) -> MessageV2:
        """Give the answer as the assistant message of the next request."""
        blocks: list[ContentBlock] = []
        if self.thinking:
            blocks.append(ThinkingBlock(self.thinking))
        if self.text or not self.tool_uses:
            blocks.append(TextBlock(self.text))
        blocks += [ToolUseBlock(t.tool_call_id, t.name, t.input, t.extra) for t in self.tool_uses]
        return MessageV2(Role.ASSISTANT, tuple(blocks))

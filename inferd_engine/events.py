"""The output alphabet: what a stream gives, in the order in which the upstream gave it.

Goal: a consumer needs one ``if event.type == …`` and never sees a half thing: text and thinking
are never empty, a tool call is whole, ``Done`` comes once and only when the upstream said that it
is done.  Values are immutable, so that they may cross threads and caches.

Rejected: a base class with empty fields for every kind (a reader cannot tell what is there), and
partial tool calls (half a JSON document cannot be acted on, and merging it is our work).
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping  # noqa: TC003 - msgspec reads what the fields are
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union

import attrs

from inferd_engine.errors import InvalidRequestError
from inferd_engine.frames import without_frames
from inferd_engine.proto.roles import Role
from inferd_engine.proto.v2 import ContentBlock, MessageV2, TextBlock, ThinkingBlock, ToolUseBlock
from inferd_engine.reprs import LONGEST, short_repr, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable


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

    __repr__ = short_repr


@attrs.frozen(slots=True)
class TextDelta:
    """The next piece of the answer's text, never empty."""

    type: ClassVar[Literal["text"]] = "text"
    delta: str

    __repr__ = short_repr


@attrs.frozen(slots=True)
class ThinkingDelta:
    """The next piece of the model's thoughts, never empty."""

    type: ClassVar[Literal["thinking"]] = "thinking"
    delta: str

    __repr__ = short_repr


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

    __repr__ = short_repr


@attrs.frozen(slots=True)
class Done:
    """The end of a finished answer.

    Args:
        stop_reason: Why it ended, in our words.
        usage: What it cost; None if the upstream did not say.
        finish_reason: Why it ended, in the upstream's own word; None if it gave none.
        blocks: The assistant's turn in order, where it has to go back unchanged, because the
            upstream signed its thoughts; else empty.
    """

    type: ClassVar[Literal["done"]] = "done"
    stop_reason: StopReason
    usage: Usage | None = None
    finish_reason: str | None = None
    blocks: tuple[ContentBlock, ...] = ()

    __repr__ = short_repr


@attrs.frozen(slots=True)
class RawChunk:
    """A chunk's own bytes, before the events that it gave (with ``include_raw=True``)."""

    type: ClassVar[Literal["raw"]] = "raw"
    data: bytes

    __repr__ = short_repr


@attrs.frozen(slots=True)
class Token:
    """The next piece of text of a v1 stream."""

    type: ClassVar[Literal["token"]] = "token"
    text: str

    __repr__ = short_repr


TokenEventV2 = Union[TextDelta, ThinkingDelta, ToolUse, Done, RawChunk]
TokenEvent = Union[Token, Done]
Event = Union[TokenEventV2, Token]


@attrs.frozen(slots=True)
class StreamStats:
    """What a stream took so far.

    Args:
        ttft: Seconds from the request to the first event; None before it.
        duration: Seconds from the request to the end, or to now.
        events: How many events the consumer was given.
        bytes: How many bytes of the body were read.
        skipped: How many payloads were no JSON and were left out.
    """

    ttft: float | None
    duration: float
    events: int
    bytes: int
    skipped: int = 0

    __repr__ = short_repr


@attrs.frozen(slots=True)
class Completion:
    """A collected answer: ``str()`` of it is its text, and a notebook shows it as Markdown.

    Args:
        text: All text, joined.
        thinking: All thoughts, joined.
        tool_uses: The tool calls, in order.
        done: How it ended; None for an answer that was cut.
        model: The model that answered, in the upstream's word; empty if it did not say.
        request_id: The upstream's id of the request, or the caller's.
        stats: What the stream took; None for what was not collected from one.
    """

    text: str = ""
    thinking: str = ""
    tool_uses: tuple[ToolUse, ...] = ()
    done: Done | None = None
    model: str = ""
    request_id: str | None = None
    stats: StreamStats | None = attrs.field(default=None, eq=False)

    @property
    def usage(self) -> Usage | None:
        """What the answer cost; None if the upstream did not say."""
        return None if self.done is None else self.done.usage

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the answer ended, in our words; None for one that was cut."""
        return None if self.done is None else self.done.stop_reason

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, in the upstream's own word; None if it gave none."""
        return None if self.done is None else self.done.finish_reason

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        shown = [str(self.stop_reason or "cut")]
        if self.tool_uses:
            names = shortened(", ".join(call.name for call in self.tool_uses), 20)
            shown.insert(0, f"tool_uses=<{len(self.tool_uses)}: {names[1:-1]}>")
        if self.thinking:
            shown.insert(0, f"thinking=<{len(self.thinking)} characters>")
        rest = f"{' '.join(shown)}>"
        head = "<Completion "
        return f"{head}{shortened(self.text, LONGEST - len(head + rest) - 3)} {rest}"

    def _repr_markdown_(self) -> str:
        """Return what a notebook shows: Markdown that loads nothing, calls, and how it ended."""
        from inferd_engine.notebook.page import markdown_of  # noqa: PLC0415 - only where it is used

        return markdown_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the completion as JSON; what is unset is left out."""
        fields = attrs.asdict(
            self, filter=lambda field, value: value != field.default, value_serializer=_plain
        )
        if self.done is not None and self.done.blocks:
            blocks = MessageV2(Role.ASSISTANT, self.done.blocks).to_dict()["content"]
            fields["done"]["blocks"] = blocks
        return {**fields, "text": self.text}

    @classmethod
    @without_frames
    def from_dict(cls, data: Mapping[str, Any]) -> Completion:
        """Read what ``to_dict()`` gave; unknown fields are ignored.

        Raises:
            InvalidRequestError: The JSON has another shape; the message names the place.
        """
        try:
            done, stats = data.get("done"), data.get("stats")
            for name in ("text", "thinking", "model"):
                if not isinstance(data.get(name, ""), str):
                    raise TypeError(f"{name} is not a str")  # noqa: TRY301 - told with the rest
            if done is not None:
                usage = done.get("usage")
                reason = StopReason(done["stop_reason"])
                usage = None if usage is None else _made(Usage, usage)
                blocks: tuple[ContentBlock, ...] = ()
                if done.get("blocks"):
                    turn = {"role": "assistant", "content": done["blocks"]}
                    blocks = MessageV2.from_dict(turn).content
                done = Done(reason, usage, done.get("finish_reason"), blocks)
            return cls(
                text=data["text"],
                thinking=data.get("thinking", ""),
                tool_uses=tuple(_made(ToolUse, call) for call in data.get("tool_uses", ())),
                done=done,
                model=data.get("model", ""),
                request_id=data.get("request_id"),
                stats=None if stats is None else _made(StreamStats, stats),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidRequestError(
                f"this is not what Completion.to_dict() gives: {type(error).__name__}: {error}"
            ) from None

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
        """Return the answer as the assistant message of the next request."""
        if self.done is not None and self.done.blocks:
            return MessageV2(Role.ASSISTANT, self.done.blocks)
        blocks: list[ContentBlock] = []
        if self.thinking:
            blocks.append(ThinkingBlock(self.thinking))
        if self.text or not self.tool_uses:
            blocks.append(TextBlock(self.text))
        blocks += [ToolUseBlock(t.tool_call_id, t.name, t.input, t.extra) for t in self.tool_uses]
        return MessageV2(Role.ASSISTANT, tuple(blocks))


def _plain(_: object, __: object, value: Any) -> Any:
    """Return a value as JSON has it: a list for a tuple, the word of a stop reason."""
    if isinstance(value, StopReason):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _made(kind: Any, data: Mapping[str, Any]) -> Any:  # one of the classes above
    """Make a value of its JSON; unknown fields are ignored."""
    return kind(**{name: data[name] for name in _names(kind) if name in data})


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind))

"""What a version 2 request is made of: content blocks, messages, tools, attachments.

Building a value never raises for its content: only ``resolve()`` knows the place of what is wrong.
What we do not know is kept (``UnknownBlock``) and refused when it would have to be sent.  A tool
call is an assistant message with a ``ToolUseBlock``, its result a user message with a
``ToolResultBlock``: there is no tool role, as in inferd 0.2 and Anthropic's Messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Union

import attrs

from inferd_engine.frames import without_frames
from inferd_engine.proto.roles import Role, to_role
from inferd_engine.proto.values import several
from inferd_engine.reprs import short_repr, shown_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@attrs.frozen(slots=True)
class TextBlock:
    """A piece of text; may be empty."""

    type: ClassVar[str] = "text"
    text: str

    __repr__ = short_repr


@attrs.frozen(slots=True)
class ImageBlock:
    """Show the model an image of the request's attachments."""

    type: ClassVar[str] = "image"
    attachment_id: str

    __repr__ = short_repr


@attrs.frozen(slots=True)
class AudioBlock:
    """Let the model hear a sound of the request's attachments."""

    type: ClassVar[str] = "audio"
    attachment_id: str

    __repr__ = short_repr


@attrs.frozen(slots=True)
class VideoBlock:
    """Show the model a video of the request's attachments."""

    type: ClassVar[str] = "video"
    attachment_id: str

    __repr__ = short_repr


@attrs.frozen(slots=True)
class DocumentBlock:
    """Let the model read a document of the request's attachments."""

    type: ClassVar[str] = "document"
    attachment_id: str

    __repr__ = short_repr


@attrs.frozen(slots=True)
class ThinkingBlock:
    """Replay what the model thought before; backends may leave it out.

    Args:
        text: The thought.
        extra: What the upstream wants back unchanged: ``{"signature": …}`` or ``{"redacted": …}``.
    """

    type: ClassVar[str] = "thinking"
    text: str
    extra: Mapping[str, Any] = attrs.field(factory=dict)

    __repr__ = short_repr


@attrs.frozen(slots=True)
class ToolUseBlock:
    """Replay a tool call of the model.

    Args:
        tool_call_id: Pairs the call with its result.
        name: The tool's name.
        input: The arguments, any JSON value.
        extra: What an upstream wants back unchanged, such as a thought signature.
    """

    type: ClassVar[str] = "tool_use"
    tool_call_id: str
    name: str
    input: Any
    extra: Mapping[str, Any] = attrs.field(factory=dict)

    __repr__ = short_repr


def _to_blocks_later(content: str | Sequence[ContentBlock]) -> tuple[ContentBlock, ...]:
    return to_blocks(content)  # which needs the blocks, this one among them


@attrs.frozen(slots=True)
class ToolResultBlock:
    """Answer a tool call.

    Args:
        tool_call_id: The id of the call that this answers.
        content: Blocks, or a str, which is one ``TextBlock``.
        is_error: Whether the tool failed; upstreams without a word for it see the content alone.
    """

    type: ClassVar[str] = "tool_result"
    tool_call_id: str
    content: tuple[ContentBlock, ...] = attrs.field(converter=_to_blocks_later)
    is_error: bool = False

    __repr__ = short_repr


@attrs.frozen(slots=True)
class UnknownBlock:
    """A block of a type that this version does not know; ``resolve()`` refuses it.

    Args:
        type: What inferd's JSON calls it.
        fields: All else of that JSON, as it came.
    """

    type: str
    fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    __repr__ = short_repr


ContentBlock = Union[
    TextBlock,
    ImageBlock,
    AudioBlock,
    VideoBlock,
    DocumentBlock,
    ThinkingBlock,
    ToolUseBlock,
    ToolResultBlock,
    UnknownBlock,
]
KNOWN_BLOCKS = {
    block.type: block
    for block in (
        TextBlock,
        ImageBlock,
        AudioBlock,
        VideoBlock,
        DocumentBlock,
        ThinkingBlock,
        ToolUseBlock,
        ToolResultBlock,
    )
}


def to_blocks(content: str | Sequence[ContentBlock]) -> tuple[ContentBlock, ...]:
    """Return content as blocks; a str is one ``TextBlock``."""
    return (TextBlock(content),) if isinstance(content, str) else several(content)


@attrs.frozen(slots=True)
class MessageV2:
    """One turn of typed content blocks; a str is one ``TextBlock``."""

    role: Role = attrs.field(converter=to_role)
    content: tuple[ContentBlock, ...] = attrs.field(converter=to_blocks)

    __repr__ = short_repr

    def to_dict(self) -> dict[str, Any]:
        """Return inferd's JSON of this message."""
        from inferd_engine.proto.json_form import message_to_dict  # noqa: PLC0415 - made of blocks

        return message_to_dict(self)

    @classmethod
    @without_frames
    def from_dict(cls, data: Mapping[str, Any]) -> MessageV2:
        """Read inferd's JSON of a message; unknown fields are ignored, unknown blocks are kept.

        Raises:
            InvalidRequestError: The JSON has another shape; the message names the place.
        """
        from inferd_engine.proto.json_form import message_from_dict  # noqa: PLC0415 - made of blocks

        return message_from_dict(data, "the message")


def system(text: str) -> MessageV2:
    """Make a system message."""
    return MessageV2(Role.SYSTEM, text)


def user(text: str) -> MessageV2:
    """Make a user message."""
    return MessageV2(Role.USER, text)


def assistant(text: str) -> MessageV2:
    """Make a message of the model, to replay what it said."""
    return MessageV2(Role.ASSISTANT, text)


def tool_result(tool_call_id: str, content: str | Sequence[ContentBlock]) -> MessageV2:
    """Make the user message that answers one tool call."""
    return MessageV2(Role.USER, (ToolResultBlock(tool_call_id, content),))


@attrs.frozen(slots=True)
class Tool:
    """Declare a tool that the model may call.

    Args:
        name: Unique in the request.
        description: What it does and when to use it.
        input_schema: JSON schema of its arguments.
        strict: Whether the upstream has to keep to the schema exactly; sent only if it is set.
    """

    name: str
    description: str = ""
    input_schema: Mapping[str, Any] = attrs.field(factory=dict)
    strict: bool | None = None

    __repr__ = short_repr


def _shown(data: object) -> str:
    return f"<{len(data)} characters>" if isinstance(data, str) else shown_as(data)


@attrs.frozen(slots=True)
class ImageAttachment:
    """An image: raw RGB, encoded, or an address; see ``encoded()`` and ``at()``.

    Args:
        id: What content blocks refer to it by.
        width: Pixels; 0 for an image that is not raw.
        height: Pixels; 0 for an image that is not raw.
        data: RGB without alpha, ``width * height * 3`` bytes; or the bytes of a PNG, JPEG, WebP or
            GIF file; or a URL, ``https:`` or ``data:``.
        detail: OpenAI's ``"low"``, ``"high"`` or ``"auto"``; the upstream's default if None.
    """

    kind: ClassVar[str] = "image"
    id: str
    width: int
    height: int
    data: bytes | str = attrs.field(repr=_shown)
    detail: str | None = None

    __repr__ = short_repr

    @classmethod
    def encoded(cls, id: str, data: bytes, *, detail: str | None = None) -> ImageAttachment:  # noqa: A002
        """Attach the bytes of a PNG, JPEG, WebP or GIF file."""
        return cls(id, 0, 0, data, detail)

    @classmethod
    def at(cls, id: str, url: str, *, detail: str | None = None) -> ImageAttachment:  # noqa: A002
        """Attach an image that the upstream fetches itself, or one in a ``data:`` URL."""
        return cls(id, 0, 0, url, detail)

    @property
    def is_raw(self) -> bool:
        """Whether ``data`` is RGB, which its size tells."""
        size = (self.width or 0) * (self.height or 0) * 3
        return not isinstance(self.data, str) and len(self.data) == size > 0


@attrs.frozen(slots=True)
class AudioAttachment:
    """A sound: little-endian float32 PCM, one channel, or encoded; see ``encoded()``.

    Args:
        id: What content blocks refer to it by.
        sample_rate: Hz of PCM; 0 for a sound that is encoded.
        data: Samples in [-1, 1], 4 bytes each; or the bytes of a WAV or MP3 file.
    """

    kind: ClassVar[str] = "audio"
    id: str
    sample_rate: int
    data: bytes = attrs.field(repr=_shown)

    __repr__ = short_repr

    @classmethod
    def encoded(cls, id: str, data: bytes) -> AudioAttachment:  # noqa: A002
        """Attach the bytes of a WAV or MP3 file."""
        return cls(id, 0, data)


@attrs.frozen(slots=True)
class VideoAttachment:
    """A video, in whatever encoding the backend takes."""

    kind: ClassVar[str] = "video"
    id: str
    data: bytes = attrs.field(repr=_shown)

    __repr__ = short_repr


@attrs.frozen(slots=True)
class DocumentAttachment:
    """A document to read: its bytes, or an address.

    Args:
        id: What content blocks refer to it by.
        data: The bytes of the file; or an ``https:`` URL, where the upstream fetches it itself.
        media_type: ``"application/pdf"``, or ``"text/plain"`` for UTF-8.
        name: Its title; may be empty.
    """

    kind: ClassVar[str] = "document"
    id: str
    data: bytes | str = attrs.field(repr=_shown)
    media_type: str = "application/pdf"
    name: str = ""

    __repr__ = short_repr


@attrs.frozen(slots=True)
class UnknownAttachment:
    """An attachment of a kind that this version does not know; ``resolve()`` refuses it.

    Args:
        kind: What inferd's JSON calls it.
        fields: All of that JSON, as it came.
    """

    kind: str
    fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    __repr__ = short_repr

    @property
    def id(self) -> Any:  # whatever the JSON has
        """What content blocks refer to it by."""
        return self.fields.get("id")


KnownAttachment = Union[ImageAttachment, AudioAttachment, VideoAttachment, DocumentAttachment]
Attachment = Union[KnownAttachment, UnknownAttachment]
KNOWN_ATTACHMENTS = {
    attachment.kind: attachment
    for attachment in (ImageAttachment, AudioAttachment, VideoAttachment, DocumentAttachment)
}

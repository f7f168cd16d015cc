"""Version 2 of the protocol: typed content blocks, attachments, tools.

Goal: one immutable value says everything a caller asks for, and ``resolve()`` is the one place
where it is checked, so that a backend can rely on what it is given.

Rules:

* building a value never raises for its content: ``resolve()`` does, and names the place
  (``messages[2].content[0]``), because only there is the place known;
* ``resolve()`` fills nothing in: sampling defaults belong to the upstream;
* what we do not know is kept (``UnknownBlock``) and refused only when it would have to be sent;
* a tool call is an assistant message with a ``ToolUseBlock``, its result a user message with a
  ``ToolResultBlock``: there is no tool role, as in inferd 0.2 and Anthropic's Messages.

The JSON of ``to_dict`` and ``from_dict`` is that of inferd 0.2 (``inferd-proto``, v2/request.rs);
fields that inferd does not have take OpenAI's names and shapes.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Union

import attrs

from inferd_engine.errors import InvalidRequestError
from inferd_engine.proto.v1 import (
    Role,
    check_integer,
    check_role,
    check_sampling,
    set_fields,
    take,
    take_list,
    to_role,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

# --- content blocks ------------------------------------------------------------------------------


@attrs.frozen(slots=True)
class TextBlock:
    """A piece of text; may be empty."""

    type: ClassVar[str] = "text"
    text: str


@attrs.frozen(slots=True)
class ImageBlock:
    """Show the model an image of the request's attachments."""

    type: ClassVar[str] = "image"
    attachment_id: str


@attrs.frozen(slots=True)
class AudioBlock:
    """Let the model hear a sound of the request's attachments."""

    type: ClassVar[str] = "audio"
    attachment_id: str


@attrs.frozen(slots=True)
class VideoBlock:
    """Show the model a video of the request's attachments."""

    type: ClassVar[str] = "video"
    attachment_id: str


@attrs.frozen(slots=True)
class ThinkingBlock:
    """Replay what the model thought before; backends may leave it out."""

    type: ClassVar[str] = "thinking"
    text: str


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


def _to_blocks_later(content: str | Sequence[ContentBlock]) -> tuple[ContentBlock, ...]:
    return to_blocks(content)  # which needs the blocks, this one among them


@attrs.frozen(slots=True)
class ToolResultBlock:
    """Answer a tool call.

    Args:
        tool_call_id: The id of the call that this answers.
        content: Blocks, or a str, which is one ``TextBlock``.
    """

    type: ClassVar[str] = "tool_result"
    tool_call_id: str
    content: tuple[ContentBlock, ...] = attrs.field(converter=_to_blocks_later)


@attrs.frozen(slots=True)
class UnknownBlock:
    """A block of a type that this version does not know; ``resolve()`` refuses it."""

    type: str


ContentBlock = Union[
    TextBlock,
    ImageBlock,
    AudioBlock,
    VideoBlock,
    ThinkingBlock,
    ToolUseBlock,
    ToolResultBlock,
    UnknownBlock,
]
_KNOWN_BLOCKS = {
    block.type: block
    for block in (
        TextBlock,
        ImageBlock,
        AudioBlock,
        VideoBlock,
        ThinkingBlock,
        ToolUseBlock,
        ToolResultBlock,
    )
}


def to_blocks(content: str | Sequence[ContentBlock]) -> tuple[ContentBlock, ...]:
    """Give content as blocks; a str is one ``TextBlock``."""
    return (TextBlock(content),) if isinstance(content, str) else tuple(content)


# --- messages, tools, attachments ----------------------------------------------------------------


@attrs.frozen(slots=True)
class MessageV2:
    """One turn of typed content blocks; a str is one ``TextBlock``."""

    role: Role = attrs.field(converter=to_role)
    content: tuple[ContentBlock, ...] = attrs.field(converter=to_blocks)


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
    """

    name: str
    description: str = ""
    input_schema: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(slots=True)
class ImageAttachment:
    """An image: ``data`` is RGB without alpha, ``width * height * 3`` bytes."""

    kind: ClassVar[str] = "image"
    id: str
    width: int
    height: int
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@attrs.frozen(slots=True)
class AudioAttachment:
    """A sound: ``data`` is little-endian float32 PCM, one channel, at ``sample_rate`` Hz."""

    kind: ClassVar[str] = "audio"
    id: str
    sample_rate: int
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@attrs.frozen(slots=True)
class VideoAttachment:
    """A video, in whatever encoding the backend takes."""

    kind: ClassVar[str] = "video"
    id: str
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


Attachment = Union[ImageAttachment, AudioAttachment, VideoAttachment]
_KNOWN_ATTACHMENTS = {
    attachment.kind: attachment
    for attachment in (ImageAttachment, AudioAttachment, VideoAttachment)
}
_PIXEL_BYTES, _SAMPLE_BYTES = 3, 4

# --- the request ---------------------------------------------------------------------------------


def _to_messages(messages: Iterable[MessageV2]) -> tuple[MessageV2, ...]:
    return tuple(messages)


def _to_attachments(attachments: Iterable[Attachment]) -> tuple[Attachment, ...]:
    return tuple(attachments)


def _to_tools(tools: Iterable[Tool]) -> tuple[Tool, ...]:
    return tuple(tools)


def _to_stop(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen(slots=True)
class ResolvedV2:
    """A v2 request that was checked; the fields are those of ``RequestV2``."""

    messages: tuple[MessageV2, ...]
    id: str = ""
    attachments: tuple[Attachment, ...] = ()
    tools: tuple[Tool, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stream: bool | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_format: Any = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    thinking: bool | str | None = None


@attrs.frozen(slots=True)
class RequestV2:
    """Ask with typed content; call ``resolve()`` before you hand it to a backend.

    Args:
        messages: The conversation, oldest first.
        id: Your own id of the request; it comes back on errors.
        attachments: Binary data that content blocks refer to by id.
        tools: Tools that the model may call.
        temperature: Sampling temperature, 0 or more.
        top_p: Nucleus sampling, above 0 and at most 1.
        top_k: Tokens sampled from, 0 (all) or more.
        max_tokens: Tokens to generate at the most, 1 or more.
        stream: Sent as it is; the events are the same either way.  True if None.
        stop: Sequences that end the answer; a str is one.
        seed: Makes sampling repeatable where the upstream can.
        response_format: OpenAI's object, e.g. ``{"type": "json_object"}``.
        tool_choice: ``"auto"``, ``"none"``, ``"required"``, a tool's name, or OpenAI's object.
        parallel_tool_calls: Whether the model may call several tools at once.
        thinking: True, False, ``"low"``, ``"medium"`` or ``"high"``.
    """

    messages: tuple[MessageV2, ...] = attrs.field(converter=_to_messages)
    id: str = ""
    attachments: tuple[Attachment, ...] = attrs.field(default=(), converter=_to_attachments)
    tools: tuple[Tool, ...] = attrs.field(default=(), converter=_to_tools)
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stream: bool | None = None
    stop: tuple[str, ...] = attrs.field(default=(), converter=_to_stop)
    seed: int | None = None
    response_format: Any = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    thinking: bool | str | None = None

    def resolve(self) -> ResolvedV2:
        """Check the request; nothing is filled in.

        Raises:
            InvalidRequestError: Something cannot be sent; the message names the place.
        """
        if not self.messages:
            msg = "messages is empty: give at least one message"
            raise InvalidRequestError(msg)
        kinds = _check_attachments(self.attachments)
        _check_tools(self.tools)
        for index, message in enumerate(self.messages):
            _check_message(message, f"messages[{index}]", kinds)
        check_sampling(self.temperature, self.top_p, self.top_k, self.max_tokens)
        check_integer("seed", self.seed, float("-inf"), "a whole number")
        _check_words(self)
        return ResolvedV2(**{f.name: getattr(self, f.name) for f in attrs.fields(ResolvedV2)})

    def to_dict(self) -> dict[str, Any]:
        """Give inferd's JSON of this request; what is unset is left out, bytes are base64."""
        return {
            **({"id": self.id} if self.id else {}),
            "messages": [
                {"role": str(m.role), "content": [_block_to_dict(b) for b in m.content]}
                for m in self.messages
            ],
            **_if_any("attachments", [_attachment_to_dict(a) for a in self.attachments]),
            **_if_any("tools", [attrs.asdict(tool) for tool in self.tools]),
            **_if_any("stop", list(self.stop)),
            **set_fields(self, _OPTIONAL),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RequestV2:
        """Read inferd's JSON; unknown fields are ignored, unknown blocks are kept.

        Raises:
            InvalidRequestError: The JSON has another shape; the message names the place.
        """
        return cls(
            messages=[
                MessageV2(
                    take(item, "role", f"messages[{index}]"),
                    _blocks_from_json(
                        take(item, "content", f"messages[{index}]"), f"messages[{index}].content"
                    ),
                )
                for index, item in enumerate(take_list(data, "messages", "the request"))
            ],
            attachments=[
                _attachment_from_dict(item, f"attachments[{index}]")
                for index, item in enumerate(_list_or_none(data, "attachments"))
            ],
            tools=[
                Tool(
                    take(item, "name", f"tools[{index}]"),
                    item.get("description") or "",
                    item.get("input_schema") or {},
                )
                for index, item in enumerate(_list_or_none(data, "tools"))
            ],
            stop=_stop_from_json(data),
            **{name: data[name] for name in (*_OPTIONAL, "id") if name in data},
        )


_OPTIONAL = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "stream",
    "seed",
    "response_format",
    "tool_choice",
    "parallel_tool_calls",
    "thinking",
)

# --- checks --------------------------------------------------------------------------------------


def _refuse(place: str, what: str) -> NoReturn:
    msg = f"{place} {what}"
    raise InvalidRequestError(msg)


def _check_attachments(attachments: Sequence[Attachment]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for index, attachment in enumerate(attachments):
        place = f"attachments[{index}]"
        if type(attachment) not in _KNOWN_ATTACHMENTS.values():
            _refuse(
                place, "is no attachment: use ImageAttachment, AudioAttachment, VideoAttachment"
            )
        if not isinstance(attachment.id, str) or not attachment.id:
            _refuse(place, "has no id: give it a name that content blocks can refer to")
        if attachment.id in kinds:
            _refuse(place, f"repeats the id {attachment.id!r}: ids are unique in a request")
        _check_size(attachment, place)
        kinds[attachment.id] = attachment.kind
    return kinds


def _check_size(attachment: Attachment, place: str) -> None:
    if not isinstance(attachment.data, (bytes, bytearray, memoryview)):
        _refuse(place, "has data that is no bytes")
    size = len(attachment.data)
    if isinstance(attachment, ImageAttachment):
        _check_above_0(attachment.width, f"{place}.width")
        _check_above_0(attachment.height, f"{place}.height")
        wanted = attachment.width * attachment.height * _PIXEL_BYTES
        if size != wanted:
            _refuse(
                place,
                f"has {size} bytes: RGB of {attachment.width} x {attachment.height} pixels "
                f"has {wanted}",
            )
    elif isinstance(attachment, AudioAttachment):
        _check_above_0(attachment.sample_rate, f"{place}.sample_rate")
        if size % _SAMPLE_BYTES:
            _refuse(place, f"has {size} bytes: float32 samples have {_SAMPLE_BYTES} bytes each")


def _check_above_0(value: object, place: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        _refuse(place, f"is {value!r}: it has to be a whole number, 1 or more")


def _check_tools(tools: Sequence[Tool]) -> None:
    names: set[str] = set()
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        if not isinstance(tool, Tool) or not isinstance(tool.name, str) or not tool.name:
            _refuse(place, "has no name: use Tool(name, description, input_schema)")
        if tool.name in names:
            _refuse(place, f"repeats the name {tool.name!r}: names are unique in a request")
        names.add(tool.name)


def _check_message(message: MessageV2, place: str, kinds: Mapping[str, str]) -> None:
    if not isinstance(message, MessageV2):
        _refuse(place, "is no MessageV2: use user(), assistant(), system(), tool_result()")
    check_role(message.role, f"{place}.role")
    if not message.content:
        _refuse(f"{place}.content", "is empty: give at least one block")
    for where, block in _walk(message.content, f"{place}.content"):
        _check_block(block, where, kinds)


def _walk(blocks: Sequence[ContentBlock], place: str) -> Iterator[tuple[str, ContentBlock]]:
    """Give every block with its place, those inside tool results too."""
    for index, block in enumerate(blocks):
        where = f"{place}[{index}]"
        yield where, block
        if isinstance(block, ToolResultBlock):
            yield from _walk(block.content, f"{where}.content")


def _check_block(block: ContentBlock, place: str, kinds: Mapping[str, str]) -> None:
    if isinstance(block, (TextBlock, ThinkingBlock)):
        if not isinstance(block.text, str):
            _refuse(place, "has a text that is no str")
    elif isinstance(block, (ImageBlock, AudioBlock, VideoBlock)):
        kind = kinds.get(block.attachment_id) if isinstance(block.attachment_id, str) else None
        if kind is None:
            _refuse(place, f"refers to no attachment: there is no id {block.attachment_id!r}")
        elif kind != block.type:
            _refuse(place, f"wants {block.type}, but attachment {block.attachment_id!r} is {kind}")
    elif isinstance(block, (ToolUseBlock, ToolResultBlock)):
        if not isinstance(block.tool_call_id, str) or not block.tool_call_id:
            _refuse(place, "has no tool_call_id: it pairs the call with its result")
        if isinstance(block, ToolUseBlock) and (not isinstance(block.name, str) or not block.name):
            _refuse(place, "has no name: say which tool was called")
    else:
        _refuse(place, f"has the unknown block type {getattr(block, 'type', type(block))!r}")


def _check_words(request: RequestV2) -> None:
    if not all(isinstance(word, str) and word for word in request.stop):
        _refuse("stop", f"is {list(request.stop)!r}: every sequence has to be a str, none empty")
    if not (
        request.thinking is None
        or isinstance(request.thinking, bool)
        or request.thinking in ("low", "medium", "high")
    ):
        _refuse("thinking", f"is {request.thinking!r}: take a bool, 'low', 'medium' or 'high'")


# --- JSON ----------------------------------------------------------------------------------------


def _if_any(name: str, items: list[Any]) -> dict[str, Any]:
    return {name: items} if items else {}


def _block_to_dict(block: ContentBlock) -> dict[str, Any]:
    fields = {f.name: getattr(block, f.name) for f in attrs.fields(type(block))}
    if isinstance(block, ToolResultBlock):
        fields["content"] = [_block_to_dict(inner) for inner in block.content]
    if isinstance(block, ToolUseBlock) and not block.extra:
        del fields["extra"]
    return {"type": block.type, **fields}


def _list_or_none(data: Mapping[str, Any], key: str) -> Sequence[Any]:
    return take_list(data, key, "the request") if data.get(key) is not None else ()


def _stop_from_json(data: Mapping[str, Any]) -> str | Sequence[str]:
    stop = data.get("stop")
    return stop if isinstance(stop, str) else _list_or_none(data, "stop")


def _blocks_from_json(content: Any, place: str) -> tuple[ContentBlock, ...]:  # noqa: ANN401 - JSON
    if isinstance(content, str):
        return to_blocks(content)
    if not isinstance(content, list):
        _refuse(place, "is neither text nor a list of blocks")
    return tuple(_block_from_dict(item, f"{place}[{i}]") for i, item in enumerate(content))


def _block_from_dict(data: Any, place: str) -> ContentBlock:  # noqa: ANN401 - JSON
    kind = take(data, "type", place)
    block = _KNOWN_BLOCKS.get(str(kind))
    if block is None:
        return UnknownBlock(str(kind))
    fields = {
        f.name: take(data, f.name, place)
        for f in attrs.fields(block)
        if f.default is attrs.NOTHING or f.name in data
    }
    if block is ToolResultBlock:
        fields["content"] = _blocks_from_json(fields["content"], f"{place}.content")
    made: ContentBlock = block(**fields)
    return made


def _attachment_to_dict(attachment: Attachment) -> dict[str, Any]:
    fields = {f.name: getattr(attachment, f.name) for f in attrs.fields(type(attachment))}
    data = fields.pop("data")
    return {"kind": attachment.kind, **fields, "bytes": base64.b64encode(data).decode("ascii")}


def _attachment_from_dict(data: Any, place: str) -> Attachment:  # noqa: ANN401 - JSON
    kind = take(data, "kind", place)
    attachment = _KNOWN_ATTACHMENTS.get(str(kind))
    if attachment is None:
        _refuse(place, f"has the unknown kind {kind!r}: take image, audio or video")
    encoded = take(data, "bytes", place)
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError):
        _refuse(place, "has bytes that are no base64")
    fields = {
        f.name: take(data, f.name, place) for f in attrs.fields(attachment) if f.name != "data"
    }
    made: Attachment = attachment(**fields, data=content)
    return made

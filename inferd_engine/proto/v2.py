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

from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.frames import without_frames
from inferd_engine.proto.blocks import (
    Attachment,
    AudioAttachment,
    AudioBlock,
    ContentBlock,
    DocumentAttachment,
    DocumentBlock,
    ImageAttachment,
    ImageBlock,
    MessageV2,
    TextBlock,
    ThinkingBlock,
    Tool,
    ToolResultBlock,
    ToolUseBlock,
    UnknownBlock,
    VideoAttachment,
    VideoBlock,
    assistant,
    system,
    tool_result,
    user,
)
from inferd_engine.proto.checks import check_request
from inferd_engine.proto.json_form import (
    attachment_from_dict,
    attachment_to_dict,
    if_any,
    list_or_none,
    message_from_dict,
    stop_from_json,
    tool_from_dict,
    tool_from_json,
    tool_to_dict,
)
from inferd_engine.proto.values import (
    kind_of,
    refuse,
    set_fields,
    several,
    take_list,
    to_real,
    to_whole,
)
from inferd_engine.reprs import short_repr

__all__ = [
    "Attachment",
    "AudioAttachment",
    "AudioBlock",
    "ContentBlock",
    "DocumentAttachment",
    "DocumentBlock",
    "ImageAttachment",
    "ImageBlock",
    "MessageV2",
    "RequestV2",
    "ResolvedV2",
    "TextBlock",
    "ThinkingBlock",
    "Tool",
    "ToolResultBlock",
    "ToolUseBlock",
    "UnknownBlock",
    "VideoAttachment",
    "VideoBlock",
    "assistant",
    "system",
    "tool_result",
    "user",
]

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def _to_messages(messages: Iterable[MessageV2]) -> tuple[MessageV2, ...]:
    return several(messages)


def _to_attachments(attachments: Iterable[Attachment] | None) -> tuple[Attachment, ...]:
    return () if attachments is None else several(attachments)


def _to_tools(tools: Iterable[Tool | dict[str, Any]] | None) -> tuple[Tool, ...]:
    return () if tools is None else tuple(map(tool_from_json, several(tools)))


def _to_mapping(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {} if value is None else value


def _to_stop(value: str | Iterable[str] | None) -> tuple[str, ...]:
    return () if value is None else several(value)


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
    model: str = ""
    extra_body: Mapping[str, Any] = attrs.field(factory=dict)

    __repr__ = short_repr


@attrs.frozen(slots=True)
class RequestV2:
    """Ask with typed content; call ``resolve()`` before you hand it to a backend.

    Args:
        messages: The conversation, oldest first.
        id: Your own id of the request; it comes back on errors.
        attachments: Binary data that content blocks refer to by id.
        tools: Tools that the model may call; a dict in OpenAI's shape does as well.
        temperature: Sampling temperature, 0 or more.
        top_p: Nucleus sampling, above 0 and at most 1.
        top_k: Tokens sampled from, 0 (all) or more.
        max_tokens: Tokens to generate at the most, 1 or more.
        stream: Sent as it is; the events are the same either way.  True if None.
        stop: Sequences that end the answer; a str is one.
        seed: Makes sampling repeatable where the upstream can.
        response_format: OpenAI's object, e.g. ``{"type": "json_object"}``, or inferd's,
            ``{"type": "json_schema", "schema": …}``.
        tool_choice: ``"auto"``, ``"none"``, ``"required"``, a tool's name, or OpenAI's object.
        parallel_tool_calls: Whether the model may call several tools at once.
        thinking: True, False, ``"low"``, ``"medium"`` or ``"high"``.
        model: The upstream's name of the model; empty: the backend's own.
        extra_body: Merged into the body, over the backend's own ``extra_body``.
    """

    messages: tuple[MessageV2, ...] = attrs.field(converter=_to_messages)
    id: str = ""
    attachments: tuple[Attachment, ...] = attrs.field(default=(), converter=_to_attachments)
    tools: tuple[Tool, ...] = attrs.field(default=(), converter=_to_tools)
    temperature: float | None = attrs.field(default=None, converter=to_real)
    top_p: float | None = attrs.field(default=None, converter=to_real)
    top_k: int | None = attrs.field(default=None, converter=to_whole)
    max_tokens: int | None = attrs.field(default=None, converter=to_whole)
    stream: bool | None = None
    stop: tuple[str, ...] = attrs.field(default=(), converter=_to_stop)
    seed: int | None = attrs.field(default=None, converter=to_whole)
    response_format: Any = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    thinking: bool | str | None = None
    model: str = ""
    extra_body: Mapping[str, Any] = attrs.field(factory=dict, converter=_to_mapping)

    __repr__ = short_repr

    @without_frames
    def resolve(self) -> ResolvedV2:
        """Check the request; nothing is filled in.

        Raises:
            InvalidRequestError: Something cannot be sent; the message names the place.
        """
        check_request(self)
        return ResolvedV2(**{f.name: getattr(self, f.name) for f in attrs.fields(ResolvedV2)})

    def to_dict(self) -> dict[str, Any]:
        """Return inferd's JSON of this request; what is unset is left out, bytes are base64."""
        return {
            **({"id": self.id} if self.id else {}),
            "messages": [message.to_dict() for message in self.messages],
            **if_any("attachments", [attachment_to_dict(a) for a in self.attachments]),
            **if_any("tools", [tool_to_dict(tool) for tool in self.tools]),
            **if_any("stop", list(self.stop)),
            **set_fields(self, _OPTIONAL),
            **({"model": self.model} if self.model else {}),
            **({"extra_body": dict(self.extra_body)} if self.extra_body else {}),
        }

    @classmethod
    @without_frames
    def from_dict(cls, data: Mapping[str, Any]) -> RequestV2:
        """Read inferd's JSON; unknown fields are ignored, unknown blocks are kept.

        Raises:
            InvalidRequestError: The JSON has another shape; the message names the place.
        """
        return cls(
            messages=[
                message_from_dict(item, f"messages[{index}]")
                for index, item in enumerate(take_list(data, "messages", "the request"))
            ],
            attachments=[
                attachment_from_dict(item, f"attachments[{index}]")
                for index, item in enumerate(list_or_none(data, "attachments"))
            ],
            tools=[
                tool_from_dict(item, f"tools[{index}]")
                for index, item in enumerate(list_or_none(data, "tools"))
            ],
            stop=stop_from_json(data),
            **{name: data[name] for name in (*_OPTIONAL, *_WITH_DEFAULTS) if name in data},
        )


_WITH_DEFAULTS = ("id", "model", "extra_body")
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


def check_resolved(request: object) -> None:
    """Refuse what ``RequestV2.resolve()`` did not return: nobody has checked it.

    Raises:
        InvalidRequestError: It is something else.
    """
    if not isinstance(request, ResolvedV2):
        hint = "give what RequestV2.resolve() returns, or call stream()"
        refuse("the request", f"is {kind_of(request)}: {hint}")

"""Version 1 of the protocol: flat text messages, defaults filled in by ``resolve()``.

The field names, defaults and image budgets are those of inferd 0.2 (``inferd-proto``, request.rs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.frames import without_frames
from inferd_engine.proto.roles import Role, check_role, to_role
from inferd_engine.proto.values import (
    check_sampling,
    kind_of,
    refuse,
    set_fields,
    several,
    take,
    take_list,
    to_real,
    to_whole,
)
from inferd_engine.reprs import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_TEMPERATURE = 1.0
DEFAULT_TOP_P = 0.95
DEFAULT_TOP_K = 64
DEFAULT_MAX_TOKENS = 1000
DEFAULT_STREAM = True
IMAGE_TOKEN_BUDGETS = (70, 140, 280, 560, 1120)


def _to_messages(messages: Iterable[Message]) -> tuple[Message, ...]:
    return several(messages)


@attrs.frozen(slots=True)
class Message:
    """One turn of flat text."""

    role: Role = attrs.field(converter=to_role)
    content: str

    __repr__ = short_repr


@attrs.frozen(slots=True)
class Resolved:
    """A v1 request that was checked, with every default filled in."""

    messages: tuple[Message, ...]
    id: str
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stream: bool
    image_token_budget: int | None
    grammar: str

    __repr__ = short_repr


@attrs.frozen(slots=True)
class Request:
    """Ask with flat text; call ``resolve()`` before you hand it to a backend.

    Args:
        messages: The conversation, oldest first.
        id: Your own id of the request; it comes back on errors.
        temperature: Sampling temperature, 0 or more; 1.0 if None.
        top_p: Nucleus sampling, above 0 and at most 1; 0.95 if None.
        top_k: Tokens sampled from, 0 (all) or more; 64 if None.
        max_tokens: Tokens to generate at the most, 1 or more; 1000 if None.
        stream: Whether to stream; True if None.
        image_token_budget: 70, 140, 280, 560 or 1120.
        grammar: A GBNF grammar; empty means unconstrained.
    """

    messages: tuple[Message, ...] = attrs.field(converter=_to_messages)
    id: str = ""
    temperature: float | None = attrs.field(default=None, converter=to_real)
    top_p: float | None = attrs.field(default=None, converter=to_real)
    top_k: int | None = attrs.field(default=None, converter=to_whole)
    max_tokens: int | None = attrs.field(default=None, converter=to_whole)
    stream: bool | None = None
    image_token_budget: int | None = None
    grammar: str = ""

    __repr__ = short_repr

    @without_frames
    def resolve(self) -> Resolved:
        """Check the request and fill the defaults in.

        Raises:
            InvalidRequestError: Something cannot be sent; the message names the place.
        """
        if not self.messages:
            refuse("messages", "is empty: give at least one message")
        for index, message in enumerate(self.messages):
            if not isinstance(message, Message):
                refuse(
                    f"messages[{index}]",
                    f"is not a Message, but {kind_of(message)}: use Message(role, content)",
                )
            check_role(message.role, f"messages[{index}].role")
            if not isinstance(message.content, str):
                refuse(f"messages[{index}].content", "is not a str: version 1 takes flat text only")
        check_sampling(self.temperature, self.top_p, self.top_k, self.max_tokens)
        if self.image_token_budget not in (None, *IMAGE_TOKEN_BUDGETS):
            budgets = ", ".join(map(str, IMAGE_TOKEN_BUDGETS))
            refuse("image_token_budget", f"is {self.image_token_budget!r}: take one of {budgets}")
        return Resolved(
            messages=self.messages,
            id=self.id,
            temperature=_default(self.temperature, DEFAULT_TEMPERATURE),
            top_p=_default(self.top_p, DEFAULT_TOP_P),
            top_k=_default(self.top_k, DEFAULT_TOP_K),
            max_tokens=_default(self.max_tokens, DEFAULT_MAX_TOKENS),
            stream=_default(self.stream, DEFAULT_STREAM),
            image_token_budget=self.image_token_budget,
            grammar=self.grammar,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return inferd's JSON of this request; what is unset is left out."""
        return {
            **({"id": self.id} if self.id else {}),
            "messages": [{"role": str(m.role), "content": m.content} for m in self.messages],
            **set_fields(self, _OPTIONAL),
            **({"grammar": self.grammar} if self.grammar else {}),
        }

    @classmethod
    @without_frames
    def from_dict(cls, data: Mapping[str, Any]) -> Request:
        """Read inferd's JSON; unknown fields are ignored.

        Raises:
            InvalidRequestError: The JSON has another shape; the message names the place.
        """
        messages = tuple(
            Message(
                take(item, "role", f"messages[{index}]"),
                take(item, "content", f"messages[{index}]"),
            )
            for index, item in enumerate(take_list(data, "messages", "the request"))
        )
        fields = {name: data[name] for name in (*_OPTIONAL, "id", "grammar") if name in data}
        return cls(messages, **fields)


_OPTIONAL = ("temperature", "top_p", "top_k", "max_tokens", "stream", "image_token_budget")


def _default(value: Any, default: Any) -> Any:  # the type of either
    return default if value is None else value

"""Version 1 of the protocol: flat text messages, defaults filled in by ``resolve()``.

The field names, defaults and image budgets are those of inferd 0.2 (``inferd-proto``, request.rs).
"""

from __future__ import annotations

import enum
import math
import sys
from typing import TYPE_CHECKING, Any, Literal

import attrs

from inferd_engine.errors import InvalidRequestError
from inferd_engine.frames import without_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_TEMPERATURE = 1.0
DEFAULT_TOP_P = 0.95
DEFAULT_TOP_K = 64
DEFAULT_MAX_TOKENS = 1000
DEFAULT_STREAM = True
IMAGE_TOKEN_BUDGETS = (70, 140, 280, 560, 1120)


class Role(str, enum.Enum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"

    def __str__(self) -> str:
        return self.value


RoleName = Literal["system", "user", "assistant"]


def to_role(value: Role | RoleName) -> Role:
    """Turn a role's word into the ``Role``; keep what is not one, for ``resolve()`` to name."""
    try:
        return Role(value)
    except ValueError:
        return value  # type: ignore[return-value]  # resolve() refuses it


def _to_messages(messages: Iterable[Message]) -> tuple[Message, ...]:
    return tuple(messages)


@attrs.frozen(slots=True)
class Message:
    """One turn of flat text."""

    role: Role = attrs.field(converter=to_role)
    content: str


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
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stream: bool | None = None
    image_token_budget: int | None = None
    grammar: str = ""

    @without_frames
    def resolve(self) -> Resolved:
        """Check the request and fill the defaults in.

        Raises:
            InvalidRequestError: Something cannot be sent; the message names the place.
        """
        if not self.messages:
            msg = "messages is empty: give at least one message"
            raise InvalidRequestError(msg)
        for index, message in enumerate(self.messages):
            if not isinstance(message, Message):
                msg = f"messages[{index}] is not a Message: use Message(role, content)"
                raise InvalidRequestError(msg)
            check_role(message.role, f"messages[{index}].role")
            if not isinstance(message.content, str):
                msg = f"messages[{index}].content is not a str: version 1 takes flat text only"
                raise InvalidRequestError(msg)
        check_sampling(self.temperature, self.top_p, self.top_k, self.max_tokens)
        if self.image_token_budget not in (None, *IMAGE_TOKEN_BUDGETS):
            msg = (
                f"image_token_budget is {self.image_token_budget!r}: "
                f"take one of {', '.join(map(str, IMAGE_TOKEN_BUDGETS))}"
            )
            raise InvalidRequestError(msg)
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


def _default(value: Any, default: Any) -> Any:  # noqa: ANN401 - the type of either
    return default if value is None else value


def set_fields(request: object, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a request that the caller set, by name."""
    return {name: value for name in names if (value := getattr(request, name)) is not None}


def take(data: object, key: str, place: str) -> Any:  # noqa: ANN401 - JSON
    """Take a field that has to be there out of decoded JSON.

    Raises:
        InvalidRequestError: There is none; the message names the place.
    """
    try:
        return data[key]  # type: ignore[index]
    except (KeyError, TypeError, IndexError):
        msg = f"{place} has no field {key!r}"
        raise InvalidRequestError(msg) from None


def take_list(data: object, key: str, place: str) -> list[Any] | tuple[Any, ...]:
    """Take a list that has to be there out of decoded JSON.

    Raises:
        InvalidRequestError: There is none; the message names the place.
    """
    value = take(data, key, place)
    if not isinstance(value, (list, tuple)):
        msg = f"{key} of {place} is not a list"
        raise InvalidRequestError(msg)
    return value


def check_role(role: object, place: str) -> None:
    """Refuse a role that is not one of the three."""
    if not isinstance(role, Role):
        msg = f"{place} is {role!r}: take system, user or assistant"
        raise InvalidRequestError(msg)


def check_sampling(
    temperature: float | None, top_p: float | None, top_k: int | None, max_tokens: int | None
) -> None:
    """Refuse sampling numbers that are not numbers or out of their range.

    Raises:
        InvalidRequestError: The message names the field, its value and its range.
    """
    _check_number("temperature", temperature, 0, sys.float_info.max, "0 or more")
    _check_number("top_p", top_p, math.nextafter(0, 1), 1, "above 0 and at most 1")
    check_integer("top_k", top_k, 0, "a whole number, 0 or more")
    check_integer("max_tokens", max_tokens, 1, "a whole number, 1 or more")


def _check_number(name: str, value: object, low: float, high: float, wanted: str) -> None:
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and low <= value <= high):  # type: ignore[operator]  # NaN is in no range
        msg = f"{name} is {value!r}: it has to be {wanted}"
        raise InvalidRequestError(msg)


def check_integer(
    name: str, value: object, low: float, wanted: str, *, required: bool = False
) -> None:
    """Refuse what is not a whole number of at least ``low``; None is fine unless it is required."""
    if value is None and not required:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        msg = f"{name} is {value!r}: it has to be {wanted}"
        raise InvalidRequestError(msg)

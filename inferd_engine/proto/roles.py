"""Who speaks: the three roles of both versions."""

from __future__ import annotations

import enum
from typing import Literal

from inferd_engine.proto.values import refuse


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


def check_role(role: object, place: str) -> None:
    """Refuse a role that is not one of the three."""
    if not isinstance(role, Role):
        refuse(place, f"is {role!r}: take system, user or assistant")

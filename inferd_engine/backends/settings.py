"""Checks for the settings of backends: each refuses a value by the name of its field.

They are validators of attrs, for whatever class a backend is configured by.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.errors import InvalidRequestError
from inferd_engine.proto.values import check_integer

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 1e9  # seconds, 30 years: sockets refuse much more


def check_word(_: Any, field: Any, value: object) -> None:
    """Refuse what is not a str."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"{field.name} is {value!r}: it has to be a str")


def check_name(_: Any, field: Any, value: object) -> None:
    """Refuse what is not a str, or is empty."""
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(
            f"{field.name} is {value!r}: it has to be a str that is not empty"
        )


def check_pattern(_: Any, field: Any, value: Any) -> None:
    """Refuse what is not a regular expression."""
    try:
        re.compile(value)
    except (re.error, TypeError):
        raise InvalidRequestError(
            f"{field.name} is {value!r}: it has to be a regular expression"
        ) from None


def check_one_of(*choices: object) -> Callable[[Any, Any, object], None]:
    """Return a check that refuses all but these."""

    def check(_: Any, field: Any, value: object) -> None:
        if value not in choices:
            known = ", ".join(map(repr, choices))
            raise InvalidRequestError(f"{field.name} is {value!r}: take one of {known}")

    return check


def check_count(low: int) -> Callable[[Any, Any, int], None]:
    """Return a check that refuses all but whole numbers from the lowest on."""

    def check(_: Any, field: Any, value: int) -> None:
        check_integer(field.name, value, low, f"a whole number, {low} or more", required=True)

    return check


def check_seconds(_: Any, field: Any, value: object) -> None:
    """Refuse what is neither seconds nor None."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < value <= _LONGEST):  # type: ignore[operator]
        raise InvalidRequestError(
            f"{field.name} is {value!r}: it has to be seconds above 0, or None for no limit"
        )


def seconds(default: float | None) -> Any:
    """Return a field that holds seconds, or None for no limit."""
    return attrs.field(default=default, validator=check_seconds)

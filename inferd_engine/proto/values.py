"""Single values, whatever they belong to: refused with their place, in their range, out of JSON."""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from inferd_engine.errors import InvalidRequestError


def refuse(place: str, what: str) -> NoReturn:
    """Raise, and name the place.

    Raises:
        InvalidRequestError: Always.
    """
    raise InvalidRequestError(f"{place} {what}") from None


def several(values: Any) -> tuple[Any, ...]:  # what is wrong is named later
    """Return values as a tuple; one that stands alone is the only one."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        return (values,)
    return tuple(values)


def kind_of(value: object) -> str:
    """Return what a value is, for a message: its class, in words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"  # and not its metaclass, which nobody knows
    return "None" if value is None else f"of type {type(value).__name__}"


# --- numbers -------------------------------------------------------------------------------------


def check_sampling(
    temperature: float | None, top_p: float | None, top_k: int | None, max_tokens: int | None
) -> None:
    """Refuse sampling numbers that are not numbers or out of their range.

    Raises:
        InvalidRequestError: The message names the field, its value and its range.
    """
    _check_number("temperature", temperature, 0, sys.float_info.max, "a number, 0 or more")
    _check_number("top_p", top_p, math.nextafter(0, 1), 1, "a number above 0 and at most 1")
    check_integer("top_k", top_k, 0, "a whole number, 0 or more")
    check_integer("max_tokens", max_tokens, 1, "a whole number, 1 or more")


def to_whole(value: int | None) -> int | None:
    """Return a whole number as Python's own, which JSON can hold: numpy's are numbers, too."""
    is_own = isinstance(value, (int, float))  # also a wrong one, and a bool: they are named later
    return int(value) if isinstance(value, numbers.Integral) and not is_own else value


def to_real(value: float | None) -> float | None:
    """Return a number as Python's own, as ``to_whole()`` does."""
    is_own = isinstance(value, (int, float))
    return float(value) if isinstance(value, numbers.Real) and not is_own else value


def _check_number(name: str, value: object, low: float, high: float, wanted: str) -> None:
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and low <= value <= high):  # type: ignore[operator]  # NaN is in no range
        refuse(name, f"is {value!r}: it has to be {wanted}")


def check_integer(
    name: str, value: object, low: float, wanted: str, *, required: bool = False
) -> None:
    """Refuse what is not a whole number of at least ``low``; None is fine unless it is required.

    Args:
        name: The place of the value.
        value: The value.
        low: The least that it may be.
        wanted: What it has to be, in words.
        required: Whether None is refused too.

    Raises:
        InvalidRequestError: The message names the place.
    """
    if value is None and not required:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        refuse(name, f"is {value!r}: it has to be {wanted}")


# --- fields --------------------------------------------------------------------------------------


def set_fields(request: object, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a request that the caller set, by name."""
    return {name: value for name in names if (value := getattr(request, name)) is not None}


def take(data: object, key: str, place: str) -> Any:
    """Take a field that has to be there out of decoded JSON.

    Raises:
        InvalidRequestError: There is none; the message names the place.
    """
    try:
        return data[key]  # type: ignore[index]
    except (KeyError, TypeError, IndexError):
        refuse(place, f"has no field {key!r}")


def take_list(data: object, key: str, place: str) -> list[Any] | tuple[Any, ...]:
    """Take a list that has to be there out of decoded JSON.

    Raises:
        InvalidRequestError: There is none; the message names the place.
    """
    value = take(data, key, place)
    if not isinstance(value, (list, tuple)):
        refuse(f"{key} of {place}", "is not a list")
    return value

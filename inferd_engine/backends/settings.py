"""Checks for the settings of backends: each refuses a value by the name of its field.

They are validators of attrs, for whatever class a backend is configured by.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.errors import InvalidRequestError
from inferd_engine.proto.embed import EMBED_TASKS
from inferd_engine.proto.fields import KNOWN
from inferd_engine.proto.values import check_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LONGEST = 1e9  # seconds, 30 years: sockets refuse much more


def check_names(config: type, given: Mapping[str, Any]) -> None:
    """Refuse fields that a configuration does not have."""
    names = [field.name for field in attrs.fields(config)]
    for name in given:
        if name in names:
            continue
        hint = "".join(f": did you mean {word}?" for word in close_to(name, names))
        if name == "preset" and hasattr(config, "preset"):
            hint = f": use {config.__name__}.preset(…)"
        if name in KNOWN:
            hint = f": it is an argument of a call, as in backend.stream(…, {name}=…)"
        raise TypeError(f"{config.__name__} has no field {name!r}{hint}")


def close_to(name: object, names: Iterable[str]) -> list[str]:
    """Return the one name that may have been meant, or none."""
    return difflib.get_close_matches(name, [*names], n=1) if isinstance(name, str) else []


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


def check_switch(_: Any, field: Any, value: object) -> None:
    """Refuse what is not a bool: "no" and 0 may mean one, and say another."""
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{field.name} is {value!r}: take True or False")


def check_pattern(_: Any, field: Any, value: object) -> None:
    """Refuse what is not a regular expression."""
    with contextlib.suppress(re.error):
        if isinstance(value, str):
            re.compile(value)
            return
    raise InvalidRequestError(f"{field.name} is {value!r}: it has to be a regular expression")


def check_one_of(*choices: object) -> Callable[[Any, Any, object], None]:
    """Return a check that refuses all but these: 1 is not True, though it is equal."""
    taken = [(type(choice), choice) for choice in choices]

    def check(_: Any, field: Any, value: object) -> None:
        if (type(value), value) not in taken:
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


def check_delay(_: Any, field: Any, value: object) -> None:
    """Refuse what is not seconds, 0 or more."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and 0 <= value <= _LONGEST):  # type: ignore[operator]
        raise InvalidRequestError(f"{field.name} is {value!r}: it has to be seconds, 0 or more")


def _to_prefixes(value: Mapping[str, str] | None) -> dict[str, str]:
    if value is not None and not isinstance(value, Mapping):
        kind = type(value).__name__
        raise InvalidRequestError(f"task_prefixes is of type {kind}: give a mapping")
    return dict(value or {})


def _check_prefixes(_: Any, field: Any, value: Mapping[str, str]) -> None:
    for task, prefix in value.items():
        if task not in EMBED_TASKS:
            known = ", ".join(EMBED_TASKS)
            raise InvalidRequestError(f"{field.name} has the task {task!r}: take some of {known}")
        if not isinstance(prefix, str):
            raise InvalidRequestError(f"{field.name}[{task!r}] is {prefix!r}: it has to be a str")


def prefixes() -> Any:
    """Return a field that holds what is put before a text, by the request's task."""
    return attrs.field(factory=dict, converter=_to_prefixes, validator=_check_prefixes, hash=False)


def switch(*, default: bool) -> Any:
    """Return a field that is on or off."""
    return attrs.field(default=default, validator=check_switch)


def seconds(default: float | None) -> Any:
    """Return a field that holds seconds, or None for no limit."""
    return attrs.field(default=default, validator=check_seconds)

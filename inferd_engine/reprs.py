"""Reprs of one short line: what a value is, and what of it differs from the default.

Goal: a notebook, a debugger or a failed assertion shows what somebody would ask first, in a line
that fits.  A history of a hundred messages, an image or a model's whole answer is told by its size;
the attributes have all of it.

What is secret reads ``***`` (``secrets/secret.py``), and a field may have its own way to be shown
(attrs' ``repr=``).  No repr is meant to be evaluated.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs

LONGEST = 100  # characters of a repr: a line, as the house's own code has them
_TEXT = 60  # characters of a text in it


def shortened(text: str, most: int = _TEXT) -> str:
    """Return the repr of a text that fits a line; cut, if it has to be."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def short_repr(value: Any) -> str:  # of an attrs class
    """Return a repr on one line, for an attrs class: ``__repr__ = short_repr``."""
    return named(type(value).__name__, changed_fields(value))


def named(name: str, shown: str) -> str:
    """Return a repr of so many characters at the most."""
    line = f"{name}({shown})"
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 2]}…)"


def changed_fields(value: Any) -> str:  # of an attrs class
    """Return the fields of a value that are to be shown, as keyword arguments."""
    shown = []
    for field in attrs.fields(type(value)):
        held = getattr(value, field.name)
        if field.repr is False or _is_default(field, held):
            continue
        tell = shown_as if field.repr is True else field.repr
        shown.append(f"{field.name}={tell(held)}")
    return ", ".join(shown)


def _is_default(field: Any, held: object) -> bool:  # attrs'
    """Whether a value is what it is if nothing is said; what is empty says nothing either."""
    if field.default is attrs.NOTHING:
        return False
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]  # a class, all the same
        return not held or (not field.default.takes_self and held == field.default.factory())
    return type(held) in (str, int, float, bool, tuple, type(None)) and held == field.default


def shown_as(value: Any) -> str:  # whatever a field holds
    """Return a value as it is shown inside of a repr."""
    if isinstance(value, enum.Enum):
        return repr(value.value)
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, (Mapping, list, tuple)):
        return _container(value)
    line = repr(value)
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"


def _container(values: Any) -> str:  # a mapping, or a sequence
    """Return how many values there are, or the only one."""
    if len(values) != 1:
        return f"<{len(values)} items>"
    only = next(iter(values))
    if not isinstance(values, Mapping):
        return f"[{shown_as(only)}]"
    held = values[only]
    return f"{{{shown_as(only)}: {shortened(held, 20) if isinstance(held, str) else '…'}}}"

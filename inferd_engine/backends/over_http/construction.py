"""How a configuration is made: secrets are hidden first, and names that are wrong are told.

attrs writes a constructor, whose frames hold what it is given.  So what is given is converted
before it gets there, in the one dict that all frames share.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.frames import without_frames
from inferd_engine.proto.fields import KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# What is not set at all: it has the default, which is the environment's.
_UNSET: dict[str, tuple[object, ...]] = {"api_key": (None,), "base_url": (None, "")}
_ARGUMENT = re.compile(r"^ {4}(\w+): .*\n(?: {5,}.*\n)*", re.MULTILINE)  # in a docstring


def hide(config: type, given: dict[str, Any]) -> None:
    """Convert what is given for fields, in place: then a traceback shows no secret among it."""
    try:
        for field in attrs.fields(config):
            if field.converter is not None and given.get(field.name) is not None:
                given[field.name] = field.converter(given[field.name])
    except BaseException:
        given.clear()  # of what follows nothing is hidden yet
        raise


def hiding(make: Callable[..., None]) -> Callable[..., None]:
    """Wrap a constructor, so that a traceback through it shows no secret among its arguments."""

    @without_frames
    @functools.wraps(make)
    def init(self: object, **given: Any) -> None:
        try:
            hide(type(self), given)
            _check_names(type(self), given)
        except BaseException:
            del self  # it has no fields yet, and cannot be shown in a traceback
            raise
        for name, unset in _UNSET.items():
            if given.get(name) in unset:
                given.pop(name, None)
        make(self, **given)

    return init


def _check_names(config: type, given: Mapping[str, Any]) -> None:
    """Refuse fields that a configuration does not have."""
    names = [field.name for field in attrs.fields(config)]
    for name in given:
        if name in names:
            continue
        hint = "".join(f": did you mean {word}?" for word in close_to(name, names))
        if name == "preset":
            hint = f": use {config.__name__}.preset(…)"
        if name in KNOWN:
            hint = f": it is an argument of a call, as in backend.stream(…, {name}=…)"
        raise TypeError(f"{config.__name__} has no field {name!r}{hint}")


def close_to(name: object, names: Iterable[str]) -> list[str]:
    """Return the one name that may have been meant, or none."""
    return difflib.get_close_matches(name, [*names], n=1) if isinstance(name, str) else []


def documented(config: type, every: type) -> str:
    """Return the docstring of a configuration, with the arguments of every one added to its own.

    help() shows one class at a time.
    """
    own, common = inspect.cleandoc(config.__doc__ or ""), inspect.cleandoc(every.__doc__ or "")
    head, mark, rest = own.partition("Args:\n")
    arguments, gap, tail = rest.partition("\n\n")
    told = {found[1] for found in _ARGUMENT.finditer(arguments + "\n")}
    shared = common.partition("Args:\n")[2].partition("\n\n")[0] + "\n"
    added = "".join(found[0] for found in _ARGUMENT.finditer(shared) if found[1] not in told)
    return f"{head}{mark}{arguments}\n{added.rstrip()}{gap}{tail}" if mark else own

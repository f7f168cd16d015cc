"""The fields of a request, as the keyword arguments of a call: ``stream("Hi", max_tokens=10)``.

``RequestFields`` is what editors complete and type checkers check; a test holds it to the fields of
``RequestV2``.  At run time the names are checked here, because a name that is wrong should say
where it was given, and what was meant.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Union

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from inferd_engine.proto.blocks import Attachment, Tool

Thinking = Union[bool, Literal["low", "medium", "high"]]


class RequestFields(TypedDict, total=False):
    """What a call may say beside its prompt: the fields of ``RequestV2``, by name."""

    id: str
    attachments: Iterable[Attachment]
    tools: Iterable[Tool | Mapping[str, Any]]
    temperature: float | None
    top_p: float | None
    top_k: int | None
    max_tokens: int | None
    stream: bool | None
    stop: str | Sequence[str]
    seed: int | None
    response_format: Mapping[str, Any] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    thinking: Thinking | None
    model: str
    extra_body: Mapping[str, Any]


_CALL = ("system", "cancel", "include_raw")
KNOWN = frozenset({*RequestFields.__annotations__, *_CALL})


def check_names(call: str, names: Iterable[str], settings: Collection[str]) -> None:
    """Refuse arguments that no call has.

    Args:
        call: What was called, such as ``"stream()"``.
        names: Of the keyword arguments.
        settings: What the backend's configuration has.

    Raises:
        TypeError: There is no such argument; the message says what may have been meant.
    """
    for name in names:
        if name in KNOWN:
            continue
        msg = f"{call} has no argument {name!r}"
        if name in settings:
            msg += f": it is a setting of the backend, as in backend.with_options({name}=…)"
        elif close := difflib.get_close_matches(name, [*KNOWN, *settings], n=1):
            meant = close[0]
            where = "" if meant in KNOWN else f", as in backend.with_options({meant}=…)"
            msg += f": did you mean {meant}{where}?"
        else:
            msg += f"; it takes {', '.join(sorted(KNOWN))}"
        raise TypeError(msg)

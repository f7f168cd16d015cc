"""What the upstream answers: a status, headers, and steps that are taken one after the other.

A reply is checked when it is made: one that could not be served is refused in the line of the test
that wrote it, and not in a thread of the server.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any, Literal, get_args

from inferd_engine.testing.steps import Action, checked_steps, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferd_engine.testing.steps import Step

Framing = Literal["chunked", "close", "length", "raw"]


@dataclasses.dataclass(frozen=True)
class Reply:
    """One answer.

    Args:
        steps: The body, and what happens in between.
        status: The HTTP status.
        headers: Headers of the answer; Content-Type is an event stream's if none is given.
        framing: ``"chunked"``, ``"close"`` (no length: the end of the connection is the end),
            ``"length"`` (Content-Length), or ``"raw"`` (the steps are the whole answer, with its
            status line and headers).
        before: Steps to take before the status line.

    Raises:
        TypeError: One of them is of a wrong type.
        ValueError: It could not be served: a length without an end, a header of two lines.
    """

    steps: Sequence[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    framing: Framing = "chunked"
    before: Sequence[Step] = ()

    def __repr__(self) -> str:
        return f"<Reply {self.status}, {self.framing}, {len(self.steps)} steps>"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", checked_steps(self.steps, "steps"))
        object.__setattr__(self, "before", checked_steps(self.before, "before"))
        _check_status(self.status)
        _check_headers(self.headers)
        if self.framing not in get_args(Framing):
            raise ValueError(f"framing is {self.framing!r}, not one of {_FRAMINGS}")
        if self.framing == "length" and self.size is None:
            raise ValueError('framing="length" needs an end, and one of the steps never ends')

    @property
    def size(self) -> int | None:
        """Bytes of the body; None: it never ends."""
        total = 0
        for step in self.steps:
            size = step.size if isinstance(step, Action) else len(step)
            if size is None:
                return None
            total += size
        return total


def with_default(headers: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """Return the headers, with this one in front unless they have it, however it is written."""
    has_it = any(given.lower() == name.lower() for given in headers)
    return {**headers} if has_it else {name: value, **headers}


_FRAMINGS = ", ".join(map(repr, get_args(Framing)))
_NO_HEADER = re.compile(r"[\r\n\0]|[^\x00-\xff]")


def _check_status(status: object) -> None:
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"status is {kind_of(status)}, not an int")
    if not 200 <= status <= 999:  # noqa: PLR2004 - three digits that end an answer
        raise ValueError(f"status is {status}, not 200 to 999; send a 1xx as bytes, in before=")


def _check_headers(headers: Any) -> None:  # that is the question
    if not hasattr(headers, "items"):
        raise TypeError(f"headers is {kind_of(headers)}, not a mapping of names to values")
    for name, value in headers.items():
        for part in (name, value):
            if not isinstance(part, str):
                raise TypeError(f"headers[{name!r}]: {part!r} is {kind_of(part)}, not a str")
            if _NO_HEADER.search(part):
                raise ValueError(f"headers[{name!r}]: {part!r} does not fit one line of latin-1")


def event(data: Any, event: str | None = None) -> bytes:  # JSON, or text as it is
    """Return one server-sent event; anything but a str is sent as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    name = f"event: {event}\n" if event else ""
    return (name + "".join(f"data: {line}\n" for line in text.split("\n")) + "\n").encode()


def json_reply(value: Any, status: int = 200, **reply: Any) -> Reply:
    """Answer with one JSON document."""
    headers = with_default(reply.pop("headers", {}), "Content-Type", "application/json")
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply([body], status, headers, **{"framing": "length", **reply})


def raw_reply(*steps: Step) -> Reply:
    """Answer with these very bytes, status line and headers included; then close."""
    return Reply(steps, framing="raw")

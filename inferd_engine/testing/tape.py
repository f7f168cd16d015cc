"""What a cassette's file holds: one JSON object a line, easy to read, to diff and to merge.

    {"cassette": 1, "base": "/v1", "note": "…"}                 once, in front
    {"kind": "request", "method", "path", "headers", "body"}    then for each interaction these:
    {"kind": "response", "t", "status", "headers", "framing"}   not there if no status line came
    {"kind": "chunk", "t", "text"}                              "base64" if it is not UTF-8
    {"kind": "end", "t", "how"}                                 "eof", "cut", "reset", "cancelled"

``t`` is in seconds since the request was sent.  A chunk is what the upstream sent as one HTTP
chunk, or what one read gave where it sent no chunks.  "cancelled" says that the client left first.
The lines of an interaction stay together, in the order in which the requests came.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inferd_engine.testing.matching import fits, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VERSION = 1
NOTE = "Prompts and answers may be personal data: read this file before you commit it."
# What may differ from run to run, and asks for nothing else.
_NOT_MATCHED = ("stream_options", "id", "request_id")

Framing = Literal["chunked", "length", "close"]
Ending = Literal["eof", "cut", "reset", "cancelled"]


@dataclasses.dataclass
class Request:
    """What was asked; the body is JSON, or text if it is none."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None

    @functools.cached_property
    def meant(self) -> Any:
        """The body, without what makes no difference."""
        if isinstance(self.body, dict):
            return {name: self.body[name] for name in self.body if name not in _NOT_MATCHED}
        return self.body

    @functools.cached_property
    def canonical(self) -> str:
        """All of it as one text: equal for all spellings of one request."""
        text = json.dumps(plain(self.meant), sort_keys=True, ensure_ascii=False)
        return f"{self.method} {self.path}\n{text}"

    def matches(self, other: Request) -> bool:
        """Whether another request is this one, which was recorded."""
        return fits(self.canonical, other.canonical)


@dataclasses.dataclass
class Response:
    """The status line and the headers.

    Attributes:
        length: What Content-Length promised, with the framing ``"length"``.
    """

    t: float
    status: int
    headers: dict[str, str]
    framing: Framing = "chunked"
    length: int | None = None


@dataclasses.dataclass
class Interaction:
    """One request and what came back: chunks with their times, and how it ended."""

    request: Request
    response: Response | None = None
    chunks: list[tuple[float, bytes]] = dataclasses.field(default_factory=list)
    ended: float = 0.0
    how: Ending = "eof"


# --- the file ------------------------------------------------------------------------------------


def write(path: Path, base: str, interactions: Iterable[Interaction]) -> None:
    """Write a cassette whole, or leave what is there: it is never seen half written."""
    lines = [{"cassette": VERSION, "base": base, "note": NOTE}]
    for interaction in interactions:
        lines += _lines_of(interaction)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123 - has it
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        Path(scratch).chmod(0o644)  # mkstemp gives a file that its owner alone may read
        os.replace(scratch, path)  # noqa: PTH105 - of a str
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _lines_of(interaction: Interaction) -> Iterator[dict[str, Any]]:
    yield {"kind": "request", **dataclasses.asdict(interaction.request)}
    if interaction.response is not None:
        fields = dataclasses.asdict(interaction.response)
        fields["t"] = _rounded(interaction.response.t)
        if fields["length"] is None:
            del fields["length"]
        yield {"kind": "response", **fields}
    for t, data in interaction.chunks:
        try:
            content = {"text": data.decode()}
        except UnicodeDecodeError:  # it is cut inside of a character, or is no text
            content = {"base64": base64.b64encode(data).decode()}
        yield {"kind": "chunk", "t": _rounded(t), **content}
    yield {"kind": "end", "t": _rounded(interaction.ended), "how": interaction.how}


def _rounded(seconds: float) -> float:
    return round(seconds, 4)  # a tenth of a millisecond: the order of chunks is kept


def read(path: Path) -> tuple[str, list[Interaction]]:
    """Give the base path and the interactions of a file.

    Raises:
        ValueError: It is not a cassette; the message names the line.
    """
    interactions: list[Interaction] = []
    number = 1
    try:
        first, *lines = path.read_text("utf-8").split("\n")
        base = _base_of(json.loads(first))
        for number, line in enumerate(lines, 2):  # noqa: B007 - the error names it
            if line:
                _take(json.loads(line), interactions)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{path}, line {number}: this is not a cassette's line: {error!r}"
        ) from None
    return base, interactions


def _base_of(line: dict[str, Any]) -> str:
    if line["cassette"] != VERSION:
        raise ValueError(f"this version reads cassettes of version {VERSION}: record it anew")
    return str(line["base"])


def _take(line: dict[str, Any], interactions: list[Interaction]) -> None:
    """Add a line to the interactions."""
    kind = line.pop("kind")
    if kind == "request":
        interactions.append(Interaction(Request(**line)))
        return
    last = interactions[-1]
    if kind == "response":
        last.response = Response(**line)
    elif kind == "chunk":
        data = line["text"].encode() if "text" in line else base64.b64decode(line["base64"])
        last.chunks.append((line["t"], data))
    elif kind == "end":
        last.ended, last.how = line["t"], line["how"]
    else:
        raise ValueError(f"there is no kind {kind!r}")

"""Embeddings: one request, one answer, nothing to stream (inferd 0.2, embed/request.rs)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

from inferd_engine.frames import made_without_frames, without_frames
from inferd_engine.proto.values import check_integer, kind_of, refuse, set_fields, take
from inferd_engine.reprs import short_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

EmbedTask = Literal[
    "retrieval_query",
    "retrieval_document",
    "similarity",
    "classification",
    "clustering",
    "question_answering",
    "fact_verification",
    "code_retrieval_query",
]
EMBED_TASKS: tuple[str, ...] = get_args(EmbedTask)


def _to_input(value: str | Iterable[str]) -> tuple[str, ...]:
    if not isinstance(value, Iterable):
        refuse("input", f"is {kind_of(value)}: give a str or a list of str")
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen(slots=True)
class EmbedResolved:
    """An embedding request that was checked."""

    input: tuple[str, ...]
    id: str = ""
    dimensions: int | None = None
    task: str | None = None
    model: str = ""

    __repr__ = short_repr


@made_without_frames
@attrs.frozen(slots=True)
class EmbedRequest:
    """Ask for vectors; call ``resolve()`` before you hand it to a backend.

    Args:
        input: Texts, each encoded on its own; a str is one.
        id: Your own id of the request.
        dimensions: Length to cut the vectors to, where the model can.
        task: What the vectors are for, one of inferd's task words.
        model: The upstream's name of the model; empty: the backend's own.
    """

    input: tuple[str, ...] = attrs.field(converter=_to_input)
    id: str = ""
    dimensions: int | None = None
    task: str | None = None
    model: str = ""

    __repr__ = short_repr

    @without_frames
    def resolve(self) -> EmbedResolved:
        """Check the request.

        Raises:
            InvalidRequestError: Something cannot be sent; the message names the place.
        """
        if not self.input:
            refuse("input", "is empty: give at least one text")
        for index, text in enumerate(self.input):
            if not isinstance(text, str) or not text:
                refuse(f"input[{index}]", "is not a text: it has to be a str that is not empty")
        check_integer("dimensions", self.dimensions, 1, "a whole number, 1 or more")
        if self.task not in (None, *EMBED_TASKS):
            refuse("task", f"is {self.task!r}: take one of {', '.join(EMBED_TASKS)}")
        if not isinstance(self.model, str):
            refuse("model", f"is {self.model!r}: it has to be a str, empty for the backend's own")
        return EmbedResolved(self.input, self.id, self.dimensions, self.task, self.model)

    def to_dict(self) -> dict[str, Any]:
        """Return inferd's JSON of this request; what is unset is left out."""
        return {
            **({"id": self.id} if self.id else {}),
            "input": list(self.input),
            **set_fields(self, ("dimensions", "task")),
            **({"model": self.model} if self.model else {}),
        }

    @classmethod
    @without_frames
    def from_dict(cls, data: Mapping[str, Any]) -> EmbedRequest:
        """Read inferd's JSON; unknown fields are ignored."""
        fields = {
            name: data[name] for name in ("id", "dimensions", "task", "model") if name in data
        }
        return cls(take(data, "input", "the request"), **fields)

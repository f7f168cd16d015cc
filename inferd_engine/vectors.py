"""What a request for embeddings gives: vectors, compact until somebody wants Python's floats.

A vector of 1536 numbers takes 6 KB as ``array("f")`` and 49 KB as a tuple of floats, and to make
the second takes most of the time.  So it stays what the upstream's answer became, and is converted
when it is asked for.  numpy, which is no dependency, takes it by ``numpy.asarray(result)``.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.events import Usage
from inferd_engine.reprs import named, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def _to_vectors(vectors: Iterable[Sequence[float]]) -> tuple[Sequence[float], ...]:
    return tuple(vectors)


def _to_usage(value: Usage | int | None) -> Usage | None:
    return Usage(value, None) if isinstance(value, int) else value


@attrs.frozen(slots=True, repr=False, hash=False)
class EmbedResult:
    """The vectors of an embedding request, one for each input, in its order.

    Args:
        embeddings: One sequence of numbers for each input.
        model: The model that made them, in the upstream's word; empty if it did not say.
        usage: What it cost; None if the upstream did not say.  A number is its input tokens.
    """

    _vectors: tuple[Sequence[float], ...] = attrs.field(converter=_to_vectors, alias="embeddings")
    model: str = ""
    usage: Usage | None = attrs.field(default=None, converter=_to_usage)

    @property
    def arrays(self) -> tuple[array[float], ...]:
        """The vectors as ``array("f")``, 4 bytes a number."""
        return tuple(v if isinstance(v, array) else array("f", v) for v in self._vectors)

    @property
    def embeddings(self) -> tuple[tuple[float, ...], ...]:
        """The vectors as tuples of floats; made anew each time."""
        return tuple(tuple(vector) for vector in self._vectors)

    @property
    def dimensions(self) -> int:
        """How long a vector is; 0 if there is none."""
        return len(self._vectors[0]) if self._vectors else 0

    @property
    def input_tokens(self) -> int | None:
        """How many tokens the texts had; None if the upstream did not say."""
        return None if self.usage is None else self.usage.input_tokens

    def __len__(self) -> int:
        return len(self._vectors)

    def __repr__(self) -> str:
        size = f"{len(self)} of {self.dimensions} dimensions"
        said = f"model={shortened(self.model)}, input_tokens={self.input_tokens}"
        return named("EmbedResult", f"{size}, {said}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:  # noqa: FBT001
        """Give numpy a matrix, a row for each text: what ``numpy.asarray(result)`` asks for."""
        import numpy as np  # noqa: PLC0415 - who asks has it

        if copy is False:
            raise ValueError("the vectors are not one block of memory: a matrix of them is a copy")
        matrix = np.empty((len(self), self.dimensions), np.float32 if dtype is None else dtype)
        for row, vector in zip(matrix, self._vectors, strict=True):
            row[:] = vector if not isinstance(vector, array) else np.frombuffer(vector, np.float32)
        return matrix

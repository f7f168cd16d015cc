"""Tell which of the choices in a chunk are the answer.

Where several were asked for (``n`` above 1), choice 0 is the answer and the others are left out.
Where one was asked for, its index ought to be 0, and some servers count chunks, or blocks of the
answer, with it.  Without a word from the server the two look alike at first: index 1 after index 0
may be a second choice that nobody asked for.  The rule:

* a choice without a readable index has index 0;
* of several indexes in one chunk the lowest counts, and from then on choices are told by them;
* what has another index than 0 is held back.  If choice 0 comes again, it was another choice's, and
  from then on 0 alone counts.  If it does not within eight chunks, or the answer ends, or what is
  held says why it ended, then what was held is the answer's: all of it, and all that comes, if the
  index was never seen to tell choices apart, else what has the lowest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.wire.text.json_shapes import whole_number

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_HELD = (
    8  # chunks: more choices than that are not sent unasked, and so many tokens are soon there
)
_LARGEST_HELD = 65536  # characters of a choice; a larger one is no token, and is not kept
_FIRST = (0, None, "0")


class Choices:
    """Give it the choices of each chunk; it gives those that are the answer.

    Args:
        asked: How many were asked for; what is no number is one.
    """

    def __init__(self, asked: Any = 1) -> None:
        self._is_numbered = (whole_number(asked) or 1) > 1
        self._only: int | None = 0 if self._is_numbered else None
        self._saw_several = False
        self._is_open = False  # whether all that comes is the answer's, whatever its index
        self._held: list[tuple[int, dict[str, Any]]] = []

    def __bool__(self) -> bool:
        """Whether any are held back."""
        return bool(self._held)

    def take(
        self,
        choices: list[dict[str, Any]],
        size: int,
        says_why: Callable[[dict[str, Any]], bool],
    ) -> list[dict[str, Any]]:
        """Return those of a chunk that are the answer, and those that turn out to be.

        Args:
            choices: What the chunk holds; never empty.
            size: Characters of the chunk.
            says_why: Whether a choice says why it ended, or that it failed.
        """
        is_common = len(choices) == 1 and not self._held and choices[0].get("index") in _FIRST
        if self._is_open or (is_common and not self._only):
            return choices
        numbered = [(self._index_of(choice, place), choice) for place, choice in enumerate(choices)]
        if self._only is not None:
            return [choice for index, choice in numbered if index == self._only]
        lowest = min(index for index, _ in numbered)
        ours = [(index, choice) for index, choice in numbered if index == lowest]
        self._saw_several = self._saw_several or len(ours) < len(numbered)
        if lowest == 0:
            if self._held or self._saw_several:
                self._only = 0
                self._held = []
            return [choice for _, choice in ours]
        self._held += ours
        is_large = size > _LARGEST_HELD * len(choices)
        if is_large or len(self._held) >= _MOST_HELD or any(map(says_why, choices)):
            return self.flush()
        return []

    def flush(self) -> list[dict[str, Any]]:
        """Return what was held back and is the answer's."""
        held, self._held = self._held, []
        if held and self._saw_several:
            self._only = min(index for index, _ in held)
        elif held:
            self._is_open = True
        return [choice for index, choice in held if self._only in (None, index)]

    def _index_of(self, choice: dict[str, Any], place: int) -> int:
        index = whole_number(choice.get("index"))
        if index is None:
            return place if self._is_numbered else 0
        return index

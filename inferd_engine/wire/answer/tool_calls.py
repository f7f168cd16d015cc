"""What the calls of an answer cost, and what tells them apart."""

from __future__ import annotations

CALL_CHARGE = 1024  # bytes that a call costs before its first argument: about what Python takes


class UniqueIds:
    """Makes ids unique in an answer: two calls with one id cannot both be answered."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._repeats: dict[str, int] = {}  # how often an id was given before

    def unique(self, own_id: str) -> str:
        """Give the id, or one like it that no call before had."""
        call_id = own_id
        while call_id in self._given:
            self._repeats[own_id] = self._repeats.get(own_id, 0) + 1
            call_id = f"{own_id}_{self._repeats[own_id]}"
        self._given.add(call_id)
        return call_id

"""Keep an answer's ``reasoning_details``, which some upstreams want back unchanged.

OpenRouter sends a model's thoughts as blocks, some of them encrypted or signed, a piece at a time.
A model that called a tool goes on thinking where it stopped only if it gets its blocks back.  So
they are put together and kept with the first tool call of the answer (``ToolUse.extra``), from
where the next request gives them to the message.

The rule: pieces of one type and index, one after the other, are one block; text in them is joined,
of everything else the last value that is not null counts.

OpenRouter documentation, "Reasoning Tokens", "Preserving reasoning blocks".
"""

from __future__ import annotations

import json
from typing import Any

from inferd_engine.wire.text.json_shapes import objects_in

REASONING_DETAILS = "reasoning_details"
_TEXTS = ("text", "summary", "data")
_BLOCK_CHARGE, _PIECE_CHARGE = 512, 64  # bytes beside the text: about what Python takes


class ReasoningDetails:
    """Feed it the ``reasoning_details`` of each delta."""

    def __init__(self) -> None:
        self._blocks: list[tuple[dict[str, Any], dict[str, list[str]]]] = []  # fields, texts
        self.size = 0

    def take(self, pieces: Any) -> None:
        """Take what one delta held; what is no list of objects says nothing."""
        for piece in objects_in(pieces):
            self.size += _PIECE_CHARGE + len(json.dumps(piece))
            self._add(piece)

    def _add(self, piece: dict[str, Any]) -> None:
        fields: dict[str, Any] = {}
        texts: dict[str, list[str]] = {}
        key = (piece.get("type"), piece.get("index"))
        if self._blocks and None not in key:
            last = self._blocks[-1][0]
            if key == (last.get("type"), last.get("index")):
                fields, texts = self._blocks.pop()
                self.size -= _BLOCK_CHARGE
        for name, value in piece.items():
            if name in _TEXTS and isinstance(value, str):
                texts.setdefault(name, []).append(value)
            if value is not None or name not in fields:
                fields[name] = value
        self._blocks.append((fields, texts))
        self.size += _BLOCK_CHARGE

    def blocks(self) -> list[dict[str, Any]]:
        """Return the blocks as they go back."""
        return [
            {**fields, **{name: "".join(parts) for name, parts in texts.items()}}
            for fields, texts in self._blocks
        ]

"""The content blocks of an answer while they come in: calls made whole, a turn kept to go back.

Goal: whole calls as soon as they are whole, and the turn as the upstream wants it back.

Blocks have an index, and overlap: some servers stop none before the last has begun.  An index that
begins again is another block.  A call's input is what its pieces say together; ``input`` in its
beginning is a seed, which counts only if no piece says anything.

A call is given when its block stops, if its input is an object.  One that is blank, or no JSON, may
have been cut by a limit, which is known only when the upstream says why it stopped: it is held.
That the model went on to another block shows that a blank call was whole.  What is still held at
the end, and what was never stopped, is given then, or left out of an answer that was cut.

A turn has to go back unchanged if its thoughts are signed, so its text is kept, and signatures are;
no more of it than ``max_bytes``, and if nothing is signed, nothing goes back.  Of a block of any
other kind nothing is kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import ToolCallMalformedError
from inferd_engine.events import ToolUse
from inferd_engine.proto.v2 import TextBlock, ThinkingBlock, ToolUseBlock
from inferd_engine.wire.answer.tool_arguments import read_arguments
from inferd_engine.wire.answer.tool_calls import CALL_CHARGE, UniqueIds
from inferd_engine.wire.anthropic.history import REDACTED, SIGNATURE
from inferd_engine.wire.text.json_shapes import word_in
from inferd_engine.wire.text.printable import printable
from inferd_engine.wire.text.surrogates import join_surrogates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.proto.v2 import ContentBlock

TEXT, THINKING, TOOL_USE = "text", "thinking", "tool_use"
_REDACTED = "redacted_thinking"
_KEPT = (TEXT, THINKING, _REDACTED, TOOL_USE)
_BLOCK_CHARGE = 128  # bytes that a block costs beside what is in it, a call more


class Block:
    """One block; ``parts`` are its text, its thought, or the JSON of its input.

    A thought's signature is ``signed``, and all of a redacted thought is.
    """

    __slots__ = (
        "given",
        "id",
        "is_stopped",
        "kind",
        "name",
        "number",
        "parts",
        "seed",
        "signed",
    )

    def __init__(self, kind: str, start: dict[str, Any], number: int) -> None:
        self.kind = kind if kind in _KEPT else ""
        self.number = number  # of the calls that began before it
        self.parts: list[str] = []
        self.signed: list[str] = []
        is_call = kind == TOOL_USE
        self.id = word_in(start.get("id")) if is_call else ""
        self.name = word_in(start.get("name")) if is_call else ""
        self.seed = _json_of(start.get("input")) if is_call else ""
        self.is_stopped = False
        self.given: ToolUse | None = None

    @property
    def is_blank(self) -> bool:
        """Whether nothing was said of a call's input."""
        return not self.seed and not any(map(str.strip, self.parts))

    def read(self) -> Any:
        """Decode a call's input.

        Raises:
            ValueError: It is no JSON, or there is no name.
        """
        if not self.name:
            raise ValueError("a tool call without a name")
        if any(map(str.strip, self.parts)):
            return read_arguments(self.parts)
        return read_arguments([self.seed or "{}"])

    def raw(self) -> str:
        """Give the JSON of a call's input as it came."""
        return join_surrogates("".join(self.parts) or self.seed)


class Blocks:
    """The blocks of one answer, in the order in which they began."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._blocks: list[Block] = []
        self._by_index: dict[int | None, Block] = {}
        self._texts: dict[tuple[int | None, str], Block] = {}  # where text and thoughts go
        self._call: Block | None = None  # the last one
        self._held: Block | None = None  # a blank call: the next block shows that it was whole
        self._ids = UniqueIds()
        self._kept = 0  # bytes of text and thoughts
        self.size = 0
        """Bytes that the calls have cost, with a flat charge for each block."""
        self.calls = 0
        """How many calls have begun."""

    def begin(self, index: int | None, kind: str, start: dict[str, Any]) -> Iterator[ToolUse]:
        """Begin a block; give the calls that this shows to be whole."""
        if index in self._by_index:
            yield from self.stop(index)
            for key in ((index, TEXT), (index, THINKING)):
                self._texts.pop(key, None)
        if self._held is not None:
            held, self._held = self._held, None
            yield from self._given_if_whole(held)
        block = self._by_index[index] = self._new(kind, start)
        if kind in (TEXT, THINKING):
            self._texts[index, kind] = block
        elif kind == TOOL_USE:
            self.calls += 1
            self._call = block
            self.size += len(block.id) + len(block.name) + len(block.seed)
        elif kind == _REDACTED and isinstance(data := start.get("data"), str):
            self._sign(block, data)
        if kind == THINKING:
            self.sign(index, start.get("signature"))

    def _new(self, kind: str, start: dict[str, Any]) -> Block:
        block = Block(kind, start, self.calls)
        self._blocks.append(block)
        self.size += CALL_CHARGE if kind == TOOL_USE else _BLOCK_CHARGE
        return block

    def add(self, index: int | None, kind: str, text: str) -> None:
        """Keep text or a thought; a block that never began, or is a call, has one beside it."""
        if self._kept > self._max_bytes:
            return
        block = self._texts.get((index, kind))
        if block is None:
            block = self._texts[index, kind] = self._new(kind, {})
        block.parts.append(text)
        self._kept += len(text)
        if self._kept > self._max_bytes:
            self._forget()

    def _forget(self) -> None:
        """Keep nothing of a turn that is too long to go back."""
        for block in self._blocks:
            block.signed.clear()
            if block.kind != TOOL_USE:
                block.parts.clear()

    def add_input(self, index: int | None, piece: str) -> None:
        """Add a piece of a call's input; one that belongs to no block is the last call's."""
        block = self._last() if index is None else self._by_index.get(index)
        if block is None or block.kind in (TEXT, THINKING):
            block = self._call
            if not piece.strip() or block is None or block.is_stopped:
                return
        if block.kind == TOOL_USE and piece:
            block.parts.append(piece)
            self.size += len(piece)

    def sign(self, index: int | None, signature: Any) -> None:
        """Keep the signature of a thought, or the next piece of it."""
        if not isinstance(signature, str) or not signature:
            return  # what is no text could not go back as it came
        block = self._texts.get((index, THINKING))
        if block is None:  # of a thought that is not shown
            block = self._texts[index, THINKING] = self._new(THINKING, {})
        self._sign(block, signature)

    def _sign(self, block: Block, signature: str) -> None:
        if self._kept > self._max_bytes:
            return
        block.signed.append(signature)
        self._kept += len(signature)
        if self._kept > self._max_bytes:
            self._forget()

    def stop(self, index: int | None) -> Iterator[ToolUse]:
        """End a block; give the call that it is, if it is one and whole."""
        block = self._last() if index is None else self._by_index.get(index)
        if block is not None and not block.is_stopped:
            block.is_stopped = True
            if block.is_blank and block is self._blocks[-1]:
                self._held = block
            else:
                yield from self._given_if_whole(block)

    def finish(self, *, cut: bool) -> Iterator[tuple[ToolUse, int]]:
        """Give the calls that were not given yet, each with its size in bytes.

        Args:
            cut: The answer was cut: a call that may not be whole is left out.

        Raises:
            ToolCallMalformedError: A call's input is no JSON; the calls before it were given.
        """
        for block in self._blocks:
            if block.kind != TOOL_USE or block.given is not None:
                continue
            if cut and block.is_blank and block is self._last():
                continue
            try:
                value = block.read()
            except ValueError as error:
                if cut:
                    continue
                raise self._malformed(block) from error
            if not cut or isinstance(value, dict):
                size = sum(map(len, block.parts))
                yield self._give(block, value), size

    def turn(self) -> tuple[ContentBlock, ...]:
        """Give the turn as it has to go back; nothing if it may go back as anybody likes."""
        is_signed = any(block.signed for block in self._blocks)
        if not is_signed or self._kept > self._max_bytes:
            return ()
        blocks = map(_replayed, self._blocks)
        return tuple(block for block in blocks if block is not None)

    def _last(self) -> Block | None:
        return self._blocks[-1] if self._blocks else None

    def _given_if_whole(self, block: Block) -> Iterator[ToolUse]:
        if block.kind != TOOL_USE or block.given is not None:
            return
        try:
            value = block.read()
        except ValueError:
            return  # whether that is an error shows at the end
        if isinstance(value, dict):
            yield self._give(block, value)

    def _give(self, block: Block, value: Any) -> ToolUse:
        block.given = ToolUse(self._id_of(block), join_surrogates(block.name), value)
        block.parts = []
        return block.given

    def _id_of(self, block: Block) -> str:
        return self._ids.unique(join_surrogates(block.id) or f"call_{block.number}")

    def _malformed(self, block: Block) -> ToolCallMalformedError:
        what = f"{printable(block.name)!r} is not JSON" if block.name else "has no name"
        return ToolCallMalformedError(
            f"the input of tool call {what}: {printable(block.raw(), 200)!r}",
            tool_call_id=self._id_of(block),
            name=block.name,
            arguments=block.raw(),
        )


def _json_of(seed: Any) -> str:
    """Give the JSON of a call's input as it stood in its beginning; "" if that is nothing."""
    return seed if isinstance(seed, str) else json.dumps(seed) if seed else ""


def _replayed(block: Block) -> ContentBlock | None:
    """Give a block as it goes back; None for what does not."""
    text = join_surrogates("".join(block.parts)) if block.kind != TOOL_USE else ""
    if block.kind == TEXT and text:
        return TextBlock(text)
    signature = "".join(block.signed)
    if block.kind == THINKING and (text or signature):
        return ThinkingBlock(text, {SIGNATURE: signature} if signature else {})
    if block.kind == _REDACTED and signature:
        return ThinkingBlock("", {REDACTED: signature})
    if block.given is not None:
        call = block.given
        return ToolUseBlock(call.tool_call_id, call.name, call.input)
    return None

"""Put a message together from the events that tell of it: text, thoughts, calls, and how it ended.

1.  Blocks go by their index and may overlap (``blocks``).  A delta's own type says what it adds:
    text that comes for the index of a call is text.
2.  Numbers of usage replace each other (``usage``).
3.  A call makes the reason ``tool_use`` where the upstream said that it came to an end, or nothing;
    ``tool_use`` without a call is ``end_turn``.
4.  A whole message, of an answer that was not streamed, is its blocks one after the other.

Half a character is held back until its other half is there (``wire.text.surrogates``).
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from inferd_engine.events import Done, StopReason, TextDelta, ThinkingDelta
from inferd_engine.wire.answer.errors import too_large
from inferd_engine.wire.answer.finish_reasons import ENDS_BY_ITSELF, finish_word, stop_reason_of
from inferd_engine.wire.anthropic.blocks import TEXT, THINKING, Blocks
from inferd_engine.wire.anthropic.usage import Counted
from inferd_engine.wire.text.json_shapes import (
    joined_text,
    object_in,
    objects_in,
    whole_number,
    word_in,
)
from inferd_engine.wire.text.surrogates import TextChannel, join_surrogates, joined_in_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferd_engine.events import TokenEventV2, ToolUse
    from inferd_engine.wire.answer.likeness import Said

# What a delta adds, by its type, and the field that holds it.
_TEXT, _THOUGHT, _SIGNATURE, _INPUT = (
    "text_delta", "thinking_delta", "signature_delta", "input_json_delta",
)  # fmt: skip
_FIELDS = {_TEXT: "text", _THOUGHT: "thinking", _SIGNATURE: "signature", _INPUT: "partial_json"}


class Message:
    """Feed it the events of one message in order; it gives ours.

    Args:
        max_bytes: What all tool calls may cost together, in bytes.
        request_id: The upstream's id of the request, for errors.
    """

    def __init__(self, max_bytes: int, request_id: str | None) -> None:
        self._max_bytes = max_bytes
        self._request_id = request_id
        self._blocks = Blocks(max_bytes)
        self._text = TextChannel()
        self._thinking = TextChannel()
        self._counted = Counted()
        self._stop_sequence: Any = None
        self._stop_details: Any = None
        self._saw_text = False
        self._saw_call = False
        self.model = ""
        """The model that answers, in the upstream's word."""
        self.stop_reason: str | None = None
        """The upstream's word for why it stopped, once it has said so."""
        self.is_over = False
        """Whether it has had its end."""

    @property
    def has_begun(self) -> bool:
        """Whether there was text, a thought, the beginning of a call."""
        return self._saw_text or self._blocks.calls > 0

    @property
    def is_delicate(self) -> bool:
        """Whether plain events go the general way too: half a character is held back."""
        return bool(self._text or self._thinking)

    def add_plain(self, events: list[TokenEventV2], said: Said) -> None:
        """Add events of one kind, which add to one block."""
        new, index = said
        if new:
            self._saw_text = True
            kind = TEXT if type(new[0]) is TextDelta else THINKING
            self._blocks.add(index, kind, "".join([event.delta for event in new]))
            events += new[:1]
            self._check_size()  # the first may have begun a block that is one too many
            events += new[1:]

    def take(self, kind: str, chunk: dict[str, Any]) -> Iterator[TokenEventV2]:
        """Take an event of a type that is ``HANDLED``; give ours.

        Raises:
            UpstreamError: Tool calls outgrew ``max_bytes``.
        """
        yield from _TAKERS[kind](self, chunk)
        self._check_size()

    def flush(self) -> list[TokenEventV2]:
        """Give what was held back of the text; nothing more comes."""
        thought, text = self._thinking.flush(), self._text.flush()
        return [
            *([ThinkingDelta(thought)] if thought else ()),
            *([TextDelta(text)] if text else ()),
        ]

    def tool_uses(self) -> Iterator[tuple[ToolUse, int]]:
        """Give the tool calls that were held to the end, each with its size in bytes.

        Raises:
            ToolCallMalformedError: The next one's input is no JSON.
        """
        for sized in self._blocks.finish(cut=self._reason() not in ENDS_BY_ITSELF):
            self._saw_call = True
            yield sized

    def done(self) -> Done:
        """Give the end, once the tool calls were given."""
        reason = self._reason()
        if reason in ENDS_BY_ITSELF and self._saw_call:
            reason = StopReason.TOOL_USE
        elif reason is StopReason.TOOL_USE:
            reason = StopReason.END_TURN
        if self._stop_details and self._counted.details:
            self._counted.details["stop_details"] = self._stop_details
        with contextlib.suppress(ValueError):  # nested too deeply: as it came
            self._counted.details = joined_in_value(self._counted.details)
        word = self.stop_reason and join_surrogates(self.stop_reason)
        return Done(reason, self._counted.usage(), word, self._blocks.turn())

    def _reason(self) -> StopReason:
        reason = stop_reason_of(self.stop_reason)
        # llama.cpp says end_turn, and beside it which sequence ended the turn.
        has_sequence = self._stop_sequence is not None and reason is StopReason.END_TURN
        return StopReason.STOP_SEQUENCE if has_sequence else reason

    def _check_size(self) -> None:
        if self._blocks.size > self._max_bytes:
            raise too_large(
                "the tool calls of the answer have",
                self._blocks.size,
                self._max_bytes,
                request_id=self._request_id,
            )

    # --- one event -------------------------------------------------------------------------------

    def _take_start(self, chunk: dict[str, Any]) -> Iterator[TokenEventV2]:
        message = object_in(chunk.get("message"))
        self.model = self.model or join_surrogates(word_in(message.get("model")))
        self._counted.take(message.get("usage"), is_first=True)
        yield from ()

    def _take_block_start(self, chunk: dict[str, Any]) -> Iterator[TokenEventV2]:
        block = object_in(chunk.get("content_block"))
        yield from self._begin(whole_number(chunk.get("index")), block)

    def _begin(self, index: int | None, block: dict[str, Any]) -> Iterator[TokenEventV2]:
        kind = word_in(block.get("type")) or (TEXT if "text" in block else "")
        calls = self._blocks.begin(index, kind, block)
        yield from self._called(calls)
        if kind == TEXT:
            yield from self._say(index, TEXT, joined_text(block.get("text")))
        elif kind == THINKING:
            yield from self._say(index, THINKING, joined_text(block.get("thinking")))

    def _take_block_delta(self, chunk: dict[str, Any]) -> Iterator[TokenEventV2]:
        index = whole_number(chunk.get("index"))
        for delta in objects_in(chunk.get("delta")):
            kind = delta.get("type")
            if not isinstance(kind, str):
                kind = next((name for name, field in _FIELDS.items() if field in delta), "")
            value = delta.get(_FIELDS.get(kind, ""))
            if kind == _TEXT:
                yield from self._say(index, TEXT, joined_text(value))
            elif kind == _THOUGHT:
                yield from self._say(index, THINKING, joined_text(value))
            elif kind == _SIGNATURE:
                self._blocks.sign(index, value)
            elif kind == _INPUT and value is not None:
                piece = value if isinstance(value, str) else json.dumps(value)
                self._blocks.add_input(index, piece)

    def _say(self, index: int | None, kind: str, text: str) -> Iterator[TokenEventV2]:
        channel = self._text if kind == TEXT else self._thinking
        text = channel.push(text) if text else ""
        if text:
            self._saw_text = True
            self._blocks.add(index, kind, text)
            yield TextDelta(text) if kind == TEXT else ThinkingDelta(text)

    def _take_block_stop(self, chunk: dict[str, Any]) -> Iterator[TokenEventV2]:
        return self._called(self._blocks.stop(whole_number(chunk.get("index"))))

    def _called(self, calls: Iterator[ToolUse]) -> Iterator[TokenEventV2]:
        for call in calls:
            self._saw_call = True
            yield call

    def _take_message_delta(self, chunk: dict[str, Any]) -> Iterator[TokenEventV2]:
        delta = object_in(chunk.get("delta"))
        self._take_reason(delta or chunk)
        self._counted.take(delta.get("usage"))
        self._counted.take(chunk.get("usage"))
        yield from ()

    def _take_reason(self, said: dict[str, Any]) -> None:
        self.stop_reason = finish_word(said.get("stop_reason")) or self.stop_reason
        if said.get("stop_sequence") not in (None, ""):
            self._stop_sequence = said["stop_sequence"]
        self._stop_details = said.get("stop_details") or self._stop_details

    def _take_stop(self, _: dict[str, Any]) -> Iterator[TokenEventV2]:
        self.is_over = True
        yield from ()

    def _take_message(self, chunk: dict[str, Any]) -> Iterator[TokenEventV2]:
        """Take an answer that was not streamed."""
        self.model = self.model or join_surrogates(word_in(chunk.get("model")))
        content = chunk.get("content")
        blocks = [{"type": TEXT, "text": content}] if isinstance(content, str) else content
        for index, block in enumerate(objects_in(blocks)):
            yield from self._begin(index, block)
            yield from self._called(self._blocks.stop(index))
        self._take_reason(chunk)
        self._counted.take(chunk.get("usage"))
        self.is_over = True


# Not bound to a message, which would keep itself alive.
_TAKERS: dict[str, Callable[[Message, dict[str, Any]], Iterator[TokenEventV2]]] = {
    "message_start": Message._take_start,  # noqa: SLF001 - its own
    "content_block_start": Message._take_block_start,  # noqa: SLF001
    "content_block_delta": Message._take_block_delta,  # noqa: SLF001
    "content_block_stop": Message._take_block_stop,  # noqa: SLF001
    "message_delta": Message._take_message_delta,  # noqa: SLF001
    "message_stop": Message._take_stop,  # noqa: SLF001
    "message": Message._take_message,  # noqa: SLF001
}
HANDLED = frozenset(_TAKERS)
"""The types of the events that tell of a message."""

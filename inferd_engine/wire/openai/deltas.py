"""Read what the deltas of an answer say: text, thoughts and tool calls.

One rule for all that may hold the same thing twice: what comes in deltas is the answer; ``message``
beside them, or after them, is the same once more.  It stands in for the deltas while there never
was one; at the end its text and its calls are given if the deltas held none of the kind, because
some servers send the whole message last, and the calls there alone.  So with the old
``function_call``, which counts where there never was a ``tool_calls``.

Tool calls come whole, at the end (``tools``).  Half a character is held back until its other
half is there (``surrogates``), and text where thoughts may begin, if they are to be split off
(``think_tags``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from inferd_engine.events import TextDelta, ThinkingDelta
from inferd_engine.wire.answer.errors import too_large
from inferd_engine.wire.openai.reasoning_details import REASONING_DETAILS, ReasoningDetails
from inferd_engine.wire.openai.texts import parts_of, thinking_of
from inferd_engine.wire.openai.think_tags import ThinkTags
from inferd_engine.wire.openai.tools import ToolCalls
from inferd_engine.wire.text.json_shapes import joined_text, object_in, objects_in
from inferd_engine.wire.text.surrogates import TextChannel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.events import TokenEventV2, ToolUse


class Deltas:
    """Feed it the choices of an answer in order; it gives their events.

    Args:
        max_bytes: What all tool calls may cost together, in bytes.
        split_think_tags: As of ``ChunkAccumulator``.
        request_id: The upstream's id of the request, for errors.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        split_think_tags: bool | Literal["inside"],
        request_id: str | None,
    ) -> None:
        self._max_bytes = max_bytes
        self._request_id = request_id
        self._text = TextChannel()
        self._thinking = TextChannel()
        self._think_tags = (
            ThinkTags(inside=split_think_tags == "inside") if split_think_tags else None
        )
        self._calls = ToolCalls()
        self._old_calls = ToolCalls()  # of ``function_call``
        self._details = ReasoningDetails()
        self._whole: list[dict[str, Any]] = []  # the last message beside deltas or after them
        self.saw_delta = False
        self.saw_text = False
        """Whether there was any text or thought."""

    @property
    def is_delicate(self) -> bool:
        """Whether plain chunks go the general way too: text is split, or half a character held."""
        return bool(self._text or self._thinking or self._think_tags)

    @property
    def has_begun(self) -> bool:
        """Whether anything was said: text, a thought, the beginning of a call."""
        return self.saw_text or bool(self._calls) or bool(self._old_calls)

    def take(self, choice: dict[str, Any]) -> Iterator[TokenEventV2]:
        """Take a choice; give the events of its delta, or of what stands in for it.

        Raises:
            UpstreamError: Tool calls outgrew ``max_bytes``.
        """
        deltas, messages = _pieces_of(choice.get("delta")), _pieces_of(choice.get("message"))
        if deltas is not None:
            self.saw_delta = True
        elif not self.saw_delta:
            deltas, messages = messages or [{"content": choice.get("text")}], None
        self._whole = messages or self._whole
        for delta in deltas or ():
            yield from self._take_delta(delta)

    def flush(self) -> Iterator[TokenEventV2]:
        """Yield what was held back of the text; nothing more comes."""
        for message in () if self.saw_text else self._whole:
            yield from self._take_texts(message)
        yield from self._given(ThinkingDelta, self._thinking.flush())
        yield from self._split(self._text.flush())
        if self._think_tags is not None:
            yield from self._pieces(self._think_tags.flush())

    def tool_uses(self, *, cut: bool) -> Iterator[tuple[ToolUse, int]]:
        """Return the whole tool calls, one at a time, each with its size in bytes.

        Args:
            cut: The answer was cut: what is not whole is left out.

        Raises:
            ToolCallMalformedError: The next one's arguments are no JSON.
        """
        calls = self._calls or self._old_calls
        if not calls:
            calls = ToolCalls()
            for message in self._whole:
                _take_calls(message, calls, calls)
        calls.keep_with_first(REASONING_DETAILS, self._details.blocks())
        return calls.finish(cut=cut)

    def _take_delta(self, delta: dict[str, Any]) -> Iterator[TokenEventV2]:
        yield from self._take_texts(delta)
        _take_calls(delta, self._calls, self._old_calls)
        (self._calls or self._old_calls).take_extra(delta.get("extra_content"))
        self._details.take(delta.get(REASONING_DETAILS))
        size = self._calls.size + self._old_calls.size + self._details.size
        if size > self._max_bytes:
            raise too_large(
                "the tool calls of the answer have",
                size,
                self._max_bytes,
                request_id=self._request_id,
            )

    def _take_texts(self, delta: dict[str, Any]) -> Iterator[TokenEventV2]:
        thoughts = thinking_of(delta)
        if thoughts:
            yield from self._given(ThinkingDelta, self._thinking.push(thoughts))
        for is_thought, text in parts_of(delta.get("content"), with_thoughts=not thoughts):
            if is_thought:
                yield from self._given(ThinkingDelta, self._thinking.push(text))
            else:
                yield from self._split(self._text.push(text))
        if (refusal := delta.get("refusal")) and (refusal := joined_text(refusal)):
            yield from self._split(self._text.push(refusal))

    def _split(self, text: str) -> Iterator[TokenEventV2]:
        """Return text as it is, or, where that is asked for, without the thoughts in it."""
        if self._think_tags is None:
            return self._given(TextDelta, text)
        return self._pieces(self._think_tags.push(text))

    def _pieces(self, pieces: list[tuple[bool, str]]) -> Iterator[TokenEventV2]:
        for is_thought, text in pieces:
            yield from self._given(ThinkingDelta if is_thought else TextDelta, text)

    def _given(self, kind: Any, text: str) -> Iterator[TokenEventV2]:  # an event
        if text:
            self.saw_text = True
            yield kind(text)


def _pieces_of(value: Any) -> list[dict[str, Any]] | None:
    """Return a delta or a message, or several, or the text in its place; None if there is none."""
    if isinstance(value, str):
        return [{"content": value}]
    found = objects_in(value)
    return found if found or isinstance(value, dict) else None


def _take_calls(delta: dict[str, Any], calls: ToolCalls, old_calls: ToolCalls) -> None:
    entries = objects_in(delta.get("tool_calls"))
    for entry in entries:
        calls.take(entry)
    if not entries and (function := object_in(delta.get("function_call"))):
        old_calls.take({"index": 0, "function": function})

"""What tokens say: text, thoughts, tool calls.

A call is written as ``<tool_call>{"name": …, "arguments": …}</tool_call>``, as most models that
know tools write it; the grammar (``tools.py``) sees to it that what is in there parses.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Literal

from inferd_engine.backends.llamacpp.text import TextOfTokens, begun
from inferd_engine.events import TextDelta, ThinkingDelta, Token, ToolUse
from inferd_engine.wire.openai.think_tags import ThinkTags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.events import Event

CALL_BEGIN, CALL_END = "<tool_call>", "</tool_call>"


class Answer:
    """Make events of tokens.

    Args:
        stop: Sequences that end the answer.
        split: Whether thoughts are taken out of the text; ``"inside"`` if it begins in one.
        has_tools: Whether tool calls are looked for.
    """

    def __init__(
        self,
        stop: Sequence[str] = (),
        *,
        split: bool | Literal["inside"] = False,
        has_tools: bool = False,
    ) -> None:
        self._text = TextOfTokens(stop)
        self._tags = ThinkTags(inside=split == "inside") if split else None
        self._calls = Calls() if has_tools else None

    @property
    def is_over(self) -> bool:
        """Whether a stop sequence has come."""
        return self._text.found is not None

    @property
    def has_calls(self) -> bool:
        """Whether a tool was called."""
        return self._calls is not None and self._calls.has_any

    def push(self, piece: bytes) -> list[Event]:
        """Take the bytes of a token; return the events that are decided now."""
        return self._events(self._text.push(piece))

    def end(self) -> list[Event]:
        """Return the events of what was held back; half a call is left out."""
        events = self._events(self._text.flush())
        if self._tags is not None:
            events += self._said(self._tags.flush())
        return [*events, *(() if self._calls is None else self._calls.end())]

    def _events(self, text: str) -> list[Event]:
        if self._tags is None:
            return self._said([(False, text)] if text else [])
        return self._said(self._tags.push(text))

    def _said(self, pieces: list[tuple[bool, str]]) -> list[Event]:
        events: list[Event] = []
        for is_thought, text in pieces:
            if is_thought:
                events.append(ThinkingDelta(text))
            elif self._calls is None:
                events.append(TextDelta(text))
            else:
                events += self._calls.push(text)
        return events


class FlatAnswer(Answer):
    """Make the events of version 1: text alone."""

    def _events(self, text: str) -> list[Event]:
        return [Token(text)] if text else []


class Calls:
    """Take tool calls out of text."""

    def __init__(self) -> None:
        self._held = ""
        self._is_inside = False
        self.has_any = False

    def push(self, text: str) -> list[Event]:
        """Take a piece of text; return the text and the calls that are decided now."""
        events: list[Event] = []
        text, self._held = self._held + text, ""
        while text:
            tag = CALL_END if self._is_inside else CALL_BEGIN
            before, found, rest = text.partition(tag)
            if not found:
                kept = len(text) if self._is_inside else begun(text, tag)
                if self.has_any and not text.strip():
                    kept = len(text)  # blanks between calls belong to neither
                before, self._held = text[: len(text) - kept], text[len(text) - kept :]
            if self._is_inside and found:
                events += self._call(before)
            elif before.strip() or (before and not found and not self.has_any):
                events.append(TextDelta(before))
            if found:
                self._is_inside = not self._is_inside
            text = rest
        return events

    def _call(self, written: str) -> list[Event]:
        """Return a call, or what was written where that is none."""
        try:
            call = json.loads(written)
            name, arguments = call["name"], call.get("arguments") or {}
        except (ValueError, TypeError, KeyError, AttributeError):
            return [TextDelta(f"{CALL_BEGIN}{written}{CALL_END}")]
        self.has_any = True
        return [ToolUse(f"call_{uuid.uuid4().hex[:24]}", name, arguments)]

    def end(self) -> list[Event]:
        """Return what was held back, unless that is half a call."""
        held, self._held = self._held, ""
        return [TextDelta(held)] if held.strip() and not self._is_inside else []

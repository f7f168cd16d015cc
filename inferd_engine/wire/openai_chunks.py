"""Turn the payloads of an OpenAI-compatible stream into events.

Goal: the same events from every server that calls itself compatible, and a file that stays small:
eight rules instead of a case for each server.

1.  An ``error`` that is true, ``event: error`` or ``object: "error"`` is looked for first, beside
    valid-looking choices too.
2.  Usage replaces what was known before, number by number (``openai_usage``).
3.  Choice 0 alone counts.  Its ``delta`` is read before its finish reason; ``message`` stands in
    for ``delta`` only while no delta was ever seen.
4.  A falsy finish reason is none, the last true one counts, and it does not end the stream: usage,
    errors and even text come after it.
5.  The end: ``[DONE]`` or a finish reason make it whole; neither means that it was cut.
6.  Tool calls come whole, at the end (``openai_tools``).
7.  ``tool_use`` is the reason if whole calls are there and the upstream said stop or nothing;
    ``tool_calls`` without a call is ``end_turn``.
8.  Unknown keys, types, roles, finish words and part types never raise.  A payload that is no JSON
    is logged and skipped.

The common chunk, which holds one piece of text and nothing else, has a way of its own
(``plain_chunks``).  All others go the general way.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Literal

from inferd_engine.errors import StreamInterruptedError, UpstreamError
from inferd_engine.events import Done, StopReason, TextDelta, ThinkingDelta, Usage
from inferd_engine.wire.finish_reasons import ENDS_BY_ITSELF, stop_reason_of
from inferd_engine.wire.json_documents import parse_payload
from inferd_engine.wire.openai_errors import find_message, printable, upstream_error
from inferd_engine.wire.openai_texts import parts_of, thinking_of
from inferd_engine.wire.openai_tools import ToolCalls
from inferd_engine.wire.openai_usage import merged_usage
from inferd_engine.wire.plain_chunks import add_events, plain_delta, plain_deltas
from inferd_engine.wire.reasoning_details import REASONING_DETAILS, ReasoningDetails
from inferd_engine.wire.sse import MAX_EVENT_BYTES
from inferd_engine.wire.surrogates import TextChannel, join_surrogates, joined_in_value
from inferd_engine.wire.think_tags import ThinkTags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferd_engine.events import TokenEventV2, ToolUse

_log = logging.getLogger("inferd_engine")

DONE = "[DONE]"
_CUT = "the answer was cut: the upstream ended it without a finish reason and without [DONE]"


class ChunkAccumulator:
    """Feed it the payloads of one answer in order; it gives their events.

    Args:
        max_bytes: What all tool calls may cost together, in bytes.
        split_think_tags: Take thoughts in tags out of the text; ``"inside"`` if the answer begins
            inside of one, because the model's template wrote the opening tag.
        request_id: The upstream's id of the request, for errors.
        mask: Takes secrets out of what is logged.
    """

    def __init__(
        self,
        *,
        max_bytes: int = MAX_EVENT_BYTES,
        split_think_tags: bool | Literal["inside"] = False,
        request_id: str | None = None,
        mask: Callable[[str], str] = str,
    ) -> None:
        self._mask = mask
        self._max_bytes = max_bytes
        self._request_id = request_id
        self._text = TextChannel()
        self._thinking = TextChannel()
        self._think_tags = (
            ThinkTags(inside=split_think_tags == "inside") if split_think_tags else None
        )
        # Whether plain chunks go the general way too: text is split, or half a character held back.
        self._is_delicate = self._think_tags is not None
        self._calls = ToolCalls()
        self._details = ReasoningDetails()
        self._usage: Usage | None = None
        self._saw_choice = False
        self._saw_delta = False
        self._stray: Any = None  # the last object that was no chunk
        self._saw_call = False
        self.finish_reason: str | None = None
        """The upstream's word for why it stopped, once it has said so."""
        self.is_done = False
        """Whether ``[DONE]`` has come: nothing after it counts."""

    def ingest(self, payload: bytes | str, event: str = "message") -> list[TokenEventV2]:
        """Take one payload; give the events that it holds.

        Args:
            payload: The data of one server-sent event, or one JSON document.
            event: The event's type; ``"error"`` makes any payload an error.

        Raises:
            UpstreamError: The payload is an error, or tool calls outgrew ``max_bytes``.
        """
        events: list[TokenEventV2] = []
        self.ingest_into(events, payload, event)
        return events

    def ingest_into(
        self, events: list[TokenEventV2], payload: bytes | str, event: str = "message"
    ) -> None:
        """Do the same, but add the events to a list: what came before an error is in it."""
        if self.is_done:
            return
        if event != "error" and not self._is_delicate:
            delta = plain_delta(payload)
            if delta is not None:
                self._saw_choice = self._saw_delta = True
                add_events(events, [delta])
                return
        try:
            events.extend(self._take(payload, event))
        except RecursionError:
            _log.warning("skipped a payload that is nested too deeply")

    def ingest_plain(self, events: list[TokenEventV2], payloads: str) -> int:
        """Add the events of payloads, one a line, if all of them are plain; give how many.

        Returns:
            How many payloads there were; 0 if one of them is not plain, and nothing was taken.
        """
        if self._is_delicate or self.is_done:
            return 0
        deltas = plain_deltas(payloads)
        if deltas:
            self._saw_choice = self._saw_delta = True
            add_events(events, deltas)
        return len(deltas)

    def finalize(self) -> list[TokenEventV2]:
        """End the answer: give the whole tool calls and ``Done``.

        Raises:
            StreamInterruptedError: The answer was cut: no finish reason and no ``[DONE]``.
            ToolCallMalformedError: A tool call's arguments are no JSON.
        """
        held = self.flush()
        self.check_whole()
        return [*held, *(tool_use for tool_use, _ in self.tool_uses()), self.done()]

    def check_whole(self) -> None:
        """Look whether the answer is whole.

        Raises:
            StreamInterruptedError: It was cut.
            UpstreamError: It was no answer at all, but says what is wrong.
        """
        if self.is_done or self.finish_reason is not None:
            if not self._saw_choice:
                _log.warning("the upstream ended an answer that held nothing")
            return
        if not self._saw_choice and find_message(self._stray):
            raise upstream_error(self._stray, request_id=self._request_id)
        raise StreamInterruptedError(_CUT, request_id=self._request_id)

    def flush(self) -> list[TokenEventV2]:
        """Give what was held back of the text; nothing more comes."""
        events = [
            *_if_any(ThinkingDelta, self._thinking.flush()),
            *self._split(self._text.flush()),
        ]
        if self._think_tags is not None:
            events += _pieces(self._think_tags.flush())
        return events

    def tool_uses(self) -> Iterator[tuple[ToolUse, int]]:
        """Give the whole tool calls, one at a time, each with its size in bytes.

        Raises:
            ToolCallMalformedError: The next one's arguments are no JSON.
        """
        cut = stop_reason_of(self.finish_reason) not in ENDS_BY_ITSELF
        self._calls.keep_with_first(REASONING_DETAILS, self._details.blocks())
        for sized in self._calls.finish(cut=cut):
            self._saw_call = True
            yield sized

    def done(self) -> Done:
        """Give the end of the answer, once its tool calls were given."""
        reason = stop_reason_of(self.finish_reason)
        if reason in (StopReason.END_TURN, StopReason.TOOL_USE):
            reason = StopReason.TOOL_USE if self._saw_call else StopReason.END_TURN
        word, usage = self.finish_reason, self._usage
        if usage is not None:
            with contextlib.suppress(ValueError):  # nested too deeply: as it came
                details = joined_in_value(usage.details)
                usage = Usage(usage.input_tokens, usage.output_tokens, details)
        return Done(reason, usage, word and join_surrogates(word))

    # --- one payload -----------------------------------------------------------------------------

    def _take(self, payload: bytes | str, event: str) -> Iterator[TokenEventV2]:
        text = payload if isinstance(payload, str) else payload.decode("utf-8", "replace")
        text = text.strip()
        while text.startswith("data:"):  # a proxy framed what was framed
            text = text[5:].lstrip()
        if not text and event == "error":
            raise upstream_error({}, request_id=self._request_id)
        if not text:
            return
        if text == DONE:
            self.is_done = True
            return
        try:
            chunk = parse_payload(text)
        except ValueError:
            if event == "error":
                raise upstream_error(text, request_id=self._request_id) from None
            yield from self._take_lines(text)
            return
        yield from self._take_chunk(chunk, event)

    def _take_lines(self, text: str) -> Iterator[TokenEventV2]:
        """Take data that is no JSON: several documents, one a line, or nothing of use."""
        lines = text.split("\n")
        if len(lines) > 1:
            for line in lines:
                if not self.is_done:
                    yield from self._take(line, "message")
            return
        _log.warning("skipped a payload of %d characters that is no JSON", len(text))
        _log.debug("the skipped payload: %s", self._mask(printable(text)))

    def _take_chunk(self, chunk: Any, event: str) -> Iterator[TokenEventV2]:  # noqa: ANN401 - JSON
        if isinstance(chunk, list):
            found = [item for item in chunk if isinstance(item, dict) and item.get("error")]
            chunk = (found or chunk)[0] if found or len(chunk) == 1 else chunk
        if not isinstance(chunk, dict):
            if event == "error":
                raise upstream_error(chunk, request_id=self._request_id)
            return
        if event == "error" or chunk.get("error") or chunk.get("object") == "error":
            raise upstream_error(chunk, request_id=self._request_id)
        has_usage = self._take_usage(chunk.get("usage"))
        if isinstance(chunk.get("x_groq"), dict):
            has_usage = self._take_usage(chunk["x_groq"].get("usage")) or has_usage
        choices = chunk.get("choices")
        if "choices" not in chunk:
            self._stray = chunk
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) in (0, None, "0"):
                if not has_usage:
                    self._take_usage(choice.get("usage"))
                self._saw_choice = True
                yield from self._take_choice(choice)
        self._is_delicate = bool(self._text or self._thinking or self._think_tags)

    def _take_usage(self, usage: Any) -> bool:  # noqa: ANN401 - JSON
        """Take a usage object; give whether it said anything."""
        merged = merged_usage(self._usage, usage)
        self._usage = merged or self._usage
        return merged is not None

    def _take_choice(self, choice: dict[str, Any]) -> Iterator[TokenEventV2]:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._saw_delta = True
            yield from self._take_delta(delta)
        elif not self._saw_delta:
            message = choice.get("message")
            yield from self._take_delta(
                message if isinstance(message, dict) else {"content": choice.get("text")}
            )
        word = choice.get("finish_reason") or choice.get("finishReason")
        if word:
            self.finish_reason = word if isinstance(word, str) else str(word)

    def _take_delta(self, delta: dict[str, Any]) -> Iterator[TokenEventV2]:
        thoughts = thinking_of(delta)
        yield from _if_any(ThinkingDelta, self._thinking.push(thoughts))
        for is_thought, text in parts_of(delta.get("content"), with_thoughts=not thoughts):
            if is_thought:
                yield from _if_any(ThinkingDelta, self._thinking.push(text))
            else:
                yield from self._split(self._text.push(text))
        if isinstance(delta.get("refusal"), str):
            yield from self._split(self._text.push(delta["refusal"]))
        calls = delta.get("tool_calls")
        for entry in calls if isinstance(calls, list) else ():
            self._calls.take(entry)
        if not calls:
            self._calls.take_function_call(delta.get("function_call"))
        self._calls.take_extra(delta.get("extra_content"))
        self._details.take(delta.get("reasoning_details"))
        size = self._calls.size + self._details.size
        if size > self._max_bytes:
            msg = (
                f"the tool calls of the answer have more than {size} bytes, "
                f"the limit is {self._max_bytes}: raise max_event_bytes if the upstream is right"
            )
            raise UpstreamError(
                msg, code="event_too_large", retryable=False, request_id=self._request_id
            )

    def _split(self, text: str) -> Iterator[TokenEventV2]:
        """Give text as it is, or, where that is asked for, without the thoughts in it."""
        if self._think_tags is None:
            return _if_any(TextDelta, text)
        return _pieces(self._think_tags.push(text))


def _pieces(pieces: list[tuple[bool, str]]) -> Iterator[TokenEventV2]:
    for is_thought, text in pieces:
        yield ThinkingDelta(text) if is_thought else TextDelta(text)


def _if_any(kind: Any, text: str) -> Iterator[TokenEventV2]:  # noqa: ANN401 - an event class
    if text:
        yield kind(text)

"""Turn the payloads of an OpenAI-compatible stream into events.

Goal: the same events from every server that calls itself compatible, and a file that stays small:
eight rules instead of a case for each server.

1.  A payload is taken apart into its documents (``payload_documents``), and each counts.  What is
    no JSON is logged, counted and skipped.
2.  An error is looked for in every document: ``error``, ``event: error``, ``object: "error"``, in
    a choice too, and as flat objects without any of these (``error_kinds``).  A delta beside it is
    given first.
3.  Usage replaces what was known before, number by number (``usage``).
4.  One choice is the answer (``choices``).  Its delta is read before its finish reason; a
    whole ``message`` is the same once more (``deltas``).
5.  A finish reason that says nothing is none (``finish_reasons``), the last other one counts, and
    it does not end the stream: usage, errors and even text come after it.
6.  The end: a finish reason makes the answer whole.  ``[DONE]`` does unless payloads came and none
    of them held an answer, or the last of them could not be read.  Else the answer was cut.
7.  Tool calls come whole, at the end (``tools``).  ``tool_use`` is the reason if there are
    any and the upstream said stop or nothing; ``tool_calls`` without a call is ``end_turn``; of an
    answer that was cut, blocked or failed a call that is not whole is left out.
8.  Unknown keys, types, roles, finish words and part types never raise; one where a list belongs
    is a list of one, and the other way round (``json_shapes``).

The common chunk, which holds one piece of text and nothing else, has a way of its own
(``plain_chunks``).  All others go the general way.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Literal

from inferd_engine.errors import StreamInterruptedError
from inferd_engine.events import Done, StopReason, Usage
from inferd_engine.reprs import shortened
from inferd_engine.wire.answer.accumulator import AnyAccumulator
from inferd_engine.wire.answer.error_kinds import is_error
from inferd_engine.wire.answer.error_messages import find_message
from inferd_engine.wire.answer.finish_reasons import ENDS_BY_ITSELF, stop_reason_of
from inferd_engine.wire.answer.other_protocols import CHAT, in_words, spoken_in
from inferd_engine.wire.openai.choice_ends import error_in_choice, word_in_choice
from inferd_engine.wire.openai.choices import Choices
from inferd_engine.wire.openai.deltas import Deltas
from inferd_engine.wire.openai.errors import upstream_error
from inferd_engine.wire.openai.plain_chunks import model_of, said_plainly
from inferd_engine.wire.openai.usage import merged_usage
from inferd_engine.wire.sse.decoder import MAX_EVENT_BYTES
from inferd_engine.wire.text.json_shapes import object_in, objects_in
from inferd_engine.wire.text.surrogates import join_surrogates, joined_in_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferd_engine.errors import UpstreamError
    from inferd_engine.events import TokenEventV2, ToolUse
    from inferd_engine.wire.answer.likeness import Said
    from inferd_engine.wire.answer.other_protocols import Spoken

_log = logging.getLogger("inferd_engine")

_CUT = "the answer was cut: the upstream ended it without a finish reason and without [DONE]"
_NO_ANSWER = "the upstream ended without an answer: nothing of what it sent was a chat completion"
_LOST_END = "the answer may be cut: the last that the upstream sent before [DONE] could not be read"


class ChunkAccumulator(AnyAccumulator):
    """Feed it the payloads of one answer in order; it gives their events.

    Args:
        max_bytes: What all tool calls may cost together, in bytes.
        split_think_tags: Take thoughts in tags out of the text; ``"inside"`` if the answer begins
            inside of one, because the model's template wrote the opening tag.
        choices: How many choices were asked for (``n``).
        request_id: The upstream's id of the request, for errors.
        mask: Takes secrets out of what is logged.
    """

    is_told_once = True

    def __init__(
        self,
        *,
        max_bytes: int = MAX_EVENT_BYTES,
        split_think_tags: bool | Literal["inside"] = False,
        choices: Any = 1,  # of the request's JSON
        request_id: str | None = None,
        mask: Callable[[str], str] = str,
    ) -> None:
        super().__init__(request_id, mask)
        self._choices = Choices(choices)
        self._deltas = Deltas(
            max_bytes=max_bytes, split_think_tags=split_think_tags, request_id=request_id
        )
        self._is_delicate = self._deltas.is_delicate
        self._usage: Usage | None = None
        self._saw_choice = False
        self._stray: Any = None  # the last object since the last choice that was no chunk
        self._saw_call = False
        self._spoken: Spoken | None = None  # another protocol, once an answer has begun in it
        self.model = ""
        """The model that answers, in the upstream's word; empty if it does not say."""
        self.finish_reason: str | None = None
        """The upstream's word for why it stopped, once it has said so."""

    def __repr__(self) -> str:
        shown = f" {shortened(self.model, 40)}" if self.model else ""
        return f"<ChunkAccumulator{shown}{' done' if self.is_done else ''}>"

    @property
    def has_begun(self) -> bool:
        """Whether the answer has begun: text, a thought, a call."""
        return self._deltas.has_begun or bool(self._choices)

    @property
    def is_delicate(self) -> bool:
        """Whether plain payloads go the general way too: text is split, or something held back."""
        return self._is_delicate

    @property
    def is_steady(self) -> bool:
        """Whether plain payloads do nothing any more but add text."""
        return self._deltas.saw_text and not (self._is_delicate or self._lost_end or self.is_done)

    def plain(self, payload: bytes | str) -> Said | None:
        """Return what a payload says; None if it is not plain."""
        said = said_plainly(payload)
        if said is not None and not (self.model or self._deltas.saw_text):
            self.model = model_of(payload)
        return said

    def add_plain(self, events: list[TokenEventV2], said: Said) -> None:
        """Add the events of plain payloads."""
        events += said[0]
        self._has_payload = self._saw_choice = self._deltas.saw_delta = True
        self._stray, self._lost_end = None, False
        self._deltas.saw_text = self._deltas.saw_text or bool(said[0])

    def check_whole(self) -> None:
        """Check that the answer is whole.

        Raises:
            StreamInterruptedError: It was cut, or was no answer at all.
            UpstreamError: It was none, but says what is wrong.
        """
        if self.finish_reason is not None:
            return
        if self.is_done and not self._has_payload:
            _log.warning("the upstream ended an answer that held nothing")
            return
        if self.is_done and self._saw_choice and not self._lost_end:
            return
        if find_message(self._stray):
            raise self._error(self._stray)
        if self._spoken and not self._saw_choice:
            told = in_words(self._spoken, CHAT)
            raise StreamInterruptedError(told, retryable=False, request_id=self._request_id)
        said = _CUT if not self.is_done else _LOST_END if self._saw_choice else _NO_ANSWER
        raise StreamInterruptedError(said, request_id=self._request_id)

    def flush(self) -> list[TokenEventV2]:
        """Return what was held back of the text; nothing more comes."""
        held = [event for choice in self._choices.flush() for event in self._take_choice(choice)]
        return [*held, *self._deltas.flush()]

    def tool_uses(self) -> Iterator[tuple[ToolUse, int]]:
        """Yield the whole tool calls, one at a time, each with its size in bytes.

        Raises:
            ToolCallMalformedError: The next one's arguments are no JSON.
        """
        cut = stop_reason_of(self.finish_reason) not in ENDS_BY_ITSELF
        for sized in self._deltas.tool_uses(cut=cut):
            self._saw_call = True
            yield sized

    def done(self) -> Done:
        """Return the end of the answer, once its tool calls were given."""
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

    def _error(self, said: Any) -> UpstreamError:
        return upstream_error(said, request_id=self._request_id)

    def _take_string(self, document: Any) -> None:
        """Keep a string that is all that comes: it is what the upstream says is wrong."""
        if isinstance(self._stray, str):
            self._stray = None
        if isinstance(document, str) and not self._has_payload:
            self._stray = document

    def _take_document(self, document: Any, event: str, size: int) -> Iterator[TokenEventV2]:
        self._take_string(document)
        chunks = objects_in(document)
        if not chunks and event == "error":
            raise self._error(document)
        for chunk in chunks:
            failed = is_error(chunk, event)
            if not failed or event == "message":
                yield from self._take_chunk(chunk, size, deltas_alone=failed)
            if failed:
                raise self._error(chunk)

    def _take_chunk(
        self, chunk: dict[str, Any], size: int, *, deltas_alone: bool
    ) -> Iterator[TokenEventV2]:
        if not self.model and isinstance(chunk.get("model"), str):
            self.model = join_surrogates(chunk["model"])
        has_usage = self._take_usage(chunk.get("usage"))
        if "x_groq" in chunk:
            has_usage = self._take_usage(object_in(chunk["x_groq"]).get("usage")) or has_usage
        choices = objects_in(chunk.get("choices"))
        if deltas_alone:
            choices = [choice for choice in choices if choice.get("delta")]
        if "choices" not in chunk:
            self._spoken = self._spoken or spoken_in(CHAT, chunk, chunk.get("type"))
            if not has_usage:
                self._take_stray(chunk)
        if choices:
            for choice in self._choices.take(choices, size, _says_why):
                if not has_usage:
                    self._take_usage(choice.get("usage"))
                yield from self._take_choice(choice)
                if error := error_in_choice(choice):
                    raise self._error(error)
        self._is_delicate = self._deltas.is_delicate or bool(self._choices)

    def _take_stray(self, chunk: dict[str, Any]) -> None:
        """Take note of an object that is no chunk: a ping, an event of another kind, an error."""
        if not chunk.get("type"):
            self._stray = chunk
            self._lost_end = bool(find_message(chunk)) or self._lost_end

    def _take_usage(self, usage: Any) -> bool:
        """Take a usage object; give whether it said anything."""
        merged = merged_usage(self._usage, usage)
        self._usage = merged or self._usage
        return merged is not None

    def _take_choice(self, choice: dict[str, Any]) -> Iterator[TokenEventV2]:
        self._saw_choice = True
        self._stray, self._lost_end = None, False
        yield from self._deltas.take(choice)
        self.finish_reason = word_in_choice(choice) or self.finish_reason


def _says_why(choice: dict[str, Any]) -> bool:
    """Whether a choice says why it ended, or that it failed."""
    return word_in_choice(choice) is not None or error_in_choice(choice) is not None

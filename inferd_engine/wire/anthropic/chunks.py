"""Turn the payloads of an answer of Anthropic's Messages into events.

Goal: the same events from every server that speaks Messages.  The rules:

1.  What a payload is, its ``type`` says, else the name of its event, else what it holds.  Types
    that nobody knows say nothing: new ones come with every year.
2.  An error is an event of that name, whatever is in it; a payload of that type; or, without a
    name, an object that says ``error`` (a bare line of JSON, as Ollama writes it).
3.  Blocks go by their index and may overlap (``blocks``).  A delta's own type says what it adds:
    text that comes for the index of a call is text.
4.  Numbers of usage replace each other (``usage``).
5.  The end: ``message_stop``, a stop reason, or ``[DONE]`` make an answer whole; else it was cut.
    ``message_start`` is not needed.  A call makes the reason ``tool_use`` where the upstream said
    that it came to an end, or nothing.
6.  A whole message, of an answer that was not streamed, is its blocks one after the other.
7.  What another protocol answers is an error that names it.

The common event goes a way of its own (``plain_chunks``).
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import StreamInterruptedError, UpstreamError
from inferd_engine.events import Done, StopReason, TextDelta, ThinkingDelta
from inferd_engine.wire.anthropic.blocks import TEXT, THINKING, Blocks
from inferd_engine.wire.anthropic.errors import upstream_error
from inferd_engine.wire.anthropic.plain_chunks import (
    PlainText,
    add_events,
    plain_delta,
    plain_deltas,
)
from inferd_engine.wire.anthropic.usage import Counted
from inferd_engine.wire.openai.error_kinds import is_error
from inferd_engine.wire.openai.finish_reasons import ENDS_BY_ITSELF, finish_word, stop_reason_of
from inferd_engine.wire.openai.payload_documents import DONE, SKIPPED, documents_in
from inferd_engine.wire.openai.texts import joined_text
from inferd_engine.wire.sse.decoder import MAX_EVENT_BYTES
from inferd_engine.wire.text.json_shapes import object_in, objects_in, whole_number, word_in
from inferd_engine.wire.text.printable import printable
from inferd_engine.wire.text.surrogates import TextChannel, join_surrogates, joined_in_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferd_engine.events import TokenEventV2, ToolUse
    from inferd_engine.wire.anthropic.plain_chunks import PlainDelta

_log = logging.getLogger("inferd_engine")

_CUT = "the answer was cut: the upstream ended it without a stop reason and without message_stop"
_NO_ANSWER = "the upstream ended without an answer: nothing of what it sent was a message"
_LOST_END = "the answer may be cut: the last that the upstream sent before [DONE] could not be read"
_OPENAI = (
    "the upstream answered in OpenAI's protocol, Chat Completions, not in Anthropic's: "
    "ask it with OpenAiCompat, or check base_url"
)
# What a delta adds, by its type, and the field that holds it.
_TEXT, _THOUGHT, _SIGNATURE, _INPUT = (
    "text_delta", "thinking_delta", "signature_delta", "input_json_delta",
)  # fmt: skip
_FIELDS = {_TEXT: "text", _THOUGHT: "thinking", _SIGNATURE: "signature", _INPUT: "partial_json"}


class MessageAccumulator:
    """Feed it the payloads of one answer in order; it gives their events.

    Args:
        max_bytes: What all tool calls may cost together, in bytes.
        request_id: The upstream's id of the request, for errors.
        mask: Takes secrets out of what is logged.
    """

    def __init__(
        self,
        *,
        max_bytes: int = MAX_EVENT_BYTES,
        request_id: str | None = None,
        mask: Callable[[str], str] = str,
    ) -> None:
        self._max_bytes = max_bytes
        self._request_id = request_id
        self._mask = mask
        self._blocks = Blocks(max_bytes)
        self._text = TextChannel()
        self._thinking = TextChannel()
        self._counted = Counted()
        self._stop_sequence: Any = None
        self._stop_details: Any = None
        self._has_payload = False
        self._saw_answer = False
        self._saw_text = False
        self._saw_call = False
        self._lost_end = False  # whether the last payload could not be read
        self.model = ""
        """The model that answers, in the upstream's word; empty if it does not say."""
        self.skipped = 0
        """How many payloads, or stretches of them, were no JSON and were left out."""
        self.finish_reason: str | None = None
        """The upstream's word for why it stopped, once it has said so."""
        self.is_done = False
        """Whether the answer has had its end: nothing after it counts."""
        self._handlers: dict[str, Callable[[dict[str, Any]], Iterator[TokenEventV2]]] = {
            "message_start": self._take_start,
            "content_block_start": self._take_block_start,
            "content_block_delta": self._take_block_delta,
            "content_block_stop": self._take_block_stop,
            "message_delta": self._take_message_delta,
            "message_stop": self._take_stop,
            "message": self._take_message,
        }

    @property
    def has_begun(self) -> bool:
        """Whether the answer has begun: text, a thought, a call."""
        return self._saw_text or self._blocks.calls > 0

    def ingest(self, payload: bytes | str, event: str = "message") -> list[TokenEventV2]:
        """Take one payload; give the events that it holds.

        Args:
            payload: The data of one server-sent event, or one JSON document.
            event: The event's name; ``"error"`` makes any payload an error.

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
                self._add_plain(events, [delta])
                return
        try:
            events.extend(self._take(payload, event))
        except RecursionError:
            self._skip("a payload that is nested too deeply")

    def ingest_plain(self, events: list[TokenEventV2], payloads: str) -> int:
        """Add the events of payloads, one a line, if all of them add to one block; give how many.

        Returns:
            How many payloads there were; 0 if they are anything else, and nothing was taken.
        """
        if self._is_delicate or self.is_done:
            return 0
        deltas = plain_deltas(payloads)
        if deltas:
            self._add_plain(events, deltas)
        return len(deltas)

    def finalize(self) -> list[TokenEventV2]:
        """End the answer: give the tool calls that were held, and ``Done``.

        Raises:
            StreamInterruptedError: The answer was cut.
            ToolCallMalformedError: A tool call's input is no JSON.
        """
        held = self.flush()
        self.check_whole()
        return [*held, *(tool_use for tool_use, _ in self.tool_uses()), self.done()]

    def check_whole(self) -> None:
        """Look whether the answer is whole.

        Raises:
            StreamInterruptedError: It was cut, or was no answer at all.
        """
        if self.finish_reason is not None:
            return
        if self.is_done and not self._has_payload:
            _log.warning("the upstream ended an answer that held nothing")
            return
        if self.is_done and self._saw_answer and not self._lost_end:
            return
        said = _CUT if not self.is_done else _LOST_END if self._saw_answer else _NO_ANSWER
        raise StreamInterruptedError(said, request_id=self._request_id)

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
        cut = self._reason() not in ENDS_BY_ITSELF
        for sized in self._blocks.finish(cut=cut):
            self._saw_call = True
            yield sized

    def done(self) -> Done:
        """Give the end of the answer, once its tool calls were given."""
        reason = self._reason()
        if reason in ENDS_BY_ITSELF and self._saw_call:
            reason = StopReason.TOOL_USE
        elif reason is StopReason.TOOL_USE:
            reason = StopReason.END_TURN
        if self._stop_details and self._counted.details:
            self._counted.details["stop_details"] = self._stop_details
        with contextlib.suppress(ValueError):  # nested too deeply: as it came
            self._counted.details = joined_in_value(self._counted.details)
        word = self.finish_reason
        return Done(
            reason, self._counted.usage(), word and join_surrogates(word), self._blocks.turn()
        )

    def _reason(self) -> StopReason:
        reason = stop_reason_of(self.finish_reason)
        # llama.cpp says end_turn, and beside it which sequence ended the turn.
        has_sequence = self._stop_sequence is not None and reason is StopReason.END_TURN
        return StopReason.STOP_SEQUENCE if has_sequence else reason

    # --- one payload -----------------------------------------------------------------------------

    @property
    def _is_delicate(self) -> bool:
        """Whether plain events go the general way too: half a character is held back."""
        return bool(self._text or self._thinking)

    def _add_plain(self, events: list[TokenEventV2], deltas: list[PlainDelta]) -> None:
        text = add_events(events, deltas)
        self._has_payload = self._saw_answer = True
        self._lost_end = False
        if text:
            self._saw_text = True
            first = deltas[0]
            kind = TEXT if type(first.delta) is PlainText else THINKING
            self._blocks.add(first.index, kind, text)
            self._check_size()

    def _take(self, payload: bytes | str, event: str) -> Iterator[TokenEventV2]:
        text = payload if isinstance(payload, str) else payload.decode("utf-8", "replace")
        text = text.strip()
        if not text and event == "error":
            raise upstream_error({}, request_id=self._request_id)
        for document in documents_in(text):
            if document is SKIPPED and event == "error":
                raise upstream_error(text, request_id=self._request_id)
            if document is SKIPPED:
                self._skip(f"a payload of {len(text)} characters that is no JSON")
                _log.debug("the skipped payload: %s", self._mask(printable(text)))
            elif document == DONE:
                self.is_done = True
                return
            else:
                self._has_payload = True
                yield from self._take_document(document, event)

    def _skip(self, what: str) -> None:
        _log.warning("skipped %s", what)
        self.skipped += 1
        self._has_payload = self._lost_end = True

    def _take_document(self, document: Any, event: str) -> Iterator[TokenEventV2]:  # noqa: ANN401
        chunks = objects_in(document)
        if not chunks and event == "error":
            raise upstream_error(document, request_id=self._request_id)
        for chunk in chunks:
            kind = _kind_of(chunk, event)
            handler = self._handlers.get(kind)
            if (
                event == "error"
                or kind == "error"
                or (handler is None and _says_error(chunk, event))
            ):
                raise upstream_error(chunk, request_id=self._request_id)
            if handler is not None:
                self._saw_answer, self._lost_end = True, False
                yield from handler(chunk)
                self._check_size()
            elif "choices" in chunk or str(chunk.get("object", "")).startswith("chat.completion"):
                raise UpstreamError(
                    _OPENAI, code="other_protocol", retryable=False, request_id=self._request_id
                )
            if self.is_done:
                return

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
                self._blocks.sign(index, word_in(value))
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
        self.finish_reason = finish_word(said.get("stop_reason")) or self.finish_reason
        if said.get("stop_sequence") not in (None, ""):
            self._stop_sequence = said["stop_sequence"]
        self._stop_details = said.get("stop_details") or self._stop_details

    def _take_stop(self, _: dict[str, Any]) -> Iterator[TokenEventV2]:
        self.is_done = True
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
        self.is_done = True

    def _check_size(self) -> None:
        if self._blocks.size > self._max_bytes:
            msg = (
                f"the tool calls of the answer have more than {self._blocks.size} bytes, "
                f"the limit is {self._max_bytes}: raise max_event_bytes if the upstream is right"
            )
            raise UpstreamError(
                msg, code="event_too_large", retryable=False, request_id=self._request_id
            )


def _kind_of(chunk: dict[str, Any], event: str) -> str:
    kind = chunk.get("type")
    if isinstance(kind, str) and kind:
        return kind
    if event != "message":
        return event
    return "content_block_delta" if "delta" in chunk and "index" in chunk else ""


def _says_error(chunk: dict[str, Any], event: str) -> bool:
    """Whether an object that is no event of the protocol says that something failed."""
    return (event == "message" or bool(chunk.get("error"))) and is_error(chunk)

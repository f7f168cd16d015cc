"""Turn the payloads of an answer of Bedrock's Converse into events.

As the request, an answer is Anthropic's Messages in other words: blocks by their index, text,
thoughts with signatures, the input of calls in pieces.  So each payload is said in those words, and
the message is put together as there (``wire.anthropic.message``).  What differs:

* only calls have a beginning; text and thoughts begin with their first delta;
* why it stopped comes first (``messageStop``), what it cost after that (``metadata``), and that is
  the end; a body that ends before it is whole if the reason is known;
* padding (``p``) says nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.errors import StreamInterruptedError
from inferd_engine.wire.anthropic.message import Message
from inferd_engine.wire.bedrock.errors import upstream_error
from inferd_engine.wire.text.json_documents import parse_payload
from inferd_engine.wire.text.json_shapes import object_in, objects_in, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.events import Done, TokenEventV2, ToolUse
    from inferd_engine.wire.answer.likeness import Said

_log = logging.getLogger("inferd_engine")

_CUT = "the answer was cut: the upstream ended it without a stop reason"
_COUNTS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheWriteInputTokens": "cache_creation_input_tokens",
}


class ConverseAccumulator:
    """Feed it the payloads of one answer in order; it gives their events.

    Args:
        max_bytes: What all tool calls may cost together, in bytes.
        request_id: The upstream's id of the request, for errors.
    """

    model = ""
    """Converse does not say which model answers."""

    def __init__(self, *, max_bytes: int, request_id: str | None = None) -> None:
        self._request_id = request_id
        self._message = Message(max_bytes, request_id)
        self._usage: dict[str, Any] = {}
        self.skipped = 0
        """How many payloads were no JSON and were left out."""
        self.is_done = False
        """Whether the answer has had its end."""

    @property
    def finish_reason(self) -> str | None:
        """The upstream's word for why it stopped, once it has said so."""
        return self._message.stop_reason

    @property
    def has_begun(self) -> bool:
        """Whether the answer has begun: text, a thought, a call."""
        return self._message.has_begun

    is_steady = is_told_once = False
    """Nothing comes that is plain."""

    def plain(self, _: str) -> None:
        """Return nothing: no payload is plain."""

    def add_plain(self, _: list[TokenEventV2], __: Said) -> None:
        """Add nothing."""

    def ingest_into(self, events: list[TokenEventV2], payload: str, event: str = "message") -> None:
        """Take one payload; add the events that it holds.

        Args:
            events: What came before an error is in it.
            payload: That of a frame, or a whole body.
            event: The frame's type; of an exception ``"error:"`` and its type.

        Raises:
            UpstreamError: The payload is an error, or tool calls outgrew ``max_bytes``.
        """
        try:
            value = object_in(parse_payload(payload)) if payload.strip() else {}
        except ValueError:
            value = {}
            self.skipped += 1
            _log.warning("skipped a payload of %d characters that is not JSON", len(payload))
        if event.startswith("error:"):
            raise upstream_error(event.partition(":")[2], value, request_id=self._request_id)
        if event == "message":
            events.extend(self._take_whole(value))
        else:
            for kind, chunk in _in_words_of_messages(event, value):
                events.extend(self._message.take(kind, chunk))
        if event == "metadata":
            self._usage = object_in(value.get("usage"))
            self.is_done = True

    def check_whole(self) -> None:
        """Look whether the answer is whole.

        Raises:
            StreamInterruptedError: It was cut.
        """
        if self.finish_reason is None:
            raise StreamInterruptedError(_CUT, request_id=self._request_id)

    def flush(self) -> list[TokenEventV2]:
        """Give what was held back of the text; nothing more comes."""
        return self._message.flush()

    def tool_uses(self) -> Iterator[tuple[ToolUse, int]]:
        """Give the tool calls that were held to the end, each with its size in bytes.

        Raises:
            ToolCallMalformedError: The next one's input is no JSON.
        """
        return self._message.tool_uses()

    def done(self) -> Done:
        """Give the end of the answer, once its tool calls were given."""
        done = self._message.done()
        if done.usage is None:
            return done
        return attrs.evolve(done, usage=attrs.evolve(done.usage, details=self._usage))

    def _take_whole(self, value: dict[str, Any]) -> Iterator[TokenEventV2]:
        """Take an answer that was not streamed."""
        message = object_in(object_in(value.get("output")).get("message"))
        if "output" not in value:
            raise upstream_error("", value, request_id=self._request_id)
        for index, block in enumerate(objects_in(message.get("content"))):
            for kind, chunk in _whole_block(index, block):
                yield from self._message.take(kind, chunk)
        for event in ("messageStop", "metadata"):
            for kind, chunk in _in_words_of_messages(event, value):
                yield from self._message.take(kind, chunk)
        self._usage = object_in(value.get("usage"))
        self.is_done = True


_Said = tuple[str, dict[str, Any]]


def _in_words_of_messages(event: str, value: dict[str, Any]) -> Iterator[_Said]:
    """Give an event of Converse as events of Messages; one that nobody knows says nothing."""
    index = whole_number(value.get("contentBlockIndex"))
    if event == "contentBlockStart":
        call = object_in(object_in(value.get("start")).get("toolUse"))
        if call:
            yield _begin(index, _call(call))
    elif event == "contentBlockDelta":
        yield from _delta(index, object_in(value.get("delta")))
    elif event == "contentBlockStop":
        yield "content_block_stop", {"index": index}
    elif event == "messageStop":
        yield "message_delta", {"delta": {"stop_reason": value.get("stopReason")}}
    elif event == "metadata":
        usage = object_in(value.get("usage"))
        said = {ours: usage[name] for name, ours in _COUNTS.items() if name in usage}
        yield "message_delta", {"usage": said}


def _delta(index: int | None, delta: dict[str, Any]) -> Iterator[_Said]:
    thought = object_in(delta.get("reasoningContent"))
    if thought.get("redactedContent"):
        yield _begin(index, {"type": "redacted_thinking", "data": thought["redactedContent"]})
    said = {
        "text_delta": ("text", delta.get("text")),
        "thinking_delta": ("thinking", thought.get("text")),
        "signature_delta": ("signature", thought.get("signature")),
        "input_json_delta": ("partial_json", object_in(delta.get("toolUse")).get("input")),
    }
    for kind, (field, value) in said.items():
        if value is not None:
            yield "content_block_delta", {"index": index, "delta": {"type": kind, field: value}}


def _whole_block(index: int, block: dict[str, Any]) -> Iterator[_Said]:
    call = object_in(block.get("toolUse"))
    thought = object_in(block.get("reasoningContent"))
    if call:
        yield _begin(index, {**_call(call), "input": call.get("input")})
    yield from _delta(index, {**block, "toolUse": None})
    yield from _delta(index, {"reasoningContent": thought.get("reasoningText")})
    yield "content_block_stop", {"index": index}


def _begin(index: int | None, block: dict[str, Any]) -> _Said:
    return "content_block_start", {"index": index, "content_block": block}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """Give the beginning of a call; of a tool that Bedrock runs by itself its type says so."""
    kind = call.get("type") or "tool_use"
    return {"type": kind, "id": call.get("toolUseId"), "name": call.get("name")}

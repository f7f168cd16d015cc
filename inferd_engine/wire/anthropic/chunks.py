"""Turn the payloads of an answer of Anthropic's Messages into events.

Goal: the same events from every server that speaks Messages.  The rules:

1.  What a payload is, its ``type`` says, else the name of its event, else what it holds.  Types
    that nobody knows say nothing: new ones come with every year.
2.  An error is an event of that name, whatever is in it; a payload of that type; or, without a
    name, an object that says ``error`` (a bare line of JSON, as Ollama writes it).
3.  The end: ``message_stop``, a stop reason, or ``[DONE]`` make an answer whole; else it was cut.
    ``message_start`` is not needed.
4.  What another protocol answers is an error that names it.

What the payloads say of the message, ``message`` puts together.  The common event goes a way of its
own (``plain_chunks``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import StreamInterruptedError
from inferd_engine.wire.answer.accumulator import AnyAccumulator
from inferd_engine.wire.answer.error_kinds import is_error
from inferd_engine.wire.answer.other_protocols import MESSAGES, other_protocol, spoken_in
from inferd_engine.wire.anthropic.errors import upstream_error
from inferd_engine.wire.anthropic.message import HANDLED, Message
from inferd_engine.wire.anthropic.plain_chunks import said_plainly
from inferd_engine.wire.sse.decoder import MAX_EVENT_BYTES
from inferd_engine.wire.text.json_shapes import object_in, objects_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferd_engine.errors import UpstreamError
    from inferd_engine.events import Done, TokenEventV2, ToolUse
    from inferd_engine.wire.answer.likeness import Said

_log = logging.getLogger("inferd_engine")

_CUT = "the answer was cut: the upstream ended it without a stop reason and without message_stop"
_NO_ANSWER = "the upstream ended without an answer: nothing of what it sent was a message"
_LOST_END = "the answer may be cut: the last that the upstream sent before [DONE] could not be read"


class MessageAccumulator(AnyAccumulator):
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
        super().__init__(request_id, mask)
        self._message = Message(max_bytes, request_id)
        self._saw_answer = False

    @property
    def model(self) -> str:
        """The model that answers, in the upstream's word; empty if it does not say."""
        return self._message.model

    @property
    def finish_reason(self) -> str | None:
        """The upstream's word for why it stopped, once it has said so."""
        return self._message.stop_reason

    @property
    def has_begun(self) -> bool:
        """Whether the answer has begun: text, a thought, a call."""
        return self._message.has_begun

    @property
    def is_delicate(self) -> bool:
        """Whether plain payloads go the general way too: half a character is held back."""
        return self._message.is_delicate

    @property
    def is_steady(self) -> bool:
        """Whether plain payloads do nothing but add text."""
        return not (self._message.is_delicate or self.is_done)

    def plain(self, payload: bytes | str) -> Said | None:
        """Return what a payload says, and of which block; None if it is not plain."""
        return said_plainly(payload)

    def add_plain(self, events: list[TokenEventV2], said: Said) -> None:
        """Add the events of plain payloads."""
        self._message.add_plain(events, said)
        self._has_payload = self._saw_answer = True
        self._lost_end = False

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
        return self._message.flush()

    def tool_uses(self) -> Iterator[tuple[ToolUse, int]]:
        """Give the tool calls that were held to the end, each with its size in bytes.

        Raises:
            ToolCallMalformedError: The next one's input is no JSON.
        """
        return self._message.tool_uses()

    def done(self) -> Done:
        """Give the end of the answer, once its tool calls were given."""
        return self._message.done()

    # --- one payload -----------------------------------------------------------------------------

    def _error(self, said: Any) -> UpstreamError:
        return upstream_error(said, request_id=self._request_id)

    def _take_document(self, document: Any, event: str, _: int) -> Iterator[TokenEventV2]:
        chunks = objects_in(document)
        if not chunks and event == "error":
            raise self._error(document)
        for chunk in chunks:
            kind = _kind_of(chunk, event)
            if "error" in (event, kind) or (kind not in HANDLED and _says_error(chunk, event)):
                raise self._error(chunk)
            if kind in HANDLED:
                self._saw_answer, self._lost_end = True, False
                yield from self._message.take(kind, chunk)
                self.is_done = self._message.is_over
            elif other := spoken_in(MESSAGES, chunk, kind):
                raise other_protocol(other, MESSAGES, request_id=self._request_id)
            if self.is_done:
                return


def _kind_of(chunk: dict[str, Any], event: str) -> str:
    kind = chunk.get("type")
    if isinstance(kind, str) and kind:
        return kind
    if event != "message":
        return event
    adds = "index" in chunk or str(object_in(chunk.get("delta")).get("type")).endswith("_delta")
    return "content_block_delta" if "delta" in chunk and adds else ""


def _says_error(chunk: dict[str, Any], event: str) -> bool:
    """Whether an object that is no event of the protocol says that something failed."""
    return (event == "message" or bool(chunk.get("error"))) and is_error(chunk)

"""Take the payloads of an answer, in whatever protocol they are.

Goal: what all protocols have in common is here, once: a payload that is plain is taken at once, and
every other document by document; what is no JSON is logged, counted and left out; ``[DONE]`` is the
end of all.  What a document says is the protocol's own.
"""

from __future__ import annotations

import abc
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from inferd_engine.frames import without_frames
from inferd_engine.wire.answer.payload_documents import DONE, SKIPPED, documents_in
from inferd_engine.wire.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inferd_engine.errors import UpstreamError
    from inferd_engine.events import Done, TokenEventV2, ToolUse
    from inferd_engine.wire.answer.likeness import Said

_log = logging.getLogger("inferd_engine")


class AnyAccumulator(abc.ABC):
    """Feed it the payloads of one answer in order; it gives their events.

    Args:
        request_id: The upstream's id of the request, for errors.
        mask: Takes secrets out of what is logged.
    """

    is_told_once: ClassVar[bool] = False
    """Whether plain payloads after plain ones change nothing here, where it is steady."""

    def __init__(self, request_id: str | None, mask: Callable[[str], str]) -> None:
        self._request_id = request_id
        self._mask = mask
        self._has_payload = False
        self._lost_end = False  # whether the last payload could not be read
        self.skipped = 0
        """How many payloads, or stretches of them, were no JSON and were left out."""
        self.is_done = False
        """Whether the answer has had its end: nothing after it counts."""

    @without_frames
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
        """Add a payload's events to a list: what came before an error is in it."""
        if self.is_done:
            return
        if event != "error" and not self.is_delicate:
            said = self.plain(payload)
            if said is not None:
                self.add_plain(events, said)
                return
        try:
            events.extend(self._take(payload, event))
        except RecursionError:
            self._skip("a payload that is nested too deeply")

    @without_frames
    def finalize(self) -> list[TokenEventV2]:
        """End the answer: give the whole tool calls and ``Done``.

        Raises:
            StreamInterruptedError: The answer was cut: nothing said that it had come to its end.
            ToolCallMalformedError: A tool call's arguments are no JSON.
        """
        held = self.flush()
        self.check_whole()
        return [*held, *(tool_use for tool_use, _ in self.tool_uses()), self.done()]

    # --- what is plain ---------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def is_delicate(self) -> bool:
        """Whether plain payloads go the general way too: half a character is held back."""

    @property
    @abc.abstractmethod
    def is_steady(self) -> bool:
        """Whether plain payloads do nothing any more but add text."""

    @abc.abstractmethod
    def plain(self, payload: bytes | str) -> Said | None:
        """Return what a payload says; None if it is not plain."""

    @abc.abstractmethod
    def add_plain(self, events: list[TokenEventV2], said: Said) -> None:
        """Add the events of plain payloads."""

    # --- what is not -----------------------------------------------------------------------------

    def _take(self, payload: bytes | str, event: str) -> Iterator[TokenEventV2]:
        text = payload if isinstance(payload, str) else payload.decode("utf-8", "replace")
        text = text.strip()
        if not text and event == "error":
            raise self._error({})
        for document in documents_in(text):
            if document is SKIPPED and event == "error":
                raise self._error(text)
            if document is SKIPPED:
                self._skip(f"a payload of {len(text)} characters that is not JSON")
                _log.debug("the skipped payload: %s", self._mask(printable(text)))
            elif document == DONE:
                self.is_done = True
                return
            else:
                try:
                    yield from self._take_document(document, event, len(text))
                finally:
                    self._has_payload = True

    def _skip(self, what: str) -> None:
        _log.warning("skipped %s", what)
        self.skipped += 1
        self._has_payload = self._lost_end = True

    @abc.abstractmethod
    def _take_document(self, document: Any, event: str, size: int) -> Iterator[TokenEventV2]:
        """Take a document of a payload of this many characters; give its events."""

    @abc.abstractmethod
    def _error(self, said: Any) -> UpstreamError:
        """Return the error that a payload says."""

    # --- the end ---------------------------------------------------------------------------------

    @abc.abstractmethod
    def flush(self) -> list[TokenEventV2]:
        """Return what was held back of the text; nothing more comes."""

    @abc.abstractmethod
    def check_whole(self) -> None:
        """Check that the answer is whole.

        Raises:
            StreamInterruptedError: It was cut, or was no answer at all.
            UpstreamError: It was none, but says what is wrong.
        """

    @abc.abstractmethod
    def tool_uses(self) -> Iterator[tuple[ToolUse, int]]:
        """Yield the whole tool calls, one at a time, each with its size in bytes.

        Raises:
            ToolCallMalformedError: The next one's arguments are no JSON.
        """

    @abc.abstractmethod
    def done(self) -> Done:
        """Return the end of the answer, once its tool calls were given."""

"""Print an answer for programs: one event a line, as JSON; the last is ``done`` or ``error``."""

from __future__ import annotations

import json
import sys
from typing import Any

import attrs

import inferd_engine as ie
from inferd_engine.cli import terminal
from inferd_engine.cli.answer import check_whole
from inferd_engine.cli.failures import event_of


class JsonLines:
    """Print one answer for programs."""

    def __init__(self, *, thinking: bool) -> None:
        self._shows_thinking = thinking
        self.has_begun = False

    def show(self, stream: ie.TokenStream) -> None:
        """Print a stream to its end.

        Raises:
            GenerateError: The answer failed; what had come is printed.
        """
        for event in stream:
            self.has_begun = True
            if self._shows_thinking or not isinstance(event, ie.ThinkingDelta):
                _print({"type": event.type, **_fields_of(event)})
        check_whole(stream)

    def fail(self, error: BaseException) -> None:
        """Print the error as the last event."""
        _print(event_of(error))


def _fields_of(event: ie.TokenEventV2 | ie.Token) -> dict[str, Any]:
    fields = attrs.asdict(event)
    if isinstance(event, ie.Done):
        del fields["blocks"]  # a block's own JSON names its type
        if event.blocks:
            turn = ie.MessageV2(ie.Role.ASSISTANT, event.blocks)
            fields["blocks"] = turn.to_dict()["content"]
    return fields


def _print(value: dict[str, Any]) -> None:
    is_ascii = not terminal.has_unicode(sys.stdout)
    terminal.write(json.dumps(value, ensure_ascii=is_ascii, default=str) + "\n")

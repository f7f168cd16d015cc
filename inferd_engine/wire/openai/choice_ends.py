"""Why a choice ended: its word for it, or its error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.wire.answer.error_kinds import says_error
from inferd_engine.wire.answer.finish_reasons import ENDS_BY_ITSELF, finish_word, stop_reason_of
from inferd_engine.wire.text.json_shapes import object_in

if TYPE_CHECKING:
    from collections.abc import Mapping


def word_in_choice(choice: dict[str, Any]) -> str | None:
    """Return a choice's word for why it ended, if it has ended.

    OpenRouter says stop of an answer that failed behind it, and why beside that.
    """
    word = finish_word(choice.get("finish_reason")) or finish_word(choice.get("finishReason"))
    native = finish_word(choice.get("native_finish_reason")) if word else None
    if native and stop_reason_of(word) in ENDS_BY_ITSELF:
        word = word if stop_reason_of(native) in ENDS_BY_ITSELF else native
    return word


def error_in_choice(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the object that holds the error of a choice, if it has one."""
    for place in (choice, choice.get("delta"), choice.get("message")):
        error = object_in(place).get("error") if place else None
        if error and says_error(error):
            return {"error": error}
    return None

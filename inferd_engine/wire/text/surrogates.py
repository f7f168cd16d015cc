"""Put halves of characters together: UTF-16 relays cut between them, JSON escapes may name one.

A character beyond U+FFFF is two surrogates in UTF-16.  A relay that cuts text there ends one delta
with the first half and begins the next with the second; ``json`` gives them as they are, and the
text can neither be printed nor encoded.  The rule: halves that belong together are joined, over
deltas too; a half that stays alone becomes U+FFFD.
"""

from __future__ import annotations

from typing import Any


def has_surrogates(text: str) -> bool:
    """Whether the text holds half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def join_surrogates(text: str) -> str:
    """Join the halves in a text; those that stay alone become U+FFFD."""
    if text.isascii() or not has_surrogates(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def joined_in_value(value: Any) -> Any:
    """Join the halves in every text of a JSON value.

    Raises:
        ValueError: The value is nested too deeply.
    """
    try:
        return _joined(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _joined(value: Any) -> Any:
    if isinstance(value, str):
        return join_surrogates(value)
    if isinstance(value, list):
        return [_joined(item) for item in value]
    if isinstance(value, dict):
        return {_joined(key): _joined(item) for key, item in value.items()}
    return value


class TextChannel:
    """Text that comes in deltas: it holds half a character back until the other half is there."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def __bool__(self) -> bool:
        """Whether half a character is being held back."""
        return bool(self._held)

    def push(self, text: str) -> str:
        """Take a delta; give what can be given now, which may be nothing."""
        text = self._held + text
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return join_surrogates(text)

    def flush(self) -> str:
        """Return what is left: nothing, or U+FFFD for a half whose other half never came."""
        held, self._held = self._held, ""
        return "\ufffd" if held else ""

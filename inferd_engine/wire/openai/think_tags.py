"""Split thoughts out of text that servers without a parser leave there in tags.

``<think>``, ``<thinking>``, ``<thought>`` or ``<reasoning>`` opens a thought, its own closing tag
ends it, and a tag may come in as many pieces as it has characters.  The rules:

* a tag opens a thought only where nothing but blanks has come before it, in the answer or since
  the last thought: models think first, and text may quote a tag;
* blanks before an opening tag and after a closing one belong to the tag;
* what may still become a tag is held back; at the end it is what it looks like;
* a chat template may have written the opening tag itself: ``inside`` says so.
"""

from __future__ import annotations

import re

_TAGS = ("think", "thinking", "thought", "reasoning")
_OPENING = re.compile(rf"\s*<({'|'.join(_TAGS)})>")
_OPENINGS = tuple(f"<{tag}>" for tag in _TAGS)
_CLOSINGS = tuple(f"</{tag}>" for tag in _TAGS)


class ThinkTags:
    """Feed it text; it gives pieces of it, each with whether it is a thought.

    Args:
        inside: The answer begins inside of a thought; any closing tag ends that one.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._inside = inside
        self._closings: tuple[str, ...] = ()  # of the thought we are in
        self._is_start = True  # nothing but blanks since the beginning or the last thought
        self._had_thought = False
        self._held = ""

    def push(self, text: str) -> list[tuple[bool, str]]:
        """Take a piece of text; give the pieces that are decided now."""
        text, self._held = self._held + text, ""
        pieces: list[tuple[bool, str]] = []
        while text:
            text = self._thought(pieces, text) if self._closings else self._speech(pieces, text)
        return pieces

    def flush(self) -> list[tuple[bool, str]]:
        """Return what was held back: it became no tag."""
        held, self._held = self._held, ""
        return [(bool(self._closings), held)] if held else []

    def _thought(self, pieces: list[tuple[bool, str]], text: str) -> str:
        """Take a thought up to its closing tag; give what follows it."""
        found = [(text.index(tag), tag) for tag in self._closings if tag in text]
        if found:
            end, tag = min(found)
            self._closings = ()
            self._is_start = True
            rest = text[end + len(tag) :]
        else:
            end, rest = len(text) - _begun(text, self._closings), ""
            self._held = text[end:]
        if end:
            pieces.append((True, text[:end]))
        return rest

    def _speech(self, pieces: list[tuple[bool, str]], text: str) -> str:
        """Take text up to where a thought may begin; give what follows."""
        if self._is_start:
            begun = text.lstrip()
            if self._had_thought:
                text = begun
            opening = _OPENING.match(text)
            if opening:
                return self._enter(f"</{opening[1]}>", rest=text[opening.end() :])
            if any(tag.startswith(begun) for tag in _OPENINGS):  # blanks alone, too
                self._held = text
                return ""
            if self._inside:
                return self._enter(*_CLOSINGS, rest=text)
            self._is_start = False
        pieces.append((False, text))
        return ""

    def _enter(self, *closings: str, rest: str) -> str:
        self._closings = closings
        self._inside = False
        self._had_thought = True
        return rest


def _begun(text: str, tags: tuple[str, ...]) -> int:
    """Return how many characters at the end of the text may be the beginning of a tag."""
    start = text.rfind("<", -max(map(len, tags)))
    return len(text) - start if start >= 0 and any(t.startswith(text[start:]) for t in tags) else 0

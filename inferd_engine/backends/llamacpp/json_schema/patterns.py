r"""Regular expressions, as JSON Schema means them (ECMA-262), as languages.

A pattern is looked for anywhere in a text, unless it says ``^`` and ``$``.  Taken are characters,
classes, groups, alternation, quantifiers, lazy ones too, and lookaheads outside of groups: all that
is regular.  Backreferences, ``\b``, lookbehinds, ``\p{…}`` and flags are refused by name.

Where ECMA-262 and Python's ``re`` differ, what both take is meant: ``\s`` and ``\S``, say, leave
out the blanks that only one of them knows, ``.`` takes no line end of either, ``\W`` is ASCII's,
and ``\D`` takes characters of scripts in which neither knows a digit.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NoReturn, Union

import attrs

from inferd_engine.backends.llamacpp.json_schema.languages import (
    ANYTHING,
    EMPTY,
    all_but,
    both,
    chain,
    characters,
    either,
    one_of,
    opposite,
    repeat,
    united,
)

if TYPE_CHECKING:
    from inferd_engine.backends.llamacpp.json_schema.languages import Language, Ranges

MOST_REPEATED = 1000
_QUANTIFIER = re.compile(r"([*+?]|\{(\d+)(,(\d*))?\})\??")
_HEX = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}")
_SECOND_HALF = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_FIRST_HALVES = (0xD800, 0xDBFF)
_TIMES = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_ASCII = (0, 0x7F)
_BOTH_BLANK = (
    *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)),
)
_BLANK_IN_ONE = (*_BOTH_BLANK, (0x1C, 0x1F), (0x85, 0x85), (0xFEFF, 0xFEFF))
_WORD = united(((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)))
_DIGIT = united(((0x30, 0x39),))
_LINE_END = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
# Where neither knows a digit: European scripts, those of China, Japan and Korea, emoji.
_NO_DIGITS = ((0x80, 0x65F), (0x3000, 0x9FFF), (0xAC00, 0xD7FF), (0x1F300, 0x1FAFF))


def _ascii_but(ranges: Ranges) -> Ranges:
    return tuple((low, min(high, _ASCII[1])) for low, high in all_but(ranges) if low <= _ASCII[1])


_CLASSES = {
    "d": _DIGIT,
    "D": united((*_ascii_but(_DIGIT), *_NO_DIGITS)),
    "w": _WORD,
    "W": _ascii_but(_WORD),
    "s": united(_BOTH_BLANK),
    "S": all_but(united(_BLANK_IN_ONE)),
}
_LETTERS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}


class PatternError(ValueError):
    """A pattern is none, or none that is regular."""


@attrs.frozen
class Anchor:
    """``^`` or ``$``."""

    sign: str


@attrs.frozen
class Ahead:
    """A lookahead: what follows has to be of this language, up to the end of the text."""

    language: Language


Item = Union[Anchor, Ahead, "Language"]
Items = tuple[Item, ...]


@functools.lru_cache(256)
def language_of(pattern: str) -> Language:
    """Return the language of the texts in which a pattern is found.

    Raises:
        PatternError: It is none, or none that is regular.
    """
    parser = _Parser(pattern)
    alternatives = parser.alternatives()
    if not parser.is_at_end:
        raise PatternError(f"there is a ) too much at {parser.position}")
    return either(*map(_found, alternatives))


def _found(items: Items) -> Language:
    """Return the language of texts in which a sequence is found."""
    begin = next((n for n, item in enumerate(items) if item != Anchor("^")), len(items))
    rest = _to_end(items[begin:])
    return rest if begin else chain(ANYTHING, rest)


def _to_end(items: Items) -> Language:
    """Return the language of what is left of a text, from where a sequence begins."""
    end = len(items)
    while end and items[end - 1] == Anchor("$"):
        end -= 1
    rest: Language = ANYTHING if end == len(items) else EMPTY
    for item in reversed(items[:end]):
        if isinstance(item, Anchor):
            raise PatternError(f"{item.sign} is not at an end of it")
        rest = both(item.language, rest) if isinstance(item, Ahead) else chain(item, rest)
    return rest


class _Parser:
    """Read a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self.position = 0

    @property
    def is_at_end(self) -> bool:
        return self.position >= len(self._text)

    def _refuse(self, what: str) -> NoReturn:
        raise PatternError(f"{what} at {self.position}")

    def _take(self, text: str) -> bool:
        """Pass over this text, if it is what comes."""
        if not self._text.startswith(text, self.position):
            return False
        self.position += len(text)
        return True

    def _next(self) -> str:
        if self.is_at_end:
            self._refuse("something is missing")
        self.position += 1
        return self._text[self.position - 1]

    def alternatives(self) -> list[Items]:
        """Return the sequences up to a ) or the end."""
        found = self._sequence()
        while self._take("|"):
            found += self._sequence()
        return found

    def _sequence(self) -> list[Items]:
        """Return a sequence; several, where one of its groups says where texts begin or end."""
        found: list[Items] = [()]
        while not self.is_at_end and self._text[self.position] not in "|)":
            options = self._quantified(self._item())
            found = [(*items, *option) for items in found for option in options]
        return found

    def _quantified(self, options: list[Items]) -> list[Items]:
        match = _QUANTIFIER.match(self._text, self.position)
        if match is None:
            return options
        least, most = self._times(match)
        if most is not None and most < least:
            self._refuse(f"{match[0]} is not a quantifier")
        if not _is_plain(options):
            self._refuse("an anchor or a lookahead is repeated")
        self.position = match.end()
        return [(repeat(_joined(options), least, most),)]

    def _times(self, match: re.Match[str]) -> tuple[int, int | None]:
        if match[2] is None:
            return _TIMES[match[1]]
        least = int(match[2])
        most = least if match[3] is None else int(match[4]) if match[4] else None
        if max(least, most or 0) > MOST_REPEATED:
            self._refuse(f"{match[0]} is more than {MOST_REPEATED} times")
        return least, most

    def _item(self) -> list[Items]:
        """Return what comes next, as sequences of which one is taken."""
        sign = self._next()
        if sign in "^$":
            return [(Anchor(sign),)]
        if sign == "(":
            return self._group()
        if sign == "[":
            return [(self._class(),)]
        if sign == ".":
            return [(one_of(all_but(_LINE_END)),)]
        if sign == "\\":
            return [(one_of(self._escape(is_in_class=False)),)]
        if sign in "*+?":
            self._refuse(f"{sign} repeats nothing")
        return [(characters((ord(sign), ord(sign))),)]

    def _group(self) -> list[Items]:
        ahead = self._take("?=") or (self._take("?!") and "not") or False
        if not ahead and self._take("?") and not self._take(":"):
            name = re.compile(r"<[A-Za-z_$][\w$]*>").match(self._text, self.position)
            if name is None:
                self._refuse("a group that begins with (? and is none of (?: (?= (?! (?<name>")
            self.position = name.end()
        found = self.alternatives()
        if not self._take(")"):
            self._refuse("a ) is missing")
        if ahead:
            language = either(*map(_to_end, found))
            return [(Ahead(opposite(language) if ahead == "not" else language),)]
        return [(_joined(found),)] if _is_plain(found) else found

    def _class(self) -> Language:
        is_negated = self._take("^")
        spans: list[tuple[int, int]] = []
        while not self._take("]"):
            low = self._in_class(is_negated=is_negated)
            if self._text[self.position : self.position + 1] == "-" and not self._text.startswith(
                "-]", self.position
            ):
                self.position += 1
                high = self._in_class(is_negated=is_negated)
                if not _is_one(low) or not _is_one(high) or low[0][0] > high[0][0]:
                    self._refuse("a range of characters that is none")
                low = ((low[0][0], high[0][0]),)
            spans += low
        ranges = united(spans)
        return one_of(all_but(ranges) if is_negated else ranges)

    def _in_class(self, *, is_negated: bool) -> Ranges:
        sign = self._next()
        if sign != "\\":
            return ((ord(sign), ord(sign)),)
        name = self._text[self.position : self.position + 1]
        ranges = self._escape(is_in_class=True)
        # What either of both takes is out, so that what is left is what neither does.
        return all_but(_CLASSES[name.swapcase()]) if is_negated and name in _CLASSES else ranges

    def _escape(self, *, is_in_class: bool) -> Ranges:
        code = self._code()
        if code is not None:
            return ((code, code),)
        sign = self._next()
        if sign in _CLASSES:
            return _CLASSES[sign]
        if sign == "b" and is_in_class:
            return ((8, 8),)
        if sign in _LETTERS and not (
            sign == "0" and self._text[self.position : self.position + 1].isdigit()
        ):
            return ((_LETTERS[sign], _LETTERS[sign]),)
        if sign.isalnum():
            self._refuse(f"\\{sign}, which is not known here")
        return ((ord(sign), ord(sign)),)

    def _code(self) -> int | None:
        """Return the character that digits name, two of them where they are a surrogate pair."""
        match = _HEX.match(self._text, self.position)
        if match is None:
            return None
        self.position = match.end()
        code = int(match[1] or match[2] or match[3], 16)
        other = _SECOND_HALF.match(self._text, self.position)
        if other is not None and _FIRST_HALVES[0] <= code <= _FIRST_HALVES[1]:
            self.position = other.end()
            code = 0x10000 + ((code & 0x3FF) << 10) + (int(other[1], 16) & 0x3FF)
        return code


def _is_plain(options: list[Items]) -> bool:
    """Whether no sequence says where a text begins or ends."""
    return not any(isinstance(item, (Anchor, Ahead)) for items in options for item in items)


def _is_one(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _joined(options: list[Items]) -> Language:
    """Return the language of plain sequences, one of which is taken."""
    return either(
        *(chain(*(i for i in items if not isinstance(i, (Anchor, Ahead)))) for items in options)
    )

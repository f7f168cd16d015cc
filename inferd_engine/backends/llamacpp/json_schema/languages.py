"""Regular languages: which texts there are of a pattern, a format, a range of numbers.

Goal: what several keywords say of one text holds together.  A regular expression alone cannot say
"this pattern, that format, and at most ten characters"; a language can be cut with another, and be
turned into its opposite.

Strategy: a language is an expression, and its derivative by a character is the language of what may
follow that character (Brzozowski 1964; Owens, Reppy and Turon, "Regular-expression derivatives
re-examined", 2009).  States of an automaton are the expressions that derivatives lead to
(``automata.py``).
Intersection and complement cost one line each, repetitions are counted and never written out, and
what is no expression at all, such as "a multiple of seven", is one more class with two methods.

Rejected: an automaton of states and sets of states (Thompson), in which a complement needs the
whole automaton first, and each operation an algorithm of its own.

Characters are code points without the halves of surrogate pairs: those are no characters, and no
UTF-8 has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Union

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]
"""Code points from, and to (included), in order, without overlaps."""

CHARACTERS: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))
_DIGITS = range(0x30, 0x3A)
_POINT = 0x2E


@attrs.frozen(cache_hash=True)
class Characters:
    """One of these characters; with no ranges, no text at all."""

    ranges: Ranges
    is_complete: ClassVar[bool] = False
    """The empty text is none of them."""

    def after(self, code: int) -> Language:
        """Return what may follow this character."""
        return EMPTY if any(low <= code <= high for low, high in self.ranges) else NOTHING

    def borders(self) -> frozenset[int]:
        """Return the code points at which the answer of ``after`` may change."""
        return frozenset(code for low, high in self.ranges for code in (low, high + 1))


@attrs.frozen(cache_hash=True)
class Chain:
    """A text of one language, and then one of another."""

    first: Language
    rest: Language

    @property
    def is_complete(self) -> bool:
        """Whether the empty text is one of it."""
        return self.first.is_complete and self.rest.is_complete

    def after(self, code: int) -> Language:
        """Return what may follow this character."""
        taken = chain(self.first.after(code), self.rest)
        return either(taken, self.rest.after(code)) if self.first.is_complete else taken

    def borders(self) -> frozenset[int]:
        """Return the code points at which the answer of ``after`` may change."""
        first = self.first.borders()
        return first | self.rest.borders() if self.first.is_complete else first


@attrs.frozen(cache_hash=True)
class Repeat:
    """A text of texts of one language, so many of them; None for any number."""

    of: Language
    least: int
    most: int | None

    @property
    def is_complete(self) -> bool:
        """Whether the empty text is one of it."""
        return self.least == 0 or self.of.is_complete

    def after(self, code: int) -> Language:
        """Return what may follow this character."""
        least = 0 if self.of.is_complete else max(0, self.least - 1)
        most = None if self.most is None else self.most - 1
        return chain(self.of.after(code), repeat(self.of, least, most))

    def borders(self) -> frozenset[int]:
        """Return the code points at which the answer of ``after`` may change."""
        return self.of.borders()


@attrs.frozen(cache_hash=True)
class Either:
    """The texts of all of these."""

    parts: frozenset[Language]

    @property
    def is_complete(self) -> bool:
        """Whether the empty text is one of it."""
        return any(part.is_complete for part in self.parts)

    def after(self, code: int) -> Language:
        """Return what may follow this character."""
        return either(*(part.after(code) for part in self.parts))

    def borders(self) -> frozenset[int]:
        """Return the code points at which the answer of ``after`` may change."""
        return frozenset[int]().union(*(part.borders() for part in self.parts))


@attrs.frozen(cache_hash=True)
class Both:
    """The texts that are in all of these."""

    parts: frozenset[Language]

    @property
    def is_complete(self) -> bool:
        """Whether the empty text is one of it."""
        return all(part.is_complete for part in self.parts)

    def after(self, code: int) -> Language:
        """Return what may follow this character."""
        return both(*(part.after(code) for part in self.parts))

    def borders(self) -> frozenset[int]:
        """Return the code points at which the answer of ``after`` may change."""
        return frozenset[int]().union(*(part.borders() for part in self.parts))


@attrs.frozen(cache_hash=True)
class Opposite:
    """All texts but those of a language."""

    of: Language

    @property
    def is_complete(self) -> bool:
        """Whether the empty text is one of it."""
        return not self.of.is_complete

    def after(self, code: int) -> Language:
        """Return what may follow this character."""
        return opposite(self.of.after(code))

    def borders(self) -> frozenset[int]:
        """Return the code points at which the answer of ``after`` may change."""
        return self.of.borders()


@attrs.frozen(cache_hash=True)
class Multiple:
    """The decimals, without sign, that are whole multiples of ``step / 10**places``.

    Args:
        step: A whole number above zero.
        places: Digits behind the point that may differ from zero.
        rest: What is left over of the digits so far.
        left: Of ``places``, those that have not come yet; None in front of the point.
    """

    step: int
    places: int
    rest: int = 0
    left: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the empty text is one of it."""
        left = self.places if self.left is None else self.left
        tens: int = 10**left
        return self.rest * tens % self.step == 0

    def after(self, code: int) -> Language:
        """Return what may follow this character."""
        if code == _POINT and self.left is None:
            return attrs.evolve(self, left=self.places)
        if code not in _DIGITS:
            return NOTHING
        digit = code - _DIGITS[0]
        if self.left == 0:
            return NOTHING if digit else self
        left = None if self.left is None else self.left - 1
        return attrs.evolve(self, rest=(self.rest * 10 + digit) % self.step, left=left)

    def borders(self) -> frozenset[int]:
        """Return the code points at which the answer of ``after`` may change."""
        return frozenset((_POINT, _POINT + 1, *_DIGITS, _DIGITS[-1] + 1))


Language = Union[Characters, Chain, Repeat, Either, Both, Opposite, Multiple]
NOTHING = Characters(())
"""No text."""
ANY = Characters(CHARACTERS)
"""One character, whichever."""
ANYTHING = Repeat(ANY, 0, None)
"""Every text."""
EMPTY = Repeat(NOTHING, 0, 0)
"""The empty text."""


def one_of(ranges: Ranges) -> Language:
    """Return the language of one character in these ranges."""
    return NOTHING if not ranges else ANY if ranges == CHARACTERS else Characters(ranges)


def characters(*spans: tuple[int, int]) -> Language:
    """Return the language of one character in these spans."""
    return one_of(united(spans))


# What each of these returns is NOTHING itself, and so on, wherever it is the same.


def chain(*parts: Language) -> Language:
    """Return the language of texts that are one of each part, in order."""
    whole: Language = EMPTY
    for part in reversed(parts):
        whole = _chain(part, whole)
    return whole


def _chain(first: Language, rest: Language) -> Language:
    if first is NOTHING or rest is NOTHING:
        return NOTHING
    if first is EMPTY or (first is ANYTHING and rest is ANYTHING):
        return rest
    if rest is EMPTY:
        return first
    if isinstance(first, Chain):
        return _chain(first.first, _chain(first.rest, rest))
    return Chain(first, rest)


def repeat(of: Language, least: int = 0, most: int | None = None) -> Language:
    """Return the language of so many texts of another, one after the other."""
    if most == 0 or of is EMPTY:
        return EMPTY
    if of is NOTHING:
        return NOTHING if least else EMPTY
    if of is ANY and least == 0 and most is None:
        return ANYTHING
    return of if least == most == 1 else Repeat(of, least, most)


def either(*parts: Language) -> Language:
    """Return the language of the texts of all parts."""
    flat: set[Language] = set()
    for part in parts:
        if part is ANYTHING:
            return ANYTHING
        if part is not NOTHING:
            flat |= part.parts if isinstance(part, Either) else {part}
    single = [part for part in flat if isinstance(part, Characters)]
    if len(single) > 1:
        flat -= {*single}
        flat.add(characters(*(span for part in single for span in part.ranges)))
    if len(flat) > 1:
        return Either(frozenset(flat))
    return flat.pop() if flat else NOTHING


def both(*parts: Language) -> Language:
    """Return the language of the texts that all parts have."""
    flat: set[Language] = set()
    for part in parts:
        if part is NOTHING:
            return NOTHING
        if part is not ANYTHING:
            flat |= part.parts if isinstance(part, Both) else {part}
    if len(flat) > 1:
        return Both(frozenset(flat))
    return flat.pop() if flat else ANYTHING


def opposite(language: Language) -> Language:
    """Return the language of all texts but these."""
    if language is NOTHING:
        return ANYTHING
    if language is ANYTHING:
        return NOTHING
    return language.of if isinstance(language, Opposite) else Opposite(language)


def word(text: str) -> Language:
    """Return the language of one text."""
    return chain(*(characters((ord(letter), ord(letter))) for letter in text))


def united(spans: Iterable[tuple[int, int]]) -> Ranges:
    """Return spans in order, those that touch as one, without what is no character."""
    whole: list[tuple[int, int]] = []
    for low, high in sorted(_without_surrogates(spans)):
        if whole and low <= whole[-1][1] + 1:
            whole[-1] = whole[-1][0], max(high, whole[-1][1])
        else:
            whole.append((low, high))
    return tuple(whole)


def _without_surrogates(spans: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    for low, high in spans:
        for first, last in CHARACTERS:
            if max(low, first) <= min(high, last):
                yield max(low, first), min(high, last)


def all_but(ranges: Ranges) -> Ranges:
    """Return the characters that are not in these ranges."""
    left, begin = [], 0
    for low, high in ranges:
        left.append((begin, low - 1))
        begin = high + 1
    return united([*left, (begin, CHARACTERS[-1][1])])


def has(language: Language, text: str) -> bool:
    """Whether a text is one of a language."""
    for letter in text:
        language = language.after(ord(letter))
    return language.is_complete


def longest(language: Language) -> int:
    """Return how many characters texts of a language have at the most; -1 if nobody can tell."""
    if isinstance(language, Characters):
        return 1
    if isinstance(language, Chain):
        first, rest = longest(language.first), longest(language.rest)
        return -1 if min(first, rest) < 0 else first + rest
    if isinstance(language, Repeat):
        once, most = longest(language.of), language.most
        return -1 if once < 0 or most is None else once * most
    if isinstance(language, Either):
        lengths = [longest(part) for part in language.parts]
        return -1 if min(lengths) < 0 else max(lengths)
    if isinstance(language, Both):
        return min((n for n in map(longest, language.parts) if n >= 0), default=-1)
    return -1

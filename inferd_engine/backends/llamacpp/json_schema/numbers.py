"""Numbers between bounds, as texts: which decimals there are of what a schema says of them.

Decimals are compared digit by digit, as texts, so that what is let through is within the bounds
exactly.  They have no exponent, and no more than fifteen digits, of which every double has all:
so a number beyond an exclusive bound is beyond it for a reader that has doubles, too.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Union

import attrs

from inferd_engine.backends.llamacpp.json_schema.languages import (
    ANYTHING,
    EMPTY,
    NOTHING,
    Multiple,
    both,
    chain,
    characters,
    either,
    opposite,
    repeat,
    word,
)

if TYPE_CHECKING:
    from inferd_engine.backends.llamacpp.json_schema.languages import Language

Number = Union[int, float]
_DIGITS = 15  # of a decimal; sys.float_info.dig
_BEHIND = 6  # of these behind the point, unless a bound has more
_INTEGER_DIGITS = 16
_MOST_DIGITS = 60  # of a bound: there is no sense in more, and each is a rule
_DIGIT = characters((0x30, 0x39))
_NOT_ZERO = characters((0x31, 0x39))
_POINT = word(".")
_ANY_FRACTION = either(EMPTY, chain(_POINT, repeat(_DIGIT, 1)))


@attrs.frozen(kw_only=True)
class Limits:
    """What is said of a number.

    Args:
        low: Each the least that it may be, and whether it has to be more than that.
        high: Likewise the most.
        multiples: It has to be a whole multiple of each.
        not_multiples: And of none of these.
        unequal: It has to be none of these.
    """

    low: tuple[tuple[Fraction, bool], ...] = ()
    high: tuple[tuple[Fraction, bool], ...] = ()
    multiples: tuple[Fraction, ...] = ()
    not_multiples: tuple[Fraction, ...] = ()
    unequal: tuple[Fraction, ...] = ()

    def joined(self, other: Limits) -> Limits:
        """Return what both say."""
        return Limits(
            low=self.low + other.low,
            high=self.high + other.high,
            multiples=self.multiples + other.multiples,
            not_multiples=self.not_multiples + other.not_multiples,
            unequal=self.unequal + other.unequal,
        )

    def allow(self, number: Fraction) -> bool:
        """Whether a number is one of them."""
        return (
            all(number > low or (number == low and not is_beyond) for low, is_beyond in self.low)
            and all(number < high or (number == high and not beyond) for high, beyond in self.high)
            and all((number / step).denominator == 1 for step in self.multiples)
            and all((number / step).denominator != 1 for step in self.not_multiples)
            and number not in self.unequal
        )


UNLIMITED = Limits()


def exactly(number: Number) -> Fraction:
    """Return the decimal that a number is written as.

    Raises:
        ValueError: It is none.
    """
    if not math.isfinite(number):
        raise ValueError(f"{number!r}, which JSON has no number for")
    return Fraction(Decimal(repr(number)))


def numbers(limits: Limits, *, integers: bool, fractions: bool) -> Language:
    """Return the texts of the numbers within limits.

    Args:
        limits: Which numbers.
        integers: Whether there may be whole numbers.
        fractions: Whether there may be others.
    """
    low = max(limits.low, default=None)
    high = min(((most, not beyond) for most, beyond in limits.high), default=None)
    most = None if high is None else (high[0], not high[1])
    zero = (Fraction(0), False)
    shape = _shape(limits, integers=integers, fractions=fractions)
    upwards = both(shape, *_between(low or zero, most))
    mirrored_low = (-most[0], most[1]) if most is not None else zero
    mirrored_high = None if low is None else (-low[0], low[1])
    below_zero = both(shape, *_between(max(mirrored_low, (Fraction(0), True)), mirrored_high))
    unequal = [
        both(_at_least(abs(n), is_beyond=False), opposite(_at_least(abs(n), is_beyond=True)))
        for n in limits.unequal
    ]
    up = [opposite(text) for text, n in zip(unequal, limits.unequal, strict=True) if n >= 0]
    down = [opposite(text) for text, n in zip(unequal, limits.unequal, strict=True) if n < 0]
    return either(both(upwards, *up), chain(word("-"), both(below_zero, *down)))


def _shape(limits: Limits, *, integers: bool, fractions: bool) -> Language:
    """Return how numbers without a sign are written."""
    bounds = [number for number, _ in (*limits.low, *limits.high)]
    before = max(map(_places, bounds), default=0)
    is_bounded = limits.low and limits.high
    before = min(before if is_bounded else max(before + 1, _INTEGER_DIGITS), _MOST_DIGITS)
    whole = _whole(before)
    if fractions:
        wanted = max((len(_digits(number)[1]) + 1 for number in bounds), default=0)
        behind = min(max(wanted, _BEHIND), _DIGITS - 1)
        if limits.multiples:
            behind = min((behind, *(len(_digits(step)[1]) for step in limits.multiples)))
        front = max((*map(_places, bounds), 0 if is_bounded else _DIGITS - behind, 1))
        behind = max(min(behind, _DIGITS - front), 0)
        broken = chain(_whole(front), _POINT, repeat(_DIGIT, 1, behind)) if behind else NOTHING
        not_zero = chain(repeat(_DIGIT), _POINT, repeat(_DIGIT), _NOT_ZERO, repeat(_DIGIT))
        whole = either(whole, broken) if integers else both(broken, not_zero)
    steps = [_multiple(step) for step in limits.multiples]
    no_steps = [opposite(_multiple(step)) for step in limits.not_multiples]
    return both(whole, *steps, *no_steps)


def _whole(digits: int) -> Language:
    return either(word("0"), chain(_NOT_ZERO, repeat(_DIGIT, 0, digits - 1)))


def _places(number: Fraction) -> int:
    """Return how many digits a number has in front of its point."""
    return len(_digits(number)[0])


def _multiple(step: Fraction) -> Language:
    places = len(_digits(step)[1])
    return Multiple(int(step * 10**places), places)


def _between(low: tuple[Fraction, bool], high: tuple[Fraction, bool] | None) -> list[Language]:
    """Return what texts without a sign are between bounds, which are included or not."""
    bounds = []
    if low > (Fraction(0), False):
        bounds.append(_at_least(low[0], is_beyond=low[1]))
    if high is not None:
        too_much = _at_least(high[0], is_beyond=not high[1]) if high[0] >= 0 else ANYTHING
        bounds.append(opposite(too_much))
    return bounds


def _at_least(number: Fraction, *, is_beyond: bool) -> Language:
    """Return the texts, without a sign, of numbers that are not less than one of zero or more."""
    whole, broken = _digits(number)
    longer = chain(_NOT_ZERO, repeat(_DIGIT, len(whole)))
    more = either(
        longer,
        *(
            chain(larger, repeat(_DIGIT, len(whole) - n - 1, len(whole) - n - 1))
            for n, larger in _larger(whole)
        ),
    )
    equal: list[Language] = [chain(larger, repeat(_DIGIT)) for _, larger in _larger(broken)]
    equal.append(chain(word(broken), repeat(_DIGIT), _NOT_ZERO, repeat(_DIGIT)))
    if not is_beyond:
        equal.append(chain(word(broken), repeat(word("0")), *([] if broken else [word("0")])))
    behind = [chain(_POINT, text) for text in equal]
    if not is_beyond and not broken:
        behind.append(EMPTY)
    return either(chain(more, _ANY_FRACTION), chain(word(whole), either(*behind)))


def _larger(digits: str) -> list[tuple[int, Language]]:
    """Return, for each digit, what begins as these digits do and has a larger one there."""
    return [
        (n, chain(word(digits[:n]), characters((ord(digit) + 1, 0x39))))
        for n, digit in enumerate(digits)
        if digit != "9"
    ]


def _digits(number: Fraction) -> tuple[str, str]:
    """Return the digits of a number in front of its point, and those behind it."""
    numerator, denominator = abs(number.numerator), number.denominator
    places = 0
    while denominator != 1 and 10**places % denominator:
        places += 1
    text = str(numerator * 10**places // denominator).rjust(places + 1, "0")
    return (text[:-places], text[-places:].rstrip("0")) if places else (text, "")

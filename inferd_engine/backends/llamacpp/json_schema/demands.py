"""What a schema demands of a value, as alternatives that a grammar can be written of.

Goal: no keyword is dropped silently.  Each is held to by the grammar, is an annotation, or is
refused by its name, before anything is computed.

Strategy: a schema becomes alternatives, and each of those says of every type of JSON what is
wanted (``Demand``).  ``allOf`` and keywords beside each other are a product, ``anyOf`` a sum;
``not`` is pushed inwards until it meets keywords that have an opposite, and ``oneOf``, ``if`` and
``dependent…`` are said in words of these.  What is inside of objects and arrays stays a schema:
it is taken apart when its rule is written, and so a schema may refer to itself.

JSON Schema 2020-12, Core and Validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.backends.llamacpp.json_schema.languages import ANYTHING, both, has, opposite
from inferd_engine.backends.llamacpp.json_schema.numbers import UNLIMITED, Limits, exactly

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from fractions import Fraction

    from inferd_engine.backends.llamacpp.json_schema.languages import Language

Kinds = frozenset[str]
TYPES: dict[str, Kinds] = {
    "null": frozenset({"null"}),
    "boolean": frozenset({"true", "false"}),
    "integer": frozenset({"integer"}),
    "number": frozenset({"integer", "fraction"}),
    "string": frozenset({"string"}),
    "array": frozenset({"array"}),
    "object": frozenset({"object"}),
}
ALL: Kinds = frozenset().union(*TYPES.values())
NUMBERS = TYPES["number"]
MOST_ALTERNATIVES = 500


class SchemaError(ValueError):
    """A schema is none, or demands what a grammar cannot hold to; the message names the place."""


@attrs.frozen(kw_only=True)
class Objects:
    """What one schema says of objects; values are schemas.

    Args:
        properties: By name.
        patterns: By the language of names.
        additional: Of all other names; None if nothing is said.
        names: A schema of names; None likewise.
        required: Names that have to be there.
        least: How many there have to be, at the least.
        most: And at the most; None sets no bound.
    """

    properties: Mapping[str, Any] = attrs.field(factory=dict)
    patterns: tuple[tuple[Language, Any], ...] = ()
    additional: Any = None
    names: Any = None
    required: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None

    def of(self, name: str) -> list[Any]:
        """Return the schemas of a property."""
        found = [self.properties[name]] if name in self.properties else []
        found += [schema for language, schema in self.patterns if has(language, name)]
        return found or [True if self.additional is None else self.additional]


@attrs.frozen(kw_only=True)
class Arrays:
    """What one schema says of arrays; items are schemas.

    Args:
        prefix: Of the first items, one by one.
        items: Of those behind them; None if nothing is said.
        contains: What some of the items are; None likewise.
        least_contained: How many of them, at the least.
        most_contained: And at the most.
        least: How many items there have to be, at the least.
        most: And at the most; None sets no bound.
        is_unique: Whether all have to differ.
    """

    prefix: tuple[Any, ...] = ()
    items: Any = None
    contains: Any = None
    least_contained: int = 1
    most_contained: int | None = None
    least: int = 0
    most: int | None = None
    is_unique: bool = False

    def at(self, index: int) -> Any:
        """Return the schema of an item."""
        if index < len(self.prefix):
            return self.prefix[index]
        return True if self.items is None else self.items


@attrs.frozen(kw_only=True)
class Demand:
    """What is wanted of a value: one of these kinds, and of each kind that.

    Args:
        kinds: Of which it may be.
        is_typed: Whether that was said, and not only left open.
        words: The strings that it may be; None for any.
        values: The numbers likewise.
        language: Of strings.
        least: Characters of strings, at the least.
        most: And at the most; None sets no bound.
        limits: Of numbers.
        objects: What was said of objects, one schema after another.
        arrays: Of arrays likewise.
    """

    kinds: Kinds = ALL
    is_typed: bool = False
    words: tuple[str, ...] | None = None
    values: tuple[float, ...] | None = None
    language: Language = ANYTHING
    least: int = 0
    most: int | None = None
    limits: Limits = UNLIMITED
    objects: tuple[Objects, ...] = ()
    arrays: tuple[Arrays, ...] = ()

    def joined(self, other: Demand) -> Demand:
        """Return what both demand."""
        return Demand(
            kinds=self.kinds & other.kinds,
            is_typed=self.is_typed or other.is_typed,
            words=_in_both(self.words, other.words),
            values=_in_both(self.values, other.values),
            language=both(self.language, other.language),
            least=max(self.least, other.least),
            most=lesser(self.most, other.most),
            limits=self.limits.joined(other.limits),
            objects=self.objects + other.objects,
            arrays=self.arrays + other.arrays,
        )

    @property
    def strings(self) -> list[str] | None:
        """The strings that it may be, if they are counted."""
        if self.words is None:
            return None
        return [word for word in self.words if self._allows(word)]

    @property
    def numbers(self) -> list[float] | None:
        """The numbers that it may be, if they are counted."""
        if self.values is None:
            return None
        return [
            value
            for value in self.values
            if kind_of(value) in self.kinds and self.limits.allow(exactly(value))
        ]

    def _allows(self, word: str) -> bool:
        is_long_enough = len(word) >= self.least and (self.most is None or len(word) <= self.most)
        return is_long_enough and has(self.language, word)

    def meant(self) -> Kinds:
        """Return the kinds that are meant: where none is said, those of which something is."""
        if self.is_typed:
            return self.kinds
        has_text = self.language != ANYTHING or self.least > 0 or self.most is not None
        told = {
            "string": has_text,
            "integer": self.limits != UNLIMITED,
            "fraction": self.limits != UNLIMITED,
            "object": bool(self.objects),
            "array": bool(self.arrays),
        }
        return (
            frozenset(kind for kind, is_told in told.items() if is_told) & self.kinds or self.kinds
        )


Alternatives = list[Demand]
"""Demands, one of which a value has to meet."""


def lesser(one: int | None, other: int | None) -> int | None:
    """Return the lesser of two bounds, of which None is none."""
    bounds = [bound for bound in (one, other) if bound is not None]
    return min(bounds, default=None)


def _in_both(one: tuple[Any, ...] | None, other: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(value for value in one if value in other)


def kind_of(value: float) -> str:
    """Return whether a number is a whole one, as JSON Schema sees it."""
    return "integer" if exactly(value).denominator == 1 else "fraction"


def product(one: Iterable[Demand], other: Iterable[Demand], place: str) -> list[Demand]:
    """Return what both of two lists of alternatives demand.

    Raises:
        SchemaError: These are too many.
    """
    right = list(other)
    found = [a.joined(b) for a in one for b in right]
    found = [demand for demand in found if demand.kinds]
    if len(found) > MOST_ALTERNATIVES:
        raise SchemaError(f"{place} has more than {MOST_ALTERNATIVES} alternatives")
    return found


def constant(value: Any, place: str) -> Demand:
    """Return the demand that a value is this one.

    Raises:
        SchemaError: It is no value of JSON's.
    """
    if value is None or isinstance(value, bool):
        word = "null" if value is None else "true" if value else "false"
        return Demand(kinds=frozenset({word}), is_typed=True)
    if isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise SchemaError(f"{place} is {value!r}, which holds half of a surrogate pair")
        return Demand(kinds=TYPES["string"], is_typed=True, words=(value,))
    if isinstance(value, (int, float)):
        try:
            kind = kind_of(value)
        except ValueError as error:
            raise SchemaError(f"{place} is {error}") from None
        return Demand(kinds=frozenset({kind}), is_typed=True, values=(value,))
    if isinstance(value, (list, tuple)):
        items = tuple({"const": item} for item in value)
        array = Arrays(prefix=items, items=False, least=len(items), most=len(items))
        return Demand(kinds=TYPES["array"], is_typed=True, arrays=(array,))
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        properties = {name: {"const": inner} for name, inner in value.items()}
        thing = Objects(properties=properties, additional=False, required=tuple(value))
        return Demand(kinds=TYPES["object"], is_typed=True, objects=(thing,))
    raise SchemaError(f"{place} is {value!r}: it has to be a value of JSON's")


def constants(values: Iterable[Any], place: str) -> list[Demand]:
    """Return the demands that a value is one of these: one for all that is no object or array.

    Raises:
        SchemaError: One is no value of JSON's.
    """
    demands = [constant(value, place) for value in values]
    flat = [demand for demand in demands if not (demand.objects or demand.arrays)]
    nested = [demand for demand in demands if demand.objects or demand.arrays]
    if not flat:
        return nested
    together = Demand(
        kinds=ALL & frozenset().union(*(demand.kinds for demand in flat)),
        is_typed=True,
        words=tuple(word for demand in flat for word in demand.words or ()),
        values=tuple(value for demand in flat for value in demand.values or ()),
    )
    return [together, *nested]


def anything_but(kinds: Kinds) -> Demand:
    """Return the demand that a value is of another kind."""
    return Demand(kinds=ALL - kinds, is_typed=True)


def not_word(text: Language) -> list[Demand]:
    """Return the demands that a value is no string of a language."""
    return [
        anything_but(TYPES["string"]),
        Demand(kinds=TYPES["string"], is_typed=True, language=opposite(text)),
    ]


def unequal(number: Fraction) -> list[Demand]:
    """Return the demands that a value is not this number."""
    limits = Limits(unequal=(number,))
    return [
        anything_but(NUMBERS),
        Demand(kinds=NUMBERS, is_typed=True, limits=limits),
    ]

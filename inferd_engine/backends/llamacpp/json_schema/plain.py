"""What keywords demand that stand for themselves: a type, bounds, a pattern, members, items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.backends.llamacpp.json_schema.demands import Arrays, Demand, Objects, SchemaError
from inferd_engine.backends.llamacpp.json_schema.formats import FORMATS, format_language
from inferd_engine.backends.llamacpp.json_schema.keywords import types_of
from inferd_engine.backends.llamacpp.json_schema.languages import both
from inferd_engine.backends.llamacpp.json_schema.numbers import Limits, exactly
from inferd_engine.backends.llamacpp.json_schema.patterns import PatternError, language_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from inferd_engine.backends.llamacpp.json_schema.languages import Language

_OF_OBJECTS = {
    *("properties", "patternProperties", "additionalProperties", "propertyNames"),
    *("required", "minProperties", "maxProperties"),
}
_OF_ARRAYS = {
    *("prefixItems", "items", "contains", "minItems", "maxItems", "uniqueItems"),
}


def plain(schema: Mapping[str, Any], place: str) -> Demand:
    """Return what the keywords demand that stand for themselves."""
    demand = Demand()
    if "type" in schema:
        demand = Demand(kinds=types_of(schema, place), is_typed=True)
    limits = _limits(schema, place)
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    return demand.joined(
        Demand(
            language=both(*_languages(schema, place)),
            least=int(least),
            most=None if most is None else int(most),
            limits=limits,
            objects=(_objects(schema, place),) if _OF_OBJECTS & {*schema} else (),
            arrays=(_arrays(schema),) if _OF_ARRAYS & {*schema} else (),
        )
    )


def _languages(schema: Mapping[str, Any], place: str) -> list[Language]:
    found = []
    if "pattern" in schema:
        found.append(pattern_of(schema["pattern"], f"{place}.pattern"))
    if schema.get("format") in FORMATS:
        found.append(format_language(schema["format"]))
    return found


def pattern_of(pattern: str, place: str) -> Language:
    """Return the language of a pattern.

    Raises:
        SchemaError: It is none, or none that is regular.
    """
    try:
        return language_of(pattern)
    except PatternError as error:
        raise SchemaError(
            f"{place} is {pattern!r}, which a grammar cannot hold to: {error}"
        ) from None


def exact_of(schema: Mapping[str, Any], name: str, place: str) -> Fraction:
    """Return the number that a keyword has.

    Raises:
        SchemaError: It is none.
    """
    try:
        return exactly(schema[name])
    except ValueError as error:
        raise SchemaError(f"{place}.{name} is {error}") from None


def _limits(schema: Mapping[str, Any], place: str) -> Limits:
    bounds = {
        name: ((exact_of(schema, name, place), name.startswith("e")),)
        for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        if name in schema
    }
    step = (exact_of(schema, "multipleOf", place),) if "multipleOf" in schema else ()
    return Limits(
        low=bounds.get("minimum", ()) + bounds.get("exclusiveMinimum", ()),
        high=bounds.get("maximum", ()) + bounds.get("exclusiveMaximum", ()),
        multiples=step,
    )


def _objects(schema: Mapping[str, Any], place: str) -> Objects:
    most = schema.get("maxProperties")
    return Objects(
        properties=schema.get("properties", {}),
        patterns=tuple(
            (pattern_of(pattern, f"{place}.patternProperties"), inner)
            for pattern, inner in schema.get("patternProperties", {}).items()
        ),
        additional=schema.get("additionalProperties"),
        names=schema.get("propertyNames"),
        required=tuple(schema.get("required", ())),
        least=int(schema.get("minProperties", 0)),
        most=None if most is None else int(most),
    )


def _arrays(schema: Mapping[str, Any]) -> Arrays:
    most, most_contained = schema.get("maxItems"), schema.get("maxContains")
    return Arrays(
        prefix=tuple(schema.get("prefixItems", ())),
        items=schema.get("items"),
        contains=schema.get("contains"),
        least_contained=int(schema.get("minContains", 1)),
        most_contained=None if most_contained is None else int(most_contained),
        least=int(schema.get("minItems", 0)),
        most=None if most is None else int(most),
        is_unique=schema.get("uniqueItems", False),
    )


def with_unevaluated(schema: Mapping[str, Any], demand: Demand, place: str) -> Demand:
    """Return a demand that says something of what no other keyword has said something of."""
    rest = schema.get("unevaluatedProperties")
    if rest is not None:
        if {"not", "if"} & {*schema}:
            raise SchemaError(f"{place}.unevaluatedProperties beside not or if cannot be held to")
        if all(part.additional is None for part in demand.objects):
            known = {name: True for part in demand.objects for name in part.properties}
            patterns = tuple((p, True) for part in demand.objects for p, _ in part.patterns)
            more = Objects(properties=known, patterns=patterns, additional=rest)
            demand = demand.joined(Demand(objects=(more,)))
    rest = schema.get("unevaluatedItems")
    if rest is not None and all(part.items is None for part in demand.arrays):
        longest = max((len(part.prefix) for part in demand.arrays), default=0)
        more_items = Arrays(prefix=(True,) * longest, items=rest)
        demand = demand.joined(Demand(arrays=(more_items,)))
    return demand

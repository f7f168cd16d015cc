"""Opposites: what a keyword forbids, as demands; of some there is none that a grammar can hold to.

The opposite of a schema is any of the opposites of its keywords, so each stands for itself here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.backends.llamacpp.json_schema.demands import (
    NUMBERS,
    TYPES,
    Arrays,
    Demand,
    Objects,
    SchemaError,
    anything_but,
    constant,
    not_word,
    product,
    unequal,
)
from inferd_engine.backends.llamacpp.json_schema.formats import FORMATS
from inferd_engine.backends.llamacpp.json_schema.keywords import types_of
from inferd_engine.backends.llamacpp.json_schema.languages import opposite, word
from inferd_engine.backends.llamacpp.json_schema.numbers import Limits, exactly
from inferd_engine.backends.llamacpp.json_schema.plain import exact_of, pattern_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inferd_engine.backends.llamacpp.json_schema.demands import Alternatives
    from inferd_engine.backends.llamacpp.json_schema.reader import Reader

_ANYTHING_GOES = [Demand()]


def _forbidden_constants(values: list[Any], place: str) -> Alternatives:
    """Return what is none of these values."""
    found = _ANYTHING_GOES
    for value in values:
        if isinstance(value, str):
            found = product(found, not_word(word(value)), place)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found = product(found, unequal(exactly(value)), place)
        elif value is None or isinstance(value, bool):
            found = product(found, [anything_but(constant(value, place).kinds)], place)
        else:
            raise SchemaError(f"{place} is an object or a list, of which there is no opposite")
    return found


def _forbidden_properties(reader: Reader, schema: Mapping[str, Any], place: str) -> Alternatives:
    """Return the objects that have a property of another kind than they should."""
    del place
    return [
        _of_objects(Objects(required=(name,), properties={name: reader.opposite(inner)}))
        for name, inner in schema["properties"].items()
    ]


def _forbidden_items(reader: Reader, schema: Mapping[str, Any], place: str) -> Alternatives:
    """Return the arrays that have an item of another kind than they should."""
    if schema.get("prefixItems"):
        raise SchemaError(f"{place} behind prefixItems has no opposite that can be held to")
    return [_of_arrays(Arrays(contains=reader.opposite(schema["items"])))]


def _forbidden_prefix(reader: Reader, schema: Mapping[str, Any], place: str) -> Alternatives:
    """Return the arrays of which one of the first items is not as it should be."""
    del place
    return [
        _of_arrays(Arrays(prefix=(*[True] * n, reader.opposite(inner)), least=n + 1))
        for n, inner in enumerate(schema["prefixItems"])
    ]


def _forbidden_contains(reader: Reader, schema: Mapping[str, Any], place: str) -> Alternatives:
    """Return the arrays that have too few items of a kind, or too many."""
    del reader, place
    least, most = schema.get("minContains", 1), schema.get("maxContains")
    inner = schema["contains"]
    found = []
    if least > 0:
        few = Arrays(contains=inner, least_contained=0, most_contained=int(least) - 1)
        found.append(_of_arrays(few))
    if most is not None:
        found.append(_of_arrays(Arrays(contains=inner, least_contained=int(most) + 1)))
    return found


def _opposite_of_all(reader: Reader, schema: Mapping[str, Any], place: str) -> Alternatives:
    """Return what one part of ``allOf`` does not allow."""
    parts = enumerate(schema["allOf"])
    return [demand for n, part in parts for demand in reader.forbidden(part, f"{place}[{n}]")]


def _opposite_of_any(reader: Reader, schema: Mapping[str, Any], place: str) -> Alternatives:
    """Return what no part of ``anyOf`` allows."""
    found = _ANYTHING_GOES
    for n, part in enumerate(schema["anyOf"]):
        found = product(found, reader.forbidden(part, f"{place}[{n}]"), place)
    return found


def _opposite_of_reference(reader: Reader, schema: Mapping[str, Any], place: str) -> Alternatives:
    """Return what a schema that is referred to does not allow."""
    return reader.forbidden(reader.found(schema["$ref"], place.removesuffix(".$ref")), place)


def _of_objects(objects: Objects) -> Demand:
    return Demand(kinds=TYPES["object"], is_typed=True, objects=(objects,))


def _of_arrays(arrays: Arrays) -> Demand:
    return Demand(kinds=TYPES["array"], is_typed=True, arrays=(arrays,))


def _of_numbers(limits: Limits) -> Alternatives:
    return [Demand(kinds=NUMBERS, is_typed=True, limits=limits)]


def _of_strings(**fields: Any) -> Alternatives:
    return [Demand(kinds=TYPES["string"], is_typed=True, **fields)]


def _opposite_format(schema: Mapping[str, Any], place: str) -> Alternatives:
    if schema["format"] in FORMATS:
        raise SchemaError(f"{place} has no opposite that a grammar can hold to")
    return []


OPPOSITES: dict[str, Callable[[Reader, Mapping[str, Any], str], Alternatives]] = {
    "type": lambda _, s, place: [anything_but(types_of(s, place.removesuffix(".type")))],
    "const": lambda _, s, place: _forbidden_constants([s["const"]], place),
    "enum": lambda _, s, place: _forbidden_constants(s["enum"], place),
    "minimum": lambda _, s, p: _of_numbers(Limits(high=((exact_of(s, "minimum", p), True),))),
    "maximum": lambda _, s, p: _of_numbers(Limits(low=((exact_of(s, "maximum", p), True),))),
    "exclusiveMinimum": lambda _, s, p: _of_numbers(
        Limits(high=((exact_of(s, "exclusiveMinimum", p), False),))
    ),
    "exclusiveMaximum": lambda _, s, p: _of_numbers(
        Limits(low=((exact_of(s, "exclusiveMaximum", p), False),))
    ),
    "multipleOf": lambda _, s, p: _of_numbers(
        Limits(not_multiples=(exact_of(s, "multipleOf", p),))
    ),
    "minLength": lambda _, s, __: (
        _of_strings(most=int(s["minLength"]) - 1) if s["minLength"] else []
    ),
    "maxLength": lambda _, s, __: _of_strings(least=int(s["maxLength"]) + 1),
    "pattern": lambda _, s, p: _of_strings(language=opposite(pattern_of(s["pattern"], p))),
    "format": lambda _, s, p: _opposite_format(s, p),
    "required": lambda _, s, __: [
        _of_objects(Objects(properties={name: False})) for name in s["required"]
    ],
    "minProperties": lambda _, s, __: (
        [_of_objects(Objects(most=int(s["minProperties"]) - 1))] if s["minProperties"] else []
    ),
    "maxProperties": lambda _, s, __: [_of_objects(Objects(least=int(s["maxProperties"]) + 1))],
    "properties": _forbidden_properties,
    "minItems": lambda _, s, __: (
        [_of_arrays(Arrays(most=int(s["minItems"]) - 1))] if s["minItems"] else []
    ),
    "maxItems": lambda _, s, __: [_of_arrays(Arrays(least=int(s["maxItems"]) + 1))],
    "items": _forbidden_items,
    "prefixItems": _forbidden_prefix,
    "contains": _forbidden_contains,
    "allOf": _opposite_of_all,
    "anyOf": _opposite_of_any,
    "not": lambda reader, s, place: reader.allowed(s["not"], place),
    "$ref": _opposite_of_reference,
}
NO_OPPOSITE = {
    *("oneOf", "if", "dependentRequired", "dependentSchemas", "additionalProperties"),
    *("patternProperties", "propertyNames", "uniqueItems", "unevaluatedProperties"),
    "unevaluatedItems",
}

"""The keywords of JSON Schema 2020-12: what each has to look like, and which are refused.

docs/llamacpp.md has this as a table.  A keyword that is not named here is an annotation: so says
the specification, and so do we.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from inferd_engine.backends.llamacpp.json_schema.demands import TYPES, SchemaError
from inferd_engine.backends.llamacpp.json_schema.formats import NOT_REGULAR

REFUSED = {
    "$dynamicRef": "write $ref",
    "$recursiveRef": "write $ref",
    "dependencies": "write dependentRequired or dependentSchemas",
    "additionalItems": "write items, and prefixItems in front of it",
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and 0 <= value == int(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _are_names(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _is_schema(value: Any) -> bool:
    return isinstance(value, (bool, Mapping))


_Rule = tuple[Callable[[Any], bool], str]
_NUMBER: _Rule = (_is_number, "it has to be a number")
_COUNT: _Rule = (_is_count, "it has to be a whole number, 0 or more")
_LIST: _Rule = (_is_list, "it has to be a list with something")
_NAMES: _Rule = (_are_names, "it has to be a list of strings")
_OBJECT: _Rule = (_is_object, "it is not an object")
_SCHEMA: _Rule = (_is_schema, "it has to be a JSON schema")
_TEXT: _Rule = (lambda value: isinstance(value, str), "it has to be a string")
_BOOL: _Rule = (lambda value: isinstance(value, bool), "it has to be true or false")
_STEP: _Rule = (lambda value: _is_number(value) and value > 0, "it has to be above 0")

RULES: dict[str, _Rule] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _NUMBER),
    "multipleOf": _STEP,
    **dict.fromkeys(
        (
            *("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains"),
            *("minProperties", "maxProperties"),
        ),
        _COUNT,
    ),
    **dict.fromkeys(("enum", "anyOf", "oneOf", "allOf"), _LIST),
    "prefixItems": (lambda value: isinstance(value, list), "it has to be a list"),
    "required": _NAMES,
    **dict.fromkeys(
        ("properties", "patternProperties", "dependentRequired", "dependentSchemas"), _OBJECT
    ),
    **dict.fromkeys(
        (
            *("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then"),
            *("else", "unevaluatedProperties", "unevaluatedItems"),
        ),
        _SCHEMA,
    ),
    **dict.fromkeys(("pattern", "format", "$ref"), _TEXT),
    "uniqueItems": _BOOL,
}
"""What is held to, and what it has to look like; ``type`` and ``const`` are looked at elsewhere."""

_PAIRS = [(f"min{what}", f"max{what}") for what in ("Length", "Items", "Properties", "Contains")]


def check(schema: Any, place: str) -> None:
    """Refuse what is no schema, or has a keyword that cannot be held to.

    Raises:
        SchemaError: The message names the place.
    """
    if not isinstance(schema, Mapping):
        raise SchemaError(f"{place} is {schema!r}: it has to be a JSON schema")
    for word, value in schema.items():
        if word in REFUSED:
            raise SchemaError(f"{place}.{word} cannot be held to: {REFUSED[word]}")
        is_right, wanted = RULES.get(word, (None, ""))
        if is_right is not None and not is_right(value):
            raise SchemaError(f"{place}.{word} is {value!r}: {wanted}")
    for low, high in _PAIRS:
        if schema.get(high) is not None and schema.get(low, 0) > schema[high]:
            raise SchemaError(f"{place}.{high} is {schema[high]}, which is less than {low}")
    if schema.get("format") in NOT_REGULAR:
        raise SchemaError(
            f"{place}.format is {schema['format']!r}, which a grammar cannot hold to: leave it out"
        )


def types_of(schema: Mapping[str, Any], place: str) -> frozenset[str]:
    """Return the kinds of value that ``type`` names.

    Raises:
        SchemaError: It names none, or one that there is not.
    """
    named = schema["type"]
    kinds: frozenset[str] = frozenset()
    for name in named if isinstance(named, list) else [named]:
        if not isinstance(name, str) or name not in TYPES:
            raise SchemaError(f"{place}.type is {name!r}: take one of {', '.join(TYPES)}")
        kinds |= TYPES[name]
    if not kinds:
        raise SchemaError(f"{place}.type is []: take one of {', '.join(TYPES)}")
    return kinds

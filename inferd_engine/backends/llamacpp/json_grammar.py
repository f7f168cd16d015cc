"""A JSON schema as a grammar (GBNF): what it lets through is JSON, and valid by the schema.

What a grammar can say is kept: types, ``properties``, ``required``, ``items``, ``prefixItems``,
their least and greatest numbers, ``enum``, ``const``, ``anyOf``, ``oneOf``, ``allOf`` of objects,
``$ref`` within the schema, lengths of strings.  What it cannot say, or not in reasonable size, is
not enforced: ``pattern``, ``format``, bounds of numbers, ``not``, ``uniqueItems``, ….  An object
has the properties that its schema lists, in their order, and no others; one whose schema lists none
may have any.

JSON Schema 2020-12; RFC 8259.  Strings hold no control characters and no halves of surrogate pairs,
numbers no more digits than a double has, and blanks are bounded, so that a model cannot write them
for ever.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_REPEATED = 1000  # llama.cpp writes each repetition out, and refuses more than 2000
_SCALARS = ("string", "integer", "number", "boolean", "null")
_TYPES = (*_SCALARS, "object", "array")
_PRIMITIVES = {
    "ws": r'| " " | "\n" [ \t]{0,20}',
    "char": (
        r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | '
        r'"u" ([0-9A-Ca-cEeFf] [0-9A-Fa-f]{3} | [Dd] [0-7] [0-9A-Fa-f]{2}))'
    ),
    "string": r'"\"" char* "\""',
    "integer": r'"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": r'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": r'"true" | "false"',
    "null": r'"null"',
    "value": "string | number | boolean | null | object | array",
    "object": r'"{" ws (string ws ":" ws value ws ("," ws string ws ":" ws value ws)*)? "}"',
    "array": r'"[" ws (value ws ("," ws value ws)*)? "]"',
}


class JsonGrammar:
    """Write grammars of JSON schemas; ``text()`` gives the whole, with the rules that were used."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._named: dict[
            int, tuple[str, Any]
        ] = {}  # rules by the id() of their schema, which is kept
        self._root: Any = None

    def text(self, root: str) -> str:
        """Return the grammar whose root is this."""
        rules = {"root": root, **self._rules, **_PRIMITIVES}
        return "".join(f"{name} ::= {rule}\n" for name, rule in rules.items())

    def rule_of(self, schema: Any, place: str) -> str:
        """Return a rule for what a schema describes.

        Args:
            schema: An object, or a bool.
            place: Where it was found, for errors.

        Raises:
            InvalidRequestError: It cannot be read; the message names the place.
        """
        self._root = schema
        try:
            return self._rule(schema, place)
        except (TypeError, AttributeError, ValueError) as error:
            if isinstance(error, InvalidRequestError):
                raise
            raise InvalidRequestError(f"{place} is not a JSON schema: {error}") from None
        except RecursionError:
            raise InvalidRequestError(f"{place} refers to itself without end") from None

    def _rule(self, schema: Any, place: str) -> str:
        """Return what stands for a schema inside of another rule."""
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, dict):
            raise InvalidRequestError(f"{place} is {schema!r}: it has to be a JSON schema")
        known = self._named.get(id(schema))
        if known is not None:
            return known[0]
        name = self._add("")
        self._named[id(schema)] = name, schema
        self._rules[name] = self._body(schema, place)
        return name

    def _add(self, body: str) -> str:
        name = f"r{len(self._rules)}"
        self._rules[name] = body
        return name

    def _body(self, schema: Mapping[str, Any], place: str) -> str:
        if "$ref" in schema:
            return self._rule(self._found(schema["$ref"], place), f"{place}.$ref")
        if "const" in schema:
            return _literal(schema["const"])
        if "enum" in schema:
            return self._any(map(_literal, _list(schema, "enum", place)))
        for word in ("anyOf", "oneOf"):
            if word in schema:
                common = {key: value for key, value in schema.items() if key != word}
                return self._any(
                    self._rule(_merged(common, choice, f"{place}.{word}"), f"{place}.{word}[{n}]")
                    for n, choice in enumerate(_list(schema, word, place))
                )
        if "allOf" in schema:
            return self._body(self._all_of(schema, place), place)
        kind = schema.get("type")
        kinds = kind if isinstance(kind, list) else [_kind(schema) if kind is None else kind]
        return self._any(self._typed(schema, one, place) for one in kinds)

    def _all_of(self, schema: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Return a schema that says what all parts of another say."""
        whole: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in _list(schema, "allOf", place):
            is_reference = isinstance(part, dict) and "$ref" in part
            known = self._found(part["$ref"], place) if is_reference else part
            whole = _merged(whole, known, f"{place}.allOf")
        return whole

    def _typed(self, schema: Mapping[str, Any], kind: Any, place: str) -> str:
        if kind not in _TYPES and kind is not None:
            raise InvalidRequestError(f"{place}.type is {kind!r}: take one of {', '.join(_TYPES)}")
        if kind == "object":
            return self._object(schema, place)
        if kind == "array":
            return self._array(schema, place)
        if kind == "string" and ("minLength" in schema or "maxLength" in schema):
            return rf'"\"" char{_times(schema, "minLength", "maxLength", place)} "\""'
        return "value" if kind is None else str(kind)

    def _any(self, rules: Iterable[str]) -> str:
        return " | ".join(rules)

    def _object(self, schema: Mapping[str, Any], place: str) -> str:
        properties = schema.get("properties") or {}
        if not isinstance(properties, dict):
            raise InvalidRequestError(f"{place}.properties is not an object")
        required = schema.get("required") or []
        properties = {**properties, **{name: True for name in required if name not in properties}}
        if not properties:
            return self._free_object(schema.get("additionalProperties", True), place)
        # From the last to the first: what may follow, as the first of the object or after another.
        first, later = '""', '""'
        for name, inner in reversed(properties.items()):
            value = self._rule(inner, f"{place}.properties.{name}")
            pair = f'{_literal(name)} ws ":" ws {value} ws'
            skip_first, skip_later = first, later
            first, later = f"{pair} {skip_later}", f'"," ws {pair} {skip_later}'
            if name not in required:
                first, later = f"{first} | {skip_first}", f"{later} | {skip_later}"
            first, later = self._add(first), self._add(later)
        return f'"{{" ws {first} "}}"'

    def _free_object(self, inner: Any, place: str) -> str:
        if inner is False:
            return '"{" ws "}"'
        value = self._rule(inner, f"{place}.additionalProperties")
        pair = f'string ws ":" ws {value} ws'
        return f'"{{" ws ({pair} ("," ws {pair})*)? "}}"'

    def _array(self, schema: Mapping[str, Any], place: str) -> str:
        tuple_of = schema.get("prefixItems")
        if tuple_of:
            rules = [
                f"{self._rule(inner, f'{place}.prefixItems[{n}]')} ws"
                for n, inner in enumerate(_list(schema, "prefixItems", place))
            ]
            return f'"[" ws {""" "," ws """.join(rules)} "]"'
        inner = schema.get("items", True)
        if inner is False:
            return '"[" ws "]"'
        item = f"{self._rule(inner, f'{place}.items')} ws"
        least, most = _bounds(schema, "minItems", "maxItems", place)
        if most == 0:
            return '"[" ws "]"'
        rest = f"{{{max(0, least - 1)},{'' if most is None else most - 1}}}"
        items = f'{item} ("," ws {item}){rest}'
        return f'"[" ws {items if least else f"({items})?"} "]"'

    def _found(self, reference: Any, place: str) -> Any:
        """Return the schema that a reference within the schema means (RFC 6901)."""
        if isinstance(reference, str) and reference.startswith("#"):
            found = self._root
            try:
                for part in reference[1:].split("/")[1:]:
                    word = part.replace("~1", "/").replace("~0", "~")
                    found = found[int(word)] if isinstance(found, list) else found[word]
            except (KeyError, IndexError, ValueError, TypeError):
                pass
            else:
                return found
        raise InvalidRequestError(f"{place}.$ref is {reference!r}, which is not in the schema")


def _kind(schema: Mapping[str, Any]) -> str | None:
    """Guess the type of a schema that names none."""
    if {"properties", "required", "additionalProperties"} & {*schema}:
        return "object"
    if {"items", "prefixItems", "minItems", "maxItems"} & {*schema}:
        return "array"
    return "string" if {"minLength", "maxLength"} & {*schema} else None


def _merged(first: Mapping[str, Any], second: Any, place: str) -> dict[str, Any]:
    """Return a schema that says what both say."""
    if second is True:
        return {**first}
    if not isinstance(second, dict):
        raise InvalidRequestError(f"{place} holds {second!r}: it has to be a JSON schema")
    merged = {**first, **second}
    if isinstance(first.get("properties"), dict) and isinstance(second.get("properties"), dict):
        merged["properties"] = {**first["properties"], **second["properties"]}
    if first.get("required") and second.get("required"):
        merged["required"] = [*first["required"], *second["required"]]
    return merged


def _list(schema: Mapping[str, Any], word: str, place: str) -> list[Any]:
    found = schema[word]
    if not isinstance(found, list) or not found:
        raise InvalidRequestError(
            f"{place}.{word} is {found!r}: it has to be a list with something"
        )
    return found


def _bounds(schema: Mapping[str, Any], low: str, high: str, place: str) -> tuple[int, int | None]:
    least, most = schema.get(low, 0), schema.get(high)
    for word, value in ((low, least), (high, most)):
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value <= _MOST_REPEATED):
            raise InvalidRequestError(
                f"{place}.{word} is {value!r}: it has to be between 0 and {_MOST_REPEATED}"
            )
    if most is not None and most < least:
        raise InvalidRequestError(f"{place}.{high} is {most}, which is less than {low}")
    return least, most


def _times(schema: Mapping[str, Any], low: str, high: str, place: str) -> str:
    least, most = _bounds(schema, low, high, place)
    return f"{{{least},{'' if most is None else most}}}"


def _literal(value: Any) -> str:
    """Return the JSON of a value, as a literal of a grammar."""
    return quoted(json.dumps(value, ensure_ascii=False))


def quoted(text: str) -> str:
    """Return a text as a literal of a grammar."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for character, word in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(character, word)
    return f'"{escaped}"'

"""A schema read: the alternatives that it allows, each a demand; and those that it forbids."""

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
    constants,
    not_word,
    product,
    unequal,
)
from inferd_engine.backends.llamacpp.json_schema.formats import FORMATS, format_language
from inferd_engine.backends.llamacpp.json_schema.keywords import check, types_of
from inferd_engine.backends.llamacpp.json_schema.languages import both, opposite, word
from inferd_engine.backends.llamacpp.json_schema.numbers import Limits, exactly
from inferd_engine.backends.llamacpp.json_schema.patterns import PatternError, language_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from fractions import Fraction

    from inferd_engine.backends.llamacpp.json_schema.languages import Language

Alternatives = list[Demand]
_ANYTHING_GOES = [Demand()]
_OF_OBJECTS = {
    *("properties", "patternProperties", "additionalProperties", "propertyNames"),
    *("required", "minProperties", "maxProperties"),
}
_OF_ARRAYS = {
    *("prefixItems", "items", "contains", "minItems", "maxItems", "uniqueItems"),
}

# All that is needed to tell parts of oneOf apart; what else a property has is not looked at.
_OF_SCALARS = {"const", "enum", "type", "title", "description", "default"}


class Reader:
    """Read a schema and what it refers to.

    Args:
        root: The whole, in which ``$ref`` looks.
    """

    def __init__(self, root: Any) -> None:
        self._root = root
        self._open: set[tuple[int, bool]] = set()
        self._opposites: dict[int, dict[str, Any]] = {}

    def allowed(self, schema: Any, place: str) -> Alternatives:
        """Return what a schema allows.

        Raises:
            SchemaError: It cannot be read or held to; the message names the place.
        """
        if isinstance(schema, bool):
            return _ANYTHING_GOES if schema else []
        return self._guarded(schema, place, self._allowed, is_opposite=False)

    def forbidden(self, schema: Any, place: str) -> Alternatives:
        """Return what a schema does not allow.

        Raises:
            SchemaError: That cannot be said; the message names the place.
        """
        if isinstance(schema, bool):
            return [] if schema else _ANYTHING_GOES
        return self._guarded(schema, place, self._forbidden, is_opposite=True)

    def _guarded(
        self,
        schema: Any,
        place: str,
        read: Callable[[Any, str], Alternatives],
        *,
        is_opposite: bool,
    ) -> Alternatives:
        check(schema, place)
        key = id(schema), is_opposite
        if key in self._open:
            raise SchemaError(f"{place} refers to itself without end")
        self._open.add(key)
        try:
            return read(schema, place)
        finally:
            self._open.discard(key)

    def opposite(self, schema: Any) -> Any:
        """Return the schema of what another does not allow, the same one each time."""
        if isinstance(schema, bool):
            return not schema
        return self._opposites.setdefault(id(schema), {"not": schema})

    def _allowed(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        found = [_plain(schema, place)]
        for more in self._in_place(schema, place):
            found = product(found, more, place)
        found = self._one_of(found, schema, place)
        return [_with_unevaluated(schema, demand, place) for demand in found]

    def _in_place(self, schema: Mapping[str, Any], place: str) -> Iterator[Alternatives]:
        """Give what those keywords allow that say something of the value itself."""
        if "const" in schema:
            yield [constant(schema["const"], f"{place}.const")]
        if "enum" in schema:
            yield constants(schema["enum"], f"{place}.enum")
        if "$ref" in schema:
            yield self.allowed(self._found(schema["$ref"], place), f"{place}.$ref")
        for n, part in enumerate(schema.get("allOf", ())):
            yield self.allowed(part, f"{place}.allOf[{n}]")
        if "anyOf" in schema:
            choices = enumerate(schema["anyOf"])
            yield [d for n, part in choices for d in self.allowed(part, f"{place}.anyOf[{n}]")]
        if "not" in schema:
            yield self.forbidden(schema["not"], f"{place}.not")
        if "if" in schema:
            yield self._if(schema, place)
        for name, names in schema.get("dependentRequired", {}).items():
            with_it = Objects(required=(name, *names))
            yield [*_without(name), Demand(objects=(with_it,))]
        for name, part in schema.get("dependentSchemas", {}).items():
            needed = [Demand(objects=(Objects(required=(name,)),))]
            inner = self.allowed(part, f"{place}.dependentSchemas.{name}")
            yield [*_without(name), *product(needed, inner, place)]

    def _if(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        found: Alternatives = []
        for name, read in (("then", self.allowed), ("else", self.forbidden)):
            condition = read(schema["if"], f"{place}.if")
            inner = self.allowed(schema.get(name, True), f"{place}.{name}")
            found += product(condition, inner, place)
        return found

    def _one_of(self, base: Alternatives, schema: Mapping[str, Any], place: str) -> Alternatives:
        """Return what ``oneOf`` leaves: of each part what no other part allows."""
        parts = schema.get("oneOf")
        if parts is None:
            return base
        read = [self.allowed(part, f"{place}.oneOf[{n}]") for n, part in enumerate(parts)]
        found: Alternatives = []
        for n, part in enumerate(read):
            mine = product(base, part, place)
            for m, other in enumerate(read):
                if m != n:
                    mine = self._apart(mine, other, parts[m], f"{place}.oneOf[{m}]")
            found += mine
        return found

    def _apart(
        self, mine: Alternatives, other: Alternatives, schema: Any, place: str
    ) -> Alternatives:
        """Return of some alternatives what another schema does not allow."""
        found: Alternatives = []
        for demand in mine:
            if all(self._are_apart(demand, one) for one in other):
                found.append(demand)
                continue
            try:
                found += product([demand], self.forbidden(schema, place), place)
            except SchemaError as error:
                raise SchemaError(
                    f"{place} may hold together with another of oneOf: write anyOf, or parts that "
                    f"differ in the const of a required property ({error})"
                ) from None
        return found

    def _are_apart(self, one: Demand, other: Demand) -> bool:
        """Whether it is plain that no value is what both demand."""
        shared = one.kinds & other.kinds
        if not shared:
            return True
        if shared == TYPES["string"] and one.words is not None and other.words is not None:
            return not {*one.words} & {*other.words}
        if shared != TYPES["object"]:
            return False
        names = {name for part in one.objects for name in part.required}
        return any(
            all(
                self._are_apart(a, b)
                for a in self._of_property(one, name)
                for b in self._of_property(other, name)
            )
            for name in sorted(names)
        )

    def _of_property(self, demand: Demand, name: str) -> Alternatives:
        found = _ANYTHING_GOES
        for part in demand.objects:
            for schema in part.of(name):
                is_scalar = isinstance(schema, dict) and {*schema} <= _OF_SCALARS
                found = product(found, self.allowed(schema, name) if is_scalar else found, name)
        return found

    def _forbidden(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        found: Alternatives = []
        for name in schema:
            if name in _OPPOSITES:
                found += _OPPOSITES[name](self, schema, f"{place}.{name}")
            elif name in _NO_OPPOSITE:
                raise SchemaError(f"{place}.{name} has no opposite that a grammar can hold to")
        return found

    def forbidden_constants(self, values: list[Any], place: str) -> Alternatives:
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

    def forbidden_properties(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        """Return the objects that have a property of another kind than they should."""
        del place
        return [
            _of_objects(Objects(required=(name,), properties={name: self.opposite(inner)}))
            for name, inner in schema["properties"].items()
        ]

    def forbidden_items(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        """Return the arrays that have an item of another kind than they should."""
        if schema.get("prefixItems"):
            raise SchemaError(f"{place} behind prefixItems has no opposite that can be held to")
        return [_of_arrays(Arrays(contains=self.opposite(schema["items"])))]

    def forbidden_prefix(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        """Return the arrays of which one of the first items is not as it should be."""
        del place
        return [
            _of_arrays(Arrays(prefix=(*[True] * n, self.opposite(inner)), least=n + 1))
            for n, inner in enumerate(schema["prefixItems"])
        ]

    def forbidden_contains(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        """Return the arrays that have too few items of a kind, or too many."""
        least, most = schema.get("minContains", 1), schema.get("maxContains")
        inner = schema["contains"]
        found = []
        if least > 0:
            few = Arrays(contains=inner, least_contained=0, most_contained=int(least) - 1)
            found.append(_of_arrays(few))
        if most is not None:
            found.append(_of_arrays(Arrays(contains=inner, least_contained=int(most) + 1)))
        del place
        return found

    def opposite_of_all(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        """Return what one part of ``allOf`` does not allow."""
        parts = enumerate(schema["allOf"])
        return [demand for n, part in parts for demand in self.forbidden(part, f"{place}[{n}]")]

    def opposite_of_any(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        """Return what no part of ``anyOf`` allows."""
        found = _ANYTHING_GOES
        for n, part in enumerate(schema["anyOf"]):
            found = product(found, self.forbidden(part, f"{place}[{n}]"), place)
        return found

    def opposite_of_reference(self, schema: Mapping[str, Any], place: str) -> Alternatives:
        """Return what a schema that is referred to does not allow."""
        return self.forbidden(self._found(schema["$ref"], place.removesuffix(".$ref")), place)

    def _found(self, reference: str, place: str) -> Any:
        """Return the schema that a reference within the schema means (RFC 6901, or an anchor)."""
        path = reference[1:].split("/")
        found = self._root if not path[0] else _anchored(self._root, path[0])
        if reference.startswith("#") and (not path[0] or len(path) == 1):
            try:
                for part in path[1:]:
                    name = part.replace("~1", "/").replace("~0", "~").replace("%25", "%")
                    found = found[int(name)] if isinstance(found, list) else found[name]
            except (KeyError, IndexError, ValueError, TypeError):
                found = None
            if found is not None:
                return found
        raise SchemaError(f"{place}.$ref is {reference!r}, which is not in the schema")


def _anchored(schema: Any, name: str) -> Any:
    """Return the schema with an ``$anchor``; None if there is none."""
    inner = schema.values() if isinstance(schema, dict) else schema
    if isinstance(schema, dict) and schema.get("$anchor") == name:
        return schema
    if not isinstance(schema, (dict, list)):
        return None
    found = (_anchored(part, name) for part in inner)
    return next((part for part in found if part is not None), None)


def _plain(schema: Mapping[str, Any], place: str) -> Demand:
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


def _exactly(schema: Mapping[str, Any], name: str, place: str) -> Fraction:
    try:
        return exactly(schema[name])
    except ValueError as error:
        raise SchemaError(f"{place}.{name} is {error}") from None


def _limits(schema: Mapping[str, Any], place: str) -> Limits:
    bounds = {
        name: ((_exactly(schema, name, place), name.startswith("e")),)
        for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        if name in schema
    }
    step = (_exactly(schema, "multipleOf", place),) if "multipleOf" in schema else ()
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


def _with_unevaluated(schema: Mapping[str, Any], demand: Demand, place: str) -> Demand:
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


def _without(name: str) -> Alternatives:
    """Return the demands that a value has no property of a name, and may be anything else."""
    return [
        anything_but(TYPES["object"]),
        Demand(kinds=TYPES["object"], objects=(Objects(properties={name: False}),)),
    ]


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


_OPPOSITES: dict[str, Callable[[Reader, Mapping[str, Any], str], Alternatives]] = {
    "type": lambda _, s, place: [anything_but(types_of(s, place.removesuffix(".type")))],
    "const": lambda self, s, place: self.forbidden_constants([s["const"]], place),
    "enum": lambda self, s, place: self.forbidden_constants(s["enum"], place),
    "minimum": lambda _, s, p: _of_numbers(Limits(high=((_exactly(s, "minimum", p), True),))),
    "maximum": lambda _, s, p: _of_numbers(Limits(low=((_exactly(s, "maximum", p), True),))),
    "exclusiveMinimum": lambda _, s, p: _of_numbers(
        Limits(high=((_exactly(s, "exclusiveMinimum", p), False),))
    ),
    "exclusiveMaximum": lambda _, s, p: _of_numbers(
        Limits(low=((_exactly(s, "exclusiveMaximum", p), False),))
    ),
    "multipleOf": lambda _, s, p: _of_numbers(
        Limits(not_multiples=(_exactly(s, "multipleOf", p),))
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
    "properties": Reader.forbidden_properties,
    "minItems": lambda _, s, __: (
        [_of_arrays(Arrays(most=int(s["minItems"]) - 1))] if s["minItems"] else []
    ),
    "maxItems": lambda _, s, __: [_of_arrays(Arrays(least=int(s["maxItems"]) + 1))],
    "items": Reader.forbidden_items,
    "prefixItems": Reader.forbidden_prefix,
    "contains": Reader.forbidden_contains,
    "allOf": Reader.opposite_of_all,
    "anyOf": Reader.opposite_of_any,
    "not": lambda self, s, place: self.allowed(s["not"], place),
    "$ref": Reader.opposite_of_reference,
}
_NO_OPPOSITE = {
    *("oneOf", "if", "dependentRequired", "dependentSchemas", "additionalProperties"),
    *("patternProperties", "propertyNames", "uniqueItems", "unevaluatedProperties"),
    "unevaluatedItems",
}

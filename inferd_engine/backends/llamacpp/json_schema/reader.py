"""A schema read: the alternatives that it allows, each a demand; and those that it forbids.

Goal: each keyword means what it means beside all others, and none is dropped.

Strategy: a schema is a product of what its keywords allow.  What stands for itself is one demand
(``plain.py``); what says something of the value in other schemas' words (``$ref``, ``allOf``,
``anyOf``, ``oneOf``, ``if``) is alternatives, each joined with each.  ``not`` asks for what a
schema forbids, which is any of its keywords' opposites (``opposites.py``).  Schemas inside of
objects and arrays are not looked at here: they are read when a rule is made for them, so that one
may refer to itself there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.backends.llamacpp.json_schema.demands import (
    TYPES,
    Demand,
    Objects,
    SchemaError,
    anything_but,
    constant,
    constants,
    product,
)
from inferd_engine.backends.llamacpp.json_schema.keywords import check
from inferd_engine.backends.llamacpp.json_schema.opposites import NO_OPPOSITE, OPPOSITES
from inferd_engine.backends.llamacpp.json_schema.plain import plain, with_unevaluated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from inferd_engine.backends.llamacpp.json_schema.demands import Alternatives

_ANYTHING_GOES = [Demand()]
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
        found = [plain(schema, place)]
        for more in self._in_place(schema, place):
            found = product(found, more, place)
        found = self._one_of(found, schema, place)
        return [with_unevaluated(schema, demand, place) for demand in found]

    def _in_place(self, schema: Mapping[str, Any], place: str) -> Iterator[Alternatives]:
        """Give what those keywords allow that say something of the value itself."""
        if "const" in schema:
            yield [constant(schema["const"], f"{place}.const")]
        if "enum" in schema:
            yield constants(schema["enum"], f"{place}.enum")
        if "$ref" in schema:
            yield self.allowed(self.found(schema["$ref"], place), f"{place}.$ref")
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
            if name in OPPOSITES:
                found += OPPOSITES[name](self, schema, f"{place}.{name}")
            elif name in NO_OPPOSITE:
                raise SchemaError(f"{place}.{name} has no opposite that a grammar can hold to")
        return found

    def found(self, reference: str, place: str) -> Any:
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


def _without(name: str) -> Alternatives:
    """Return the demands that a value has no property of a name, and may be anything else."""
    return [
        anything_but(TYPES["object"]),
        Demand(kinds=TYPES["object"], objects=(Objects(properties={name: False}),)),
    ]

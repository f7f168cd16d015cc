"""Arrays: rules of items, the first of which may have rules of their own.

What several keywords say of one array is counted together: how many items there are, how many of
them are what ``contains`` says, and which of a set have been there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.backends.llamacpp.json_schema.demands import (
    TYPES,
    Demand,
    SchemaError,
    lesser,
    product,
)
from inferd_engine.backends.llamacpp.json_schema.members import row_of
from inferd_engine.backends.llamacpp.json_schema.rules import (
    COMMA,
    MOST_STATES,
    NOTHING,
    check_times,
    literal,
)

if TYPE_CHECKING:
    from inferd_engine.backends.llamacpp.json_schema.demands import Arrays
    from inferd_engine.backends.llamacpp.json_schema.rules import Maker, Ref, Sequence

_NO_SET = (
    "{}.uniqueItems cannot be held to by a grammar, unless items is an enum, or maxItems is 1: "
    "leave it out, and compare the items yourself"
)


class Items:
    """The items of arrays.

    Args:
        maker: What rules are made with.
        parts: All that is said of the arrays.
        place: Where it was found, for errors.
    """

    def __init__(self, maker: Maker, parts: tuple[Arrays, ...], place: str) -> None:
        self._book, self._reader, self._rule = maker
        self._parts = parts
        self._place = place

    def sequences(self) -> list[Sequence]:
        """Return the arrays."""
        parts, place = self._parts, self._place
        prefix = max(len(part.prefix) for part in parts)
        counted = max(part.least for part in parts)
        most: int | None = None
        for part in parts:
            most = lesser(most, part.most)
        is_open = (
            counted > prefix or not prefix or any(part.items not in (None, True) for part in parts)
        )
        if prefix and not is_open:
            most = lesser(most, prefix)
        least = counted if counted or not prefix else prefix if most is None else min(prefix, most)
        check_times(place, minItems=least, maxItems=most)
        if any(part.is_unique for part in parts) and (most is None or most > 1):
            return self._set(least, most)
        rules = [
            self._rule([part.at(n) for part in parts], f"{place}.prefixItems[{n}]")
            for n in range(prefix)
        ]
        rest = self._rule([part.at(prefix) for part in parts], f"{place}.items")
        if any(part.contains is not None for part in parts):
            return self._containing(least, most, prefix)
        return self._listed(rules, rest, least, most)

    def _listed(self, rules: list[Ref], rest: Ref, least: int, most: int | None) -> list[Sequence]:
        """Return arrays whose first items have rules of their own, and all others one."""
        found: list[Sequence] = []
        before: Sequence = ('"[" ws',)
        for n, rule in enumerate(rules):
            if n >= least and (most is None or n <= most):
                found.append((*before, '"]"'))
            before = (*before, *([COMMA] if n else []), rule, "ws")
        count = len(rules)
        if most is not None and most < count:
            return found
        if count >= least:
            found.append((*before, '"]"'))
        if (most is None or most > count) and rest != NOTHING:
            more = self._book.add([(COMMA, rest, "ws")])
            first = (*before, *([COMMA] if count else []), rest, "ws")
            times = self._book.repeated(
                more.name, max(0, least - count - 1), None if most is None else most - count - 1
            )
            found.append((*first, *times, '"]"'))
        return found

    def _containing(self, least: int, most: int | None, prefix: int) -> list[Sequence]:
        """Return arrays of which so many items are what ``contains`` says, for one such keyword."""
        place = self._place
        asking = [part for part in self._parts if part.contains is not None]
        if len(asking) > 1:
            raise SchemaError(f"{place}.contains is there more than once, which cannot be held to")
        wanted, fewest, highest = (
            asking[0].contains,
            asking[0].least_contained,
            asking[0].most_contained,
        )
        longest = max(prefix, least, most or 0)
        check_times(place, minContains=fewest, maxContains=highest)
        if longest * (max(fewest, highest or 0) + 1) > MOST_STATES:
            raise SchemaError(f"{place}.contains with so many items takes too many rules")
        states: dict[tuple[int, int], Ref] = {}

        def state(index: int, count: int) -> Ref:
            key = min(index, longest + 1), count if highest is not None else min(count, fewest)
            if key in states:
                return states[key]
            rule = states[key] = self._book.add()
            body: list[Sequence] = []
            if index >= least and count >= fewest:
                body.append(('"]"',))
            if most is None or index < most:
                schemas = [part.at(index) for part in self._parts]
                comma = [COMMA] if index else []
                if highest is None or count < highest:
                    item = self._rule([*schemas, wanted], f"{place}.contains")
                    body.append((*comma, item, "ws", state(key[0] + 1, key[1] + 1)))
                if highest is not None:
                    schemas.append(self._reader.opposite(wanted))
                item = self._rule(schemas, f"{place}.items")
                body.append((*comma, item, "ws", state(key[0] + 1, key[1])))
            self._book.rules[rule.name] = body
            return rule

        return [('"[" ws', state(0, 0))]

    def _set(self, least: int, most: int | None) -> list[Sequence]:
        """Return arrays of items that all differ: of those that can be counted, in their order."""
        place = self._place
        items = [Demand()]
        for part in self._parts:
            if part.prefix or part.contains is not None:
                raise SchemaError(
                    f"{place}.uniqueItems beside prefixItems or contains cannot be held to"
                )
            inner = self._reader.allowed(part.at(0), f"{place}.items")
            items = product(items, inner, place)
        values = [value for item in items for value in _counted(item, place)]
        unique = [v for n, v in enumerate(values) if v not in values[:n]]
        pairs = [(literal(value), False) for value in unique]
        return [('"[" ws', row_of(self._book, pairs, least, most, None), '"]"')]


def _counted(demand: Demand, place: str) -> list[Any]:
    """Return the values that a demand allows, where they can be counted.

    Raises:
        SchemaError: They cannot.
    """
    kinds = demand.meant()
    constants = {"null": None, "true": True, "false": False}
    found: list[Any] = [value for kind, value in constants.items() if kind in kinds]
    for kind, counted in (("number", demand.numbers), ("string", demand.strings)):
        if kinds & TYPES[kind]:
            if counted is None:
                raise SchemaError(_NO_SET.format(place))
            found += counted
    if kinds & (TYPES["array"] | TYPES["object"]):
        raise SchemaError(_NO_SET.format(place))
    return found

"""A JSON schema as a grammar (GBNF): what it lets through is JSON, and valid by the schema.

Goal: valid by construction.  Each keyword of JSON Schema 2020-12 is held to, is an annotation, or
is refused by its name before anything is computed (docs/llamacpp.md has the table).

Strategy: ``json_schema/`` reads a schema as alternatives and demands; here these become rules.
Strings and numbers of which more is said than their length come from automata, one rule a state,
so that after each character there is one rule to go on with, and every rule can be finished.

What is let through may be less than what is valid.  An object has the properties that its schema
lists, in their order; others only where the schema says of what kind they are, or lists none.
Strings hold no control characters unescaped and no halves of surrogate pairs, numbers no more
digits than a double has, and blanks are bounded, so that a model cannot write them for ever.

JSON Schema 2020-12; RFC 8259.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from typing import TYPE_CHECKING, Any

from inferd_engine.backends.llamacpp.json_schema.automata import TooLargeError, automaton
from inferd_engine.backends.llamacpp.json_schema.demands import (
    ALL,
    TYPES,
    Demand,
    SchemaError,
    product,
)
from inferd_engine.backends.llamacpp.json_schema.items import Items
from inferd_engine.backends.llamacpp.json_schema.languages import (
    ANY,
    ANYTHING,
    both,
    longest,
    repeat,
)
from inferd_engine.backends.llamacpp.json_schema.members import Members
from inferd_engine.backends.llamacpp.json_schema.numbers import UNLIMITED, numbers
from inferd_engine.backends.llamacpp.json_schema.reader import Reader
from inferd_engine.backends.llamacpp.json_schema.rules import (
    MOST_STATES,
    NOTHING,
    QUOTE,
    Maker,
    Ref,
    RuleBook,
    check_times,
    literal,
    pruned,
    written,
)
from inferd_engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferd_engine.backends.llamacpp.json_schema.automata import State
    from inferd_engine.backends.llamacpp.json_schema.demands import Kinds
    from inferd_engine.backends.llamacpp.json_schema.languages import Language
    from inferd_engine.backends.llamacpp.json_schema.rules import Sequence

_PRIMITIVES = {
    "ws": r'| " " | "\n" [ \t]{0,20}',
    "char": (
        r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | '
        r'"u" ([0-9A-Ca-cEeFf] [0-9A-Fa-f]{3} | [Dd] [0-7] [0-9A-Fa-f]{2}))'
    ),
    "control": r'"\\" ([bfnrt] | "u00" [01] [0-9A-Fa-f])',
    "string": r'"\"" char* "\""',
    "integer": r'"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": r'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": r'"true" | "false"',
    "null": r'"null"',
    "value": "string | number | boolean | null | object | array",
    "object": r'"{" ws (string ws ":" ws value ws ("," ws string ws ":" ws value ws)*)? "}"',
    "array": r'"[" ws (value ws ("," ws value ws)*)? "]"',
}
_SHORTER = (1000, 300, 200, 100, 30)  # characters, where more would take too many rules


class JsonGrammar:
    """Write grammars of JSON schemas; ``text()`` gives the whole, with the rules that were used."""

    def __init__(self) -> None:
        self._book = RuleBook()
        self._reader = Reader(True)  # noqa: FBT003 - a schema
        self._named: dict[frozenset[int], tuple[Ref, list[Any]]] = {}
        self._empty: list[str] = []
        self._roots: list[str] = []

    def text(self, root: str) -> str:
        """Return the grammar whose root is this piece of GBNF, which names rules of ours."""
        rules = dict(
            itertools.chain.from_iterable(
                pruned(self._book.rules, name).items() for name in self._roots
            )
        )
        primitives = "".join(f"{name} ::= {rule}\n" for name, rule in _PRIMITIVES.items())
        return f"root ::= {root}\n{written(rules)}{primitives}"

    def rule_of(self, schema: Any, place: str) -> str:
        """Return the name of a rule for what a schema describes.

        Args:
            schema: An object, or a bool.
            place: Where it was found, for errors.

        Raises:
            InvalidRequestError: It cannot be read, or demands what a grammar cannot hold to; the
                message names the place.
        """
        self._reader, self._named, self._empty = Reader(schema), {}, []
        try:
            rule = self._rule([schema], place)
        except TooLargeError as error:
            raise InvalidRequestError(f"{place} is too large a schema: {error}") from None
        except SchemaError as error:
            raise InvalidRequestError(str(error)) from None
        except RecursionError:
            raise InvalidRequestError(f"{place} refers to itself without end") from None
        is_ours = rule.name in self._book.rules or rule == NOTHING
        if is_ours and not pruned(self._book.rules, rule.name):
            where = f", because of {self._empty[0]}" if self._empty else ""
            raise InvalidRequestError(f"{place} allows no value{where}")
        self._roots += [rule.name] if is_ours else []
        return rule.name

    def _rule(self, schemas: Iterable[Any], place: str) -> Ref:
        """Return a rule for values that are valid by all these schemas."""
        told = [schema for schema in schemas if schema is not True and schema != {}]
        if any(schema is False for schema in told):
            return NOTHING
        if not told:
            return Ref("value")
        key = frozenset(map(id, told))
        if key in self._named:
            return self._named[key][0]
        rule = self._book.add()
        self._named[key] = rule, told  # which keeps them, and so their id()
        demands = [Demand()]
        for schema in told:
            demands = product(demands, self._reader.allowed(schema, place), place)
        body = [sequence for demand in demands for sequence in self._sequences(demand, place)]
        self._book.rules[rule.name] = body
        if not body:
            self._empty.append(place)
        return rule

    def _sequences(self, demand: Demand, place: str) -> list[Sequence]:
        """Return what is allowed by one demand."""
        kinds = demand.meant()
        if kinds == ALL and demand == Demand(is_typed=demand.is_typed):
            return [("value",)]
        found: list[Sequence] = [(kind,) for kind in ("null",) if kind in kinds]
        if kinds >= TYPES["boolean"]:
            found.append(("boolean",))
        else:
            found += [(f'"{kind}"',) for kind in ("true", "false") if kind in kinds]
        if kinds & TYPES["number"]:
            found += self._numbers(demand, kinds)
        if "string" in kinds:
            found += self._strings(demand, place)
        if "array" in kinds:
            found += self._arrays(demand, place)
        if "object" in kinds:
            found += self._objects(demand, place)
        return found

    def _numbers(self, demand: Demand, kinds: Kinds) -> list[Sequence]:
        counted = demand.numbers
        if counted is not None:
            return [(literal(number),) for number in counted]
        integers, fractions = "integer" in kinds, "fraction" in kinds
        if demand.limits == UNLIMITED and integers:
            return [("number" if fractions else "integer",)]
        language = numbers(demand.limits, integers=integers, fractions=fractions)
        return [(self._book.spelled(automaton(language, MOST_STATES), '""', is_json=False),)]

    def _strings(self, demand: Demand, place: str) -> list[Sequence]:
        counted, least, most = demand.strings, demand.least, demand.most
        if counted is not None:
            return [(literal(text),) for text in counted]
        check_times(place, minLength=least, maxLength=most)
        if most is not None and most < least:
            return []
        if demand.language is not ANYTHING:
            return [self._spelled(demand.language, least, most)]
        if least == 0 and most is None:
            return [("string",)]
        return [(QUOTE, *self._book.repeated("char", least, most), QUOTE)]

    def _spelled(self, language: Language, least: int, most: int | None) -> Sequence:
        """Return the strings of a language, of so many characters.

        Where the longest ones would take too many rules, these are left out.
        """
        states = automaton(both(language, repeat(ANY, least)), MOST_STATES)
        if most is not None and not 0 <= longest(language) <= most:
            states = _cut_short(language, least, most, len(states))
        return QUOTE, self._book.spelled(states, QUOTE, is_json=True)

    def _objects(self, demand: Demand, place: str) -> list[Sequence]:
        if not demand.objects:
            return [("object",)]
        return Members(self._maker, demand.objects, place).sequences()

    def _arrays(self, demand: Demand, place: str) -> list[Sequence]:
        if not demand.arrays:
            return [("array",)]
        return Items(self._maker, demand.arrays, place).sequences()

    @property
    def _maker(self) -> Maker:
        return Maker(self._book, self._reader, self._rule)


@functools.lru_cache(64)
def _cut_short(language: Language, least: int, most: int, states: int) -> tuple[State, ...]:
    """Return an automaton of texts that are no longer than a bound, or than a lower one.

    Args:
        language: Of the texts.
        least: Characters that they have at the least.
        most: And at the most.
        states: Of the language itself: with its length, a text may be in so many as often.

    Raises:
        TooLargeError: Even the shortest would take too many rules.
    """
    few = 2 * MOST_STATES // max(1, states)
    bounds = [bound for bound in (most, *_SHORTER) if least <= bound <= min(few, most)]
    for bound in bounds[:-1]:
        with contextlib.suppress(TooLargeError):
            return automaton(both(language, repeat(ANY, least, bound)), MOST_STATES)
    return automaton(
        both(language, repeat(ANY, least, bounds[-1] if bounds else most)), MOST_STATES
    )

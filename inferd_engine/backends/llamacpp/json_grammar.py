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
import json
from typing import TYPE_CHECKING, Any

from inferd_engine.backends.llamacpp.json_schema.demands import (
    ALL,
    TYPES,
    Demand,
    SchemaError,
    lesser,
    product,
)
from inferd_engine.backends.llamacpp.json_schema.languages import (
    ANY,
    ANYTHING,
    TooLargeError,
    automaton,
    both,
    either,
    has,
    longest,
    opposite,
    repeat,
    word,
)
from inferd_engine.backends.llamacpp.json_schema.numbers import UNLIMITED, numbers
from inferd_engine.backends.llamacpp.json_schema.reader import Reader
from inferd_engine.backends.llamacpp.json_schema.rules import (
    MOST_STATES,
    MOST_TIMES,
    NOTHING,
    Ref,
    RuleBook,
    pruned,
    written,
)
from inferd_engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferd_engine.backends.llamacpp.json_schema.demands import Kinds, Objects
    from inferd_engine.backends.llamacpp.json_schema.languages import Language, State
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
_QUOTE = r'"\""'
_COMMA = '"," ws'
_NOT_ASKED: tuple[Any, ...] = (None, True, False, {})
_SHORTER = (1000, 300, 200, 100, 30)  # characters, where more would take too many rules
_MOST_PATTERNS = 5  # of names; each doubles the kinds of names that there are


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
            return [(_literal(number),) for number in counted]
        integers, fractions = "integer" in kinds, "fraction" in kinds
        if demand.limits == UNLIMITED and integers:
            return [("number" if fractions else "integer",)]
        language = numbers(demand.limits, integers=integers, fractions=fractions)
        return [(self._book.spelled(automaton(language, MOST_STATES), '""', is_json=False),)]

    def _strings(self, demand: Demand, place: str) -> list[Sequence]:
        counted, least, most = demand.strings, demand.least, demand.most
        if counted is not None:
            return [(_literal(text),) for text in counted]
        _check_times(place, minLength=least, maxLength=most)
        if most is not None and most < least:
            return []
        if demand.language is not ANYTHING:
            return [self._spelled(demand.language, least, most)]
        if least == 0 and most is None:
            return [("string",)]
        return [(_QUOTE, *self._book.repeated("char", least, most), _QUOTE)]

    def _spelled(self, language: Language, least: int, most: int | None) -> Sequence:
        """Return the strings of a language, of so many characters.

        Where the longest ones would take too many rules, these are left out.
        """
        states = automaton(both(language, repeat(ANY, least)), MOST_STATES)
        if most is not None and not 0 <= longest(language) <= most:
            states = _cut_short(language, least, most, len(states))
        return _QUOTE, self._book.spelled(states, _QUOTE, is_json=True)

    def _objects(self, demand: Demand, place: str) -> list[Sequence]:
        if not demand.objects:
            return [("object",)]
        return _Members(self, demand.objects, place).sequences()

    def _arrays(self, demand: Demand, place: str) -> list[Sequence]:
        parts = demand.arrays
        if not parts:
            return [("array",)]
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
        _check_times(place, minItems=least, maxItems=most)
        if any(part.is_unique for part in parts) and (most is None or most > 1):
            return self._set(demand, least, most, place)
        rules = [
            self._rule([part.at(n) for part in parts], f"{place}.prefixItems[{n}]")
            for n in range(prefix)
        ]
        rest = self._rule([part.at(prefix) for part in parts], f"{place}.items")
        if any(part.contains is not None for part in parts):
            return self._containing(demand, (least, most, prefix), place)
        return self._listed(rules, rest, least, most)

    def _listed(self, rules: list[Ref], rest: Ref, least: int, most: int | None) -> list[Sequence]:
        """Return arrays whose first items have rules of their own, and all others one."""
        found: list[Sequence] = []
        before: Sequence = ('"[" ws',)
        for n, rule in enumerate(rules):
            if n >= least and (most is None or n <= most):
                found.append((*before, '"]"'))
            before = (*before, *([_COMMA] if n else []), rule, "ws")
        count = len(rules)
        if most is not None and most < count:
            return found
        if count >= least:
            found.append((*before, '"]"'))
        if (most is None or most > count) and rest != NOTHING:
            more = self._book.add([(_COMMA, rest, "ws")])
            first = (*before, *([_COMMA] if count else []), rest, "ws")
            times = self._book.repeated(
                more.name, max(0, least - count - 1), None if most is None else most - count - 1
            )
            found.append((*first, *times, '"]"'))
        return found

    def _containing(
        self, demand: Demand, bounds: tuple[int, int | None, int], place: str
    ) -> list[Sequence]:
        """Return arrays of which so many items are what ``contains`` says, for one such keyword."""
        asking = [part for part in demand.arrays if part.contains is not None]
        if len(asking) > 1:
            raise SchemaError(f"{place}.contains is there more than once, which cannot be held to")
        least, most, prefix = bounds
        wanted, fewest, highest = (
            asking[0].contains,
            asking[0].least_contained,
            asking[0].most_contained,
        )
        longest = max(prefix, least, most or 0)
        _check_times(place, minContains=fewest, maxContains=highest)
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
                schemas = [part.at(index) for part in demand.arrays]
                comma = [_COMMA] if index else []
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

    def _set(self, demand: Demand, least: int, most: int | None, place: str) -> list[Sequence]:
        """Return arrays of items that all differ: of those that can be counted, in their order."""
        items = [Demand()]
        for part in demand.arrays:
            if part.prefix or part.contains is not None:
                raise SchemaError(
                    f"{place}.uniqueItems beside prefixItems or contains cannot be held to"
                )
            inner = self._reader.allowed(part.at(0), f"{place}.items")
            items = product(items, inner, place)
        values = [value for item in items for value in _counted(item, place)]
        unique = [v for n, v in enumerate(values) if v not in values[:n]]
        pairs = [(_literal(value), False) for value in unique]
        return [('"[" ws', _row(self._book, pairs, least, most, None), '"]"')]


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


class _Members:
    """The members of objects: those that are listed, in their order, and others behind them."""

    def __init__(self, grammar: JsonGrammar, parts: tuple[Objects, ...], place: str) -> None:
        self._grammar = grammar
        self._book, self._rule = grammar._book, grammar._rule  # noqa: SLF001 - a part of it
        self._reader = grammar._reader  # noqa: SLF001 - likewise
        self._parts = parts
        self._place = place
        self._required = {name for part in parts for name in part.required}
        listed = [name for part in parts for name in (*part.properties, *part.required)]
        self._listed = list(dict.fromkeys(listed))
        self._names = self._language_of_names()

    def sequences(self) -> list[Sequence]:
        """Return the objects."""
        pairs = []
        for name in self._listed:
            value = self._value(name)
            if value != NOTHING:
                pair = (f'{_literal(name)} ws ":" ws', value)
                pairs.append((self._book.add([pair]).name, name in self._required))
            elif name in self._required:
                return []
        least = max(part.least for part in self._parts)
        most: int | None = None
        for part in self._parts:
            most = lesser(most, part.most)
        _check_times(self._place, minProperties=least, maxProperties=most)
        others = self._others(has_listed=bool(pairs), is_short=least > len(pairs))
        if least > len(pairs) + (others is not None) and others is not None:
            raise SchemaError(
                f"{self._place}.minProperties is {least}, more than the properties that are listed "
                "and one: a grammar cannot see to it that names differ"
            )
        return [('"{" ws', _row(self._book, pairs, least, most, others), '"}"')]

    def _value(self, name: str) -> Ref:
        """Return a rule for the value of a property."""
        if not has(self._names, name):
            return NOTHING
        schemas = [schema for part in self._parts for schema in part.of(name)]
        return self._rule(schemas, f"{self._place}.properties.{name}")

    def _language_of_names(self) -> Language:
        """Return the language of the names that there may be."""
        allowed: Language = ANYTHING
        for part in self._parts:
            if part.names is None:
                continue
            demands = self._reader.allowed(part.names, f"{self._place}.propertyNames")
            texts: list[Language] = []
            for demand in demands:
                if "string" not in demand.kinds:
                    continue
                counted = demand.strings
                length = repeat(ANY, demand.least, demand.most)
                free = both(demand.language, length)
                texts += [free] if counted is None else map(word, counted)
            allowed = both(allowed, either(*texts))
        return allowed

    def _others(self, *, has_listed: bool, is_short: bool) -> Ref | None:
        """Return a rule for a member that is not listed; None if there is to be none."""
        is_asked = any(
            part.patterns or part.names is not None or part.additional not in _NOT_ASKED
            for part in self._parts
        )
        if has_listed and not is_asked and not is_short:
            return None
        patterns = [language for part in self._parts for language, _ in part.patterns]
        if len(patterns) > _MOST_PATTERNS:
            raise SchemaError(
                f"{self._place}.patternProperties has more than {_MOST_PATTERNS} patterns"
            )
        known = either(*map(word, self._listed))
        if not patterns and self._names is ANYTHING and not self._listed:
            value = self._rule([part.of("")[0] for part in self._parts], self._other_place)
            return None if value == NOTHING else self._book.add([('string ws ":" ws', value)])
        body: list[Sequence] = []
        for which in itertools.product((True, False), repeat=len(patterns)):
            region = [
                language if is_in else opposite(language)
                for language, is_in in zip(patterns, which, strict=True)
            ]
            names = both(self._names, opposite(known), *region)
            states = automaton(names, MOST_STATES)
            value = self._rule(self._schemas_where(which), self._other_place)
            if states and value != NOTHING:
                text = self._book.spelled(states, _QUOTE, is_json=True)
                body.append((_QUOTE, text, 'ws ":" ws', value))
        return self._book.add(body) if body else None

    @property
    def _other_place(self) -> str:
        return f"{self._place}.additionalProperties"

    def _schemas_where(self, which: tuple[bool, ...]) -> list[Any]:
        """Return the schemas of values whose names have these patterns and not the others."""
        found: list[Any] = []
        flags = iter(which)
        for part in self._parts:
            hits = [schema for _, schema in part.patterns if next(flags)]
            found += hits or [True if part.additional is None else part.additional]
        return found


def _row(
    book: RuleBook,
    members: list[tuple[str, bool]],
    least: int,
    most: int | None,
    others: Ref | None,
) -> Ref:
    """Return a rule for members, each at most once and in their order, with commas between them.

    Args:
        book: Where rules are added.
        members: What each is, and whether it has to be there.
        least: How many at the least.
        most: And at the most; None sets no bound.
        others: What may follow behind them, any number of times, of which one counts for ``least``.
    """
    needed = sum(is_required for _, is_required in members)
    least = least if least > needed else 0
    most = None if most is None or (most >= len(members) and others is None) else most
    is_counted = least > 0 or most is not None
    rules: dict[tuple[int, int, bool], Ref] = {}
    more = None if others is None else book.add([(_COMMA, others, "ws")])

    def state(index: int, count: int, *, is_first: bool) -> Ref:
        key = index, count if is_counted else 0, is_first
        if key in rules:
            return rules[key]
        rule = rules[key] = book.add()
        comma = [] if is_first else [_COMMA]
        has_room = most is None or count < most
        body: list[Sequence] = []
        if index == len(members):
            if count >= least:
                body.append(('""',))
            if others is not None and more is not None and has_room and count + 1 >= least:
                times = book.repeated(more.name, 0, None if most is None else most - count - 1)
                body.append((*comma, others, "ws", *times))
        else:
            text, is_required = members[index]
            if has_room:
                rest = state(index + 1, count + 1, is_first=False)
                named = Ref(text) if text in book.rules else text
                body.append((*comma, named, "ws", rest))
            if not is_required:
                body.append((state(index + 1, count, is_first=is_first),))
        book.rules[rule.name] = body
        return rule

    return state(0, 0, is_first=True)


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


_NO_SET = (
    "{}.uniqueItems cannot be held to by a grammar, unless items is an enum, or maxItems is 1: "
    "leave it out, and compare the items yourself"
)


def _check_times(place: str, **bounds: int | None) -> None:
    """Refuse what would take too many rules."""
    for name, value in bounds.items():
        if value is not None and value > MOST_TIMES:
            raise SchemaError(f"{place}.{name} is {value}: it may be {MOST_TIMES} at the most")


def _literal(value: Any) -> str:
    """Return the JSON of a value, as a literal of a grammar.

    Raises:
        SchemaError: A text in it is not Unicode.
    """
    text = json.dumps(value, ensure_ascii=False)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise SchemaError(f"{value!r} holds half of a surrogate pair")
    return quoted(text)


def quoted(text: str) -> str:
    """Return a text as a literal of a grammar."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for character, name in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(character, name)
    return f'"{escaped}"'

"""Objects: rules of members, those that are listed, in their order, and others behind them.

A grammar cannot remember which names there were.  So a listed property comes at most once because
its place in the row has passed, and others are of names that are not listed; that two of these
differ nobody sees to, and a schema that needs it is refused.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from inferd_engine.backends.llamacpp.json_schema.automata import automaton
from inferd_engine.backends.llamacpp.json_schema.demands import SchemaError, lesser
from inferd_engine.backends.llamacpp.json_schema.languages import (
    ANY,
    ANYTHING,
    both,
    either,
    has,
    opposite,
    repeat,
    word,
)
from inferd_engine.backends.llamacpp.json_schema.rules import (
    COMMA,
    MOST_STATES,
    NOTHING,
    QUOTE,
    Ref,
    RuleBook,
    check_times,
    literal,
)

if TYPE_CHECKING:
    from inferd_engine.backends.llamacpp.json_schema.demands import Objects
    from inferd_engine.backends.llamacpp.json_schema.languages import Language
    from inferd_engine.backends.llamacpp.json_schema.rules import Maker, Sequence

_NOT_ASKED: tuple[Any, ...] = (None, True, False, {})
_MOST_PATTERNS = 5  # of names; each doubles the kinds of names that there are


class Members:
    """The members of objects.

    Args:
        maker: What rules are made with.
        parts: All that is said of the objects.
        place: Where it was found, for errors.
    """

    def __init__(self, maker: Maker, parts: tuple[Objects, ...], place: str) -> None:
        self._book, self._reader, self._rule = maker
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
                pair = (f'{literal(name)} ws ":" ws', value)
                pairs.append((self._book.add([pair]).name, name in self._required))
            elif name in self._required:
                return []
        least = max(part.least for part in self._parts)
        most: int | None = None
        for part in self._parts:
            most = lesser(most, part.most)
        check_times(self._place, minProperties=least, maxProperties=most)
        others = self._others(has_listed=bool(pairs), is_short=least > len(pairs))
        if least > len(pairs) + (others is not None) and others is not None:
            raise SchemaError(
                f"{self._place}.minProperties is {least}, more than the properties that are listed "
                "and one: a grammar cannot see to it that names differ"
            )
        return [('"{" ws', row_of(self._book, pairs, least, most, others), '"}"')]

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
                text = self._book.spelled(states, QUOTE, is_json=True)
                body.append((QUOTE, text, 'ws ":" ws', value))
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


def row_of(
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
    more = None if others is None else book.add([(COMMA, others, "ws")])

    def state(index: int, count: int, *, is_first: bool) -> Ref:
        key = index, count if is_counted else 0, is_first
        if key in rules:
            return rules[key]
        rule = rules[key] = book.add()
        comma = [] if is_first else [COMMA]
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

"""The rules of a grammar, as data: so that what can never be said is taken out before it is tried.

A rule is a list of sequences, one of which is taken; a sequence is pieces of GBNF, and references
to rules.  A rule that no text follows would lead llama.cpp to where no token may follow, and an
answer would break off there.  ``pruned`` takes such sequences out, and rules that nothing leads to.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import attrs

from inferd_engine.backends.llamacpp.json_schema.demands import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inferd_engine.backends.llamacpp.json_schema.automata import State
    from inferd_engine.backends.llamacpp.json_schema.languages import Ranges
    from inferd_engine.backends.llamacpp.json_schema.reader import Reader

QUOTE = r'"\""'
COMMA = '"," ws'
MOST_RULES = 20_000
MOST_STATES = 4000
MOST_TIMES = 10_000
_BLOCK = 2000  # llama.cpp refuses more repetitions of one thing than this


@attrs.frozen
class Ref:
    """A reference to a rule, which comes so often: ``{2,3}``, ``*``; once if that is empty."""

    name: str
    times: str = ""


Symbol = Union[str, Ref]
Sequence = tuple[Symbol, ...]
Rules = dict[str, list[Sequence]]
NOTHING = Ref("nothing")
"""A rule that there is not: no text follows."""


class Maker(NamedTuple):
    """What rules of parts are made with.

    Args:
        book: Where they are written.
        reader: Of the schema.
        rule: Gives the rule of values that are valid by all of some schemas, from some place.
    """

    book: RuleBook
    reader: Reader
    rule: Callable[[Iterable[Any], str], Ref]


class RuleBook:
    """Rules, each with a name of its own."""

    def __init__(self) -> None:
        self.rules: Rules = {}

    def add(self, body: Iterable[Sequence] = ()) -> Ref:
        """Add a rule.

        Raises:
            SchemaError: There are too many.
        """
        if len(self.rules) >= MOST_RULES:
            raise SchemaError(f"the schema takes more than {MOST_RULES} rules: make it smaller")
        name = f"r{len(self.rules)}"
        self.rules[name] = list(body)
        return Ref(name)

    def repeated(self, name: str, least: int, most: int | None) -> Sequence:
        """Return so many of what a rule says.

        Args:
            name: Of the rule.
            least: At the least; ``MOST_TIMES`` at the most.
            most: Likewise; None sets no bound.
        """
        blocks, rest = divmod(least, _BLOCK)
        before = (Ref(name, f"{{{_BLOCK}}}"),) * blocks + (
            (Ref(name, f"{{{rest}}}"),) if rest else ()
        )
        if most is None:
            return (*before, Ref(name, "*"))
        return (*before, *self._at_most(name, most - least))

    def _at_most(self, name: str, most: int) -> Sequence:
        if most <= _BLOCK:
            return (Ref(name, f"{{0,{most}}}"),) if most else ()
        more = (Ref(name, f"{{{_BLOCK}}}"), *self._at_most(name, most - _BLOCK))
        return (self.add([more, (Ref(name, f"{{0,{_BLOCK - 1}}}"),)]),)

    def spelled(self, states: Iterable[State], end: str, *, is_json: bool) -> Ref:
        """Add a rule for each state of an automaton; return the first.

        Args:
            states: Which.
            end: What comes where a text may end.
            is_json: Whether characters are written as JSON writes them in a string.
        """
        listed = list(states)
        refs = [self.add() for _ in listed]
        for ref, state in zip(refs, listed, strict=True):
            body: list[Sequence] = [(end,)] if state.is_end else []
            for ranges, target in state.steps:
                letters = _letters(ranges) if is_json else [_class_of(ranges)]
                body += [(letter, refs[target]) for letter in letters]
            self.rules[ref.name] = body
        return refs[0] if refs else NOTHING


def pruned(rules: Rules, root: str) -> Rules:
    """Return the rules that a root leads to, without what no text follows."""
    alive = _alive(rules)
    reached: Rules = {}
    waiting = [root] if root in alive else []
    while waiting:
        name = waiting.pop()
        if name in reached or name not in rules:
            continue
        body = [s for s in rules[name] if all(_is_said(symbol, rules, alive) for symbol in s)]
        reached[name] = list(dict.fromkeys(body))
        waiting += [symbol.name for s in body for symbol in s if isinstance(symbol, Ref)]
    return {name: reached[name] for name in rules if name in reached}


def _alive(rules: Rules) -> set[str]:
    """Return the names of the rules that a text follows."""
    alive: set[str] = set()
    users: dict[str, set[str]] = {}
    for name, body in rules.items():
        for symbol in (symbol for sequence in body for symbol in sequence):
            if isinstance(symbol, Ref):
                users.setdefault(symbol.name, set()).add(name)
    waiting = [*rules]
    while waiting:
        name = waiting.pop()
        body = rules[name]
        if name not in alive and any(all(_is_said(s, rules, alive) for s in seq) for seq in body):
            alive.add(name)
            waiting += users.get(name, ())
    return alive


def _is_said(symbol: Symbol, rules: Rules, alive: set[str]) -> bool:
    if isinstance(symbol, str) or symbol.name in alive:
        return True
    return symbol.name not in rules and symbol != NOTHING


def written(rules: Rules) -> str:
    """Return rules as GBNF."""
    return "".join(f"{name} ::= {_body(body)}\n" for name, body in rules.items())


def _body(body: list[Sequence]) -> str:
    return " | ".join(" ".join(map(_symbol, sequence)) or '""' for sequence in body)


def _symbol(symbol: Symbol) -> str:
    return symbol if isinstance(symbol, str) else symbol.name + symbol.times


_CONTROLS = range(0x20)
_QUOTE, _BACKSLASH = 0x22, 0x5C
_SHORT = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", _QUOTE: r"\"", _BACKSLASH: r"\\"}
_PLAIN = (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B))


def _letters(ranges: Ranges) -> list[str]:
    """Return how these characters are written in a string of JSON."""
    inside = [
        code
        for code in (*_CONTROLS, _QUOTE, _BACKSLASH)
        if any(low <= code <= high for low, high in ranges)
    ]
    raw = [
        (max(low, first), min(high, last))
        for low, high in ranges
        for first, last in ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x10FFFF))
        if max(low, first) <= min(high, last)
    ]
    found = [_class_of(tuple(raw))] if raw else []
    if {*_CONTROLS} <= {*inside}:
        found.append("control")
        inside = inside[len(_CONTROLS) :]
    return found + [f'"\\\\{_SHORT.get(code) or f"u{code:04x}"}"' for code in inside]


def _class_of(ranges: Ranges) -> str:
    spans = (_code(low) + (f"-{_code(high)}" if high > low else "") for low, high in ranges)
    return f"[{''.join(spans)}]"


def _code(code: int) -> str:
    if code in _PLAIN:
        return chr(code)
    if code <= 0xFF:  # noqa: PLR2004 - two digits
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"  # noqa: PLR2004 - four digits


def check_times(place: str, **bounds: int | None) -> None:
    """Refuse what would take too many rules."""
    for name, value in bounds.items():
        if value is not None and value > MOST_TIMES:
            raise SchemaError(f"{place}.{name} is {value}: it may be {MOST_TIMES} at the most")


def literal(value: Any) -> str:
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

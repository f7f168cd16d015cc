"""Grammars as llama.cpp reads them (GBNF): texts made at random, and texts looked at.

A rule is a list of sequences of elements, each a set of characters or the name of a rule; what is
repeated or in parentheses has a rule of its own, as in llama.cpp's ``llama-grammar.cpp``.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r'\s*(?:(?P<literal>"(?:[^"\\]|\\.)*")|(?P<chars>\[(?:[^\]\\]|\\.)*\])|(?P<name>[\w-]+)'
    r"|(?P<times>[*+?]|\{\d+(?:,\d*)?\})|(?P<sign>[()|]))[ \t]*"
)
_ESCAPE = re.compile(r'\\(?:x(..)|u(....)|U(.{8})|([tnr\\"\[\]-]))|(.)', re.DOTALL)
_SHORT = {"t": "\t", "n": "\n", "r": "\r"}
_LAST = 0x10FFFF


class Grammar:
    """A grammar that was read from its text."""

    def __init__(self, text):
        self.rules = {}
        for line in text.splitlines():
            name, _, body = line.partition(" ::= ")
            tokens = list(_TOKEN.finditer(body))
            assert "".join(match[0] for match in tokens) == body, body
            assert name not in self.rules, f"{name} is there twice"
            self.rules[name] = None
            self._tokens = tokens
            self.rules[name] = self._alternatives()
            assert not self._tokens, f"left over in {name}"
        for name, body in self.rules.items():
            for sequence in body:
                for element in sequence:
                    assert not isinstance(element, str) or element in self.rules, (name, element)
        self.cheapest = self._cheapest()

    def _alternatives(self):
        found = [self._sequence()]
        while self._tokens and self._tokens[0]["sign"] == "|":
            self._tokens.pop(0)
            found.append(self._sequence())
        return found

    def _sequence(self):
        sequence, last = [], []
        while self._tokens and self._tokens[0]["sign"] not in ("|", ")"):
            token = self._tokens.pop(0)
            if token["times"]:
                sequence[len(sequence) - len(last) :] = self._repeated(last, token["times"])
                last = []
                continue
            if token["literal"]:
                codes = list(_codes(token["literal"][1:-1]))
                last = [((code, code),) for code in codes]
            elif token["chars"]:
                last = [_ranges(token["chars"][1:-1])]
            elif token["name"]:
                last = [token["name"]]
            else:
                last = [self._rule(self._alternatives())]
                assert self._tokens.pop(0)["sign"] == ")"
            sequence += last
        return sequence

    def _rule(self, body):
        name = f"_{len(self.rules)}"
        self.rules[name] = body
        return name

    def _repeated(self, what, times):
        low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(times) or (
            (int(times[1:-1]), int(times[1:-1]))
            if "," not in times
            else tuple(int(part) if part else None for part in times[1:-1].split(","))
        )
        assert low <= 2000
        assert high is None or high <= 2000
        if high is None:
            name = self._rule(None)
            self.rules[name] = [[*what, name], []]
            return [*what * low, name]
        more = []
        for _ in range(high - low):
            more = [self._rule([[*what, *more], []])]
        return [*what * low, *more]

    def _cheapest(self):
        """Return how deep each rule has to go to come to an end."""
        cost = {}
        changed = True
        while changed:
            changed = False
            for name, body in self.rules.items():
                known = [
                    1 + max((cost[e] for e in sequence if isinstance(e, str)), default=0)
                    for sequence in body
                    if all(not isinstance(e, str) or e in cost for e in sequence)
                ]
                if known and cost.get(name) != min(known):
                    cost[name] = min(known)
                    changed = True
        assert {*cost} == {*self.rules}, "a rule that never ends"
        return cost

    def text(self, chance, *, patience=60):
        """Return a text of the grammar, made at random; what is tiring is brought to its end."""
        out, stack = [], ["root"]
        while stack:
            element = stack.pop()
            if not isinstance(element, str):
                low, high = chance.choice(element)
                out.append(chr(_likely(chance, low, high)))
                continue
            body = self.rules[element]
            if len(out) > patience:
                body = [
                    min(
                        body,
                        key=lambda s: max(
                            (self.cheapest[e] for e in s if isinstance(e, str)), default=0
                        ),
                    )
                ]
            stack += reversed(chance.choice(body))
        return "".join(out)

    def allows(self, text):
        """Whether a text is one of the grammar."""
        stacks = self._open({("root", None)})
        for letter in text:
            code = ord(letter)
            stacks = self._open(
                {
                    rest
                    for stack in stacks
                    if stack is not None
                    for element, rest in [stack]
                    if any(low <= code <= high for low, high in element)
                }
            )
        return None in stacks

    def _open(self, stacks):
        """Return stacks with a set of characters on top; None for one that is empty."""
        found, seen, waiting = set(), set(), [*stacks]
        while waiting:
            stack = waiting.pop()
            if stack in seen:
                continue
            seen.add(stack)
            if stack is None or not isinstance(stack[0], str):
                found.add(stack)
                continue
            for sequence in self.rules[stack[0]]:
                then = stack[1]
                for element in reversed(sequence):
                    then = element, then
                waiting.append(then)
        return found


def _codes(text):
    for match in _ESCAPE.finditer(text):
        digits = match[1] or match[2] or match[3]
        letter = match[4] or match[5]
        yield int(digits, 16) if digits else ord(_SHORT.get(letter, letter) if match[4] else letter)


def _ranges(text):
    is_negated = text.startswith("^")
    marks = [
        (match[0], code) for match, code in zip(_ESCAPE.finditer(text), _codes(text), strict=True)
    ]
    marks, found = marks[is_negated:], []
    while marks:
        _, low = marks.pop(0)
        high = low
        if len(marks) > 1 and marks[0][0] == "-":
            high = marks[1][1]
            marks = marks[2:]
        found.append((low, high))
    if not is_negated:
        return tuple(found)
    rest, begin = [], 1  # llama.cpp's texts end with NUL
    for low, high in sorted(found):
        if begin < low:
            rest.append((begin, low - 1))
        begin = max(begin, high + 1)
    return tuple(
        span for low, high in (*rest, (begin, _LAST)) for span in _without_halves(low, high)
    )


def _without_halves(low, high):
    return [(a, b) for a, b in ((low, min(high, 0xD7FF)), (max(low, 0xE000), high)) if a <= b]


def _likely(chance, low, high):
    """Return a character, more often than not one of those that are easy to read."""
    if high > 0x7E and low < 0x7E and chance.random() < 0.8:
        high = 0x7E
    return chance.randint(low, high)

"""Automata: the states that read a language, one for each expression that derivatives lead to.

A state from which no end can be reached is left out: whoever writes character by character, such as
a model that a grammar holds, never comes to where nothing may follow.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

import attrs

from inferd_engine.backends.llamacpp.json_schema.languages import CHARACTERS, NOTHING, united

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferd_engine.backends.llamacpp.json_schema.languages import Language, Ranges


class TooLargeError(ValueError):
    """A language has more states than a grammar should have rules."""


@attrs.frozen
class State:
    """What may follow: an end, if ``is_end``, and characters, each leading to another state."""

    is_end: bool
    steps: tuple[tuple[Ranges, int], ...]


@functools.lru_cache(256)
def automaton(language: Language, most: int) -> tuple[State, ...]:
    """Return states that read the texts of a language; the first is where they begin.

    From every state an end can be reached.

    Args:
        language: Which.
        most: How many states there may be.

    Returns:
        The states; none if the language has no text.

    Raises:
        TooLargeError: There are more.
    """
    found = {language: 0}
    order = [language]
    steps: list[dict[int, list[tuple[int, int]]]] = []
    for state in order:  # which grows
        ways: dict[int, list[tuple[int, int]]] = {}
        for span in _spans(state.borders()):
            then = state.after(span[0])
            if then is NOTHING:
                continue
            if then not in found:
                if len(found) >= most:
                    raise TooLargeError(f"it would take more than {most} rules")
                found[then] = len(order)
                order.append(then)
            ways.setdefault(found[then], []).append(span)
        steps.append(ways)
    return _alive([state.is_complete for state in order], steps)


def _spans(borders: frozenset[int]) -> Iterable[tuple[int, int]]:
    """Give spans of characters that all lead to the same state."""
    marks = sorted(borders | {low for low, _ in CHARACTERS} | {high + 1 for _, high in CHARACTERS})
    for low, high in itertools.pairwise(marks):
        if low <= CHARACTERS[-1][1] and not CHARACTERS[0][1] < low < CHARACTERS[1][0]:
            yield low, high - 1


def _alive(ends: list[bool], steps: list[dict[int, list[tuple[int, int]]]]) -> tuple[State, ...]:
    """Return states without those from which no end can be reached."""
    before: list[list[int]] = [[] for _ in ends]
    for state, ways in enumerate(steps):
        for then in ways:
            before[then].append(state)
    alive = {state for state, is_end in enumerate(ends) if is_end}
    waiting = [*alive]
    while waiting:
        for state in before[waiting.pop()]:
            if state not in alive:
                alive.add(state)
                waiting.append(state)
    if 0 not in alive:
        return ()
    names = {state: number for number, state in enumerate(sorted(alive))}
    return tuple(
        State(
            ends[state],
            tuple((united(s), names[t]) for t, s in steps[state].items() if t in alive),
        )
        for state in names
    )

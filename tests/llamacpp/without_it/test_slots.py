"""Slots: one holder for a context, whoever comes and goes, and none is lost."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

import inferd_engine as ie
from inferd_engine.backends.llamacpp.slots import Slots

THREADS = 8
ROUNDS = 2000


class Held:
    """What is given: it sees whether two have it at a time."""

    def __init__(self, known=()):
        self.known = known
        self.holders = 0

    def shared_with(self, tokens):
        return sum(a == b for a, b in zip(self.known, tokens, strict=False))


def test_a_context_has_one_holder_and_none_is_lost():
    """Eight threads come, wait or do not, and leave, at random."""
    contexts = [Held(), Held()]
    slots = Slots(contexts, None)

    def come_and_go(seed):
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            ticket = slots.enter([])
            while ticket.context is None and chance.random() < 0.7:
                ticket.bell.wait(0.001)
            context = ticket.context
            if context is not None:
                context.holders += 1
                assert context.holders == 1
                context.holders -= 1
            ticket.leave()
            if chance.random() < 0.1:
                ticket.leave()
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(come_and_go, range(THREADS)))
    assert not slots._waiting
    assert {*slots._free} == {*contexts}
    assert len(slots._free) == len(contexts)


def test_a_ticket_that_left_while_it_was_served_gives_it_back():
    """Between being chosen and being given a context, as it happens with threads."""

    class Leaving(list):
        ticket = None

    class Struck(Held):
        def shared_with(self, tokens):
            tokens.ticket.leave()
            return 0

    context = Struck()
    slots = Slots([], None)
    tokens = Leaving()
    tokens.ticket = slots.enter(tokens)
    slots._free.append(context)
    slots._serve()
    assert tokens.ticket.context is None
    assert list(slots._free) == [context]


def test_they_are_served_in_their_order_and_refused_beyond_the_bound():
    """Who leaves makes room for another."""
    slots = Slots([Held()], 2)
    first, second, third = (slots.enter([]) for _ in range(3))
    with pytest.raises(ie.NotReadyError):
        slots.enter([])
    assert (first.context is None, second.context is None) == (False, True)
    second.leave()
    fourth = slots.enter([])
    first.leave()
    assert third.context is not None
    assert fourth.context is None
    third.leave()
    assert fourth.context is not None


def test_the_context_that_knows_most_is_given():
    """So a conversation goes on where it was."""
    ours, other = Held([1, 2, 3]), Held([1, 9])
    assert Slots([other, ours], None).enter([1, 2, 3, 4]).context is ours

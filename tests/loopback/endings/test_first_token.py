"""The clock of the first token: what is only life does not stop it, and runs beside it."""

from __future__ import annotations

import json
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import DONE, Gate, Pause, Reply, Stall, chunk, event

LIMIT = 0.25  # seconds
SLACK = 5.0  # seconds: for a loaded machine
BEAT = 0.05  # seconds: of what is life, far below the limits


def delta(**fields):
    """Make a chunk with this delta."""
    return event({"choices": [{"index": 0, "delta": fields, "finish_reason": None}]})


LIFE = {
    "role": delta(role="assistant", content=""),
    "null": delta(role="assistant", content=None, tool_calls=None),
    "nothing": delta(),
    "no choices": event({"choices": [], "prompt_filter_results": []}),
    "usage": event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}),
    "ping": event({"type": "ping"}, "ping"),
    "no JSON": b"data: undefined\n\n",
}
TOKENS = {
    "text": delta(content="a"),
    "a blank": delta(content=" "),
    "thought": delta(reasoning_content="a"),
    "call": delta(tool_calls=[{"index": 0, "id": "i", "function": {"name": "f", "arguments": ""}}]),
    "arguments": delta(tool_calls=[{"index": 0, "function": {"arguments": "{"}}]),
    "refusal": delta(refusal="a"),
    "another index": event({"choices": [{"index": 1, "delta": {"content": "a"}}]}),
}


def phase_of(backend):
    """Give the clock that ends an answer, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(ie.DeadlineError) as caught, backend.stream("x") as stream:
        list(stream)
    return caught.value.phase, time.monotonic() - began


@pytest.mark.parametrize("name", LIFE)
@pytest.mark.parametrize("raw", [False, True])
def test_life_is_not_the_first_token(ask, buffer, name, raw):
    """A payload without text, thought or call leaves the clock of the first token running."""
    backend = ask(Reply([LIFE[name], Stall()]), buffer=buffer, first_token_timeout=LIMIT)
    began = time.monotonic()
    with pytest.raises(ie.DeadlineError) as caught, backend.stream("x", include_raw=raw) as stream:
        list(stream)
    assert caught.value.phase == "first_token"
    assert LIMIT * 0.9 <= time.monotonic() - began <= LIMIT + SLACK


@pytest.mark.parametrize("name", LIFE)
def test_life_does_not_put_it_off(ask, buffer, name):
    """However much of it comes, the first token is waited for from the sending on."""
    steps = [LIFE[name], Pause(BEAT)] * 200
    backend = ask(Reply(steps), buffer=buffer, first_token_timeout=LIMIT, idle_timeout=2.0)
    phase, seconds = phase_of(backend)
    assert phase == "first_token"
    assert seconds <= LIMIT + SLACK


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_stops_it(ask, buffer, name):
    """Text, a thought, or the beginning of a call is the first token: from then on idle counts."""
    backend = ask(
        Reply([LIFE["role"], TOKENS[name], Stall()]),
        buffer=buffer,
        first_token_timeout=10.0,
        idle_timeout=LIMIT,
    )
    assert phase_of(backend)[0] == "idle"
    gate = Gate()
    backend = ask(
        Reply([LIFE["role"], TOKENS[name], gate, chunk("b", finish_reason="stop"), DONE]),
        buffer=buffer,
        first_token_timeout=LIMIT,
    )
    with backend.stream("x") as stream:
        time.sleep(2 * LIMIT)  # the limit passes, which is what is looked at
        gate.open()
        try:
            assert list(stream)[-1] is stream.done
        except ie.ToolCallMalformedError:
            assert name == "arguments"  # of no call: told at the end, and not before


def test_life_is_life(ask, buffer):
    """What is no token begins the clock of silence anew, as every payload does."""
    steps = [step for _ in range(12) for step in (LIFE["role"], Pause(BEAT))]
    backend = ask(
        Reply([*steps, chunk("a", finish_reason="stop"), DONE]),
        buffer=buffer,
        first_token_timeout=20.0,
        idle_timeout=10 * BEAT,
    )
    assert backend.complete("x").text == "a"


def test_silence_before_the_first_token(ask, buffer):
    """Once a payload has come, silence after it is silence, whichever limit is the shorter."""
    backend = ask(
        Reply([LIFE["role"], Stall()]), buffer=buffer, first_token_timeout=20.0, idle_timeout=LIMIT
    )
    assert phase_of(backend)[0] == "idle"
    backend = ask(
        Reply([LIFE["role"], Stall()]), buffer=buffer, first_token_timeout=LIMIT, idle_timeout=20.0
    )
    assert phase_of(backend)[0] == "first_token"


def test_an_empty_answer_has_ended(ask, buffer):
    """A reason without any token is an end: there is no first token to wait for any more."""
    backend = ask(
        Reply([LIFE["role"], delta_end(), Stall()]),
        buffer=buffer,
        first_token_timeout=20.0,
        idle_timeout=LIMIT,  # and so little is waited for what may follow the reason
    )
    assert backend.complete("x").text == ""


def delta_end():
    """Make a chunk that says why the answer ended, and nothing else."""
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"

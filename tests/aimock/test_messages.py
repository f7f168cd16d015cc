"""The client against aimock's ``/v1/messages``: scripted answers in Anthropic's form."""

from __future__ import annotations

import pytest
from real_questions import SKY, WEATHER, both_ways

import inferd_engine as ie

# The server may have to start first.
pytestmark = [pytest.mark.timeout(90), pytest.mark.messages]

KEY = "sk-aimock"


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def backend(request, aimock):
    """A backend for the server, with a worker and without one."""
    with ie.Anthropic(
        aimock.url, api_key=KEY, model="claude-x", buffer=request.param, timeout=60.0
    ) as backend:
        yield backend


@both_ways
def test_text(backend, stream):
    """Text comes whole, streamed or not."""
    completion = backend.complete("Why is the sky blue?", stream=stream)
    assert completion.text == SKY
    assert completion.stop_reason is ie.StopReason.END_TURN
    assert completion.model == "claude-x"


@both_ways
def test_thoughts(backend, stream):
    """Thoughts are told apart from the text."""
    completion = backend.complete("Tell me your thoughts.", stream=stream)
    assert completion.thinking == "Let me think about that for a while."
    assert completion.text == "42"


@both_ways
def test_a_tool_loop(backend, stream):
    """Calls come whole, and their results go back."""
    history = [ie.user("How is the weather?")]
    completion = backend.complete(history, tools=[WEATHER], stream=stream)
    assert [(call.name, call.input) for call in completion.tool_uses] == [
        ("get_weather", {"city": "Łódź", "days": [1, 2]}),
        ("get_time", {}),
    ]
    assert completion.stop_reason is ie.StopReason.TOOL_USE
    history.append(completion.to_message())
    history += [ie.tool_result(call.tool_call_id, "rain") for call in completion.tool_uses]
    assert backend.complete(history, tools=[WEATHER]).text == "It rains in Łódź."


@both_ways
def test_a_limit(backend, stream):
    """An answer that was cut by a limit says so, and what it cost."""
    completion = backend.complete("the limit of tokens", stream=stream)
    assert completion.stop_reason is ie.StopReason.MAX_TOKENS
    assert completion.text == "So far"


def test_a_wrong_key(aimock):
    """A wrong key is refused, and its place is named."""
    with pytest.raises(ie.HttpStatusError) as caught:
        ie.Anthropic(aimock.url, api_key="sk-wrong", model="m").complete("Hi")
    assert caught.value.status == 401
    assert "the key came from api_key" in str(caught.value)


def test_nothing_fits(backend):
    """What nothing fits is 404."""
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete("zzz")
    assert caught.value.status == 404

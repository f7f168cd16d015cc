"""The client against aimock's ``/model/…/converse-stream``: Bedrock's frames, made by others."""

from __future__ import annotations

import pytest
from real_questions import SKY, WEATHER, both_ways

import inferd_engine as ie

pytestmark = pytest.mark.timeout(90)  # the server may have to start first

KEY = "sk-aimock"
MODEL = "eu.anthropic.claude-x-v1:0"


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def backend(request, aimock):
    """A backend for the server, with a worker and without one."""
    with ie.Bedrock(
        aimock.url,
        region="eu-central-1",
        api_key=KEY,
        model=MODEL,
        buffer=request.param,
        timeout=60.0,
    ) as backend:
        yield backend


@both_ways
def test_text(backend, stream):
    """Text comes whole, streamed in frames or not."""
    completion = backend.complete("Why is the sky blue?", stream=stream)
    assert completion.text == SKY
    assert completion.stop_reason is ie.StopReason.END_TURN


def test_it_is_a_stream_of_frames(backend):
    """It is Amazon's framing that comes, and a word comes before the last."""
    with backend.stream("Why is the sky blue?") as stream:
        assert len([*stream.text()]) > 1
    assert stream.response_headers["content-type"] == "application/vnd.amazon.eventstream"


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


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        ("Say half a text.", "This text is cut in the middle of itself, as a broken line would."),
        ("Be cut by the clock.", "This text is cut some time after it has begun."),
    ],
)
def test_a_cut_in_the_middle(backend, words, whole):
    """A connection that breaks raises after what came."""
    with pytest.raises(ie.StreamInterruptedError) as caught:
        backend.complete(words)
    assert whole.startswith(caught.value.partial.text)
    assert caught.value.partial.text not in ("", whole)


@pytest.mark.parametrize(
    ("words", "status"), [("too often", 429), ("overloaded", 503), ("too long", 400)]
)
def test_a_refusal(backend, words, status):
    """A refusal has its status and the server's words, and may pass or not."""
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete(words)
    assert (caught.value.status, caught.value.retryable) == (status, status != 400)


def test_a_wrong_key(aimock):
    """A wrong key is refused, with its status."""
    with pytest.raises(ie.HttpStatusError) as caught:
        ie.Bedrock(aimock.url, region="eu-central-1", api_key="sk-wrong", model="m").complete("Hi")
    assert caught.value.status in (401, 403)


def test_nothing_fits(backend):
    """What nothing fits is 404."""
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete("zzz")
    assert caught.value.status == 404

"""The client against LLMock's Messages: scripted answers, refusals, and streams that break."""

from __future__ import annotations

import pytest
from real_questions import SKY, WEATHER, both_ways

import inferd_engine as ie

# The server may have to start first.
pytestmark = [pytest.mark.timeout(120), pytest.mark.messages]


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def backend(request, llmock):
    """A backend for the server, with a worker and without one."""
    with ie.Anthropic(
        f"{llmock.url}/anthropic", api_key="k", model="claude-x", buffer=request.param, timeout=60.0
    ) as backend:
        yield backend


@both_ways
def test_text(backend, llmock, stream):
    """Text comes whole, streamed or not, with usage and a reason."""
    llmock.will({"type": "reply", "text": SKY})
    completion = backend.complete("Why is the sky blue?", stream=stream)
    assert completion.text == SKY
    assert completion.stop_reason is ie.StopReason.END_TURN
    assert completion.usage.input_tokens > 0
    assert completion.model == "claude-x"


@both_ways
def test_a_tool_loop(backend, llmock, stream):
    """A call comes whole, however its input was cut, and its result goes back."""
    call = {"name": "get_weather", "arguments": {"city": "Łódź", "days": [1, 2]}}
    llmock.will({"type": "reply", "tool_calls": [call]}, {"type": "reply", "text": "It rains."})
    history = [ie.user("How is it?")]
    completion = backend.complete(history, tools=[WEATHER], stream=stream)
    (asked,) = completion.tool_uses
    assert (asked.name, asked.input) == (call["name"], call["arguments"])
    assert completion.stop_reason is ie.StopReason.TOOL_USE
    history += [completion.to_message(), ie.tool_result(asked.tool_call_id, "rain")]
    assert backend.complete(history, tools=[WEATHER], stream=stream).text == "It rains."


@both_ways
def test_a_limit(backend, llmock, stream):
    """An answer that was cut by a limit says so."""
    llmock.will({"type": "reply", "text": "So far", "finish_reason": "length"})
    completion = backend.complete("Hi", stream=stream)
    assert (completion.text, completion.stop_reason) == ("So far", ie.StopReason.MAX_TOKENS)


@pytest.mark.parametrize(("status", "retryable"), [(429, True), (529, True), (400, False)])
def test_refusals(backend, llmock, status, retryable):
    """A refusal has its status and the server's words, and when to ask again."""
    llmock.will({"type": "fail", "status": status, "message": "not now", "retry_after": 7})
    with pytest.raises(ie.HttpStatusError, match="not now") as caught:
        backend.complete("Hi")
    assert (caught.value.status, caught.value.retryable) == (status, retryable)
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("kind", ["disconnect", "truncate"])
@pytest.mark.parametrize(("after", "said"), [(3, ""), (5, "The sky ")])
def test_a_stream_that_breaks(backend, llmock, kind, after, said):
    """An answer that was cut, by a connection that broke or by an end too soon, is never whole."""
    llmock.will(
        {"type": "reply", "text": SKY},
        {"type": "stream_fault", "kind": kind, "after_chunks": after},
    )
    with pytest.raises(ie.StreamInterruptedError) as caught:
        backend.complete("Hi", stream=True)
    assert caught.value.partial.text == said


def test_a_payload_that_is_no_json(backend, llmock):
    """A payload that cannot be read is left out, and counted."""
    fault = {"type": "stream_fault", "kind": "malformed", "after_chunks": 4}
    llmock.will({"type": "reply", "text": SKY}, fault)
    completion = backend.complete("Hi", stream=True)
    assert completion.text == SKY.replace("sky ", "", 1)
    assert completion.stats.skipped == 1


def test_a_stream_that_stalls(backend, llmock):
    """Silence in mid-stream ends with the clock for silence; what came before it is given."""
    fault = {"type": "stream_fault", "kind": "stall", "after_chunks": 5, "stall_seconds": 30.0}
    llmock.will({"type": "reply", "text": SKY}, fault)
    with backend.with_options(idle_timeout=0.5) as impatient:
        with pytest.raises(ie.DeadlineError) as caught:
            impatient.complete("Hi", stream=True)
    assert caught.value.phase == "idle"


def test_models(backend):
    """Its models are listed."""
    assert "claude-opus-4-6" in backend.models()

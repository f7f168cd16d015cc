"""The client against vLLM's ``/v1/messages``: whatever a model of dice says."""

from __future__ import annotations

import pytest
from tiny_messages import test_a_tool_is_no_trouble, test_close_ends_it, test_models

import inferd_engine as ie

__all__ = ["test_a_tool_is_no_trouble", "test_close_ends_it", "test_models"]  # collected here, too

# The server may have to start first.
pytestmark = [pytest.mark.timeout(400), pytest.mark.messages]


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def backend(request, vllm):
    """A backend of Messages, with a worker and without one."""
    with ie.Anthropic(
        vllm.url, api_key="", model="tiny", buffer=request.param, timeout=120.0
    ) as backend:
        yield backend


def test_text_then_done(backend):
    """Text comes piece by piece; usage is the server's."""
    with backend.stream("Hello", max_tokens=40) as stream:
        *texts, done = stream
    assert {event.type for event in texts} == {"text"}
    assert len(texts) > 1
    assert done.stop_reason is ie.StopReason.MAX_TOKENS
    assert (done.usage.input_tokens, done.usage.output_tokens) == (
        len("<user: Hello\nassistant: "),
        40,
    )


def test_streamed_or_not(backend):
    """The same words come, streamed or not."""
    asked = {"max_tokens": 16, "temperature": 0.0, "top_k": 1, "system": "Be brief."}
    said = [backend.complete("Hello", stream=stream, **asked) for stream in (True, False)]
    assert said[0].text == said[1].text
    assert [one.model for one in said] == ["tiny", "tiny"]


def test_both_protocols_say_the_same(backend, vllm):
    """The other protocol of the same server gives the same text and the same count of tokens."""
    asked = {"max_tokens": 16, "temperature": 0.0}
    with ie.OpenAiCompat(vllm.url, api_key="", model="tiny") as other:
        here, there = (one.complete("Hello", **asked) for one in (backend, other))
    assert here.text == there.text
    assert here.usage.input_tokens == there.usage.input_tokens


@pytest.mark.parametrize(
    ("prompt", "model", "status", "words"),
    [
        ("word " * 2000, "tiny", 400, "maximum context length is 512 tokens"),
        ("Hello", "nobody", 404, "`nobody` does not exist"),
    ],
)
def test_refusals(backend, prompt, model, status, words):
    """A refusal is told in the server's words."""
    with pytest.raises(ie.HttpStatusError, match=words) as caught:
        backend.complete(prompt, max_tokens=4, model=model)
    assert (caught.value.status, caught.value.retryable) == (status, False)

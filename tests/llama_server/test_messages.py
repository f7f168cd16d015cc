"""The client against llama.cpp's own server: Messages, and Chat Completions saying the same."""

from __future__ import annotations

import pytest
from tiny_messages import test_a_tool_is_no_trouble, test_close_ends_it, test_models

import inferd_engine as ie

__all__ = ["test_a_tool_is_no_trouble", "test_close_ends_it", "test_models"]  # collected here, too

# The server may have to start first.
pytestmark = [pytest.mark.timeout(120), pytest.mark.messages]
# The server closes its connection right after a streamed answer, whatever it promised: one that is
# used again within that tenth of a millisecond is lost.  So none is here.
FRESH = {"keepalive_expiry": 1e-9}


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def backend(request, server):
    """A backend of Messages, with a worker and without one."""
    with ie.Anthropic(
        server.url, api_key="", model="tiny", buffer=request.param, timeout=60.0, **FRESH
    ) as backend:
        yield backend


def test_text_then_done(backend):
    """Text comes piece by piece; usage is the server's, what came from its cache counted."""
    with backend.stream("Hello", max_tokens=12) as stream:
        *texts, done = stream
    assert {event.type for event in texts} == {"text"}
    assert len(texts) > 1
    assert done.stop_reason is ie.StopReason.MAX_TOKENS
    assert done.usage.output_tokens == 12
    # 0 in its first event, which it has not always counted by then, is not known.
    assert done.usage.input_tokens is None or done.usage.input_tokens > 10


def test_streamed_or_not(backend):
    """The same words come, streamed or not."""
    asked = {"max_tokens": 8, "top_k": 1, "system": "Be brief."}
    said = [backend.complete("Hello", stream=stream, **asked) for stream in (True, False)]
    assert said[0].text == said[1].text
    assert [one.model for one in said] == ["tiny", "tiny"]


def test_both_protocols_say_the_same(backend, server):
    """The other protocol of the same server gives the same text and the same count of tokens."""
    with ie.OpenAiCompat(server.url, api_key="", model="tiny", **FRESH) as other:
        asked = {"max_tokens": 8, "top_k": 1, "temperature": 0.0}
        here, there = (one.complete("Hello", **asked) for one in (backend, other))
    assert here.text == there.text
    assert here.usage.input_tokens in (None, there.usage.input_tokens)


def test_a_prompt_that_is_too_long(backend):
    """A prompt beyond the context is refused in the server's words."""
    with pytest.raises((ie.HttpStatusError, ie.UpstreamError)) as caught:
        backend.complete("word " * 2000, max_tokens=4)
    assert not caught.value.retryable

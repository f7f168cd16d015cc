"""The client against LiteLLM's ``/v1/messages``, which writes Messages of any answer."""

from __future__ import annotations

import pytest

import inferd_engine as ie
from inferd_engine.testing import Cut, Pause, Reply, chunk, error_reply, text_reply, tool_call_reply

# The proxy may have to start first.
pytestmark = [pytest.mark.timeout(180), pytest.mark.messages]

SKY = "The sky is blue: Привет 你好 😀, and that is all there is to say."
WEATHER = ie.Tool(
    "get_weather",
    "Look at the sky.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


@pytest.fixture
def ask(litellm):
    """Give a backend of Messages for a model of the proxy."""
    master = litellm.backend("openai").config.api_key

    def make(model, **fields):
        return ie.Anthropic(
            litellm.url, api_key=master.reveal(), model=model, timeout=60.0, **fields
        )

    return make


@pytest.mark.parametrize("stream", [True, False])
def test_text(ask, stream):
    """Text comes whole, streamed or not, with usage and a reason."""
    completion = ask("mock-text").complete("Why is the sky blue?", stream=stream)
    assert completion.text == SKY
    assert completion.stop_reason is ie.StopReason.END_TURN
    assert completion.usage.output_tokens > 0


@pytest.mark.parametrize("model", ["openai", "vllm"])
def test_text_of_ours(ask, upstream, model):
    """What our own upstream says comes through both of LiteLLM's adapters."""
    upstream.reply = text_reply("The sky is blue.", usage=(3, 5))
    completion = ask(model).complete("Why?", system="Be brief.")
    assert completion.text == "The sky is blue."
    assert completion.usage.output_tokens == 5
    assert upstream.last.json["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("model", ["openai", "vllm"])
def test_a_tool_loop(ask, upstream, model):
    """A call comes whole, and its result goes back as the upstream's own protocol has it."""
    upstream.reply = tool_call_reply("get_weather", {"city": "Łódź"}, tool_call_id="call_1")
    history = [ie.user("How is it?")]
    completion = ask(model).complete(history, tools=[WEATHER])
    (call,) = completion.tool_uses
    assert (call.name, call.input) == ("get_weather", {"city": "Łódź"})
    assert completion.stop_reason is ie.StopReason.TOOL_USE
    history += [completion.to_message(), ie.tool_result(call.tool_call_id, "sunny")]
    upstream.reply = text_reply("It is sunny.")
    assert ask(model).complete(history, tools=[WEATHER]).text == "It is sunny."
    asked = upstream.last.json["messages"]
    assert [message["role"] for message in asked] == ["user", "assistant", "tool"]
    assert asked[2]["content"] == "sunny"


def test_thoughts(ask, upstream):
    """Thoughts are thoughts."""
    upstream.reply = Reply(
        [
            chunk(reasoning_content="hm, "),
            chunk(reasoning_content="so"),
            chunk("Yes."),
            chunk(finish_reason="stop"),
        ]
    )
    completion = ask("vllm").complete("Well?")
    assert (completion.thinking, completion.text) == ("hm, so", "Yes.")


@pytest.mark.parametrize(
    ("model", "status"), [("mock-limit", 429), ("mock-broken", 500), ("nowhere", 400)]
)
def test_refusals(ask, model, status):
    """A refusal before the answer is a status."""
    with pytest.raises(ie.HttpStatusError) as caught:
        ask(model).complete("Hi")
    assert caught.value.status == status


def test_a_wrong_key(litellm):
    """A wrong key is refused; without a database LiteLLM calls that 400."""
    with pytest.raises(ie.HttpStatusError) as caught:
        ie.Anthropic(litellm.url, api_key="sk-wrong", model="openai").complete("Hi")
    assert caught.value.status in (400, 401)
    assert not caught.value.retryable


def test_an_upstream_that_refuses(ask, upstream):
    """What is behind LiteLLM is told in its words."""
    upstream.reply = error_reply(400, "the sky is closed")
    with pytest.raises((ie.HttpStatusError, ie.UpstreamError), match="the sky is closed"):
        ask("openai").complete("Hi")


def test_a_cut(ask, upstream):
    """An answer that broke behind LiteLLM is either an error, or what LiteLLM makes of it."""
    upstream.reply = Reply([chunk("The "), chunk("sky"), Pause(0.5), Cut()])
    with pytest.raises(ie.UnavailableError):
        ask("openai").complete("Hi")


def test_models(ask, litellm):
    """Its models are listed."""
    assert set(ask("openai").models()) >= set(litellm.models)

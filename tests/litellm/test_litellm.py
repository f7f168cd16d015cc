"""The client against the LiteLLM proxy: its own answers, and what it makes of those behind it.

LiteLLM reads its upstream's answer and writes another one, with other chunks, usage of its own and
its own words for errors.  What it makes of an answer that was cut decides what any client behind
it can know: some cuts it turns into whole answers (``test_cuts_that_litellm_hides``).
"""

from __future__ import annotations

import json
import threading
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import (
    DONE,
    Cut,
    Gate,
    Reply,
    Reset,
    Stall,
    chunk,
    error_reply,
    event,
    json_reply,
    stream_reply,
    text_reply,
    tool_call_reply,
)

pytestmark = pytest.mark.timeout(180)  # the proxy may have to start first

SKY = "The sky is blue: Привет 你好 😀, and that is all there is to say."
PIECES = ["The ", "sky ", "is ", "blue."]
WEATHER = ie.Tool(
    "get_weather",
    "Look at the sky.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
BEHIND = ("openai", "vllm")  # two adapters of LiteLLM for the one upstream


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def backend(request, litellm, upstream):
    """A backend for the model that our own upstream answers, with a worker and without one."""
    with litellm.backend("openai", buffer=request.param) as backend:
        yield backend


# --- answers of LiteLLM's own --------------------------------------------------------------------


@pytest.mark.parametrize("buffer", [512, 0], ids=lambda buffer: f"buffer={buffer}")
def test_text_then_done(litellm, buffer):
    """A stream gives text, piece by piece, and ends with one Done; usage comes after its reason.

    LiteLLM's usage chunk has a choice with an empty delta where OpenAI's has no choice.
    """
    with litellm.backend("mock-text", buffer=buffer) as backend:
        with backend.stream("Why is the sky blue?") as stream:
            *texts, done = stream
    assert {event.type for event in texts} == {"text"}
    assert len(texts) > 10
    assert "".join(event.delta for event in texts) == SKY
    assert (done.stop_reason, done.finish_reason) == (ie.StopReason.END_TURN, "stop")
    assert done.usage.output_tokens > 0
    assert done.usage.details["total_tokens"] == done.usage.input_tokens + done.usage.output_tokens
    assert done == stream.done
    assert stream.response_headers["x-litellm-version"]


@pytest.mark.parametrize("stream", [True, False], ids=lambda stream: f"stream={stream}")
def test_complete(litellm, stream):
    """An answer in one piece says the same as a stream."""
    with litellm.backend("mock-text") as backend:
        answer = backend.complete("Why is the sky blue?", stream=stream)
    assert answer.text == SKY
    assert answer.done.stop_reason is ie.StopReason.END_TURN
    assert answer.done.usage.input_tokens > 0


def test_without_usage(litellm):
    """Usage that was not asked for is unknown."""
    with litellm.backend("mock-text", include_usage=False) as backend:
        assert backend.complete("Hello").done == ie.Done(ie.StopReason.END_TURN, None, "stop")


def test_mock_tool_call(litellm):
    """A tool call is one though LiteLLM says "stop"; of a stream its mock leaves the call out."""
    with litellm.backend("mock-tool") as backend:
        fields = {"tools": [WEATHER], "tool_choice": "get_weather"}
        answer = backend.complete("Hello", stream=False, **fields)
        assert answer.tool_uses == (ie.ToolUse("call_1", "get_weather", {"city": "Paris"}),)
        assert answer.done.stop_reason is ie.StopReason.TOOL_USE
        assert answer.done.finish_reason == "stop"
        streamed = backend.complete("Hello", **fields)
        assert streamed.tool_uses == ()
        assert streamed.done.stop_reason is ie.StopReason.END_TURN


@pytest.mark.parametrize(
    ("model", "status", "words", "retryable"),
    [
        ("mock-limit", 429, "mock rate limit error", True),
        ("mock-broken", 500, "mock internal server error", True),
        ("mock-overflow", 400, "mock context window exceeded error", False),
        ("nobody", 500, "Connection error", True),
        ("wrong-key", 401, "Incorrect API key provided", False),
    ],
)
@pytest.mark.parametrize("stream", [True, False], ids=lambda stream: f"stream={stream}")
def test_errors(litellm, upstream, model, status, words, retryable, stream):
    """An error before the stream is raised from the call, in LiteLLM's words."""
    with (
        litellm.backend(model) as backend,
        pytest.raises(ie.HttpStatusError, match=words) as caught,
    ):
        backend.complete("Hello", stream=stream)
    assert caught.value.status == status
    assert caught.value.message.startswith("litellm.")
    assert caught.value.retryable is retryable


# --- the proxy's own refusals --------------------------------------------------------------------


def test_models(litellm):
    """All models of the configuration are listed."""
    with litellm.backend("mock-text") as backend:
        assert backend.models() == litellm.models


def test_wrong_model_name(litellm):
    """An unknown model is 400, and the message says where to look."""
    with (
        litellm.backend("gpt-5") as backend,
        pytest.raises(
            ie.HttpStatusError, match="Invalid model name passed in model=gpt-5"
        ) as caught,
    ):
        backend.stream("Hello")
    assert caught.value.status == 400
    assert not caught.value.retryable


def test_no_key(litellm):
    """Without a key it is 401, and the hint says which variable was empty."""
    with litellm.backend("mock-text", api_key="") as backend:
        for ask in (lambda: backend.stream("Hello"), backend.models):
            with pytest.raises(ie.HttpStatusError, match="no key was sent") as caught:
                ask()
            assert caught.value.status == 401
            assert caught.value.message == "Authentication Error, No api key passed in."
            assert not caught.value.retryable


def test_wrong_key(litellm):
    """A wrong key is 400, because LiteLLM has no database to look it up in; it is not shown."""
    with (
        litellm.backend("mock-text", api_key="sk-wrong-one") as backend,
        pytest.raises(ie.HttpStatusError, match="No connected db") as caught,
    ):
        backend.stream("Hello")
    assert caught.value.status == 400
    assert "sk-wrong-one" not in f"{caught.value!r} {caught.value} {caught.value.body}"


def test_wrong_path(litellm):
    """A base_url that leads nowhere is a 404 that says where to look."""
    with (
        litellm.backend("mock-text", base_url=f"{litellm.url}/wrong/v1") as backend,
        pytest.raises(ie.HttpStatusError, match="was asked, because base_url is") as caught,
    ):
        backend.stream("Hello")
    assert caught.value.status == 404
    assert caught.value.message == "Not Found"


# --- answers of the upstream behind it -----------------------------------------------------------


@pytest.mark.parametrize("model", BEHIND)
@pytest.mark.parametrize("stream", [True, False], ids=lambda stream: f"stream={stream}")
def test_text_from_behind(litellm, upstream, model, stream):
    """Text and usage of the upstream come through."""
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    message = {"role": "assistant", "content": SKY}
    upstream.reply = text_reply(SKY, usage=(3, 5))
    if not stream:
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        upstream.reply = json_reply({"choices": [choice], "usage": usage})
    with litellm.backend(model) as backend:
        answer = backend.complete("Hello", stream=stream)
    assert answer.text == SKY
    assert answer.done.stop_reason is ie.StopReason.END_TURN
    assert (answer.done.usage.input_tokens, answer.done.usage.output_tokens) == (3, 5)


def test_usage_of_litellms_own(backend, upstream):
    """Where the upstream says nothing of usage, LiteLLM counts with a tokenizer of its own."""
    upstream.reply = text_reply("Hello")
    assert backend.complete("Hello").done.usage.output_tokens > 0


@pytest.mark.parametrize(
    ("word", "reason"),
    [("length", ie.StopReason.MAX_TOKENS), ("content_filter", ie.StopReason.CONTENT_FILTER)],
)
def test_finish_reasons(backend, upstream, word, reason):
    """The upstream's reason comes through."""
    upstream.reply = text_reply("Hello", finish_reason=word)
    done = backend.complete("Hello").done
    assert (done.stop_reason, done.finish_reason) == (reason, word)


def test_the_request_comes_through(backend, upstream):
    """The upstream gets what the caller set, in OpenAI's form, and of the fields nothing else."""
    upstream.reply = text_reply("Hello")
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    backend.with_options(extra_body={"logprobs": True, "top_logprobs": 2}).complete(
        [ie.system("Be brief."), ie.user("Hello")],
        tools=[WEATHER],
        tool_choice="get_weather",
        parallel_tool_calls=False,
        response_format=wanted,
        stop=["END"],
        seed=7,
        temperature=0.5,
        max_tokens=32,
    )
    got = upstream.last.json
    assert got["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    assert got["response_format"] == wanted
    assert got["stop"] == ["END"]
    assert got["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    assert (got["seed"], got["temperature"], got["max_tokens"]) == (7, 0.5, 32)
    assert (got["logprobs"], got["top_logprobs"]) == (True, 2)
    assert got["parallel_tool_calls"] is False
    assert got["stream_options"] == {"include_usage": True}
    (tool,) = got["tools"]
    assert tool["function"]["parameters"] == WEATHER.input_schema


@pytest.mark.parametrize("model", BEHIND)
def test_tool_call(litellm, upstream, model):
    """A tool call comes through in small pieces, and is given whole."""
    asked = {"city": "Łódź", "days": [1, 2], "note": 'say "hello"'}
    upstream.reply = tool_call_reply("get_weather", asked, usage=(3, 5))
    with litellm.backend(model) as backend:
        answer = backend.complete("Hello", tools=[WEATHER], tool_choice="get_weather")
    assert answer.tool_uses == (ie.ToolUse("call_1", "get_weather", asked),)
    assert answer.done.stop_reason is ie.StopReason.TOOL_USE
    assert answer.done.finish_reason == "tool_calls"


def test_two_tool_calls_at_a_time(backend, upstream):
    """Two calls whose pieces come mixed are told apart."""

    def piece(index, arguments, **call):
        function = {"arguments": arguments, **call.pop("function", {})}
        return chunk(tool_calls=[{"index": index, "function": function, **call}])

    upstream.reply = stream_reply(
        [
            piece(0, '{"x":', id="a1", type="function", function={"name": "a"}),
            piece(1, "", id="b1", type="function", function={"name": "b"}),
            piece(0, " 1}"),
            piece(1, "{}"),
        ],
        finish_reason="tool_calls",
    )
    answer = backend.complete("Hello")
    assert answer.tool_uses == (ie.ToolUse("a1", "a", {"x": 1}), ie.ToolUse("b1", "b", {}))


def test_a_tool_call_and_its_result(backend, upstream):
    """A call and its result go back in OpenAI's form."""
    upstream.reply = tool_call_reply("get_weather", {"city": "Paris"})
    question = ie.user("How is the weather?")
    answer = backend.complete([question], tools=[WEATHER])
    upstream.reply = text_reply("Rain.")
    history = [question, answer.to_message(), ie.tool_result("call_1", "It rains.")]
    assert backend.complete(history, tools=[WEATHER]).text == "Rain."
    _, call, result = upstream.last.json["messages"]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"] == "call_1"
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    assert (result["role"], result["content"]) == ("tool", "It rains.")


def test_malformed_arguments(backend, upstream):
    """Arguments that are no JSON raise, with the raw text."""
    call = {"index": 0, "id": "a1", "type": "function"}
    function = {"name": "get_weather", "arguments": '{"city": '}
    upstream.reply = stream_reply(
        [chunk(tool_calls=[{**call, "function": function}])], finish_reason="tool_calls"
    )
    with pytest.raises(ie.ToolCallMalformedError) as caught:
        backend.complete("Hello")
    assert (caught.value.name, caught.value.arguments) == ("get_weather", '{"city": ')


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("model", BEHIND)
def test_thinking(litellm, upstream, model, field):
    """Thoughts come through as thoughts, none of them twice."""
    thoughts = [chunk(**{field: "Let me "}), chunk(**{field: "think."})]
    upstream.reply = stream_reply([*thoughts, chunk("42")])
    with litellm.backend(model) as backend:
        answer = backend.complete("Hello")
    assert (answer.thinking, answer.text) == ("Let me think.", "42")


def test_logprobs(backend, upstream):
    """What else the upstream says is in the raw chunks."""
    logprobs = {"content": [{"token": "Hello", "logprob": -0.5, "bytes": None, "top_logprobs": []}]}
    delta = {"role": "assistant", "content": "Hello"}
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": None}
    first = {"id": "x", "object": "chat.completion.chunk", "created": 0, "choices": [choice]}
    upstream.reply = stream_reply([event(first)])
    with backend.stream("Hello", include_raw=True) as stream:
        raw, text, *_ = stream
    assert text == ie.TextDelta("Hello")
    (said,) = json.loads(raw.data)["choices"][0]["logprobs"]["content"]
    assert (said["token"], said["logprob"]) == ("Hello", -0.5)


# --- failures of the upstream behind it ----------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message", "retryable"),
    [
        (400, "That was wrong", False),
        (429, "Slow down", True),
        (503, "Loading model", True),
    ],
)
def test_refusals_from_behind(backend, upstream, status, message, retryable):
    """The upstream's status and words come through."""
    upstream.reply = error_reply(status, message)
    with pytest.raises(ie.HttpStatusError, match=message) as caught:
        backend.stream("Hello")
    assert caught.value.status == status
    assert caught.value.retryable is retryable


def test_retry_after_from_behind(backend, upstream):
    """LiteLLM does not pass Retry-After on as such, but under a name of its own."""
    upstream.reply = error_reply(429, "Slow down", headers={"Retry-After": "7"})
    with pytest.raises(ie.HttpStatusError, match="Slow down") as caught:
        backend.stream("Hello")
    assert caught.value.headers["llm_provider-retry-after"] == "7"
    assert "retry-after" not in caught.value.headers


def after_the_first_piece(backend, upstream, *steps):
    """Have the upstream go on once the first piece of text is here; give the whole answer."""
    gate = Gate()
    upstream.reply = Reply([*map(chunk, PIECES), gate, *steps])
    with backend.stream("Hello") as stream:
        first = next(stream)
        gate.open()
        partial = stream.collect()
    return ie.Completion.of([first, ie.TextDelta(partial.text), partial.done])


@pytest.mark.parametrize("cut", [Cut(), Reset()], ids=["closed", "reset"])
def test_a_cut_in_the_middle(backend, upstream, cut):
    """A connection that breaks behind LiteLLM is an error: what came before it is given."""
    with pytest.raises(ie.UpstreamError, match="APIConnectionError") as caught:
        after_the_first_piece(backend, upstream, cut)
    assert caught.value.code == "500"
    assert "".join(PIECES).endswith(caught.value.partial.text)
    assert caught.value.partial.done is None
    assert not caught.value.retryable  # something was delivered


def test_an_error_in_the_middle(backend, upstream):
    """An error that the upstream sends in its stream is an error of ours, in its words."""
    broken = event({"error": {"message": "The GPU is gone", "type": "server_error"}})
    with pytest.raises(ie.UpstreamError, match="The GPU is gone") as caught:
        after_the_first_piece(backend, upstream, broken, DONE)
    assert "".join(PIECES).endswith(caught.value.partial.text)


def test_malformed_json_in_the_middle(backend, upstream):
    """A chunk that is no JSON ends LiteLLM's stream with an error."""
    with pytest.raises(ie.UpstreamError, match="Expecting property name"):
        after_the_first_piece(backend, upstream, b"data: {malformed json\n\n", DONE)


def test_cuts_that_litellm_hides(backend, upstream):
    """An answer that just ends behind LiteLLM is made a whole one, with usage and "stop".

    So are an empty answer and a login page.  No client can know better; it is said here so that
    nobody looks for the fault in the client.
    """
    for steps, text in (([chunk("The "), chunk("sky")], "The sky"), ([], "")):
        upstream.reply = Reply(steps)
        answer = backend.complete("Hello")
        assert answer.text == text
        assert (answer.done.stop_reason, answer.done.finish_reason) == (
            ie.StopReason.END_TURN,
            "stop",
        )
    page = b"<html><title>Login</title></html>"
    upstream.reply = Reply([page], headers={"Content-Type": "text/html"}, framing="length")
    assert backend.complete("Hello") == ie.Completion(
        done=ie.Done(ie.StopReason.END_TURN, None, "stop"), model="openai"
    )


# --- closing -------------------------------------------------------------------------------------


def test_close_in_the_middle(backend, upstream):
    """Closing is immediate, and the server behind LiteLLM hears of it."""
    upstream.reply = Reply([*map(chunk, PIECES), Stall()])
    stream = backend.stream("Hello")
    assert next(stream).type == "text"
    received = upstream.last
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 0.25  # it shuts a socket down, no more
    assert (stream.cancelled, stream.done, list(stream)) == (True, None, [])
    assert received.gone.wait(10.0)
    upstream.reply = text_reply("Hello")
    assert backend.complete("Hello").text == "Hello"


def test_cancel_before_the_headers(backend, upstream):
    """A call that waits for LiteLLM's headers is ended by its token.

    Whether LiteLLM passes that on to the server behind it depends on how far it had come.
    """
    gate = Gate()
    upstream.reply = Reply([chunk("Hello"), DONE], before=[gate])
    token = ie.CancelToken()
    number = upstream.count + 1

    def cancel():
        upstream.wait_for_request(number)
        token.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(ie.RequestCancelledError):
        backend.complete("Hello", cancel=token)
    canceller.join()
    upstream.wait_for_request(number)
    gate.open()


def test_deadline(backend, upstream):
    """A server behind LiteLLM that says nothing any more runs into the client's deadline."""
    upstream.reply = Reply([*map(chunk, PIECES), Stall()])
    with pytest.raises(ie.DeadlineError) as caught:
        backend.with_options(idle_timeout=0.5).complete("Hello")
    assert caught.value.phase == "idle"
    assert "".join(PIECES).startswith(caught.value.partial.text)
    assert caught.value.partial.text
    assert upstream.last.gone.wait(10.0)

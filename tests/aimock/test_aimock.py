"""The client against aimock: scripted answers in the forms of three services, and chaos.

What the server says to which words is in ``fixtures.json``.  It cuts an answer by destroying its
socket, which also drops what it had just written, and it may do so before the first byte.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request

import pytest

import inferd_engine as ie

pytestmark = pytest.mark.timeout(90)  # the server may have to start first

SKY = "The sky is blue: Привет 你好 😀, and that is all there is to say."
KEY = "sk-aimock"
WEATHER = ie.Tool(
    "get_weather",
    "Look at the sky.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CALLS = (
    ie.ToolUse("call_1", "get_weather", {"city": "Łódź", "days": [1, 2]}),
    ie.ToolUse("call_2", "get_time", {}),
)
both_ways = pytest.mark.parametrize("stream", [True, False], ids=lambda stream: f"stream={stream}")


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def backend(request, aimock):
    """A backend for the server, with a worker and without one."""
    with aimock.backend(buffer=request.param) as backend:
        yield backend


def journal_of(aimock, request_id):
    """Give what the server says became of a request, once it says so."""
    request = urllib.request.Request(
        f"{aimock.url}/__aimock/journal?requestId={request_id}",
        headers={"Authorization": f"Bearer {KEY}"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=10.0) as response:
        (entry,) = json.load(response)
    return entry


# --- answers -------------------------------------------------------------------------------------


def test_text_then_done(backend):
    """A stream gives text, piece by piece, and ends with one Done."""
    with backend.stream("Why is the sky blue?") as stream:
        *texts, done = stream
    assert {event.type for event in texts} == {"text"}
    assert len(texts) > 10
    assert "".join(event.delta for event in texts) == SKY
    assert (done.stop_reason, done.finish_reason) == (ie.StopReason.END_TURN, "stop")
    assert done.usage.output_tokens > 0
    assert stream.request_id == stream.response_headers["x-request-id"]


@both_ways
def test_complete(backend, stream):
    """An answer in one piece says the same as a stream."""
    answer = backend.complete("Why is the sky blue?", stream=stream)
    assert answer.text == SKY
    assert answer.done.stop_reason is ie.StopReason.END_TURN


def test_without_usage(aimock):
    """Usage that was not asked for is unknown."""
    with aimock.backend(include_usage=False) as backend:
        done = backend.complete("Why is the sky blue?").done
    assert done == ie.Done(ie.StopReason.END_TURN, None, "stop")


@both_ways
def test_thinking(backend, stream):
    """Thoughts are told from text."""
    answer = backend.complete("Tell me your thoughts.", stream=stream)
    assert (answer.thinking, answer.text) == ("Let me think about that for a while.", "42")


@both_ways
def test_limit_of_tokens(backend, stream):
    """An answer at its limit says so, with the server's usage."""
    done = backend.complete("Ask for a limit of tokens.", stream=stream).done
    assert (done.stop_reason, done.finish_reason) == (ie.StopReason.MAX_TOKENS, "length")
    assert (done.usage.input_tokens, done.usage.output_tokens) == (3, 5)


@both_ways
def test_content_filter(backend, stream):
    """An answer that was filtered says so."""
    done = backend.complete("Say something forbidden.", stream=stream).done
    assert (done.stop_reason, done.finish_reason) == (
        ie.StopReason.CONTENT_FILTER,
        "content_filter",
    )


@both_ways
def test_tool_calls(backend, stream):
    """Two calls are given whole, in their order, and their results can be sent back."""
    question = ie.user("How is the weather?")
    answer = backend.complete([question], tools=[WEATHER], stream=stream)
    assert answer.tool_uses == CALLS
    assert answer.done.stop_reason is ie.StopReason.TOOL_USE
    history = [question, answer.to_message()]
    history += [ie.tool_result(call.tool_call_id, "Rain.") for call in CALLS]
    assert backend.complete(history, tools=[WEATHER], stream=stream).text == "It rains in Łódź."


@both_ways
def test_calls_among_words(backend, stream):
    """Text between two calls is text, and the calls are whole."""
    answer = backend.complete("Mix calls among words.", stream=stream)
    assert answer.text == "In between."
    assert answer.tool_uses == (
        ie.ToolUse("call_1", "first", {"x": 1}),
        ie.ToolUse("call_2", "second", {}),
    )


def test_json_schema(backend):
    """A response format comes through: the server tells it by that."""
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answer = backend.complete("Answer by the schema.", response_format=wanted)
    assert json.loads(answer.text) == {"ok": True, "mood": "good"}


def test_openrouter(aimock):
    """OpenRouter's form: a comment first, its own fields in every chunk, the costs in usage."""
    with aimock.backend(path="/api/v1") as backend:
        with backend.stream("Ask the router.", include_raw=True) as stream:
            *events, done = stream
    assert ie.Completion.of(events).text == "By way of a router."
    assert json.loads(events[0].data)["provider"] == "gpt-5"  # the comment gave nothing
    assert (done.usage.input_tokens, done.usage.output_tokens) == (3, 5)
    assert done.usage.details["cost"] == 0.25


@pytest.mark.parametrize(
    "credentials", [{"api_key": KEY}, {"api_key": "", "headers": {"api-key": KEY}}]
)
def test_azure(aimock, credentials):
    """Azure's form: a deployment's path with a query, and the key in either header."""
    path = "/openai/deployments/gpt-5?api-version=2024-10-21"
    with aimock.backend(path=path, **credentials) as backend:
        with backend.stream("Why is the sky blue?") as stream:
            answer = stream.collect()
        entry = journal_of(aimock, stream.request_id)
    assert answer.text == SKY
    assert entry["path"] == "/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21"


def test_models(backend):
    """The server lists models."""
    assert "gpt-4o" in backend.models()


# --- refusals ------------------------------------------------------------------------------------


@both_ways
def test_rate_limit(backend, stream):
    """A 429 says how long to wait, and may be tried again."""
    with pytest.raises(ie.HttpStatusError, match="Slow down") as caught:
        backend.complete("I ask too often.", stream=stream)
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
    assert caught.value.retryable
    assert caught.value.request_id == caught.value.headers["x-request-id"]


@pytest.mark.parametrize(
    ("words", "status", "message", "retryable"),
    [
        ("You are overloaded.", 503, "Overloaded", True),
        ("This is too long.", 400, "This model's maximum context length is 128 tokens", False),
        ("Nobody has an answer to this.", 404, "No fixture matched", False),
    ],
)
def test_refusals(backend, words, status, message, retryable):
    """Every status is told with the server's message, and whether to try again."""
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.stream(words)
    assert (caught.value.status, caught.value.message) == (status, message)
    assert caught.value.retryable is retryable


def test_openrouters_refusal(aimock):
    """OpenRouter's form of an error: a number for a code, and more about it in the body."""
    with (
        aimock.backend(path="/api/v1") as backend,
        pytest.raises(ie.HttpStatusError, match="requires moderation") as caught,
    ):
        backend.stream("I am moderated.")
    assert caught.value.status == 403
    assert json.loads(caught.value.body)["error"]["metadata"]["reasons"] == ["violence"]


@pytest.mark.parametrize("key", ["", "sk-wrong-one"])
def test_wrong_key(aimock, key):
    """A wrong key is 401, and is not shown."""
    with aimock.backend(api_key=key) as backend:
        for ask in (lambda: backend.stream("Why is the sky blue?"), backend.models):
            with pytest.raises(ie.HttpStatusError) as caught:
                ask()
            assert caught.value.status == 401
            assert not caught.value.retryable
            assert "sk-wrong-one" not in f"{caught.value!r} {caught.value} {caught.value.body}"


def test_wrong_path(aimock):
    """A base_url that leads nowhere is a 404 that says where to look.

    Only for models: the server answers a chat below every path.
    """
    with aimock.backend(path="/wrong/v9") as backend:
        with pytest.raises(ie.HttpStatusError, match="was asked, because base_url is") as caught:
            backend.models()
        assert (caught.value.status, caught.value.message) == (404, "Not found")
        assert backend.complete("Why is the sky blue?").text == SKY


# --- answers that are not whole ------------------------------------------------------------------


@both_ways
def test_half_a_call(backend, stream):
    """Arguments that are no JSON raise, with the raw text, whatever the finish reason says."""
    with pytest.raises(ie.ToolCallMalformedError) as caught:
        backend.complete("Make half a call.", stream=stream)
    assert (caught.value.tool_call_id, caught.value.name) == ("call_1", "get_weather")
    assert caught.value.arguments == '{"city": '
    assert caught.value.partial.tool_uses == ()


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        ("Say half a text.", "This text is cut in the middle of itself, as a broken line would."),
        ("Say nearly a whole text.", "This text is whole."),
        ("Be cut by the clock.", "This text is cut some time after it has begun."),
    ],
)
def test_a_cut_in_the_middle(backend, words, whole):
    """A connection that breaks raises after what came, even if no word of the text is missing."""
    with pytest.raises(ie.StreamInterruptedError) as caught:
        backend.complete(words)
    assert isinstance(caught.value.__cause__, ie.TransportError)
    assert whole.startswith(caught.value.partial.text)
    assert caught.value.partial.done is None
    assert caught.value.retryable  # of complete() nothing was handed out


def test_a_cut_while_thinking(backend):
    """What was thought before a cut is given, and then it raises."""
    with pytest.raises(ie.StreamInterruptedError) as caught:
        backend.complete("Show broken thinking.")
    assert "Let me think about that".startswith(caught.value.partial.thinking[:10])
    assert caught.value.partial.text == ""


def test_a_cut_in_a_call(backend):
    """A call that a cut has left without its end is not given."""
    with pytest.raises(ie.StreamInterruptedError) as caught:
        backend.complete("Make a broken call.")
    assert caught.value.partial.tool_uses == ()


def test_events_before_a_cut(backend):
    """An iterator gives every event that came, raises, and is over."""
    with backend.stream("Say half a text.") as stream:
        events = []
        with pytest.raises(ie.StreamInterruptedError) as caught:
            events.extend(stream)
        assert caught.value.retryable is (not events)
        assert (stream.done, stream.ended, stream.cancelled) == (None, True, False)
        assert list(stream) == []


# --- chaos ---------------------------------------------------------------------------------------


@pytest.fixture
def chaos(request, backend):
    """A backend whose every request asks for one kind of chaos."""
    return backend.with_options(headers={f"X-AIMock-Chaos-{request.param}": "1"})


@pytest.mark.parametrize("chaos", ["Malformed"], indirect=True)
@both_ways
def test_malformed_json(chaos, stream):
    """A body that begins as JSON and never ends, with status 200, is no answer."""
    with pytest.raises(ie.StreamInterruptedError) as caught:
        chaos.complete("Why is the sky blue?", stream=stream)
    assert caught.value.partial == ie.Completion()
    assert caught.value.retryable


@pytest.mark.parametrize("chaos", ["Disconnect"], indirect=True)
@both_ways
def test_disconnect(chaos, stream):
    """A connection that is closed in place of an answer is a transport error, worth a retry."""
    with pytest.raises(ie.TransportError) as caught:
        chaos.stream("Why is the sky blue?", stream=stream)
    assert caught.value.retryable


@pytest.mark.parametrize("chaos", ["RateLimit"], indirect=True)
def test_chaotic_rate_limit(chaos):
    """A 429 in place of an answer says how long to wait."""
    with pytest.raises(ie.HttpStatusError, match="Chaos: rate limit exceeded") as caught:
        chaos.stream("Why is the sky blue?")
    assert (caught.value.status, caught.value.retry_after) == (429, 1.0)
    assert caught.value.retryable


@pytest.mark.parametrize("chaos", ["Drop"], indirect=True)
def test_drop(chaos):
    """A 500 in place of an answer may be tried again."""
    with pytest.raises(ie.HttpStatusError, match="Chaos: request dropped") as caught:
        chaos.stream("Why is the sky blue?")
    assert caught.value.status == 500
    assert caught.value.retryable


def test_latency(backend):
    """A server that takes its time for the headers runs into the deadline for the first token."""
    late = backend.with_options(
        headers={"X-AIMock-Chaos-Latency": "30000"}, first_token_timeout=0.25
    )
    with pytest.raises(ie.DeadlineError) as caught:
        late.stream("Why is the sky blue?")
    assert caught.value.phase == "first_token"


@pytest.mark.parametrize("chaos", ["Disconnect"], indirect=True)
def test_after_the_chaos(chaos, backend):
    """Whatever happened, the next request over the same connections is answered."""
    for _ in range(3):
        with pytest.raises(ie.TransportError):
            chaos.stream("Why is the sky blue?")
        with pytest.raises(ie.StreamInterruptedError):
            backend.complete("Say half a text.")
        assert backend.complete("Why is the sky blue?").text == SKY


# --- closing -------------------------------------------------------------------------------------


def test_close_in_the_middle(backend, aimock):
    """Closing is immediate, and the next request is answered."""
    stream = backend.stream("Go slowly.")
    assert next(stream).type == "text"
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 0.25  # it shuts a socket down, no more
    assert (stream.cancelled, stream.done, list(stream)) == (True, None, [])
    assert backend.complete("Why is the sky blue?").text == SKY


def test_close_wakes_a_consumer(backend):
    """A consumer that waits for the next piece is woken."""
    stream = backend.stream("Go slowly.")
    assert next(stream).type == "text"
    consumer = threading.Thread(target=list, args=(stream,))
    consumer.start()
    stream.close()
    consumer.join(1.0)
    assert not consumer.is_alive()
    assert stream.cancelled


def test_cancel_before_the_headers(backend):
    """A call that waits for the headers is ended by its token."""
    late = backend.with_options(headers={"X-AIMock-Chaos-Latency": "30000"})
    token = ie.CancelToken()
    token.cancel_after(0.25)
    with pytest.raises(ie.RequestCancelledError):
        late.stream("Why is the sky blue?", cancel=token)

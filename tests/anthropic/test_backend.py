"""What an ``Anthropic`` sends and gives, over real sockets."""

from __future__ import annotations

import json

import pytest
from answer_vectors import ANTHROPIC, assert_expected, body_of
from anthropic_messages import (
    KEY,
    AnyPath,
    begun,
    block,
    delta,
    end,
    error_reply,
    named,
    start,
    stop,
    text,
    text_reply,
    tool_reply,
)

import inferd_engine as ie
from inferd_engine import testing
from inferd_engine.testing import Cut, Reply, Upstream, chunk, json_reply

SMALL = 8192  # bytes: larger bodies are sent whole, for the sake of time
WEATHER = ie.Tool("weather", "What the weather is like", {"type": "object", "properties": {}})


# --- what is sent --------------------------------------------------------------------------------


def test_a_call(ask):
    """Path, headers and body are the protocol's; text comes as it is said."""
    backend = ask(text_reply("Hel", "lo"), betas=["a", "b"], model="m")
    with backend.stream("Hi", system="Be brief.") as stream:
        assert [*stream.text()] == ["Hel", "lo"]
    assert stream.done == ie.Done(
        ie.StopReason.END_TURN,
        ie.Usage(3, 5, {"input_tokens": 3, "output_tokens": 5}),
        "end_turn",
    )
    received = backend.upstream.requests[0]
    assert (received.method, received.path) == ("POST", "/v1/messages")
    headers = {name.lower(): value for name, value in received.headers.items()}
    assert headers["x-api-key"] == KEY
    assert "authorization" not in headers
    assert headers["anthropic-version"] == "2023-06-01"
    assert headers["anthropic-beta"] == "a,b"
    assert received.json == {
        "model": "m",
        "max_tokens": 1024,
        "stream": True,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }


def headers_of(backend):
    backend.complete("x")
    received = backend.upstream.requests[-1]
    return {name.lower(): value for name, value in received.headers.items()}


def test_ways_of_the_key(ask, monkeypatch):
    """The key goes into its header, or is a bearer token; an empty one goes nowhere."""
    replies = [text_reply("x")] * 6
    backend = ask(*replies, api_key_header="authorization")
    assert headers_of(backend)["authorization"] == f"Bearer {KEY}"
    backend = ask(*replies, api_key="")
    assert not {"authorization", "x-api-key"} & headers_of(backend).keys()
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-5")
    backend = ask(*replies, api_key=None)
    sent = headers_of(backend)
    assert (sent["authorization"], "x-api-key" in sent) == ("Bearer token-5", False)
    given = backend.with_options(api_key="key-5")
    given.upstream = backend.upstream
    sent = headers_of(given)
    assert (sent["x-api-key"], "authorization" in sent) == ("key-5", False)


def test_the_version_is_refused_before_anything_is_sent(ask):
    """What the version does not take never reaches the upstream."""
    backend = ask(text_reply("x"), version="2026-10-21")
    with pytest.raises(ie.UnsupportedError, match="temperature"):
        backend.complete("x", temperature=0.5)
    assert backend.upstream.requests == []
    backend.complete("x")
    assert headers_of(ask(text_reply("x"), version="2026-10-21"))["anthropic-version"] == (
        "2026-10-21"
    )


def test_a_call_of_its_own_model_and_body(ask):
    """A call may name its model, and merge what no field has."""
    backend = ask(text_reply("x"), model="m", extra_body={"metadata": {"user_id": "u"}})
    backend.complete("x", model="other", extra_body={"service_tier": "auto"})
    body = backend.upstream.requests[0].json
    assert (body["model"], body["metadata"], body["service_tier"]) == (
        "other",
        {"user_id": "u"},
        "auto",
    )


def test_it_says_what_it_can(ask):
    """Capabilities tell the truth of the settings."""
    backend = ask()
    found = backend.capabilities()
    assert (found.v2, found.tools, found.thinking, found.vision) == (True, True, True, True)
    assert (found.audio, found.video, found.embed) == (False, False, False)
    assert not backend.with_options(vision=False).capabilities().vision
    assert backend.name == "anthropic"
    with pytest.raises(ie.InternalError, match="generate_v2"):
        backend.generate(ie.Request([ie.Message("user", "x")]).resolve())
    with pytest.raises(ie.UnsupportedError):
        backend.embed(ie.EmbedRequest("x").resolve())


# --- conversations -------------------------------------------------------------------------------


def test_a_tool_loop_with_signed_thoughts(ask):
    """The turn that called goes back unchanged, signature and order included."""
    backend = ask(tool_reply("weather", {"city": "Köln"}, thought="hm"), text_reply("Sunny."))
    history = [ie.user("How is it?")]
    completion = backend.complete(history, tools=[WEATHER], thinking=True)
    assert completion.thinking == "hm"
    assert completion.stop_reason is ie.StopReason.TOOL_USE
    (call,) = completion.tool_uses
    history += [completion.to_message(), ie.tool_result(call.tool_call_id, "sun")]
    assert backend.complete(history, tools=[WEATHER]).text == "Sunny."
    _asked, called, answered = backend.upstream.requests[1].json["messages"]
    assert called == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}},
        ],
    }
    assert answered["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"}
    ]


def test_a_conversation_changes_its_backend(ask):
    """What was begun with one protocol goes on with the other, there and back."""
    here = ask(tool_reply("weather", {}, thought="hm"), text_reply("Sunny."))
    replies = [
        testing.tool_call_reply("weather", {"x": 1}, tool_call_id="functions.weather:0"),
        testing.text_reply("Rainy."),
    ]
    with Upstream(*replies) as upstream, ie.OpenAiCompat(upstream.url, api_key="") as there:
        first = here.complete("How is it?", tools=[WEATHER])
        history = [ie.user("How is it?"), first.to_message(), ie.tool_result("toolu_1", "sun")]
        second = there.complete(history, tools=[WEATHER])
        asked = upstream.requests[0].json["messages"]
        assert [message["role"] for message in asked] == ["user", "assistant", "tool"]
        assert asked[1]["tool_calls"][0]["id"] == "toolu_1"
        history += [second.to_message(), ie.tool_result("functions.weather:0", "rain")]
        assert here.complete(history, tools=[WEATHER]).text == "Sunny."
    turns = here.upstream.requests[1].json["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert turns[3]["content"][-1]["id"] == turns[4]["content"][0]["tool_use_id"]
    assert turns[1]["content"][0]["signature"] == "c2ln"


def test_a_conversation_from_json(ask):
    """A turn that was kept as JSON goes back as one that was not."""
    backend = ask(tool_reply("weather", {}, thought="hm"), text_reply("x"), text_reply("x"))
    completion = backend.complete("How is it?", tools=[WEATHER])
    kept = json.loads(json.dumps(completion.to_message().to_dict()))
    again = ie.Completion.from_dict(json.loads(json.dumps(completion.to_dict())))
    for message in (ie.MessageV2.from_dict(kept), again.to_message()):
        backend.complete([ie.user("How is it?"), message, ie.tool_result("toolu_1", "sun")])
    first, second = (received.json for received in backend.upstream.requests[1:])
    assert first == second
    assert first["messages"][1]["content"][0]["signature"] == "c2ln"


def test_raw_chunks(ask):
    """Everything that comes is there for those who ask: citations, pings, what is new."""
    citation = delta(0, type="citations_delta", citation={"cited_text": "y"})
    backend = ask(Reply([*begun("x"), citation, named({"type": "ping"}), stop(0), *end()]))
    with backend.stream("x", include_raw=True) as stream:
        raw = [json.loads(event.data)["type"] for event in stream if event.type == "raw"]
    assert raw[-2:] == ["message_delta", "message_stop"]
    assert raw.count("content_block_delta") == 2
    assert "ping" in raw


# --- models --------------------------------------------------------------------------------------


def page(*names, more=False):
    data = [{"type": "model", "id": name} for name in names]
    return json_reply({"data": data, "has_more": more, "last_id": names[-1] if names else None})


@pytest.mark.parametrize("name", ["request-id", "x-request-id", "X-Generation-Id"])
def test_the_id_of_a_request(ask, name):
    """It is the upstream's, under whichever name it comes."""
    backend = ask(text_reply("x", headers={name: "id-5"}), text_reply("x"))
    assert backend.complete("x", id="own").request_id == "id-5"
    assert backend.complete("x", id="own").request_id == "own"


def test_models_come_in_pages(ask):
    """All pages are read; a query of the address stays."""
    backend = ask(page("a", "b", more=True), page("c/d", more=True), page("e"))
    assert backend.models() == ["a", "b", "c/d", "e"]
    assert [received.path for received in backend.upstream.requests] == [
        "/v1/models",
        "/v1/models?limit=1000&after_id=b",
        "/v1/models?limit=1000&after_id=c%2Fd",
    ]
    backend = ask(page("a", more=True), page("b"))
    hidden = backend.with_options(base_url=f"{backend.upstream.url}?k=secret-5")
    assert hidden.models() == ["a", "b"]
    assert [received.path for received in backend.upstream.requests] == [
        "/v1/models?k=secret-5",
        "/v1/models?k=secret-5&limit=1000&after_id=a",
    ]


@pytest.mark.parametrize("period", [1, 2, 3])
def test_models_that_never_end(ask, period):
    """Pages that come round again are not read for ever; each model is named once."""
    names = ["a", "b", "c"][:period]
    round_again = [page(name, more=True) for name in names * 20]
    backend = ask(*round_again)
    assert backend.models() == names
    assert len(backend.upstream.requests) == period + 1


def test_models_of_other_servers(ask):
    """A list without pages is one, and what is none is an error."""
    assert ask(json_reply({"data": [{"id": "m"}]})).models() == ["m"]
    with pytest.raises(ie.UpstreamError):
        ask(json_reply({"hello": 5})).models()


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("vector", ANTHROPIC, ids=lambda vector: vector["id"])
def test_vectors_over_a_socket(ask, vector, size):
    """The events and the ending are those that a correct client gives."""
    body = body_of(vector)
    size = size if size and len(body) <= SMALL else max(len(body), 1)
    steps = [body[at : at + size] for at in range(0, len(body), size)]
    headers = {"Content-Type": vector["content_type"], **vector.get("headers", {})}
    backend = ask(Reply(steps, vector["status"], headers))
    events = []
    try:
        with backend.stream("x") as stream:
            events.extend(stream)
        ending = events.pop()
    except ie.GenerateError as error:
        ending = error
    assert_expected(vector, events, ending)


def test_a_refusal(ask):
    """Status, words, code, id and the time to wait are told."""
    headers = {"retry-after-ms": "1500"}
    backend = ask(error_reply(529, "overloaded_error", "Overloaded", headers=headers))
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete("x")
    error = caught.value
    assert (error.status, error.code, error.message) == (529, "overloaded_error", "Overloaded")
    assert (error.retry_after, error.retryable, error.request_id) == (1.5, True, "req_7")
    assert "ask again later" in str(error)


def test_a_refusal_of_llama_cpp(ask):
    """The inner object alone: its type is the code, and the number beside it is the status."""
    said = {"code": 404, "message": "no such slot", "type": "not_found_error"}
    with pytest.raises(ie.HttpStatusError) as caught:
        ask(json_reply({"error": said}, 404)).complete("x")
    assert (caught.value.code, caught.value.message) == ("not_found_error", "no such slot")


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [
        (401, "invalid x-api-key", "the key came from api_key"),
        (404, "model: claude-sonnet-5", "the model 'claude-sonnet-5' is not known there"),
        (400, "`temperature` is not supported", "leave sampling fields out"),
        (400, "thinking.type: adaptive is not supported", "configure thinking_style"),
        (400, "`tool_use` ids were found without `tool_result` blocks", "give a tool_result()"),
        (400, "does not support assistant message prefill", "end with a message of the user"),
        (400, "anthropic-version: 1 is not a valid version", "configure version"),
    ],
)
def test_hints(ask, status, words, hint):
    """Where experience knows the next step, the error says it."""
    backend = ask(error_reply(status, "invalid_request_error", words))
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete("x")
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        json_reply({"detail": "Not Found"}, 404),
        json_reply({"error": {"message": "Invalid URL (POST /v1/messages)"}}, 404),
        Reply([b"<html><title>404</title></html>"], 405),
        Reply([chunk("hi"), testing.DONE]),
        json_reply({"object": "chat.completion", "choices": [{"message": {"content": "hi"}}]}),
    ],
    ids=["fastapi", "openai", "page", "stream", "whole"],
)
def test_a_server_of_openai(ask, reply):
    """A server that does not speak Messages is an error that names the other protocol."""
    with pytest.raises((ie.HttpStatusError, ie.UpstreamError), match="OpenAI") as caught:
        ask(reply).complete("x")
    assert not caught.value.retryable


def test_anthropic_where_openai_was_meant():
    """The other way round the error names Anthropic."""
    with AnyPath(text_reply("hi")) as upstream, ie.OpenAiCompat(upstream.url, api_key="") as asked:
        with pytest.raises(ie.UpstreamError, match="ask it with Anthropic"):
            asked.complete("x")


def test_an_error_in_the_middle(ask):
    """What had come is given first; then the error, which is not to be retried by itself."""
    wrong = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    backend = ask(Reply([*begun("half"), named(wrong)]), Reply([*begun("half"), named(wrong)]))
    with pytest.raises(ie.UpstreamError) as caught:
        backend.complete("x")
    assert caught.value.partial.text == "half"
    assert (caught.value.code, caught.value.retryable) == ("overloaded_error", True)
    stream = backend.stream("x")
    assert next(stream) == ie.TextDelta("half")
    with pytest.raises(ie.UpstreamError) as caught:
        next(stream)
    assert not caught.value.retryable
    stream.close()


@pytest.mark.parametrize("steps", [[], [stop(0)]], ids=["in a block", "behind a block"])
def test_a_cut_answer_never_looks_whole(ask, steps):
    """Without a stop reason and without an end the answer was cut, however the body ends."""
    for tail in ([], [Cut()]):
        with pytest.raises(ie.StreamInterruptedError) as caught:
            ask(Reply([*begun("half"), *steps, *tail])).complete("x")
        assert caught.value.partial.text == "half"


def test_calls_that_are_too_large(ask):
    """The input of calls is bounded together."""
    steps = [start(), block(0, type="tool_use", id="a", name="f", input={})]
    steps += [delta(0, type="input_json_delta", partial_json="x" * 1000)] * 20
    with pytest.raises(ie.UpstreamError) as caught:
        ask(Reply([*steps, stop(0), *end()]), max_event_bytes=10_000).complete("x")
    assert (caught.value.code, caught.value.retryable) == ("event_too_large", False)


def test_a_long_text_is_no_error(ask):
    """Text alone may be as long as it likes: what is kept of it is bounded."""
    words = ["x" * 1000] * 200
    completion = ask(text_reply(*words), max_event_bytes=10_000).complete("x")
    assert len(completion.text) == 200_000
    assert completion.done.blocks == ()


def test_the_key_is_shown_nowhere(ask):
    """What the upstream says back of the key is masked."""
    wrong = {"type": "error", "error": {"type": "x", "message": f"bad key {KEY}"}}
    for reply in (error_reply(401, "x", f"bad key {KEY}"), Reply([start(), named(wrong)])):
        with pytest.raises(ie.GenerateError) as caught:
            ask(reply).complete("x")
        assert KEY not in f"{caught.value!r} {caught.value} {caught.value.to_dict()}"
        assert "bad key" in str(caught.value)


def test_text_in_the_middle_of_a_call(ask):
    """A call is given when its block stops, before the answer is over."""
    steps = [
        start(),
        block(0, type="tool_use", id="a", name="f", input={}),
        delta(0, type="input_json_delta", partial_json="{}"),
        stop(0),
        block(1, type="text", text=""),
        text("x", 1),
    ]
    backend = ask(Reply([*steps, testing.Stall()]))
    with backend.stream("x") as stream:
        assert next(stream) == ie.ToolUse("a", "f", {})
        assert next(stream) == ie.TextDelta("x")

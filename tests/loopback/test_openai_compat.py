"""The whole path over real sockets: what is sent, what comes back, what is refused."""

from __future__ import annotations

import json
import pickle

import pytest

import inferd_engine as ie
from inferd_engine.testing import (
    DONE,
    Cut,
    Reply,
    chunk,
    error_reply,
    event,
    json_reply,
    stream_reply,
    text_reply,
    tool_call_reply,
)


def test_text_comes_through(ask, buffer):
    """Text, usage and the reason come through, in order and whole."""
    backend = ask(text_reply("Hello wide 世界 😀", usage=(3, 4)), buffer=buffer)
    with backend.stream("Hi") as stream:
        assert "".join(stream.text()) == "Hello wide 世界 😀"
    assert stream.done == ie.Done(
        ie.StopReason.END_TURN,
        ie.Usage(3, 4, {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
        "stop",
    )


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_every_framing(ask, buffer, framing):
    """Chunked, until close, and with a length: the events are the same."""
    backend = ask(text_reply("one two", framing=framing), buffer=buffer)
    assert backend.complete("x").text == "one two"


def test_what_is_sent(ask):
    """The request carries the mapped body, our headers, and nothing else."""
    backend = ask(text_reply("ok"), model="m1", headers={"X-Title": "t"}, extra_body={"top_a": 1})
    backend.complete([ie.system("be brief"), ie.user("Hi")], max_tokens=5, temperature=0.5)
    sent = backend.upstream.requests[0]
    assert sent.path == "/v1/chat/completions"
    assert sent.json == {
        "model": "m1",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "Hi"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "temperature": 0.5,
        "top_a": 1,
    }
    assert sent.headers["user-agent"] == f"inferd-engine/{ie.__version__}"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.headers["x-title"] == "t"
    assert not {"authorization", "cookie"} & set(sent.headers)


def test_the_key_is_sent_as_a_bearer(ask):
    """With a key there is one Authorization header."""
    backend = ask(text_reply("ok"), api_key="sk-test")
    backend.complete("x")
    assert backend.upstream.requests[0].headers["authorization"] == "Bearer sk-test"


def test_a_netrc_changes_nothing(ask, tmp_path, monkeypatch):
    """.netrc neither replaces nor adds credentials."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    backend = ask(text_reply("ok"), text_reply("ok"), api_key="sk-test")
    backend.complete("x")
    backend.with_options(api_key="").complete("x")
    first, second = backend.upstream.requests
    assert first.headers["authorization"] == "Bearer sk-test"
    assert "authorization" not in second.headers


def test_tool_calls_come_whole(ask, buffer):
    """A call cut into many chunks comes as one event, and can be answered."""
    backend = ask(
        tool_call_reply("weather", {"city": "Zürich", "days": [1, 2]}),
        text_reply("Sunny."),
        buffer=buffer,
    )
    tool = ie.Tool("weather", "Say what the weather is", {"type": "object"})
    completion = backend.complete("Weather?", tools=[tool])
    call = completion.tool_uses[0]
    assert (call.name, call.input) == ("weather", {"city": "Zürich", "days": [1, 2]})
    assert completion.done.stop_reason is ie.StopReason.TOOL_USE
    history = [
        ie.user("Weather?"),
        completion.to_message(),
        ie.tool_result(call.tool_call_id, "18 °C"),
    ]
    assert backend.complete(history, tools=[tool]).text == "Sunny."
    _, assistant, tool_message = backend.upstream.requests[1].json["messages"]
    assert assistant["tool_calls"][0]["id"] == tool_message["tool_call_id"] == call.tool_call_id
    assert tool_message["role"] == "tool"


def test_thinking_has_its_own_events(ask):
    """Reasoning comes as ThinkingDelta, beside the text."""
    backend = ask(stream_reply([chunk(reasoning_content="hm"), chunk("yes")]))
    completion = backend.complete("x")
    assert (completion.thinking, completion.text) == ("hm", "yes")


def test_raw_chunks_come_before_their_events(ask):
    """With include_raw every payload comes first, as it was sent."""
    backend = ask(stream_reply([chunk("a", logprobs=[1])]))
    events = list(backend.stream("x", include_raw=True))
    assert [event.type for event in events] == ["raw", "text", "raw", "done"]
    assert b'"logprobs": [1]' in events[0].data


def test_a_line_that_is_no_json_is_skipped(ask, caplog):
    """One line of rubbish is logged and skipped."""
    backend = ask(Reply([chunk("a"), b"data: {oops\n\n", chunk("b", finish_reason="stop"), DONE]))
    with caplog.at_level("WARNING", "inferd_engine"):
        assert backend.complete("x").text == "ab"
    assert "not JSON" in caplog.text


def test_a_json_answer_gives_the_same_events(ask, buffer):
    """stream=False is sent as it is and gives the same events."""
    backend = ask(buffer=buffer)
    streamed = backend.complete("one two three", max_tokens=3)
    whole = backend.complete("one two three", max_tokens=3, stream=False)
    assert backend.upstream.requests[1].json["stream"] is False
    assert "stream_options" not in backend.upstream.requests[1].json
    assert streamed.text == whole.text == "You said: one"
    assert streamed.done == whole.done
    assert whole.done.stop_reason is ie.StopReason.MAX_TOKENS


def test_a_refusal_is_raised_by_the_call(ask):
    """A status other than 2xx is raised by stream() itself, with all that is known."""
    reply = error_reply(429, "Slow down.", headers={"Retry-After": "7.5", "X-Request-Id": "req_1"})
    backend = ask(reply)
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.stream("x")
    error = caught.value
    assert (error.status, error.message, error.retry_after) == (429, "Slow down.", 7.5)
    assert (error.request_id, error.retryable) == ("req_1", True)
    assert "Slow down." in error.body
    assert error.headers["content-type"] == "application/json"


def test_an_error_body_is_cut_between_characters(ask):
    """At most 4 KiB of a body are kept, and no character is cut in two."""
    backend = ask(Reply(["é".encode() * 3000], 500, {"Content-Type": "text/plain"}))
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.stream("x")
    assert caught.value.body == "é" * 2048
    backend.upstream.enqueue(Reply([b"x" + "é".encode() * 3000], 500))
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.stream("x")
    assert caught.value.body == "x" + "é" * 2047


def hint_of(ask, status, body=b"", **options):
    """Give the message of a refusal with this status and body."""
    backend = ask(Reply([body], status), **options)
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete("x")
    return str(caught.value)


@pytest.mark.parametrize("status", [404, 405])
def test_hint_of_a_wrong_path(ask, status):
    """404 or 405: the message names the path that was tried, the base URL and the model."""
    said = hint_of(ask, status, b"404 page not found", model="m7")
    assert "/v1/chat/completions was asked, because base_url is http://127.0.0.1:" in said
    assert "'m7'" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"api_key": "sk-secret"}, "the key came from api_key"),
        ({"api_key": ""}, "no key was sent: set api_key or OPENAI_API_KEY"),
        ({"api_key_variable": "MY_KEY", "api_key": None}, "the key came from MY_KEY"),
        ({"api_key_variable": "", "api_key": None}, "no key was sent"),
        ({"api_key": "", "headers": {"authorization": "Basic sk-secret"}}, "came from headers"),
    ],
)
def test_hint_of_a_refused_key(ask, monkeypatch, options, said):
    """401: the message names the variable that the key came from, and never the key."""
    monkeypatch.setenv("MY_KEY", "sk-secret")
    message = hint_of(ask, 401, b"{}", **options)
    assert said in message
    assert "sk-secret" not in message


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, b'{"detail": "unknown field stream_options"}', "include_usage=False"),
        (422, b'{"detail": [{"loc": ["body", "stream_options"]}]}', "include_usage=False"),
        (503, b'{"error": {"message": "Loading model", "code": 503}}', "is being loaded"),
        (307, b"", "set base_url to where it leads"),
    ],
)
def test_other_hints(ask, status, body, said):
    """H08, Q02: what experience knows of a refusal is said with it."""
    assert said in hint_of(ask, status, body)


def test_base64_of_an_image_is_no_matter_of_vectors(ask):
    """What helps where vectors are asked for is not said of an image that cannot be read."""
    said = hint_of(ask, 400, b'{"error": {"message": "invalid base64 in image_url"}}')
    assert "invalid base64 in image_url" in said
    assert "encoding_format" not in said


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "The model `m7` does not exist.", "type": "NotFoundError"}}',
        b'{"error": {"message": "no such thing", "code": "model_not_found"}}',
        b'{"error": {"code": "DeploymentNotFound", "message": "it is not there"}}',
        b'{"error": "model \'m7\' not found, try pulling it first"}',
        b'{"detail": "m7 is not served here"}',
        b'{"detail": "Not Found: \'m7\'"}',
    ],
)
def test_hint_of_a_model_that_is_not_there(ask, body):
    """404: where the upstream names the model, the address is not to blame."""
    said = hint_of(ask, 404, body, model="m7")
    assert "the model 'm7' is not known there: models() lists those that are" in said
    assert "base_url" not in said


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"404 page not found",
        b'{"detail": "Not Found"}',
        b'{"error": "Cannot POST /v1/models/m7/chat/completions"}',
        b"<html><title>Not Found</title>the model of all pages</html>",
        b'{"message": "no route for /model/m7-large"}',
    ],
)
def test_hint_of_an_address_that_is_not_there(ask, body):
    """404: where nothing is said of the model, the address may be wrong, and is told."""
    assert "base_url is http://127.0.0.1:" in hint_of(ask, 404, body, model="m7")


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    "words",
    [
        "System message must be at the beginning.",
        "Jinja Exception: System message must be at the beginning",
        "chat template rejected the request: System message must be at the beginning.",
        "Only one system message is allowed",
        "Multiple system messages are not supported",
        "The system prompt must come first",
        "System role must be the first message",
        "Expected a single system message at position 0, found more than one system message",
        "got unexpected system message position",
    ],
)
def test_hint_of_a_second_system_message(ask, status, words):
    """A template that takes one system message, as the first, is known by its words."""
    body = json.dumps({"error": {"message": words}}).encode()
    assert "strict_turns=True, which joins those" in hint_of(ask, status, body)


@pytest.mark.parametrize(
    "words",
    [
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "After the optional system message, conversation roles must alternate",
    ],
)
def test_hint_of_roles_that_alternate(ask, words):
    """A template that wants the speakers to take turns is known by its words."""
    body = json.dumps({"message": words}).encode()
    assert "configure strict_turns=True" in hint_of(ask, 400, body)


@pytest.mark.parametrize("words", ["the system is overloaded", "system memory exhausted", "no"])
def test_no_hint_without_experience(ask, words):
    """Other refusals are told in the upstream's words alone."""
    body = json.dumps({"error": {"message": words}}).encode()
    assert hint_of(ask, 400, body).endswith(f"/v1/chat/completions: {words}")


def test_skipped_payloads_are_counted(ask, buffer):
    """What was no JSON and was left out is counted in the stream's figures."""
    steps = [chunk("a"), b"data: undefined\n\n", chunk("b"), b"data: {\n\n", chunk("c"), DONE]
    with ask(Reply(steps), buffer=buffer).stream("x") as stream:
        assert stream.stats.skipped == 0 or buffer
        assert stream.collect().text == "abc"
        assert stream.stats.skipped == 2
    assert stream.stats.skipped == 2


def test_skipped_payloads_of_a_broken_answer(ask, buffer):
    """They are counted where the answer broke, too."""
    backend = ask(
        Reply([chunk("a"), b"data: undefined\n\n", b'data: {"half', Cut()]), buffer=buffer
    )
    with backend.stream("x") as stream:
        with pytest.raises(ie.StreamInterruptedError):
            stream.collect()
        assert stream.stats.skipped == 2


def test_a_source_that_skips_nothing():
    """A stream whose source knows of no payloads has skipped none."""
    with ie.Mock().stream("x") as stream:
        stream.collect()
        assert stream.stats.skipped == 0


@pytest.mark.parametrize("asked", [1, 2])
def test_choices_that_were_asked_for(ask, asked):
    """C16: what ``extra_body`` asks for tells whether an index is another choice's."""
    steps = [
        event({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]})
        for index, text, reason in [(0, "a", None), (1, "b", None), (1, "", "stop")]
    ]
    backend = ask(Reply([*steps, DONE]), extra_body={"n": asked})
    assert backend.complete("x").text == ("ab" if asked == 1 else "a")
    assert backend.upstream.requests[0].json["n"] == asked


def test_a_header_wins_over_the_key(ask):
    """Of two credentials for one header that in ``headers`` is sent, whatever its case."""
    backend = ask(api_key="sk-1", headers={"AUTHORIZATION": "Basic abc"})
    backend.complete("x")
    assert backend.upstream.requests[0].headers["authorization"] == "Basic abc"


@pytest.mark.parametrize("header", ["Authorization", "api-key", "X-Key"])
def test_the_key_goes_into_its_header(ask, header):
    """Q13: the key is a bearer token, or stands alone in the header that is configured."""
    backend = ask(text_reply("a"), api_key="k1", api_key_header=header)
    backend.complete("x")
    sent = backend.upstream.requests[0].headers
    assert sent[header.lower()] == ("Bearer k1" if header == "Authorization" else "k1")
    assert ("authorization" in sent) is (header == "Authorization")


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_an_error_object_with_status_200(ask, content_type):
    """An error object in a 200 answer is an UpstreamError, wherever it is noticed."""
    reply = Reply([b'{"error": {"message": "no such model", "code": 404}}'])
    backend = ask(Reply(reply.steps, headers={"Content-Type": content_type}))
    with pytest.raises(ie.UpstreamError) as caught:
        backend.complete("x")
    assert (caught.value.message, caught.value.code) == ("no such model", "404")
    assert caught.value.retryable is False


def test_an_error_object_is_raised_by_the_call(ask):
    """What promises no event stream is judged before the call returns."""
    with pytest.raises(ie.UpstreamError, match="no such model"):
        ask(json_reply({"error": "no such model"})).stream("x")


def test_a_page_is_raised_by_the_call(ask):
    """An HTML page with status 200 is no answer; its title says what it is."""
    page = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>...</body></html>"
    reply = Reply([page], headers={"Content-Type": "text/html"})
    with pytest.raises(ie.UpstreamError, match="Log in"):
        ask(reply).stream("x")


def test_an_event_stream_under_another_name(ask):
    """The first byte decides, not the Content-Type."""
    reply = text_reply("fine", headers={"Content-Type": "application/json"})
    assert ask(reply).complete("x").text == "fine"


def test_an_error_inside_the_stream(ask, buffer):
    """An error after some text: the text first, then the error, no Done."""
    backend = ask(
        Reply([chunk("The "), event({"error": {"message": "boom"}}), DONE]), buffer=buffer
    )
    stream = backend.stream("x")
    assert next(stream) == ie.TextDelta("The ")
    with pytest.raises(ie.UpstreamError, match="boom") as caught:
        next(stream)
    assert caught.value.retryable is False
    assert stream.done is None


def test_models_are_listed(ask):
    """models() asks /models."""
    assert ask(models=["a", "b"]).models() == ["a", "b"]


def test_the_connection_is_used_again(ask, buffer):
    """A finished stream gives its connection back, an error with a small body too."""
    backend = ask(
        text_reply("a"), error_reply(400, "no"), text_reply("b"), json_reply({}), buffer=buffer
    )
    assert backend.complete("x").text == "a"
    with pytest.raises(ie.HttpStatusError):
        backend.complete("x")
    assert backend.complete("x").text == "b"
    backend.models()
    assert backend.upstream.connections == 1


def test_other_options_over_the_same_connections(ask):
    """with_options() changes settings and keeps the connections."""
    backend = ask(text_reply("a"), text_reply("b"))
    backend.complete("x")
    other = backend.with_options(model="other")
    assert other.complete("x").text == "b"
    assert backend.upstream.requests[1].json["model"] == "other"
    assert backend.config.model == "gpt-4o-mini"
    assert backend.upstream.connections == 1


def test_what_is_known_of_an_answer(ask):
    """The stream knows the upstream's request id, its headers, and what was read."""
    backend = ask(text_reply("hello", headers={"X-Request-Id": "req_9", "X-Model": "m"}))
    with backend.stream("x", id="mine") as stream:
        list(stream)
    assert stream.request_id == "req_9"
    assert stream.response_headers["x-model"] == "m"
    assert stream.stats.bytes > 100
    backend.upstream.enqueue(text_reply("hello"))
    with backend.stream("x", id="mine") as stream:
        assert stream.request_id == "mine"


def test_nobody_listens():
    """A refused connection is a TransportError that names the place and the next step."""
    backend = ie.OpenAiCompat(base_url="http://127.0.0.1:11434/v1", api_key="")
    with pytest.raises(ie.TransportError, match=r"11434.*is Ollama running") as caught:
        backend.stream("x", id="mine")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert caught.value.retryable is True
    assert caught.value.request_id == "mine"


def test_version_1_is_not_spoken(ask):
    """generate() raises: this backend speaks v2 only."""
    request = ie.Request([ie.Message("user", "x")]).resolve()
    with pytest.raises(ie.InternalError, match="v2"):
        ask().generate(request)


def test_requests_that_cannot_be_sent_are_not_sent(ask):
    """What fails in the mapping never reaches the upstream."""
    backend = ask()
    image = ie.ImageAttachment("i", 1, 1, b"\0\0\0")
    message = ie.MessageV2("user", [ie.ImageBlock("i")])
    with pytest.raises(ie.AttachmentUnsupportedError, match=r"messages\[0\].content\[0\]"):
        backend.stream([message], attachments=[image])
    with pytest.raises(ie.InvalidRequestError, match="JSON"):
        backend.stream("x", response_format={"type": object()})
    assert backend.upstream.requests == []


def test_a_backend_survives_pickling(ask, monkeypatch):
    """A backend pickles with its settings, without its key, and works on the other side."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    backend = ask(text_reply("ok"), api_key=None)
    data = pickle.dumps(backend)
    assert b"sk-secret" not in data
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    with pickle.loads(data) as copy:
        assert copy.complete("x").text == "ok"
    assert backend.upstream.requests[0].headers["authorization"] == "Bearer sk-other"


def test_capabilities(ask):
    """It says what it can do."""
    backend = ask()
    assert backend.name == "openai-compat"
    assert backend.capabilities() == ie.BackendCapabilities(v2=True, tools=True, embed=True)
    assert backend.ready()
    backend.stop()
    assert not backend.ready()
    with pytest.raises(ie.NotReadyError):
        backend.stream("x")


# --- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("key_header", ["Authorization", "authorization", "api-key"])
def test_never_two_authorizations(ask_by, name, key_header):
    """A configured header replaces the key's, in whatever letters; a header is never sent twice."""
    settings = {"api_key": "k1", "api_key_header": key_header, "headers": {name: "Basic Zm9v"}}
    backend = ask_by("proxy", text_reply("a"), **settings)
    backend.complete("x")
    lines = backend.proxy.heads[0].split("\r\n")[1:-2]
    sent = [
        (header.lower(), value) for header, _, value in (line.partition(": ") for line in lines)
    ]
    names = [header for header, _ in sent]
    assert len(set(names)) == len(names)
    assert ("authorization", "Basic Zm9v") in sent
    assert (("api-key", "k1") in sent) is (key_header == "api-key")


def test_no_key_no_header(ask):
    """Q11: without a key there is no Authorization header at all, not an empty one."""
    backend = ask(text_reply("a"), api_key="")
    backend.complete("x")
    assert "authorization" not in backend.upstream.requests[0].headers


def test_headers_go_out_and_come_back(ask):
    """Q15: extra headers are sent, and the answer's own can be read from the stream."""
    backend = ask(
        text_reply("a", headers={"X-Generation-Id": "gen-1"}),
        headers={"HTTP-Referer": "https://app.example", "X-Title": "App"},
    )
    with backend.stream("x") as stream:
        assert stream.response_headers["x-generation-id"] == "gen-1"
    sent = backend.upstream.requests[0].headers
    assert (sent["http-referer"], sent["x-title"]) == ("https://app.example", "App")


@pytest.mark.parametrize("plain", [True, False])
def test_a_completion_knows_its_model(ask, plain):
    """The upstream's word for the model that answered is kept, whichever way chunks go."""
    first = event({"model": "qwen3-8b-q4", "choices": [{"delta": {"content": "a"}}]})
    if not plain:
        first = event({"model": "qwen3-8b-q4", "choices": [{"delta": {}, "finish_reason": None}]})
    second = event({"model": "another", "choices": [{"delta": {"content": "b"}}]})
    completion = ask(Reply([first, second, chunk(finish_reason="stop"), DONE])).complete("x")
    assert completion.model == "qwen3-8b-q4"
    unnamed = event({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]})
    assert ask(Reply([unnamed, DONE])).complete("x").model == ""


def test_an_internal_error_shows_no_key(ask, monkeypatch):
    """A fault of ours that quotes what came passes through the mask too."""

    def broken(*_):
        raise KeyError("sk-canary-0123456789")

    monkeypatch.setattr("inferd_engine.wire.openai.answer.Answer.feed", broken)
    with pytest.raises(ie.InternalError) as caught:
        ask(api_key="sk-canary-0123456789").complete("x")
    assert "***" in str(caught.value)
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_credentials_in_a_header_of_their_own(ask):
    """The hint of a 401 does not ask for a key that was sent as a header."""
    backend = ask(
        error_reply(401, "no"), api_key="", api_key_header="api-key", headers={"Api-Key": "k"}
    )
    with pytest.raises(ie.HttpStatusError, match="the credentials came from headers"):
        backend.stream("x")

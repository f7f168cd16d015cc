"""Any backend as an OpenAI-compatible server: what goes in comes out, what is wrong is told."""

from __future__ import annotations

import array
import base64
import json

import pytest
from hypothesis import given, settings, strategies as st
from web.conftest import SOON, events_of
from web.wsgi import begin, call

import inferd_engine as ie
from inferd_engine import web
from inferd_engine.testing import (
    Cut,
    Pause,
    Reply,
    Stall,
    chunk,
    error_reply,
    text_reply,
    tool_call_reply,
)

HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
CHAT = "/v1/chat/completions"
BASE64_PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


class Vectors(ie.Mock):
    """A backend that makes vectors."""

    def embed(self, request, *, cancel=None):
        """Give two numbers for each text."""
        self.asked = request
        vectors = tuple((float(len(text)), 0.5) for text in request.input)
        return ie.EmbedResult(vectors, "vectors-1", 3)


@pytest.fixture
def serve(ask):
    """Give an application in front of an upstream with these replies."""

    def make(*replies, **options):
        backend = ask(*replies, **options)
        app = web.OpenAIApp(backend, heartbeat=0.1)
        app.upstream = backend.upstream
        return app

    return make


# --- whole answers -------------------------------------------------------------------------------


def test_a_whole_answer(serve):
    """A completion has the text, the reason, the usage and the name that was asked for."""
    answer = call(serve(text_reply("Hello!", usage=(3, 2))), CHAT, HI)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json
    assert document["object"] == "chat.completion"
    assert document["model"] == "m"
    (choice,) = document["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello!", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert document["usage"]["total_tokens"] == 5


def test_a_tool_call(serve):
    """A call comes whole, with its arguments as a text of JSON, and no text beside it."""
    app = serve(tool_call_reply("weather", {"city": "Köln"}, tool_call_id="c1"))
    (choice,) = call(app, CHAT, HI).json["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (called,) = choice["message"]["tool_calls"]
    assert (called["id"], called["type"]) == ("c1", "function")
    assert json.loads(called["function"]["arguments"]) == {"city": "Köln"}


def test_thoughts():
    """Thoughts are reasoning_content, whole and streamed."""
    backend = ie.Mock(events=[ie.ThinkingDelta("Hm."), ie.TextDelta("42")])
    app = web.OpenAIApp(backend)
    message = call(app, CHAT, HI).json["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "42")
    chunks = events_of(call(app, CHAT, {**HI, "stream": True}).body)
    assert chunks[1]["choices"][0]["delta"] == {"reasoning_content": "Hm."}


@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_is_not_known(serve, stream):
    """A whole answer has a usage all the same, because clients rely on it; a streamed one none."""
    asked = {**HI, "stream": stream, "stream_options": {"include_usage": True}}
    answer = call(serve(text_reply("Hello!")), CHAT, asked)
    if stream:
        *chunks, end = events_of(answer.body)
        assert end == "[DONE]"
        assert all(one["choices"] and one["usage"] is None for one in chunks)
    else:
        assert answer.json["usage"]["total_tokens"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_the_upstream_does_not_know(serve, stream):
    """The client's own mistake is told as OpenAI tells it; an address that is wrong is not."""
    app = serve(error_reply(404, "The model `m` does not exist"), error_reply(404, "Not Found"))
    answer = call(app, CHAT, {**HI, "stream": stream})
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
    assert answer.json["error"]["param"] == "model"
    assert call(app, CHAT, {**HI, "stream": stream}).status == 502


def test_a_whole_answer_that_breaks(serve):
    """What was cut is never given as a completion."""
    for steps in ([chunk("Hel"), Cut()], [chunk("Hel"), chunk(finish_reason="error")]):
        answer = call(serve(Reply(steps)), CHAT, HI)
        assert answer.status == 502
        assert "choices" not in answer.json


@pytest.mark.parametrize(
    "steps",
    [
        [chunk("Hel"), Stall()],
        [step for _ in range(400) for step in (chunk("word "), Pause(0.05))],
    ],
    ids=["silence", "tokens flow"],
)
def test_whoever_waits_for_a_whole_answer_may_leave(serve, steps):
    """Where the server tells that the client has gone, the upstream is told."""
    app = serve(Reply(steps))
    answer = call(app, CHAT, HI, **{"waitress.client_disconnected": lambda: True})
    assert answer.status == 503
    assert app.upstream.wait_for_request().gone.wait(SOON)


def test_whoever_waits_for_vectors_may_leave(serve):
    """The upstream is told that nobody wants them any more."""
    app = serve(Reply([Stall()]))
    left = {"waitress.client_disconnected": lambda: True}
    assert call(app, "/v1/embeddings", {"model": "m", "input": "x"}, **left).status == 503
    assert app.upstream.wait_for_request().gone.wait(SOON)


# --- streamed ------------------------------------------------------------------------------------


def test_a_streamed_answer(serve):
    """Chunks, then [DONE]; usage if it is asked for, in a chunk of its own."""
    app = serve(*[text_reply("Hello!", usage=(3, 2))] * 2)
    answer = call(app, CHAT, {**HI, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, end = events_of(answer.body)
    assert end == "[DONE]"
    assert not any("usage" in one for one in chunks)
    assert {one["model"] for one in chunks} == {"m"}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    *_, usage, end = events_of(call(app, CHAT, {**HI, **options}).body)
    assert (usage["choices"], usage["usage"]["total_tokens"], end) == ([], 5, "[DONE]")


def test_a_streamed_answer_that_breaks(serve):
    """The last event is an error, and there is no [DONE]."""
    answer = call(serve(Reply([chunk("Hel"), Cut()])), CHAT, {**HI, "stream": True})
    assert answer.status == 200
    *_, last = events_of(answer.body)
    assert last["error"]["message"] == "The answer was cut off."


def test_the_server_closes(serve):
    """A body that the server closes stops the upstream."""
    app = serve(Reply([chunk("Hel"), Stall()]))
    _, iterable = begin(app, CHAT, {**HI, "stream": True})
    next(iter(iterable))
    iterable.close()
    assert app.upstream.wait_for_request().gone.wait(SOON)


def test_a_client_that_stops_reading(serve, monkeypatch):
    """A server that is not let go on writing comes for no chunk: the stream ends."""
    monkeypatch.setattr(web.openai_app, "_PATIENCE", 0.4)
    app = serve(Reply([chunk("Hel"), Stall()]))
    _, iterable = begin(app, CHAT, {**HI, "stream": True})
    iterator = iter(iterable)
    for _ in range(20):  # one that reads goes on for as long as it likes
        next(iterator)
    received = app.upstream.wait_for_request()
    assert not received.gone.is_set()
    assert received.gone.wait(SOON)
    iterable.close()


# --- what the backend is asked -------------------------------------------------------------------


def test_the_request_goes_through(serve):
    """Each field reaches the upstream, those that we do not know too."""
    app = serve(text_reply("x"))
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "description": "d",
            "parameters": {"type": "object", "properties": {}},
        },
    }
    fields = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stop": ["a", "b"],
        "seed": 3,
        "tools": [tool],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "presence_penalty": 0.25,
        "logit_bias": {"50256": -100},
        "user": "u",
        "min_p": 0.05,
        "n": 1,
        "logprobs": None,
        "stream": False,
    }
    assert call(app, CHAT, {**HI, **fields}).status == 200
    sent = app.upstream.requests[0].json
    for name in set(fields) - {"n", "logprobs", "stream"}:
        assert sent[name] == fields[name], name
    assert "n" not in sent
    assert sent["model"] == "m"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_limit(serve, name):
    """The new name means the same; the backend chooses its upstream's."""
    app = serve(text_reply("x"))
    call(app, CHAT, {**HI, name: 9})
    assert app.upstream.requests[0].json["max_tokens"] == 9


def test_the_history_goes_through(serve):
    """Roles, tool calls and results, and images arrive as they were sent."""
    app = serve(text_reply("x"), vision=True)
    call_ = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64_PNG}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What?"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call_]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    assert call(app, CHAT, {"messages": messages}).status == 200
    sent = app.upstream.requests[0].json["messages"]
    assert sent[1] == messages[1]
    assert sent[2]["tool_calls"] == [call_]
    assert (sent[3]["role"], sent[3]["content"]) == ("tool", "42")


def test_models_are_mapped(ask):
    """A name that is mapped goes to the backend as what it stands for, others as they are."""
    backend = ask(*[text_reply("x")] * 3, model="default")
    app = web.OpenAIApp(backend, models={"fast": "qwen3-8b"})
    for model in ("fast", "other", None):
        answer = call(app, CHAT, {**HI, "model": model})
        assert answer.json["model"] == (model or "default")
    assert [r.json["model"] for r in backend.upstream.requests] == ["qwen3-8b", "other", "default"]
    assert [m["id"] for m in call(app, "/v1/models").json["data"]] == ["fast"]


# --- the other addresses -------------------------------------------------------------------------


def test_models(serve):
    """The list is the upstream's own; one of them is found by its name."""
    app = serve()
    document = call(app, "/v1/models").json
    assert document["object"] == "list"
    assert [model["id"] for model in document["data"]] == ["test-model"]
    assert call(app, "/v1/models/test-model").json["id"] == "test-model"
    assert call(app, "/v1/models/none").error["code"] == "model_not_found"
    assert call(app, "/v1/models/none").status == 404


@pytest.mark.parametrize("name", ["fast", "qwen/qwen3-8b", "modèle", "日本"])
def test_a_model_by_its_name(name):
    """It may have slashes and letters of any language, which WSGI gives as bytes (PEP 3333)."""
    app = web.OpenAIApp(ie.Mock(), models={name: "m"})
    path = f"/v1/models/{name}".encode().decode("latin-1")
    assert call(app, path).json["id"] == name
    assert call(app, path + "\xff").status == 404


def test_a_backend_without_a_list():
    """A backend that lists nothing has a name."""

    class Unlisted(ie.Mock):
        models = None

    names = [m["id"] for m in call(web.OpenAIApp(Unlisted()), "/v1/models").json["data"]]
    assert names == ["mock"]


def test_health():
    """It tells whether the backend is ready, to everybody."""
    backend = ie.Mock()
    app = web.OpenAIApp(backend, api_key="k")
    assert call(app, "/health").json == {"status": "ok"}
    assert call(app, "/health", method="HEAD").body == b""
    backend.set_ready(False)
    assert call(app, "/health").status == 503


def test_embeddings():
    """Vectors as numbers, or as base64 of little-endian floats; usage is the backend's."""
    app = web.OpenAIApp(Vectors())
    asked = {"model": "m", "input": ["a", "bcd"], "dimensions": 2}
    document = call(app, "/v1/embeddings", asked).json
    assert [item["embedding"] for item in document["data"]] == [[1.0, 0.5], [3.0, 0.5]]
    assert [item["index"] for item in document["data"]] == [0, 1]
    assert (document["model"], document["usage"]["prompt_tokens"]) == ("m", 3)
    encoded = call(app, "/v1/embeddings", {**asked, "encoding_format": "base64", "input": "xy"})
    (item,) = encoded.json["data"]
    assert list(array.array("f", base64.b64decode(item["embedding"]))) == [2.0, 0.5]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"input": 3},
        {"input": [1, 2]},
        {"input": ""},
        {"input": []},
        {"input": "x", "encoding_format": "hex"},
        {"input": "x", "dimensions": "2"},
        {"input": "x", "model": 4},
    ],
)
def test_embeddings_that_cannot_be(asked):
    """What is no text is refused with its place."""
    answer = call(web.OpenAIApp(Vectors()), "/v1/embeddings", asked)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"


def test_the_model_of_embeddings():
    """It goes to the backend, as what it is mapped to."""
    backend = Vectors()
    app = web.OpenAIApp(backend, models={"fast": "bge-m3"})
    for named, asked in (("fast", "bge-m3"), ("other", "other")):
        document = call(app, "/v1/embeddings", {"model": named, "input": "x"}).json
        assert (backend.asked.model, document["model"]) == (asked, named)


def test_a_backend_that_makes_none():
    """A backend without vectors says so."""

    class None_(ie.Mock):  # noqa: N801 - a backend without vectors
        embed = ie.Backend.embed

    answer = call(web.OpenAIApp(None_()), "/v1/embeddings", {"input": "x"})
    assert (answer.status, "embeddings" in answer.error["message"]) == (400, True)


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_mounted_anywhere(prefix):
    """Mounted below /v1 or above it, with a slash at the end or without."""
    app = web.OpenAIApp(ie.Mock())
    for end in ("", "/"):
        assert call(app, f"{prefix}/chat/completions{end}", HI).status == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/v1", "GET", 404),
        ("/v1/completions", "POST", 404),
        ("/v1/chat/completions/x", "POST", 404),
        ("/v1/models/", "POST", 405),
        (CHAT, "GET", 405),
        (CHAT, "DELETE", 405),
        ("/health", "POST", 405),
        ("/\r\nX-Evil: 1", "GET", 404),
        ("/v1/models/日本", "GET", 404),  # not as bytes, which a server should not do
    ],
)
def test_what_is_not_there(path, method, status):
    """Other addresses are 404 and other methods 405, in OpenAI's shape."""
    answer = call(web.OpenAIApp(ie.Mock()), path, method=method)
    assert answer.status == status
    assert answer.error["message"]
    assert ("allow" in answer.headers) == (status == 405)
    assert "x-evil" not in answer.headers


# --- the key -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Basic c2VjcmV0",
        "secret",
        "Basic secret",
        "Bearer secret2",
        "Bearer ☃",
    ],
)
def test_a_wrong_key(sent):
    """Without the key nothing but /health is answered, and nothing is asked."""
    app = web.OpenAIApp(ie.Mock(pre_stream_error=ie.InternalError("was asked")), api_key="secret")
    headers = {} if sent is None else {"Authorization": sent.encode().decode("latin-1")}
    for path, data in ((CHAT, HI), ("/v1/models", None), ("/v1/embeddings", {"input": "x"})):
        answer = call(app, path, data, headers=headers)
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        assert b"secret" not in answer.body
    assert "secret" not in repr(app)


def test_the_right_key():
    """With the key everything is answered."""
    app = web.OpenAIApp(ie.Mock(), api_key="sëcret")
    for scheme in ("Bearer", "bearer"):
        key = f"{scheme} sëcret".encode().decode("latin-1")
        assert call(app, CHAT, HI, headers={"Authorization": key}).status == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", "http://[", "http://127.0.0.1:81"]
)
def test_pages_of_other_sites(origin):
    """A page that somebody has opened cannot make this machine work."""
    app = web.OpenAIApp(ie.Mock())
    assert call(app, CHAT, HI, headers={"Origin": origin}).status == 403
    own = {"Origin": "http://127.0.0.1", "Host": "127.0.0.1"}
    assert call(app, CHAT, HI, headers=own).status == 200
    keyed = web.OpenAIApp(ie.Mock(), api_key="k")  # which no page of another site has
    headers = {"Origin": origin, "Authorization": "Bearer k"}
    assert call(keyed, CHAT, HI, headers=headers).status == 200


@pytest.mark.parametrize("heartbeat", [0, -1, float("nan")])
def test_a_heartbeat_is_above_nothing(heartbeat):
    """A heartbeat that is no time is refused when the application is made."""
    with pytest.raises(ie.InvalidRequestError, match="heartbeat"):
        web.OpenAIApp(ie.Mock(), heartbeat=heartbeat)


# --- bad input -----------------------------------------------------------------------------------

WRONG = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"hi"',
    b"\xff\xfe",
    b'{"messages": [{"role": "user", "content": NaN}]}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"messages": ' + b"9" * 10_000 + b"}",
    {},
    {"messages": None},
    {"messages": "hi"},
    {"messages": []},
    {"messages": ["hi"]},
    {"messages": [{}]},
    {"messages": [{"role": "wizard", "content": "x"}]},
    {"messages": [{"role": ["user"], "content": "x"}]},
    {"messages": [{"role": "user", "content": 3}]},
    {"messages": [{"role": "user", "content": [{"type": "video", "x": 1}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
    {"messages": [{"role": "tool", "content": "x"}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}]},
    *({**HI, **wrong} for wrong in (
        {"n": 2},
        {"n": 0},
        {"n": "1"},
        {"logprobs": True},
        {"functions": []},
        {"model": 3},
        {"model": ["m"]},
        {"stream": "yes"},
        {"stream_options": []},
        {"temperature": "hot"},
        {"temperature": True},
        {"temperature": -1},
        {"top_p": 7},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"stop": 3},
        {"stop": [3]},
        {"seed": "x"},
        {"tools": {}},
        {"tools": [3]},
        {"tools": [{"type": "function"}]},
        {"tool_choice": 3},
        {"tool_choice": {"type": "function", "function": {"name": "none"}}},
        {"response_format": "json"},
    )),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(wrong)[:60])
def test_wrong_requests(wrong):
    """What is wrong is 400, in OpenAI's shape, and the next request is answered."""
    app = web.OpenAIApp(ie.Mock())
    answer = call(app, CHAT, wrong)
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error"), answer.body
    assert answer.error["message"]
    assert call(app, CHAT, HI).status == 200


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"backend": None}, TypeError, "backend is of type NoneType: give a Backend"),
        ({"backend": "http://localhost:8080"}, TypeError, "backend is of type str: give a"),
        ({"api_key": None}, TypeError, "api_key is of type NoneType: give a str"),
        ({"models": ["m"]}, TypeError, "models is of type list: give a mapping"),
        ({"models": {"m": 3}}, TypeError, "models has something other than str in it"),
        ({"max_body_bytes": "1"}, ie.InvalidRequestError, "max_body_bytes is '1': "),
        ({"max_body_bytes": -1}, ie.InvalidRequestError, "max_body_bytes is -1: "),
        ({"heartbeat": "1"}, ie.InvalidRequestError, "heartbeat is '1': "),
    ],
)
def test_what_it_is_not_made_of(given, error, said):
    """It is refused when it is made, and not by the first request; and no key is shown."""
    with pytest.raises(error, match=said):
        web.OpenAIApp(**{"backend": ie.Mock(), **given})


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "url", "function", "name", "id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
FIELDS = ["model", "stream", "tools", "stop", "tool_choice", "response_format", "extra", "n"]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=3), st.lists(ANY, max_size=3))
def test_any_json(fields, messages):
    """Whatever JSON comes, the answer is 200 or 400."""
    app = web.OpenAIApp(ie.Mock())
    roles = [{"role": "user", "content": "x"}, *messages]
    for asked in ({**fields, "messages": messages}, {**fields, "messages": roles}):
        body = json.dumps(asked).encode()
        assert call(app, CHAT, body).status in (200, 400), asked


def test_what_is_too_large_is_not_read():
    """A body that says that it is too large is 413, and nobody reads it."""

    class Unread:
        def read(self, size=-1):
            raise AssertionError

    app = web.OpenAIApp(ie.Mock(), max_body_bytes=100)
    data = {**HI, "user": "x" * 100}
    assert call(app, CHAT, data).status == 413
    large = {"CONTENT_LENGTH": str(100 << 20), "wsgi.input": Unread()}
    started = []
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": CHAT, **large}
    app(environ, lambda status, headers: started.append(status))
    assert started == ["413 Content Too Large"] or started[0].startswith("413")


class Endless:
    """A body that never ends; how much of it was read is counted."""

    taken = 0

    def read(self, size=-1):
        assert 0 <= size < 1000
        self.taken += size
        return b"x" * size


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"wsgi.input_terminated": True}, 413),
        ({}, 411),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "ten"}, 400),
    ],
)
def test_a_body_without_a_length(environ, status):
    """A body without an end is bounded, where its server marks the end, and else refused."""
    app = web.OpenAIApp(ie.Mock(), max_body_bytes=100)
    source = Endless()
    started = []
    asked = {"REQUEST_METHOD": "POST", "PATH_INFO": CHAT, "wsgi.input": source, **environ}
    app(asked, lambda status, headers: started.append(status))
    assert started[0].startswith(str(status))
    assert source.taken <= 101


@pytest.mark.parametrize(
    ("raised", "status"), [(TimeoutError(), 408), (ConnectionResetError(), 400), (None, 400)]
)
def test_a_body_that_breaks_off(raised, status):
    """A client that leaves or is too slow is told what it was."""

    class Broken:
        def read(self, size):
            if raised:
                raise raised
            return b"{"

    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": CHAT, "CONTENT_LENGTH": "50"}
    started = []
    app = web.OpenAIApp(ie.Mock())
    app({**environ, "wsgi.input": Broken()}, lambda status, headers: started.append(status))
    assert started[0].startswith(str(status))


def test_a_compressed_body():
    """A body that would have to be blown up is refused."""
    answer = call(web.OpenAIApp(ie.Mock()), CHAT, HI, headers={"Content-Encoding": "gzip"})
    assert answer.status == 415


@pytest.mark.parametrize("said", ["x\r\nX-Evil: 1", "x\nSet-Cookie: a=b", "\x00", "☃"])
def test_nothing_gets_into_a_header(serve, said):
    """A prompt or a model's name stays in the body."""
    app = serve(text_reply(said), text_reply(said))
    asked = {"model": said, "messages": [{"role": "user", "content": said}]}
    for stream in (False, True):
        answer = call(app, CHAT, {**asked, "stream": stream})
        assert answer.status == 200
        assert "evil" not in str(answer.headers).lower()
        assert "cookie" not in str(answer.headers).lower()


# --- errors of the upstream ----------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (error_reply(429, "sk-secret", headers={"Retry-After": "4"}), 429),
        (error_reply(401, "sk-secret"), 502),
        (error_reply(400, "sk-secret"), 400),
        (error_reply(500, "sk-secret"), 502),
        (error_reply(503, "sk-secret"), 503),
    ],
)
def test_an_upstream_that_refuses(serve, reply, status, stream):
    """The status is what the client may act on, in OpenAI's shape, with nothing internal."""
    answer = call(serve(reply), CHAT, {**HI, "stream": stream})
    assert answer.status == status
    assert answer.error["message"]
    assert b"secret" not in answer.body
    assert answer.headers.get("retry-after") == ("4" if status == 429 else None)


def test_a_backend_that_was_stopped(serve):
    """A backend that is gone is 503, and so is its health."""
    app = serve()
    app._backend.stop()
    assert call(app, CHAT, HI).status == 503
    assert call(app, "/health").status == 503

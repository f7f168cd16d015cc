"""An upstream that speaks another protocol than it is asked in: one error, with the way out."""

from __future__ import annotations

import json

import pytest
from anthropic_messages import AnyPath
from other_protocols import ANSWERS, EVENTS, SPOKEN, body_of

import inferd_engine as ie
from inferd_engine.testing import Reply, event, json_reply

BACKENDS = {
    "openai": lambda url: ie.OpenAiCompat(url, api_key="k", model="m"),
    "anthropic": lambda url: ie.Anthropic(url, api_key="k", model="m"),
    "bedrock": lambda url: ie.Bedrock(url, region="us-east-1", api_key="k", model="m"),
}
PAIRS = [(own, name) for own in BACKENDS for name in ANSWERS if own != name.partition(",")[0]]


def reply_of(name, content_type=None, **reply):
    headers = {"Content-Type": content_type or ANSWERS[name][0]}
    return Reply([body_of(name)], headers=headers, **reply)


def asked(own, *replies):
    """Give the error of a call to an upstream with these replies, and what came before it."""
    with AnyPath(*replies) as upstream, BACKENDS[own](upstream.url) as backend:
        events = []
        with pytest.raises(ie.GenerateError) as caught, backend.stream("x") as stream:
            events += stream
        return events, caught.value


@pytest.mark.parametrize("promised", [None, EVENTS, "application/json"], ids=str)
@pytest.mark.parametrize(("own", "name"), PAIRS)
def test_status_200(own, name, promised):
    """It is an ``UpstreamError`` that names what was spoken, whatever the Content-Type promised."""
    events, error = asked(own, reply_of(name, promised))
    assert events == []
    assert type(error) is ie.UpstreamError
    assert (error.code, error.retryable) == ("other_protocol", False)
    whose, way = SPOKEN[name.partition(",")[0]]
    assert whose in str(error)
    if own == "bedrock" and name.endswith("streamed"):  # server-sent events, whoever's
        way = "ask it with OpenAiCompat or Anthropic"
    assert way in str(error)
    assert "check base_url" in str(error)


@pytest.mark.parametrize("own", ["openai", "anthropic"])
@pytest.mark.parametrize("name", ["openai, streamed", "anthropic, streamed"])
def test_behind_a_comment_and_a_ping(own, name):
    """What may stand before an answer changes nothing."""
    if own == name.partition(",")[0]:
        pytest.skip("its own")
    before = [b": PROCESSING\n\n", event({"type": "ping"}, "ping")]
    _, error = asked(own, Reply([*before, body_of(name)]))
    assert (type(error), error.code) == (ie.UpstreamError, "other_protocol")


def test_an_answer_of_its_own_is_none_of_others():
    """Fields of another protocol beside an answer's own say nothing."""
    odd = {"type": "message", "role": "assistant", "object": "response", "output": {"message": {}}}
    said = {**odd, "choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    with AnyPath(Reply([event(said)])) as upstream, BACKENDS["openai"](upstream.url) as backend:
        assert backend.complete("x").text == "Hi"


@pytest.mark.parametrize("own", BACKENDS)
def test_an_error_of_the_other_protocol_is_an_error(own):
    """What another protocol says is wrong is told, and not taken for an answer of its."""
    for said in (
        {"object": "response", "status": "failed", "error": {"message": "no such thing"}},
        {"type": "error", "error": {"type": "invalid_request_error", "message": "no such thing"}},
        {"error": {"message": "no such thing", "type": "invalid_request_error"}},
    ):
        _, error = asked(own, json_reply(said))
        assert type(error) is ie.UpstreamError
        assert "no such thing" in str(error)
        assert error.code != "other_protocol"


# --- refusals ------------------------------------------------------------------------------------

REFUSALS = {
    # OpenAI, vLLM, llama.cpp, Go's servers
    "openai": {"error": {"message": "Invalid URL", "type": "invalid_request_error", "code": None}},
    "fastapi": {"detail": "Not Found"},
    "llamacpp": {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}},
    "page": b"404 page not found",
    # Anthropic
    "anthropic": {"type": "error", "error": {"type": "not_found_error", "message": "Not found"}},
    # Bedrock
    "bedrock": {"message": "Could not resolve the foundation model"},
}


def refused(own, name, status):
    body = REFUSALS[name]
    steps = [body if isinstance(body, bytes) else json.dumps(body).encode()]
    _, error = asked(own, Reply(steps, status, framing="length"))
    assert type(error) is ie.HttpStatusError
    assert (error.status, error.retryable) == (status, False)
    return error


@pytest.mark.parametrize(
    ("own", "name", "way"),
    [
        *(
            ("anthropic", name, "OpenAiCompat")
            for name in ("openai", "fastapi", "llamacpp", "page")
        ),
        ("openai", "anthropic", "ask it with Anthropic"),
        *(("bedrock", name, "check base_url") for name in ("openai", "fastapi", "page")),
        ("bedrock", "anthropic", "ask it with Anthropic"),
    ],
)
def test_status_404(own, name, way):
    """Nothing there speaks the protocol: the error says so, and which backend may ask."""
    error = refused(own, name, 404)
    assert way in str(error)


@pytest.mark.parametrize(
    ("own", "name"), [("anthropic", "anthropic"), ("openai", "openai"), ("bedrock", "bedrock")]
)
def test_status_404_of_its_own(own, name):
    """A server of the protocol that does not find something is not told to be another's."""
    said = str(refused(own, name, 404))
    assert "ask it with" not in said
    assert "speaks" not in said


@pytest.mark.parametrize("own", BACKENDS)
@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "page"])
def test_status_400(own, name):
    """A refusal is understood in either shape; compatible servers mix them, so nobody is blamed."""
    error = refused(own, name, 400)
    body = REFUSALS[name]
    inner = body.get("error", body)
    assert error.message == inner.get("message", inner.get("detail"))
    assert "ask it with" not in str(error)


def test_a_model_that_is_not_known_is_no_wrong_protocol():
    """Anthropic's own Chat Completions answer in Anthropic's shape: the model is to blame."""
    said = {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}}
    _, error = asked("openai", Reply([json.dumps(said).encode()], 404, framing="length"))
    assert "the model 'm' is not known there" in str(error)


def test_a_path_that_a_server_does_not_know():
    """LM Studio answers 200 and says so: each backend tells its own next step."""
    said = {"error": "Unexpected endpoint or method. (POST /v1/messages)"}
    _, error = asked("anthropic", json_reply(said))
    assert "ask a server of OpenAI's Chat Completions with OpenAiCompat" in str(error)
    assert "lack /v1" not in str(error)
    _, error = asked("openai", json_reply(said))
    assert "does base_url lack /v1?" in str(error)

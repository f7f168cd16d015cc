"""Clients that are not ours, against our server: what goes in comes out."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from web.served import Served
from web.servers import node

from inferd_engine.testing import (
    Cut,
    Reply,
    Upstream,
    chunk,
    error_reply,
    text_reply,
    tool_call_reply,
)

HERE = Path(__file__).parent
TIMEOUT = 120.0  # seconds: a Go client is compiled first
SAID = "Grüße 日本"
ECHOED = f"You said: {SAID}"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1000)).decode()
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "object", "properties": {}}},
}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture(scope="module", params=["standard library", "waitress"])
def server(request):
    """Each server in turn."""
    return request.param


@pytest.fixture(scope="module")
def served(server):
    """A URL that is served, and the upstream behind it."""
    with Upstream() as upstream, Served(server, upstream=upstream) as running:
        yield running.url, upstream


@pytest.fixture(autouse=True)
def _no_reply_is_left(served):
    """Give no reply to a later test."""
    yield
    served[1]._replies.clear()


@pytest.fixture
def client(served):
    """openai-python, which does not ask twice here; the upstream is its attribute."""
    with openai.OpenAI(api_key="none", base_url=served[0], max_retries=0, timeout=20) as client:
        client.upstream = served[1]
        yield client


def ask(client, said=SAID, **fields):
    messages = [{"role": "user", "content": said}]
    return client.chat.completions.create(model="m", messages=messages, **fields)


def test_openai_python(client):
    """Whole and streamed, with usage."""
    whole = ask(client)
    assert whole.choices[0].message.content == ECHOED
    assert whole.usage.total_tokens > 0
    with ask(client, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == ECHOED
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_tools_images_and_schemas(client):
    """Tools and a schema are sent as they are, and so is an image; a call comes back."""
    client.upstream.enqueue(tool_call_reply("weather", {"city": "Köln"}, tool_call_id="c1"))
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    said = [{"type": "text", "text": "What?"}, image]
    answer = ask(client, said, tools=[TOOL], tool_choice="required", response_format=SCHEMA)
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Köln"}
    sent = client.upstream.requests[-1].json
    assert sent["messages"][0]["content"] == said
    assert (sent["tool_choice"], sent["response_format"]) == ("required", SCHEMA)
    assert sent["tools"][0]["function"]["name"] == "weather"


def test_models(client):
    """The list, and one of it."""
    assert [model.id for model in client.models.list()] == ["test-model"]
    assert client.models.retrieve("test-model").id == "test-model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (error_reply(429, "x"), openai.RateLimitError),
        (error_reply(400, "x"), openai.BadRequestError),
        (error_reply(401, "x"), openai.InternalServerError),
        (error_reply(500, "x"), openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(client, reply, raised, stream):
    """What the upstream answers is raised as what the client may act on."""
    client.upstream.enqueue(reply)
    with pytest.raises(raised):
        ask(client, stream=stream)


def test_a_wrong_request(client):
    """What is wrong with a request is told with its place."""
    with pytest.raises(openai.BadRequestError, match=r"messages\[0\].role"):
        client.chat.completions.create(model="m", messages=[{"role": "wizard", "content": "x"}])


def test_a_cut_answer(client):
    """An answer that breaks is raised, in the middle of its chunks too."""
    client.upstream.enqueue(*[Reply([chunk("Hel"), Cut()])] * 2)
    seen = []
    with ask(client, stream=True) as stream, pytest.raises(openai.APIError, match="cut off"):
        seen.extend(one.choices[0].delta.content for one in stream)
    with pytest.raises(openai.APIError):
        ask(client)


def test_embeddings(server):
    """openai-python asks for base64, and gets numbers."""
    environment = {**os.environ, "SERVED_KEY": "k"}
    words = ("--vectors", "--key-from", "SERVED_KEY")
    with (
        Served(server, *words, environment=environment) as running,
        openai.OpenAI(api_key="k", base_url=running.url, max_retries=0) as client,
    ):
        answer = client.embeddings.create(model="m", input=["a", "bcd"])
        assert [item.embedding for item in answer.data] == [[1.0, 0.5], [3.0, 0.5]]
        with (
            openai.OpenAI(api_key="wrong", base_url=running.url, max_retries=0) as stranger,
            pytest.raises(openai.AuthenticationError),
        ):
            stranger.models.list()


def check(told):
    """Check what a client in another language has to say."""
    assert told["streamed"] == ECHOED
    assert told["whole"] == ECHOED
    assert told["model"] == "test-model"
    assert told["usage"] > 0


def test_openai_node(served):
    """openai-node, whole and streamed, with an error."""
    told = node.run("clients.mjs", url=served[0])
    check(told)
    name, status, message = told["refused"]
    assert (name, status) == ("BadRequestError", 400)
    assert "messages[0].role" in message


def test_go(served, tmp_path):
    """go-openai, whole and streamed, with an error."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go here")
    program = tmp_path / "client"
    building = [go, "build", "-o", program, "."]
    subprocess.run(building, cwd=HERE / "go_client", check=True, timeout=TIMEOUT)
    ran = subprocess.run(
        [program, served[0], "k"], capture_output=True, check=True, timeout=TIMEOUT
    )
    check(json.loads(ran.stdout))
    served[1].enqueue(error_reply(429, "x"))
    ran = subprocess.run(
        [program, served[0], "k"], capture_output=True, check=True, timeout=TIMEOUT
    )
    assert json.loads(ran.stdout) == {
        "status": 429,
        "message": "The model is busy. Try again in a moment.",
    }


@pytest.mark.parametrize("options", [[], ["--no-stream"]])
def test_the_llm_command(served, tmp_path, options):
    """Simon Willison's llm, streamed and whole."""
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: ours\n  model_name: m\n  api_base: {served[0]}\n"
    )
    served[1].enqueue(text_reply("Hello from here!"))
    ran = subprocess.run(
        [sys.executable, "-m", "llm", "-m", "ours", *options, SAID],
        env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "Hello from here!"), ran.stderr
    assert served[1].requests[-1].json["messages"][-1]["content"] == SAID

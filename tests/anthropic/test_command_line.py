"""``--protocol anthropic``: the command line asks Anthropic's Messages."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys

import pytest
from anthropic_messages import AnyPath, error_reply, named, start, text_reply, tool_reply

from inferd_engine import cli
from inferd_engine.testing import Cut, Reply, Upstream, json_reply, text_reply as openai_reply

HERE = ("--protocol", "anthropic")
OVERLOADED = named({"type": "error", "error": {"type": "x", "message": "Overloaded"}})
MODELS = json_reply({"data": [{"id": "claude-x"}], "has_more": False})


@pytest.fixture
def here(capsys, monkeypatch):
    """Run a command in this process; give what a finished process would have."""

    def run_here(*arguments):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        code = cli.main(arguments)
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    return run_here


def test_chat(here):
    """A question is asked in the protocol's words, with its own settings."""
    with AnyPath(text_reply("Be", "cause.")) as upstream:
        ran = here(
            *("chat", "Why?", *HERE, "--base-url", upstream.url, "-m", "m", "-s", "Be brief."),
            *("-o", "cache=true", "-o", "thinking=low", "-o", "thinking_style=effort"),
        )
        assert (ran.returncode, ran.stdout) == (0, "Because.\n"), ran.stderr
        body = upstream.requests[0].json
    assert (body["model"], body["output_config"]) == ("m", {"effort": "low"})
    assert body["system"][0]["cache_control"] == {"type": "ephemeral"}


def test_events_for_programs(here):
    """A turn that has to go back unchanged is in the last event, each block with its type."""
    with AnyPath(tool_reply("f", {}, thought="hm")) as upstream:
        ran = here("chat", "Why?", *HERE, "--base-url", upstream.url, "-m", "m", "--json")
    assert [block["type"] for block in json.loads(ran.stdout.splitlines()[-1])["blocks"]] == [
        "thinking",
        "tool_use",
    ]


@pytest.mark.parametrize("protocol", ["anthropic", "openai"])
def test_a_pdf_is_attached(here, tmp_path, protocol):
    """A PDF is known by its first bytes, and goes in the protocol's shape."""
    (tmp_path / "report").write_bytes(b"%PDF-1.7 rest")
    reply = text_reply("ok") if protocol == "anthropic" else openai_reply("ok")
    with AnyPath(reply) as upstream:
        given = ("--protocol", protocol, "--base-url", upstream.url, "-m", "m", "-a", "report")
        ran = here("chat", "What?", *given)
        assert ran.returncode == 0, ran.stderr
        text, document = upstream.requests[0].json["messages"][0]["content"]
    assert text["text"] == "What?"
    if protocol == "anthropic":
        assert document["source"]["data"] == base64.b64encode(b"%PDF-1.7 rest").decode()
        assert document["title"] == "report"
    else:
        assert document["file"]["filename"] == "report"


def test_models(here):
    """Its models are listed."""
    with AnyPath(MODELS) as upstream:
        ran = here("models", *HERE, "--base-url", upstream.url)
    assert (ran.returncode, ran.stdout) == (0, "claude-x\n")


def test_doctor(here, monkeypatch):
    """The key, the list and a stream are looked at."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")
    with AnyPath(MODELS, text_reply("hi")) as upstream:
        ran = here("doctor", *HERE, "--base-url", upstream.url)
    assert ran.returncode == 0, ran.stdout
    assert "key: present (from ANTHROPIC_API_KEY)" in ran.stdout
    assert f"{upstream.url}/v1/models lists claude-x" in ran.stdout
    assert f"stream: {upstream.url}/v1/messages, claude-x: first event" in ran.stdout
    assert upstream.requests[0].headers["x-api-key"] == "sk-ant-1"


def test_doctor_and_a_refused_key(here):
    """A refused key has its exit code here, too."""
    with AnyPath(error_reply(401, "authentication_error", "invalid x-api-key")) as upstream:
        ran = here("doctor", *HERE, "--base-url", upstream.url)
    assert ran.returncode == 4
    assert "invalid x-api-key" in ran.stdout


def test_doctor_where_no_models_are_listed(here):
    """A server that has no list is asked all the same, and the protocol is not blamed."""
    with AnyPath(json_reply({"detail": "Not Found"}, 404), text_reply("hi")) as upstream:
        ran = here("doctor", *HERE, "--base-url", upstream.url, "-m", "m")
    assert ran.returncode == 0, ran.stdout
    assert "it lists no models" in ran.stdout
    assert "Messages" not in ran.stdout
    assert f"stream: {upstream.url}/v1/messages, m: first event" in ran.stdout


def test_doctor_and_another_model(here):
    """All pages are looked through before a model is said to be missing."""
    first = json_reply({"data": [{"id": "claude-x"}], "has_more": True, "last_id": "claude-x"})
    for model, code in (("claude-x", 0), ("claude-y", 0), ("claude-z", 5)):
        last = json_reply({"data": [{"id": "claude-y"}], "has_more": False})
        with AnyPath(first, last, text_reply("hi")) as upstream:
            ran = here("doctor", *HERE, "--base-url", upstream.url, "-m", model)
        assert ran.returncode == code, ran.stdout
        assert ("did you mean claude-" in ran.stdout) == bool(code)


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (error_reply(529, "overloaded_error", "Overloaded"), 1, "ask again later"),
        (error_reply(403, "permission_error", "not yours"), 4, "not yours"),
        (Reply([start(), Cut()]), 1, "the answer was cut"),
        (Reply([start()]), 1, "the answer was cut"),
        (Reply([start(), OVERLOADED]), 1, "the upstream reported an error: Overloaded"),
    ],
    ids=["overloaded", "refused", "cut", "ended", "error"],
)
def test_doctor_and_a_stream_that_fails(here, reply, code, words):
    """A list that is there does not hide a stream that is not."""
    with AnyPath(MODELS, reply) as upstream:
        ran = here("doctor", *HERE, "--base-url", upstream.url)
    assert ran.returncode == code, ran.stdout
    stream = ran.stdout.splitlines()[-1]
    assert stream.startswith("stream: ")
    assert words in stream


def test_doctor_and_a_token(here, monkeypatch):
    """A bearer token is found in its own variable, and the key wins over it."""
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-5")
    with AnyPath(MODELS, text_reply("hi")) as upstream:
        ran = here("doctor", *HERE, "--base-url", upstream.url)
    assert "key: present (from ANTHROPIC_AUTH_TOKEN)" in ran.stdout
    assert upstream.requests[0].headers["authorization"] == "Bearer token-5"
    assert "token-5" not in ran.stdout
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key-5")
    with AnyPath(MODELS, text_reply("hi")) as upstream:
        ran = here("doctor", *HERE, "--base-url", upstream.url)
    assert "key: present (from ANTHROPIC_API_KEY)" in ran.stdout
    assert "authorization" not in upstream.requests[0].headers


def test_doctor_without_an_upstream(here, monkeypatch):
    """The key that would be sent is that of the protocol's maker."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1")
    ran = here("doctor", *HERE)
    assert ran.returncode == 0
    assert "key: none (ANTHROPIC_API_KEY is not set)" in ran.stdout
    assert "upstream: none" in ran.stdout


def test_a_server_of_the_other_protocol(here):
    """It is named, and with it the way."""
    with Upstream() as upstream:
        ran = here("chat", "hi", *HERE, "--base-url", upstream.url, "-m", "m")
    assert ran.returncode == 1
    assert "OpenAiCompat" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            [*HERE],
            "or set ANTHROPIC_BASE_URL, or ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN for Anthropic",
        ),
        ([*HERE, "--preset", "groq"], "there are anthropic, deepseek"),
        ([*HERE, "--preset", "minmax"], "did you mean minimax?"),
        ([*HERE, "--base-url", ":9", "-o", "include_usage=false"], "-o include_usage=… is nothing"),
        (["--base-url", ":9", "-o", "cache=true"], "-o cache=… is nothing"),
        (["--protocol", "gemini"], "invalid choice: 'gemini'"),
    ],
)
def test_what_is_refused(here, arguments, words):
    """What does not fit the protocol is a mistake in the command, told in one sentence."""
    ran = here("chat", "hi", "-m", "m", *arguments)
    assert ran.returncode == 2
    assert words in ran.stderr

"""``--protocol bedrock``: the command line asks Bedrock's Converse."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from anthropic_messages import AnyPath
from event_streams import event

from inferd_engine import cli
from inferd_engine.testing import Reply, json_reply

HERE = ("--protocol", "bedrock")
STREAM = {"Content-Type": "application/vnd.amazon.eventstream"}


@pytest.fixture
def here(capsys, monkeypatch):
    """Run a command in this process; give what a finished process would have."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")

    def run_here(*arguments):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        code = cli.main(arguments)
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    return run_here


def text_reply(word):
    frames = [
        event("contentBlockDelta", contentBlockIndex=0, delta={"text": word}),
        event("messageStop", stopReason="end_turn"),
        event("metadata", usage={"inputTokens": 3, "outputTokens": 5}),
    ]
    return Reply(frames, headers=STREAM)


def test_chat(here, monkeypatch):
    """A question is asked in the protocol's words, with its own settings and its own key."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token-0123456789")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1")
    with AnyPath(text_reply("Because.")) as upstream:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", upstream.url)
        ran = here("chat", "Why?", *HERE, "-m", "m", "-o", "guardrail_id=g", "-o", "cache=true")
        assert (ran.returncode, ran.stdout) == (0, "Because.\n"), ran.stderr
        asked = upstream.requests[0]
    assert asked.path == "/model/m/converse-stream"
    assert asked.headers["authorization"] == "Bearer token-0123456789"
    assert asked.json["guardrailConfig"]["guardrailIdentifier"] == "g"


def test_doctor(here, monkeypatch):
    """Bedrock lists no models here; whether it streams is tried with the one that is named."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token-0123456789")
    with AnyPath(text_reply("hi")) as upstream:
        ran = here("doctor", *HERE, "--base-url", upstream.url, "-m", "m")
    assert ran.returncode == 0, ran.stderr
    assert "key: present (from AWS_BEARER_TOKEN_BEDROCK)" in ran.stdout
    assert "models: Bedrock lists its models elsewhere" in ran.stdout
    assert f"stream: {upstream.url}/model/m/converse-stream, m: first event after" in ran.stdout


def test_doctor_where_requests_are_signed(here, monkeypatch):
    """Without a token a request is signed, and a refusal has the exit code of a key."""
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-0123456789")
    from inferd_engine.backends.bedrock import signing

    signing._chain.cache_clear()
    with AnyPath(json_reply({"message": "no"}, 403)) as upstream:
        ran = here("doctor", *HERE, "--base-url", upstream.url, "-m", "m")
    assert ran.returncode == cli.EXIT_KEY
    assert "key: none (AWS_BEARER_TOKEN_BEDROCK is not set): requests are signed" in ran.stdout
    assert "it was signed for eu-central-1" in ran.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["chat", "hi"], "model is empty"),
        (["chat", "hi", "-m", "m", "--preset", "groq"], "there is no preset 'groq' of Bedrock's"),
        (["chat", "hi", "-m", "m", "-o", "betas=x"], "-o betas=… is nothing"),
        (["models"], "aws bedrock list-inference-profiles"),
        (["doctor"], "model is empty"),
    ],
)
def test_what_is_refused(here, command, words):
    """What does not fit the protocol is a mistake in the command, told in one sentence."""
    ran = here(*command, *HERE, "--base-url", ":9")
    assert ran.returncode == cli.EXIT_USAGE
    assert words in ran.stderr


@pytest.mark.parametrize("command", [["chat", "hi"], ["doctor"], ["models"]])
def test_a_region_is_needed(here, monkeypatch, command):
    """Where no region is named, that is what is missing."""
    monkeypatch.delenv("AWS_REGION")
    ran = here(*command, *HERE, "-m", "m")
    assert ran.returncode == cli.EXIT_USAGE
    assert "set AWS_REGION" in ran.stderr
    assert "base_url" not in ran.stderr

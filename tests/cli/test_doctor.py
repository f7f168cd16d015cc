"""``doctor``: what is installed, which key, which models, a stream; the code says what to mend."""

from __future__ import annotations

import socket

import pytest

from inferd_engine import cli
from inferd_engine.testing import Reply, Upstream, error_reply, json_reply


def test_without_an_upstream(here, monkeypatch):
    """It says what is installed and whether there is a key, never the key; nobody is asked."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    ran = here("doctor")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "SSE decoder: " in ran.stdout
    assert "key: present (from OPENAI_API_KEY)" in ran.stdout
    assert "--base-url" in ran.stdout
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("WORK_KEY", "sk-secret")
    assert "key: none (OPENAI_API_KEY is not set)" in here("doctor").stdout
    assert "key: present (from WORK_KEY)" in here("doctor", "--key-from", "WORK_KEY").stdout
    assert "key: none\n" in here("doctor", "--key-from", "").stdout
    assert "sk-secret" not in ran.stdout


def test_all_is_well(here):
    """With an upstream it lists the models and streams a token."""
    with Upstream() as upstream:
        ran = here("doctor", "--base-url", upstream.url)
        named = here("doctor", "--base-url", upstream.url, "-m", "test-model")
    for one in (ran, named):
        assert (one.returncode, one.stderr) == (0, "")
        assert f"models: {upstream.url}/v1/models lists test-model\n" in one.stdout
        assert f"{upstream.url}/v1/chat/completions, test-model: first event after" in one.stdout


def test_a_model_that_is_not_listed(here):
    """Exit code 5, and the one that is close is named."""
    with Upstream(models=["qwen3:8b", "other"]) as upstream:
        ran = here("doctor", "--base-url", upstream.url, "-m", "qwen3")
    assert ran.returncode == cli.EXIT_MODEL
    assert "model: qwen3 is not among them: did you mean qwen3:8b?" in ran.stdout


def test_of_several_models_none_is_tried(here):
    """A model may be large and cost money: none is tried that was not named."""
    with Upstream(models=[f"m{n}" for n in range(9)]) as upstream:
        ran = here("doctor", "--base-url", upstream.url)
    assert ran.returncode == 0
    assert "lists m0, m1, m2, m3, m4 and 4 more" in ran.stdout
    assert "stream: not tried: name one of the models with --model" in ran.stdout
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("key", ["", "sk-wrong"])
def test_a_key_that_is_refused(here, monkeypatch, key):
    """Exit code 4, whether the key is wrong or was not sent."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with Upstream(api_key="sk-1") as upstream:
        ran = here("doctor", "--base-url", upstream.url, "-m", "m")
    assert ran.returncode == cli.EXIT_KEY
    assert "401" in ran.stdout
    assert "sk-" not in ran.stdout


def test_a_key_that_lists_and_does_not_ask(here):
    """Exit code 4 as well if the models are for everybody and the answers are not."""
    with Upstream(error_reply(403, "no credit")) as upstream:
        ran = here("doctor", "--base-url", upstream.url)
    assert ran.returncode == cli.EXIT_KEY


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (error_reply(500, "out of memory"), "out of memory"),
        (Reply([]), "stream: "),
        (json_reply({"error": {"message": "no such thing"}}), "no such thing"),
    ],
    ids=["500", "nothing", "error"],
)
def test_no_stream(here, reply, words):
    """An upstream that lists models and does not stream is found out: exit code 1."""
    with Upstream(reply) as upstream:
        ran = here("doctor", "--base-url", upstream.url)
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert words in ran.stdout


def test_a_wrong_path(here):
    """Exit code 1, and where the models were looked for."""
    with Upstream() as upstream:
        ran = here("doctor", "--base-url", upstream.url + "/x")
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert "/x/models" in ran.stdout


def test_nobody_listens(here):
    """Exit code 1, with the next step."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ran = here("doctor", "--base-url", f"http://127.0.0.1:{port}")
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert "nothing listens at" in ran.stdout


def test_a_query_is_not_shown(here):
    """The query of an address may hold a key."""
    with Upstream() as upstream:
        ran = here("doctor", "--base-url", f"{upstream.url}/v1?key=sk-secret")
    assert "sk-secret" not in ran.stdout + ran.stderr

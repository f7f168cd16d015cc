"""What fails is told in a line or two, with the next step; the exit code says who must act."""

from __future__ import annotations

import socket

import pytest
from cli.running import run

from inferd_engine import cli
from inferd_engine.testing import (
    Cut,
    Reply,
    Stall,
    Upstream,
    chunk,
    error_reply,
    event,
    text_reply,
)


def test_nobody_listens(here):
    """A refused connection is one clear line with the next step, and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ran = here("chat", "x", "--base-url", f"http://127.0.0.1:{port}")
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr.count("\n") == 1
    assert "nothing listens at" in ran.stderr
    assert "running?" in ran.stderr


@pytest.mark.parametrize("model", [[], ["-m", "m"]], ids=["listed", "named"])
@pytest.mark.parametrize(
    ("path", "key", "words"),
    [
        ("/wrong", "sk-1", ["404", "/wrong/chat/completions", "base_url"]),
        ("", "sk-2", ["401", "OPENAI_API_KEY"]),
        ("", "", ["401", "no key was sent"]),
    ],
)
def test_a_wrong_path_or_key(here, monkeypatch, path, key, words, model):
    """A wrong path or key is one clear line; the key is never shown."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with Upstream(api_key="sk-1") as upstream:
        ran = here("chat", "x", *model, "--base-url", upstream.url + path)
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr.count("\n") == 1
    assert all(word in ran.stderr for word in words)
    assert "sk-" not in ran.stderr + ran.stdout


@pytest.mark.parametrize(
    ("after", "words"),
    [("12", "try again in 12 s"), ("0.2", "try again in 1 s"), ("0", "try again in 1 s")],
)
def test_how_long_to_wait(here, after, words):
    """Where the upstream says how long to wait, so does the message."""
    reply = error_reply(429, "slow down", headers={"Retry-After": after})
    with Upstream(reply) as upstream:
        ran = here("chat", "x", "--base-url", upstream.url)
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr.endswith(f"{words}\n")
    assert "429" in ran.stderr


@pytest.mark.parametrize(
    "reply",
    [
        Reply([chunk("half"), Cut()]),
        text_reply("half", finish_reason="abort"),
        Reply([chunk("half"), event({"error": "out of memory"})]),
        Reply([chunk("half"), Stall()]),
    ],
    ids=["cut", "given up", "error", "stalled"],
)
def test_a_cut_answer(here, reply):
    """A cut answer has an exit code of its own, and what came is on stdout."""
    with Upstream(reply) as upstream:
        ran = here("chat", "x", "-o", "idle_timeout=0.3", "--base-url", upstream.url)
    assert ran.returncode == cli.EXIT_CUT
    assert ran.stdout.strip() == "half"
    assert ran.stderr.startswith("error: ")
    assert ran.stderr.count("\n") == 1


def test_an_upstream_cannot_draw_on_a_log(here):
    """What an upstream says of an error is one line, without control characters."""
    with Upstream(error_reply(500, "a\x1b[2Jb\nerror: c\u202e")) as upstream:
        ran = here("chat", "x", "--base-url", upstream.url)
    assert ran.stderr.count("\n") == 1
    assert "\x1b" not in ran.stderr
    assert "\u202e" not in ran.stderr


@pytest.mark.parametrize("env", [{}, {"INFERD_ENGINE_DEBUG": "0"}, {"INFERD_ENGINE_DEBUG": "1"}])
def test_a_traceback_only_for_those_who_debug(env):
    """INFERD_ENGINE_DEBUG=1 shows where it happened; the line and the code stay."""
    ran = run("chat", "x", "--base-url", "http://127.0.0.1:9", "-m", "m", env=env)
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ("Traceback" in ran.stderr) == (env.get("INFERD_ENGINE_DEBUG") == "1")
    assert ran.stderr.splitlines()[-1].startswith("error: nothing listens at")


def test_what_should_not_happen(here, monkeypatch):
    """A fault of ours is two lines that say how to see more, and exit code 1."""
    from inferd_engine.cli import doctor

    monkeypatch.setattr(doctor, "run", lambda _: {}["no such key"])
    ran = here("doctor")
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr.count("\n") == 2
    assert "INFERD_ENGINE_DEBUG=1" in ran.stderr
    monkeypatch.setenv("INFERD_ENGINE_DEBUG", "1")
    assert "Traceback" in here("doctor").stderr

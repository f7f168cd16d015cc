"""``--json``: for programs, one event a line; the last one says how it ended."""

from __future__ import annotations

import json
import signal
import socket

import pytest
from cli.running import TIMEOUT, run, start

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
    tool_call_reply,
)


def events(ran):
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture
def ask(here):
    """Ask an upstream that replies so; give the finished command."""

    def run_it(reply, *arguments):
        with Upstream(reply) as upstream:
            return here("chat", "?", "--json", *arguments, "--base-url", upstream.url)

    return run_it


def test_one_event_a_line(ask):
    """Each event is an object with its type and fields; ``done`` is the last."""
    ran = ask(tool_call_reply("f", {"a": "ü"}, tool_call_id="c"))
    call, done = events(ran)
    assert call == {
        "type": "tool_use",
        "tool_call_id": "c",
        "name": "f",
        "input": {"a": "ü"},
        "extra": {},
    }
    assert (done["type"], done["stop_reason"], done["usage"]) == ("done", "tool_use", None)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_thoughts_are_events_unless_they_are_not_wanted(ask):
    """--no-thinking leaves them out."""
    reply = Reply([chunk(reasoning_content="Hm."), chunk("Yes."), chunk(finish_reason="stop")])
    assert [e["type"] for e in events(ask(reply))] == ["thinking", "text", "done"]
    assert [e["type"] for e in events(ask(reply, "--no-thinking"))] == ["text", "done"]


@pytest.mark.parametrize(
    ("reply", "types", "error", "code"),
    [
        (Reply([chunk("half"), Cut()]), ["text"], "StreamInterruptedError", cli.EXIT_CUT),
        (
            text_reply("half", finish_reason="abort"),
            ["text", "done"],
            "StreamInterruptedError",
            cli.EXIT_CUT,
        ),
        (
            Reply([chunk("half"), event({"error": "out of memory"})]),
            ["text"],
            "UpstreamError",
            cli.EXIT_CUT,
        ),
        (Reply([Cut()]), [], "StreamInterruptedError", cli.EXIT_CUT),
        (error_reply(500, "no"), [], "HttpStatusError", cli.EXIT_UPSTREAM),
    ],
    ids=["cut", "given up", "error", "cut at once", "refused"],
)
def test_a_failure_ends_with_an_error_event(ask, reply, types, error, code):
    """What had come is there, then the error; people read it on stderr."""
    ran = ask(reply)
    *before, last = events(ran)
    assert [e["type"] for e in before] == types
    assert (last["type"], last["error"]) == ("error", error)
    assert isinstance(last["retryable"], bool)
    assert "request_id" in last
    assert last["message"] in ran.stderr
    assert ran.returncode == code


def test_an_error_event_has_the_attributes_of_its_class(ask):
    """Whoever reads it can wait as long as the upstream says."""
    reply = error_reply(429, "slow down", headers={"Retry-After": "12", "x-request-id": "r7"})
    (last,) = events(ask(reply))
    assert (last["status"], last["retry_after"], last["request_id"]) == (429, 12.0, "r7")
    assert last["retryable"] is True


def test_what_is_refused_before_anybody_is_asked(here):
    """A wrong request is an error event, too."""
    ran = here("chat", " ", "--json", "--base-url", "http://127.0.0.1:9")
    (last,) = events(ran)
    assert (last["error"], ran.returncode) == ("InvalidRequestError", cli.EXIT_USAGE)


def test_a_key_is_in_no_event(here, monkeypatch):
    """A key that the upstream says back is not in an event."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    with Upstream(error_reply(400, "bad key sk-0123456789")) as upstream:
        ran = here("chat", "?", "--json", "-m", "m", "--base-url", upstream.url)
    assert "sk-0123" not in ran.stdout + ran.stderr


def test_ascii_is_json_too():
    """Where the encoding lacks characters they are escaped, and the JSON says the same."""
    with Upstream(text_reply("日本 🦀")) as upstream:
        arguments = ["chat", "?", "--json", "--base-url", upstream.url]
        ran = run(*arguments, env={"PYTHONIOENCODING": "ascii"})
    assert ran.stdout.isascii()
    assert "".join(e.get("delta", "") for e in events(ran)) == "日本 🦀"


def test_an_interrupt_ends_with_an_error_event():
    """Ctrl-C is told as an event, and by the exit code."""
    with Upstream(Reply([chunk("a"), Stall()])) as upstream:
        with start("chat", "?", "--json", "-m", "m", "--base-url", upstream.url) as process:
            first = json.loads(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            last = json.loads(process.stdout.readline())
            assert process.wait(TIMEOUT) == cli.EXIT_INTERRUPTED
    assert (first["delta"], last["error"]) == ("a", "RequestCancelledError")


def test_nobody_listens(here):
    """A refused connection is an error event that may be retried."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (last,) = events(here("chat", "?", "--json", "--base-url", f"http://127.0.0.1:{port}"))
    assert (last["error"], last["retryable"]) == ("TransportError", True)

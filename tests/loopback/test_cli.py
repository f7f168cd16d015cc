"""The command line, run as a user runs it: a process of its own."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest

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

TIMEOUT = 30  # seconds: a process takes a fraction of one


def run(*arguments, stdin="", environment=None, **options):
    """Run the command line; give the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "inferd_engine", *arguments],
        input=stdin,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
        **options,
    )


def test_demo():
    """Demo streams an answer over the real path and says what happened."""
    ran = run("demo")
    assert ran.returncode == 0, ran.stderr
    assert "日本語" in ran.stdout
    assert "🦀" in ran.stdout
    assert "```python" in ran.stdout
    assert "[tool call close_stream(" in ran.stderr
    for word in ("events in", "first after", "a second", "SSE decoder: "):
        assert word in ran.stderr


def test_chat_prints_text_on_stdout():
    """Chat prints the text alone on stdout."""
    with Upstream() as upstream:
        ran = run("chat", "hello there", "--base-url", upstream.url, "--system", "Be brief.")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "You said: hello there\n", "")
    assert upstream.requests[0].json["messages"][0] == {"role": "system", "content": "Be brief."}


def test_chat_reads_stdin_and_the_environment():
    """Without a prompt stdin is read; base URL, key and options come from where they should."""
    with Upstream(api_key="sk-1") as upstream:
        environment = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": "sk-1"}
        ran = run(
            "chat",
            "--model=m7",
            "--max-tokens=3",
            "--temperature=0.5",
            stdin="from stdin\n",
            environment=environment,
        )
    assert (ran.returncode, ran.stdout) == (0, "You said: from\n")
    assert "[max_tokens]" in ran.stderr
    sent = upstream.requests[0].json
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("m7", 3, 0.5)


def test_chat_as_json():
    """--json prints one event a line."""
    with Upstream(tool_call_reply("f", {"a": "ü"}, tool_call_id="c")) as upstream:
        ran = run("chat", "x", "--json", "--base-url", upstream.url)
    call, done = [json.loads(line) for line in ran.stdout.splitlines()]
    assert call == {
        "type": "tool_use",
        "tool_call_id": "c",
        "name": "f",
        "input": {"a": "ü"},
        "extra": {},
    }
    assert (done["type"], done["stop_reason"]) == ("done", "tool_use")


def test_nobody_listens():
    """A refused connection is one clear line with the next step, and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ran = run("chat", "x", "--base-url", f"http://127.0.0.1:{port}")
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr.count("\n") == 1
    assert "nothing listens at" in ran.stderr
    assert "running?" in ran.stderr


@pytest.mark.parametrize(
    ("path", "key", "words"),
    [
        ("/wrong", "sk-1", ["404", "/wrong/chat/completions", "base_url"]),
        ("", "sk-2", ["401", "OPENAI_API_KEY"]),
        ("", "", ["401", "no key was sent"]),
    ],
)
def test_a_wrong_path_or_key(path, key, words):
    """A wrong path or key is one clear line; the key is never shown."""
    with Upstream(api_key="sk-1") as upstream:
        environment = {"OPENAI_API_KEY": key}
        ran = run("chat", "x", "--base-url", upstream.url + path, environment=environment)
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr.count("\n") == 1
    assert all(word in ran.stderr for word in words)
    assert "sk-" not in ran.stderr + ran.stdout


def test_a_wrong_request():
    """A request that cannot be sent has exit code 2."""
    ran = run("chat", "x", "--max-tokens", "0", "--base-url", "http://127.0.0.1:9")
    assert ran.returncode == cli.EXIT_USAGE
    assert "max_tokens" in ran.stderr


@pytest.mark.parametrize(
    "reply",
    [
        Reply([chunk("half"), Cut()]),
        text_reply("half", finish_reason="abort"),
        Reply([chunk("half"), event({"error": "out of memory"})]),
    ],
    ids=["cut", "given up", "error"],
)
def test_a_cut_answer(reply):
    """A cut answer has an exit code of its own, and what came is on stdout."""
    with Upstream(reply) as upstream:
        ran = run("chat", "x", "--base-url", upstream.url)
    assert ran.returncode == cli.EXIT_CUT
    assert ran.stdout.strip() == "half"
    assert "error:" in ran.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_stops_the_upstream():
    """Ctrl-C closes the connection, prints no traceback, and exits with 130."""
    with Upstream(Reply([chunk("a"), Stall()])) as upstream:
        command = [sys.executable, "-m", "inferd_engine", "chat", "x", "--base-url", upstream.url]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.read(1) == "a"
            process.send_signal(signal.SIGINT)
            assert upstream.requests[0].gone.wait(5.0)
            _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == cli.EXIT_INTERRUPTED
    assert "Traceback" not in errors


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk():
    """When stdout cannot be written, one line says so."""
    with Upstream() as upstream, pathlib.Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "inferd_engine", "chat", "x", "--base-url", upstream.url]
        ran = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False
        )
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr.startswith("error: stdout cannot be written")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX pipes")
def test_a_broken_pipe_is_quiet():
    """When nobody reads on, the command stops without a word."""
    with Upstream(Reply([chunk("x" * 100_000)] * 20)) as upstream:
        command = [sys.executable, "-m", "inferd_engine", "chat", "x", "--base-url", upstream.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.read(1)
            process.stdout.close()
            errors = process.stderr.read()
            process.wait(TIMEOUT)
    assert errors == b""
    assert process.returncode == cli.EXIT_PIPE


def test_doctor_without_an_upstream():
    """Doctor says what is installed and whether there is a key, never the key."""
    ran = run("doctor", environment={"OPENAI_API_KEY": "sk-secret"})
    assert ran.returncode == 0
    assert "SSE decoder: " in ran.stdout
    assert "key: present (from OPENAI_API_KEY)" in ran.stdout
    assert "sk-secret" not in ran.stdout + ran.stderr
    assert "key: none" in run("doctor").stdout


def test_doctor_asks_the_upstream():
    """With a base URL doctor lists the models and streams a token."""
    with Upstream() as upstream:
        ran = run("doctor", "--base-url", upstream.url, "--model", "test-model")
        wrong = run("doctor", "--base-url", upstream.url + "/x")
    assert ran.returncode == 0
    assert f"{upstream.url}/v1/models lists test-model" in ran.stdout
    assert f"{upstream.url}/v1/chat/completions: first event after" in ran.stdout
    assert wrong.returncode == cli.EXIT_UPSTREAM
    assert "/x/models" in wrong.stdout


def test_doctor_tells_what_went_wrong():
    """An upstream that lists models and refuses to answer is found out."""
    with Upstream(error_reply(500, "out of memory")) as upstream:
        ran = run("doctor", "--base-url", upstream.url)
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert "out of memory" in ran.stdout


def test_help_names_the_exit_codes():
    """The exit codes are documented where they are looked for."""
    assert "130" in run("chat", "--help").stdout
    assert run("--version").stdout.startswith("inferd-engine ")
    assert run().returncode == cli.EXIT_USAGE


def test_a_terminal_is_safe():
    """Escape sequences of a model do not reach a terminal."""
    assert cli.printable_text("a\x1b[2Jb\u202ec\n\td") == "a\ufffd[2Jb\ufffdc\n\td"


def test_an_interrupt_without_a_process(capsys):
    """main() gives 130 and leaves no thread when it is interrupted."""
    with Upstream(Reply([chunk("a"), Stall()])) as upstream:
        main = threading.main_thread().ident
        waker = threading.Thread(
            target=lambda: (
                upstream.wait_for_request(),
                signal.pthread_kill(main, signal.SIGINT),
            )
        )
        waker.start()
        assert cli.main(["chat", "x", "--base-url", upstream.url]) == cli.EXIT_INTERRUPTED
        waker.join()
    assert "stopped" in capsys.readouterr().err

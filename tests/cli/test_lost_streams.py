"""Closed, broken, full and narrow-minded streams: a line or nothing, and never a traceback."""

from __future__ import annotations

import pathlib
import subprocess

import pytest
from cli.running import COMMAND, TIMEOUT, environment, run, start

from inferd_engine import cli
from inferd_engine.testing import Reply, Upstream, chunk, text_reply

HAS_FULL = pathlib.Path("/dev/full").exists()


def shell(redirection, *arguments, env=None):
    """Run a command with its streams redirected by a shell."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" "$@" {redirection}', *COMMAND, *arguments],
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("command", ["chat", "demo", "doctor", "models", "version", "help"])
def test_a_closed_stdout(command):
    """Nobody is asked for an answer that nobody can read."""
    with Upstream() as upstream:
        words = {"chat": ["hi"], "version": [], "help": [], "demo": []}.get(command, [])
        where = [] if command in ("demo", "version", "help") else ["--base-url", upstream.url]
        ran = shell(">&-", command, *words, *where)
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr == "error: stdout cannot be written: it is closed\n"
    assert upstream.requests == []


def test_a_closed_stderr():
    """The answer is all there is; the code says what nobody could be told."""
    with Upstream(text_reply("a b", finish_reason="length")) as upstream:
        ran = shell("2>&-", "chat", "hi", "--base-url", upstream.url)
        failed = shell("2>&-", "chat", "hi", "--base-url", upstream.url + "/x")
    assert (ran.returncode, ran.stdout) == (0, "a b\n")
    assert (failed.returncode, failed.stdout) == (cli.EXIT_UPSTREAM, "")


def test_all_closed():
    """A connection that gets the number of a closed stream is not written to by mistake."""
    with Upstream() as upstream:
        ran = shell("<&- >&- 2>&-", "chat", "hi", "--base-url", upstream.url)
        assert ran.returncode == cli.EXIT_UPSTREAM
        ran = shell("<&- 2>&-", "chat", "hi", "--base-url", upstream.url)
    assert (ran.returncode, ran.stdout) == (0, "You said: hi\n")


@pytest.mark.skipif(not HAS_FULL, reason="needs a device that is full")
@pytest.mark.parametrize("command", ["chat", "demo", "doctor", "models", "version", "help", "json"])
def test_a_full_disk(command):
    """When stdout cannot be written, one line says so."""
    with Upstream() as upstream:
        where = ["--base-url", upstream.url]
        words = {"chat": ["hi", *where], "doctor": where, "models": where}.get(command, [])
        if command == "json":
            command, words = "chat", ["hi", "--json", *where]
        ran = shell("> /dev/full", command, *words)
    assert ran.returncode == cli.EXIT_UPSTREAM
    assert ran.stderr == "error: stdout cannot be written: No space left on device\n"


@pytest.mark.skipif(not HAS_FULL, reason="needs a device that is full")
def test_a_full_disk_for_errors():
    """When stderr cannot be written the answer still comes."""
    with Upstream(text_reply("a b", finish_reason="length")) as upstream:
        ran = shell("2> /dev/full", "chat", "hi", "--base-url", upstream.url)
    assert (ran.returncode, ran.stdout) == (0, "a b\n")


@pytest.mark.parametrize("extra", [[], ["--json"]], ids=["text", "json"])
def test_a_broken_pipe_is_quiet(extra):
    """When nobody reads on, the command stops without a word, and the upstream is told."""
    with Upstream(Reply([chunk("x" * 100_000)] * 100)) as upstream:
        with start("chat", "x", "-m", "m", *extra, "--base-url", upstream.url) as process:
            process.stdout.read(1)
            process.stdout.close()
            errors = process.stderr.read()
            process.wait(TIMEOUT)
        assert upstream.requests[0].gone.wait(TIMEOUT)
    assert errors == b""
    assert process.returncode == cli.EXIT_PIPE


@pytest.mark.parametrize("command", ["help", "demo"])
def test_a_broken_pipe_of_any_command(command):
    """``inferd-engine help | true`` is quiet, too."""
    with start(command) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(TIMEOUT) in (cli.EXIT_PIPE, 0)


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LANG": "C", "LC_ALL": "C"},
    ],
    ids=["ascii", "C", "latin-1", "C with UTF-8"],
)
def test_an_encoding_without_most_characters(env):
    """What cannot be printed becomes a question mark; the answer is whole."""
    with Upstream(text_reply("über 日本 🦀!", finish_reason="length")) as upstream:
        ran = run("chat", "hi", "--base-url", upstream.url, env=env, encoding="latin-1")
        failed = run("chat", "hi", "-s", "日本", "-o", "日=1", "--base-url", ":1", env=env)
    assert ran.returncode == 0
    assert ran.stdout.endswith("!\n")
    assert failed.returncode == cli.EXIT_UPSTREAM
    assert "Traceback" not in ran.stderr + failed.stderr


def test_stdout_and_stderr_in_one_file(tmp_path):
    """What is told of an answer stands behind it."""
    with Upstream(text_reply("a b", finish_reason="length")) as upstream:
        both = tmp_path / "both"
        ran = shell(f"> {both} 2>&1", "chat", "hi", "--base-url", upstream.url)
    assert (ran.returncode, both.read_text()) == (0, "a b\n[max_tokens]\n")

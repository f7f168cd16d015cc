"""The prompt: words, what is piped in, both; text or refused; nothing is dropped."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from cli.running import COMMAND, TIMEOUT, environment, run, start

from inferd_engine import cli
from inferd_engine.testing import Upstream

BOM = b"\xef\xbb\xbf"


@pytest.fixture
def asked(here):
    """Ask in this process, or in one with another environment; give the question that was sent."""

    def ask(*words, stdin=b"", env=None):
        with Upstream() as upstream:
            arguments = ["chat", "--base-url", upstream.url, *words]
            ran = (
                here(*arguments, stdin=stdin)
                if env is None
                else run(*arguments, stdin=stdin, env=env)
            )
        assert ran.returncode == 0, ran.stderr
        return upstream.requests[-1].json["messages"][-1]["content"]

    return ask


@pytest.fixture
def refused(here):
    """Ask, and give why it was refused; nobody is asked."""

    def ask(*words, stdin=b""):
        with Upstream() as upstream:
            ran = here("chat", "--base-url", upstream.url, *words, stdin=stdin)
        assert (ran.returncode, ran.stdout) == (cli.EXIT_USAGE, "")
        assert upstream.requests == []
        assert ran.stderr.startswith("error: ")
        assert ran.stderr.count("\n") <= 2
        return ran.stderr

    return ask


@pytest.mark.parametrize(
    ("words", "stdin", "prompt"),
    [
        (["Why?"], b"", "Why?"),
        (["Why", "is", "the sky", "blue?"], b"", "Why is the sky blue?"),
        ([], b"piped", "piped"),
        ([], b"two\nlines\n", "two\nlines\n"),
        (["-"], b"piped", "piped"),
        (["Explain"], b"code\n", "Explain\n\ncode\n"),
        (["Explain", "this", "-"], b"code", "Explain this\n\ncode"),
        (["-", "Explain", "this"], b"code", "code\n\nExplain this"),
        (["What", "is", "3", "-", "2?"], b"", "What is 3 - 2?"),
        (["Explain"], b" \n", "Explain"),
        ([""], b"piped", "piped"),
        (["--", "--help", "-m"], b"", "--help -m"),
        (["Is", "-1", "--", "-2?"], b"", "Is -1 -2?"),
    ],
)
def test_words_and_stdin(asked, words, stdin, prompt):
    """Words come first, then what is piped in, unless ``-`` says otherwise."""
    assert asked(*words, stdin=stdin) == prompt


def test_options_among_the_words(asked):
    """Options may stand anywhere."""
    assert asked("Why", "-m", "m7", "is", "--max-tokens", "9", "it", "--no-thinking", "so?") == (
        "Why is it so?"
    )


@pytest.mark.parametrize(
    ("stdin", "prompt"),
    [
        (BOM + "über".encode(), "über"),
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (BOM + b"a\r\n", "a\n"),
        ("日本語 🦀\n".encode(), "日本語 🦀\n"),
        (b"a\0b", "a\0b"),
    ],
    ids=["mark", "CRLF", "both", "wide", "NUL"],
)
@pytest.mark.parametrize(
    "env",
    [None, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}],
    ids=["utf-8", "ascii", "C"],
)
def test_stdin_is_utf_8(asked, stdin, prompt, env):
    """Bytes that are piped in are UTF-8, whatever the locale; a mark and CR go."""
    assert asked(stdin=stdin, env=env) == prompt


def test_a_file_that_is_larger_than_a_pipe(asked):
    """200 KB arrive whole."""
    text = "".join(f"line {n}: über\n" for n in range(13_000))
    assert len(text) > 200_000
    assert asked("Sum up:", stdin=text.encode(), env={}) == f"Sum up:\n\n{text}"


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b"caf\xe9", ["stdin is not UTF-8", "0xe9", "position 3", "line 1", "iconv -f latin1"]),
        (b"a\nb\nc\xff", ["0xff", "position 5", "line 3"]),
        ("hi".encode("utf-16"), ["UTF-16", "iconv -f utf-16"]),
        (b"\x89PNG\r\n\x1a\n", ["0x89", "position 0", "-a FILE"]),
        ("über".encode()[:1], ["0xc3"]),
        (b"\xed\xa0\x80", ["0xed"]),
    ],
    ids=["latin-1", "third line", "utf-16", "image", "cut", "surrogate"],
)
def test_what_is_no_text_is_refused(refused, stdin, words):
    """The byte is named, its place, and a way out."""
    for given in ([], ["Explain"]):
        told = refused(*given, stdin=stdin)
        assert all(word in told for word in words), told


@pytest.mark.parametrize("words", [[], [""], ["  "], ["-"]])
@pytest.mark.parametrize("stdin", [b"", b"\n", BOM, b" \r\n\t"])
def test_an_empty_prompt_is_refused(refused, words, stdin):
    """Blanks are no question."""
    assert "the prompt is empty" in refused(*words, stdin=stdin)


def test_bytes_on_the_command_line(asked, refused):
    """Words are UTF-8 whatever the locale is; what is not is refused."""
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert asked("über", env=env) == "über"
    told = refused(os.fsdecode(b"caf\xe9"))
    assert "the prompt is not UTF-8: byte 0xe9 at position 3" in told
    assert "--system is not UTF-8" in refused("x", "-s", os.fsdecode(b"\xe9"))


def test_a_closed_stdin():
    """Without stdin the words are enough; without words there is no prompt."""
    with Upstream() as upstream:
        script = f'exec "$0" -m inferd_engine chat "$@" --base-url {upstream.url} <&-'
        for words, code, told in ((["hi"], 0, b""), ([], cli.EXIT_USAGE, b"the prompt is empty")):
            ran = subprocess.run(
                ["/bin/sh", "-c", script, COMMAND[0], *words],
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
            assert ran.returncode == code, ran.stderr
            assert told in ran.stderr
            assert b"Traceback" not in ran.stderr


class Unreadable(io.RawIOBase):
    """What test runners put in the place of stdin."""

    def readable(self):
        return True

    def readinto(self, _):
        raise io.UnsupportedOperation("there is nothing to read here")


@pytest.mark.parametrize(
    ("stand_in", "said"),
    [
        (lambda: io.StringIO("a file"), "hi\n\na file"),
        (lambda: io.TextIOWrapper(io.BufferedReader(Unreadable())), "hi"),
        (lambda: None, "hi"),
    ],
    ids=["text", "unreadable", "none"],
)
def test_a_stand_in_for_stdin(monkeypatch, capsys, stand_in, said):
    """Called from a program, it takes what that has put in the place of stdin."""
    monkeypatch.setattr(sys, "stdin", stand_in())
    with Upstream() as upstream:
        assert cli.main(["chat", "hi", "--base-url", upstream.url]) == 0
    assert capsys.readouterr().out == f"You said: {said}\n"


def test_a_stdin_that_cannot_be_read(tmp_path):
    """A file that cannot be read is told of: without it this would be another question."""
    with Upstream() as upstream, (tmp_path / "file").open("wb") as unreadable:
        ran = subprocess.run(
            [*COMMAND, "chat", "hi", "--base-url", upstream.url],
            stdin=unreadable,
            env=environment(),
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert ran.returncode == cli.EXIT_USAGE
    assert ran.stderr == b"error: stdin cannot be read: Bad file descriptor\n"
    assert upstream.requests == []


def test_an_open_stdin_says_what_is_waited_for():
    """Whoever leaves stdin open is told that it is read, too; closing it goes on."""
    with Upstream() as upstream:
        process = start("chat", "hi", "--base-url", upstream.url, stdin=subprocess.PIPE)
        with process:
            assert process.stderr.readline().startswith(b"reading stdin, too")
            process.stdin.close()
            assert process.wait(TIMEOUT) == 0
            assert process.stdout.read() == b"You said: hi\n"

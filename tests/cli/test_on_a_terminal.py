"""One question on a terminal: what is to be seen, and that nobody else draws on the screen."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest
from cli.screen import SOON, Terminal

from inferd_engine import cli
from inferd_engine.testing import Cut, Reply, Stall, Upstream, chunk, error_reply, text_reply

# What we write: styles, cursor up, clear to the end of the line or of the screen.
OURS = re.compile(rb"\x1b\[(?:[\d;]*m|\d+A|K|J)")
ATTACK = "safe\x1b]0;title\x07\x1b[2J\x9b31m\x08\x7f\u202etxt &#27;[31m &#x9b;1m &#8238; end"
QUIET = [{"NO_COLOR": "1"}, {"TERM": "dumb"}]
THINKING = Reply(
    [
        chunk(reasoning_content="Let me "),
        chunk(reasoning_content="see."),
        chunk("Yes"),
        chunk(reasoning_content="\x1b[2JHm."),
        chunk("!"),
        chunk(finish_reason="stop"),
    ]
)


def seen(*replies, arguments=(), code=0, **options):
    """Ask, and give the terminal after the command's end."""
    with Upstream(*replies) as upstream:
        where = ("--base-url", upstream.url)
        with Terminal("chat", "hi", *arguments, *where, **options) as terminal:
            assert terminal.wait_for_end() == code, terminal.text
    return terminal


@pytest.mark.parametrize("env", [{}, *QUIET, {"PYTHONIOENCODING": "ascii"}])
def test_the_text(env):
    """The text is there, and nothing else."""
    assert seen(text_reply("Hello, world!"), env=env).text == "Hello, world!"


@pytest.mark.parametrize("env", [{}, *QUIET, {"FORCE_COLOR": "1"}])
@pytest.mark.parametrize("pieces", [[ATTACK], list(ATTACK)], ids=["whole", "by character"])
def test_nobody_draws_on_the_screen(env, pieces):
    """Escape sequences, C1, direction marks, and entities that become some, are made harmless."""
    terminal = seen(text_reply(pieces), env=env)
    rest = OURS.sub(b"", terminal.received)
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", rest)
    assert not re.search("[\x80-\x9f\u202a-\u202e]", rest.decode())
    assert terminal.text.startswith("safe\N{REPLACEMENT CHARACTER}]0;title")
    assert terminal.text.endswith("end")


@pytest.mark.parametrize("env", QUIET)
def test_a_terminal_that_wants_no_colour_gets_none(env):
    """No escape sequence at all where ``NO_COLOR`` is set or the terminal is dumb."""
    terminal = seen(THINKING, env=env)
    assert b"\x1b" not in terminal.received
    assert terminal.text.splitlines() == [
        "[thinking] Let me see.",
        "Yes",
        "[thinking] \N{REPLACEMENT CHARACTER}[2JHm.",
        "!",
    ]


def test_thinking_is_dim():
    """Thoughts are dim, on lines of their own."""
    terminal = seen(THINKING)
    assert b"\x1b[2mLet me see.\x1b[0m\r\n" in terminal.received
    assert terminal.text.splitlines() == [
        "Let me see.",
        "Yes",
        "\N{REPLACEMENT CHARACTER}[2JHm.",
        "!",
    ]


def test_no_thinking():
    """--no-thinking hides them."""
    assert seen(THINKING, arguments=["--no-thinking"]).text == "Yes!"


def test_thinking_is_for_a_terminal_on_stderr():
    """A file on stderr gets no thoughts; with a file on stdout they are on the screen."""
    assert seen(THINKING, stderr=subprocess.DEVNULL).text == "Yes!"
    terminal = seen(THINKING, stdout=subprocess.PIPE)
    assert terminal.process.stdout.read() == b"Yes!\n"
    terminal.process.stdout.close()
    assert terminal.text.splitlines()[0] == "Let me see."


def test_a_failure_begins_a_line_of_its_own():
    """What had come stays, and the error is below it."""
    terminal = seen(Reply([chunk("half"), Cut()]), code=cli.EXIT_CUT)
    assert terminal.text.startswith("half\nerror: the answer was cut: ")
    terminal = seen(error_reply(500, "\x1b[31mno"), code=cli.EXIT_UPSTREAM)
    assert terminal.text.startswith("error: the upstream answered 500")
    assert b"\x1b" not in terminal.received


@pytest.mark.parametrize("env", [{}, *QUIET])
def test_ctrl_c(env):
    """Ctrl-C stops the answer; what has come stays, and the code is 130."""
    with Upstream(Reply([chunk("half an"), Stall()])) as upstream:
        with Terminal("chat", "hi", "--base-url", upstream.url, env=env) as terminal:
            terminal.wait_for("half an").type("\x03")
            assert upstream.requests[-1].gone.wait(SOON)
            assert terminal.wait_for_end() == cli.EXIT_INTERRUPTED
    assert re.fullmatch(r"half an(\^C)?\nstopped", terminal.text)


def test_hanging_up():
    """Closing the window ends it, and the upstream is told."""
    with Upstream(Reply([chunk("half"), Stall()])) as upstream:
        with Terminal("chat", "hi", "--base-url", upstream.url) as terminal:
            terminal.wait_for("half").hang_up()
            assert upstream.requests[-1].gone.wait(SOON)
            assert terminal.process.wait(SOON) == -signal.SIGHUP


def test_a_prompt_typed_to_its_end():
    """``-`` reads from the terminal, until Ctrl-D, and says so."""
    with Upstream() as upstream:
        with Terminal("chat", "-", "--base-url", upstream.url) as terminal:
            terminal.wait_for("Ctrl-D ends it").type("typed\r\x04")
            assert terminal.wait_for_end() == 0
        assert upstream.requests[-1].json["messages"][0]["content"] == "typed\n"
        with Terminal("chat", "--base-url", upstream.url, stdout=subprocess.PIPE) as terminal:
            terminal.wait_for("Ctrl-D ends it").type("so\r\x04")
            assert terminal.wait_for_end() == 0
            assert terminal.process.stdout.read() == b"You said: so\n"
            terminal.process.stdout.close()


def test_a_narrow_window():
    """In 20 columns words are wrapped, and nothing is lost."""
    words = [f"word{number}" for number in range(40)]
    terminal = seen(text_reply(" ".join(words)), columns=20, lines=8)
    assert terminal.text.split() == words
    assert max(map(len, terminal.text.splitlines())) <= 20


def test_json_on_a_terminal():
    """A terminal is safe from JSON, too."""
    terminal = seen(text_reply([ATTACK]), arguments=["--json"])
    assert b"\x1b" not in terminal.received
    assert "\x9b" not in terminal.received.decode()


def test_models_and_doctor():
    """Names that an upstream gives are made harmless."""
    for command in ("models", "doctor"):
        with Upstream(models=["a\x1b[2Jb"]) as upstream:
            with Terminal(command, "--base-url", upstream.url) as terminal:
                assert terminal.wait_for_end() == 0
        assert b"\x1b" not in terminal.received

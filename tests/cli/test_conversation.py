"""A conversation on a terminal, as somebody has it who sits there."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import termios

import pytest
from cli.screen import SOON, Terminal
from cli.test_chat import png

import inferd_engine as ie
from inferd_engine import cli
from inferd_engine.testing import Cut, Reply, Stall, Upstream, chunk, error_reply, text_reply

HALF = Reply([chunk("half an ans"), Stall()])

PLAIN_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def talk():
    """Give an upstream with these replies and a conversation with it; both end with the test."""
    with contextlib.ExitStack() as stack:

        def begin(*replies, arguments=(), models=("test-model",), **options):
            upstream = stack.enter_context(Upstream(*replies, models=models))
            where = ["--base-url", upstream.url]
            terminal = stack.enter_context(Terminal("chat", *arguments, *where, **options))
            return upstream, terminal

        yield begin


def said(upstream, number=-1):
    """Give the messages of a request, as role and text."""
    asked = [r for r in upstream.requests if r.method == "POST"][number]
    return [(m["role"], m["content"]) for m in asked.json["messages"]]


def test_what_was_said_goes_along(talk):
    """Questions and answers are kept; the system message comes first."""
    upstream, terminal = talk(text_reply("one"), text_reply("two"), arguments=["-s", "Be brief."])
    terminal.ask("first").ask("second")
    assert said(upstream) == [
        ("system", "Be brief."),
        ("user", "first"),
        ("assistant", "one"),
        ("user", "second"),
    ]
    terminal.type("\x04")
    assert terminal.wait_for_end() == 0
    assert ">>> first\none\n>>> second\ntwo\n>>>" in terminal.text


def test_it_says_with_whom_it_is(talk):
    """The model and the address are told, and how to get help."""
    upstream, terminal = talk()
    terminal.wait_for(f"test-model at {upstream.url}").wait_for("/help")


def test_options_hold_for_every_turn(talk):
    """Fields of the request are sent each time."""
    upstream, terminal = talk(arguments=["--temperature", "0.5", "-o", "min_p=0.1"])
    terminal.ask("a").ask("b")
    for request in upstream.requests[1:]:
        assert (request.json["temperature"], request.json["min_p"]) == (0.5, 0.1)


def test_ctrl_c_stops_the_answer_and_not_the_chat(talk):
    """The upstream is told, what came is kept, and the next question is answered."""
    upstream, terminal = talk(HALF)
    terminal.wait_for(">>>").type("why?\r")
    terminal.wait_for("half an ans").type("\x03")
    assert upstream.requests[-1].gone.wait(SOON)
    terminal.wait_for("stopped; it is kept as far as it came")
    terminal.ask("go on")
    assert said(upstream) == [("user", "why?"), ("assistant", "half an ans"), ("user", "go on")]
    assert "You said: go on" in terminal.text


def test_ctrl_c_before_a_word_was_said(talk):
    """A turn that was stopped before its answer began is not kept."""
    upstream, terminal = talk(Reply([Stall()]))
    terminal.wait_for(">>>").type("why?\r")
    upstream.wait_for_request(2)
    terminal.type("\x03")
    terminal.wait_for("stopped").ask("hi")
    assert said(upstream) == [("user", "hi")]


@pytest.mark.parametrize(
    "reply",
    [
        error_reply(500, "no"),
        Reply([chunk("half"), Cut()]),
        text_reply("half", finish_reason="error"),
        Reply([Cut()]),
        text_reply(""),
    ],
    ids=["refused", "cut", "given up", "cut at once", "empty"],
)
def test_a_turn_that_failed_is_not_kept(talk, reply):
    """It is told in a line, the chat goes on, and the next question goes without it."""
    upstream, terminal = talk(text_reply("fine"), reply)
    terminal.ask("one").ask("two").ask("three")
    assert said(upstream) == [("user", "one"), ("assistant", "fine"), ("user", "three")]


def test_retry_asks_again(talk):
    """/retry asks what failed, or replaces the last answer."""
    replies = [Reply([chunk("half"), Cut()]), text_reply("whole"), text_reply("another")]
    upstream, terminal = talk(*replies)
    terminal.ask("/retry").ask("why?").ask("/retry").ask("/retry").ask("and?")
    assert "error: nothing was asked yet" in terminal.text
    assert said(upstream, 1) == said(upstream, 2) == [("user", "why?")]
    assert said(upstream) == [("user", "why?"), ("assistant", "another"), ("user", "and?")]


# --- typing --------------------------------------------------------------------------------------


def test_ctrl_d_leaves(talk):
    """Ctrl-D at an empty prompt leaves, at once and with exit code 0."""
    _, terminal = talk()
    terminal.wait_for(">>>").type("\x04")
    assert terminal.wait_for_end() == 0


def test_ctrl_c_twice_leaves(talk):
    """Once is not enough, and what was typed in between begins anew."""
    _, terminal = talk()
    terminal.wait_for(">>>").type("\x03")
    terminal.wait_for("(Ctrl-C again or Ctrl-D leaves)").ask("hi")
    terminal.type("\x03")
    terminal.wait_for("(Ctrl-C again or Ctrl-D leaves)", 2).wait_for(">>>", 4).type("\x03")
    assert terminal.wait_for_end() == 0


def test_ctrl_c_drops_what_was_typed(talk):
    """On a line that is not empty it only drops that line."""
    upstream, terminal = talk()
    for number in range(3):
        terminal.wait_for(">>>", number + 1).type(f"dropped {number}")
        terminal.wait_for(f"dropped {number}").type("\x03")
    terminal.wait_for(">>>", 4).ask("kept")
    assert said(upstream) == [("user", "kept")]


def test_several_lines(talk):
    """Three quotes begin and end a question of several lines."""
    upstream, terminal = talk()
    terminal.wait_for(">>>").type('"""one\r')
    terminal.wait_for("\n...").type("\r")
    terminal.wait_for("\n...", 2).ask('  two"""')
    assert said(upstream) == [("user", "one\n\n  two")]
    terminal.ask('"""single"""')
    assert said(upstream)[-1] == ("user", "single")
    terminal.type('"""dropped\r')
    terminal.wait_for("\n...", 3).type("\x03")
    terminal.wait_for("Ctrl-C again").ask("kept")
    assert said(upstream)[-1] == ("user", "kept")


def test_several_lines_pasted(talk):
    """What is pasted is one question, whatever its lines."""
    upstream, terminal = talk()
    terminal.wait_for(">>>").ask("\x1b[200~one\rtwo\x1b[201~")
    assert said(upstream) == [("user", "one\ntwo")]


def test_the_arrow_keys_bring_back_what_was_typed(talk):
    """Arrow up is the line before."""
    upstream, terminal = talk()
    terminal.ask("first").ask("second").ask("\x1b[A\x1b[A")
    assert said(upstream)[-1] == ("user", "first")


def test_an_empty_line_is_no_question(talk):
    """Enter alone asks nothing."""
    upstream, terminal = talk()
    terminal.ask("").ask("   ")
    assert [r.method for r in upstream.requests] == ["GET"]


def test_every_script(talk):
    """What is typed is UTF-8, whatever the locale says."""
    for env in ({}, {"PYTHONIOENCODING": "ascii"}, PLAIN_C):
        upstream, terminal = talk(env=env)
        terminal.ask("über 日本 🦀")
        assert said(upstream) == [("user", "über 日本 🦀")]


def test_bytes_that_are_no_text(talk):
    """Other bytes are refused, where the line editor lets them through, and it goes on."""
    upstream, terminal = talk(env=PLAIN_C)
    terminal.wait_for(">>>").type(b"caf\xe9\r")
    terminal.wait_for("what was typed is not UTF-8: byte 0xe9").ask("hi")
    assert said(upstream) == [("user", "hi")]


# --- commands ------------------------------------------------------------------------------------


def test_models(talk):
    """/model lists, with a star at the one that answers; /model NAME asks another."""
    upstream, terminal = talk(models=["a", "b:7b"], arguments=["-m", "a"])
    terminal.ask("/model").ask("/model b:7b").ask("hi").ask("/model")
    assert upstream.requests[-2].json["model"] == "b:7b"
    assert "* a\n  b:7b\n" in terminal.text
    assert "  a\n* b:7b\n" in terminal.text


def test_a_model_has_to_be_named(talk):
    """Of several models one has to be named, here as well."""
    _, terminal = talk(models=["a", "b"])
    assert terminal.wait_for_end() == cli.EXIT_USAGE
    assert "--model NAME:\n  a\n  b" in terminal.text


def test_the_system_message(talk):
    """/system sets it for what follows, and shows it."""
    upstream, terminal = talk()
    terminal.ask("/system").ask("/system Be very brief.").ask("hi").ask("/system")
    assert "there is no system message: /system TEXT sets one" in terminal.text
    assert said(upstream) == [("system", "Be very brief."), ("user", "hi")]
    assert terminal.text.endswith(">>> /system\nBe very brief.\n>>>")


def test_clearing(talk):
    """/clear forgets what was said; the system message stays."""
    upstream, terminal = talk(arguments=["-s", "S"])
    terminal.ask("one").ask("/clear").ask("two")
    assert said(upstream) == [("system", "S"), ("user", "two")]


@pytest.mark.parametrize("word", ["/bye", "/exit", "/quit", "/bye "])
def test_leaving_by_word(talk, word):
    """Words that others have for it do as well."""
    _, terminal = talk()
    terminal.wait_for(">>>").type(word + "\r")
    assert terminal.wait_for_end() == 0


def test_help(talk):
    """/help and /? name every command, in lines that fit."""
    _, terminal = talk()
    terminal.ask("/help").ask("/?")
    for word in ("/model", "/system", "/retry", "/clear", "/save", "/load", "/bye", '"""'):
        assert terminal.text.count(word) >= 2


def test_what_is_no_command(talk):
    """A word that is close is told and nothing is sent; a path, or a blank in front, is none."""
    upstream, terminal = talk()
    terminal.ask("/modle x").ask("/retry now").ask("/nothing")
    assert "there is no command /modle: did you mean /model?" in terminal.text
    assert "/retry stands alone" in terminal.text
    assert "/help lists them" in terminal.text
    assert len(upstream.requests) == 1
    terminal.ask("/etc/hosts is what?").ask(" /retry is what?")
    assert [text for role, text in said(upstream) if role == "user"] == [
        "/etc/hosts is what?",
        " /retry is what?",
    ]


def test_saving_and_loading(talk, tmp_path):
    """A conversation goes to a file, comes back in another one, and in a program."""
    upstream, terminal = talk(arguments=["-s", "S", "-a", "dot.png"], cwd=_with_dot(tmp_path))
    terminal.ask("/save x.json").ask("one").ask("/save x.json").ask("/save x.json")
    assert "there is nothing to save" in terminal.text
    assert terminal.text.count("saved to x.json") == 2
    upstream, terminal = talk(cwd=tmp_path)
    terminal.ask("/save x.json").ask("/load x.json").ask("two").ask("/save x.json")
    assert "2 messages" in terminal.text
    (_, system), (_, shown), (_, answer), (_, question) = said(upstream)
    assert (system, answer, question) == ("S", "You said: one", "two")
    assert [part["type"] for part in shown] == ["text", "image_url"]
    request = ie.RequestV2.from_dict(json.loads((tmp_path / "x.json").read_text("utf-8")))
    assert len(request.resolve().messages) == 5


def _with_dot(folder):
    (folder / "dot.png").write_bytes(png())
    return folder


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/save", "/save wants a file"),
        ("/load", "/load wants a file"),
        ("/save there.txt", "there.txt is there already, and not from this conversation"),
        ("/save no/such/folder", "cannot be written: No such file"),
        ("/load missing", "missing cannot be read: No such file"),
        ("/load .", "cannot be read: Is a directory"),
        ("/load there.txt", "there.txt is not JSON, line 1"),
        ("/load bytes", "bytes is not UTF-8"),
        ("/load list.json", "list.json"),
        ("/load other.json", "messages"),
        ("/load empty.json", "messages"),
    ],
)
def test_files_that_cannot_be_used(talk, tmp_path, command, words):
    """What cannot be saved or loaded is told in a line; what was said stays."""
    (tmp_path / "there.txt").write_text("mine")
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "other.json").write_text('{"messages": "x"}')
    (tmp_path / "empty.json").write_text('{"messages": []}')
    upstream, terminal = talk(cwd=tmp_path)
    terminal.ask("one").ask(command).ask("two")
    flat = terminal.text.replace("\n", "")
    assert "error: " in flat
    assert words in flat
    assert len(said(upstream)) == 3
    assert (tmp_path / "there.txt").read_text() == "mine"


def test_an_image_goes_with_the_first_question(talk, tmp_path):
    """What is attached is shown once, and stays in the history."""
    arguments = ["-a", str(_with_dot(tmp_path) / "dot.png")]
    upstream, terminal = talk(error_reply(500, "no"), arguments=arguments)
    terminal.ask("lost").ask("What is it?").ask("And?")
    (_, first), _, (_, last) = said(upstream)
    assert [part["type"] for part in first] == ["text", "image_url"]
    assert last == "And?"


def test_a_tool_that_nobody_answers(talk):
    """A tool call is shown; the history stays one that an upstream takes."""
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    reply = Reply([chunk("Let me look."), chunk(tool_calls=[call]), chunk(finish_reason="stop")])
    upstream, terminal = talk(reply)
    terminal.ask("one").ask("two")
    assert "[tool call f({})]" in terminal.text
    assert said(upstream)[1] == ("assistant", "Let me look.")


# --- the terminal --------------------------------------------------------------------------------


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours(talk, env):
    """The conversation works, and what we print holds no escape sequence."""
    _, terminal = talk(text_reply("# **plain**"), env=env)
    terminal.ask("hi").ask("/help")
    assert "# **plain**" in terminal.text
    # readline turns pasting in brackets on and off.
    assert b"\x1b" not in terminal.received.replace(b"\x1b[?2004h", b"").replace(
        b"\x1b[?2004l", b""
    )


def test_a_narrow_window(talk):
    """In 20 columns everything is to be seen."""
    words = [f"word{number}" for number in range(30)]
    _, terminal = talk(text_reply(" ".join(words)), columns=20, lines=8)
    terminal.ask("a question that is longer than a line").ask("/help")
    assert [word for word in terminal.text.split() if word.startswith("word")] == words


@pytest.mark.parametrize("moment", ["prompt", "answer"])
def test_sigterm_leaves_the_terminal_as_it_was(talk, moment):
    """Whoever is asked to end does so, with 143, and typing is to be seen again."""
    upstream, terminal = talk(HALF)
    before = termios.tcgetattr(terminal.master)
    terminal.wait_for(">>>")
    if moment == "answer":
        terminal.type("why?\r")
        terminal.wait_for("half an ans")
    terminal.wait_until_asleep()
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait_for_end() == cli.EXIT_TERMINATED
    assert "Traceback" not in terminal.text
    assert termios.tcgetattr(terminal.master)[:4] == before[:4]
    if moment == "answer":
        assert upstream.requests[-1].gone.wait(SOON)


@pytest.mark.parametrize("moment", ["prompt", "answer"])
def test_hanging_up(talk, moment):
    """Closing the window ends the conversation, and the upstream is told."""
    upstream, terminal = talk(HALF)
    terminal.wait_for(">>>")
    if moment == "answer":
        terminal.type("why?\r")
        terminal.wait_for("half an ans")
    terminal.hang_up()
    assert terminal.process.wait(SOON) == -signal.SIGHUP
    if moment == "answer":
        assert upstream.requests[-1].gone.wait(SOON)


def test_a_terminal_that_goes_without_a_word(talk):
    """Where SIGHUP is ignored the end of the terminal is the end of what is typed."""
    _, terminal = talk(preexec="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    terminal.wait_for(">>>")
    terminal.hang_up()
    assert terminal.process.wait(SOON) in (0, cli.EXIT_UPSTREAM)


def test_errors_in_a_file(talk, tmp_path):
    """With stderr elsewhere the conversation goes on, on stdout alone."""
    with (tmp_path / "log").open("wb") as log:
        _, terminal = talk(error_reply(500, "no"), stderr=log)
        terminal.ask("one").ask("two")
    assert "You said: two" in terminal.text
    assert "error:" not in terminal.text
    assert "500" in (tmp_path / "log").read_text()


def test_without_a_terminal_there_is_no_conversation(talk):
    """With stdout in a pipe the prompt is read to its end."""
    _, terminal = talk(stdout=subprocess.PIPE)
    terminal.wait_for("Ctrl-D ends it").type("hi\r\x04")
    assert terminal.wait_for_end() == 0
    with terminal.process.stdout as out:
        assert out.read() == b"You said: hi\n"

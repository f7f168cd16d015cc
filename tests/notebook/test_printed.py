"""Without a kernel an answer is printed as it comes; what is shown is a value in, text out."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap

import pytest

import inferd_engine as ie
from inferd_engine.notebook.page import Look, footer
from inferd_engine.testing import (
    Reply,
    Stall,
    chunk,
    stream_reply,
    text_reply,
    tool_call_reply,
)

DONE = ie.Done(ie.StopReason.END_TURN)


@pytest.fixture
def backend(upstream):
    with ie.OpenAiCompat(upstream.url, api_key="") as backend:
        yield backend


def test_it_prints_what_it_returns(backend, upstream, capsys):
    """The text, then a line of how it ended; the answer is that of ``collect()``."""
    upstream.enqueue(text_reply("blue\nsky", usage=(1, 2)), text_reply("blue\nsky", usage=(1, 2)))
    answer = backend.display("x")
    assert re.fullmatch(
        r"blue\nsky\n\[2 tokens \(prompt: 1\) · first token after [\d.]+ s · "
        r"[\d.,]+ tokens/s · end_turn\]\n",
        capsys.readouterr().out,
    )
    assert answer == backend.complete("x")
    assert type(answer) is ie.Completion
    assert answer.stats.ttft < answer.stats.duration


@pytest.mark.parametrize(
    ("thinking", "printed"),
    [
        ("folded", "[thinking: 4 characters]\na\n"),
        ("open", "[thinking]\nhm\nm\n[/thinking]\na\n"),
        ("hidden", "a\n"),
    ],
)
def test_thoughts_and_calls(backend, upstream, capsys, thinking, printed):
    """Thoughts are told when they are over, calls as Python would write them."""
    chunks = [chunk(reasoning_content="hm\n"), chunk(reasoning_content="m"), chunk("a")]
    upstream.enqueue(stream_reply(chunks), tool_call_reply("f", {"a": 1}))
    backend.stream("x").display(thinking=thinking)
    assert capsys.readouterr().out.startswith(printed)
    backend.stream("x").display(thinking=thinking)
    assert capsys.readouterr().out.startswith("f(a=1)\n[")


def test_an_error_keeps_what_came(backend, upstream, capsys):
    """What has come is printed, then the error's sentence; the error holds it too."""
    upstream.enqueue(Reply([chunk("half"), b'data: {"error": {"message": "no\\nmore"}}\n\n']))
    with pytest.raises(ie.UpstreamError) as raised:
        backend.display("x")
    assert raised.value.partial.text == "half"
    printed = capsys.readouterr().out
    assert re.match(r"half\n\[first token after [\d.]+ s · failed\]\n\[UpstreamError: ", printed)
    assert "\x1b" not in printed


def test_no_escape_sequence_is_printed(backend, upstream, capsys):
    """A model cannot rewrite the terminal."""
    upstream.enqueue(text_reply("a\x1b[2Jb"))
    backend.display("x")
    assert capsys.readouterr().out.startswith("a\ufffd[2Jb\n")


def test_an_unknown_look_is_refused(backend, upstream):
    """A wrong ``thinking`` is refused, and a field that there is not, before anything is sent."""
    with backend.stream("x") as stream:
        with pytest.raises(ValueError, match='is "folded", "open" or "hidden", not \'no\''):
            stream.display(thinking="no")
    with pytest.raises(TypeError, match="display\\(\\) has no argument 'max_token'"):
        backend.display("x", max_token=1)
    assert len(upstream.requests) == 1


def test_an_unknown_look_closes_nothing(backend, upstream):
    """A wrong argument leaves the stream as it was."""
    upstream.enqueue(text_reply("a"))
    with backend.stream("x") as stream:
        with pytest.raises(ValueError, match="thinking"):
            stream.display(thinking=True)
        assert stream.collect().text == "a"


def test_fields_are_sent(backend, upstream):
    """``display()`` takes what ``stream()`` takes."""
    backend.display([ie.user("x")], system="s", max_tokens=3, thinking="low")
    sent = upstream.requests[0].json
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["max_tokens"] == 3
    token = ie.CancelToken()
    token.cancel()
    with pytest.raises(ie.RequestCancelledError):
        backend.display("x", cancel=token)


def test_tokens_of_version_one(capsys):
    """A stream of flat text is printed, too."""
    request = ie.Request((ie.Message(ie.Role.USER, "x"),)).resolve()
    answer = ie.Mock(tokens=("a", "b")).generate(request).display()
    assert (answer.text, answer.stop_reason) == ("ab", "end_turn")
    assert capsys.readouterr().out.startswith("ab\n[2 tokens")


PROGRAM = """
    import sys, inferd_engine as ie
    class Hidden:
        def find_spec(self, name, *_):
            assert name.partition(".")[0] not in ("IPython", "ipykernel"), name
    sys.meta_path.insert(0, Hidden())
    backend = ie.OpenAiCompat(sys.argv[1], api_key="", buffer=int(sys.argv[2]))
    try:
        backend.display("x")
    except KeyboardInterrupt as error:
        print(repr(error.partial.text))
        raise
"""


@pytest.mark.parametrize("buffer", ["512", "0"])
def test_ctrl_c_while_nothing_comes(upstream, buffer):
    """In a program Ctrl-C leaves the upstream at once, and what had come stands there.

    And IPython is not asked for.
    """
    upstream.enqueue(Reply([chunk("half"), Stall()]))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), upstream.url, buffer],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.read(4) == "half"
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert upstream.requests[0].gone.wait(10)
    assert re.fullmatch(r"\n\[first token after [\d.]+ s · interrupted\]\n'half'\n", out), errors
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert os.name != "posix" or process.returncode == -signal.SIGINT


CALLS = [
    ({"a": 1, "b": "x"}, "f(a=1, b='x')"),
    ({}, "f()"),
    ({"not a name": 1}, "f({'not a name': 1})"),
    ([1], "f([1])"),
    (None, "f(None)"),
    ({"a": "`" * 4}, "f(a='````')"),
]


@pytest.mark.parametrize(("given", "shown"), CALLS)
def test_a_call_is_written_as_in_python(given, shown):
    """Names and values of a call are as Python would write them; any JSON is."""
    answer = ie.Completion(tool_uses=(ie.ToolUse("1", "f", given),), done=DONE)
    assert Look().text(answer) == shown
    marks = "`" * (5 if "`" in shown else 1)
    assert Look().markdown(answer) == f"{marks}{shown}{marks}"


def test_a_call_is_safe():
    """Names and values come from the model, too."""
    call = ie.ToolUse("1", "<b>\n![](http://x.example)", {"a": "<script>"})
    shown = Look(trust=True).markdown(ie.Completion(tool_uses=(call,)))
    assert "<b>" not in shown
    assert "<script" not in shown
    assert "![" not in shown


def test_a_value_is_shown_safely():
    """A ``Completion`` that a notebook evaluates loads and runs nothing."""
    answer = ie.Completion("<b>", thinking="<i>\r\n\r\n<i>", done=DONE)
    assert answer._repr_markdown_().endswith("</pre></details>\n\n&lt;b>")
    assert "&lt;i&gt;&#10;&#10;&lt;i&gt;" in answer._repr_markdown_()
    assert pickle.loads(pickle.dumps(answer))._repr_markdown_() == answer._repr_markdown_()


def test_one_token_is_one():
    """The line below an answer is English."""
    assert footer(ie.Usage(1, 1), None, "end_turn") == "1 token (prompt: 1) · end_turn"


def test_a_look_is_small():
    """``plain`` gives text alone; ``trust`` what the model wrote."""
    answer = ie.Completion("<b>")
    assert Look(plain=True).bundle(answer, "end") == {"text/plain": "<b>\n\n[end]"}
    assert Look(trust=True).bundle(answer)["text/markdown"] == "<b>"

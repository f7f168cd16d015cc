"""Options: what they become, near misses, and that a key is shown nowhere."""

from __future__ import annotations

import pytest
from cli.running import run

from inferd_engine import cli
from inferd_engine.testing import Upstream

NOWHERE = "http://127.0.0.1:9"  # discard: nothing listens there
SECRET = "sk-0123456789abcdef"


@pytest.fixture
def sent(here):
    """Ask, and give what the upstream got, and what was told."""

    def ask(*arguments):
        with Upstream() as upstream:
            ran = here("chat", "hi", *arguments, "--base-url", upstream.url)
        assert ran.returncode == 0, ran.stderr
        return upstream.requests[-1], ran.stderr

    return ask


@pytest.fixture
def told(here):
    """Run a command that is refused; give what it told."""

    def refused(*arguments):
        ran = here(*arguments)
        assert (ran.returncode, ran.stdout) == (cli.EXIT_USAGE, "")
        assert SECRET not in ran.stderr
        assert "Traceback" not in ran.stderr
        assert ran.stderr.count("\n") <= 2
        return ran.stderr

    return refused


@pytest.mark.parametrize(
    ("option", "field", "value"),
    [
        ("top_p=0.9", "top_p", 0.9),
        ("seed=7", "seed", 7),
        ("stop=END", "stop", ["END"]),
        ('stop=["a", "b"]', "stop", ["a", "b"]),
        ("thinking=low", "reasoning_effort", "low"),
        ('response_format={"type": "json_object"}', "response_format", {"type": "json_object"}),
        ("max_tokens=5", "max_tokens", 5),
        ("min_p=0.05", "min_p", 0.05),
        ("user=me=you", "user", "me=you"),
        ("logit_bias={}", "logit_bias", {}),
        ("note=", "note", ""),
        ("note=01", "note", "01"),
        ("note=null", "note", None),
        ('note="7"', "note", "7"),
        ("num_ctx=null", "num_ctx", None),
    ],
)
def test_a_field_of_the_request_or_its_body(sent, option, field, value):
    """A value is JSON if it parses, else text; an unknown field goes as it is."""
    received, printed = sent("-o", option)
    assert received.json[field] == value
    assert printed == ""


def test_settings_of_the_upstream(sent):
    """What an error may ask for can be given, too; the last one counts."""
    given = ["-o", "include_usage=false", "-o", "max_tokens_field=max_completion_tokens"]
    received, _ = sent(*given, "--max-tokens", "7", "-o", "seed=1", "-o", "seed=2")
    assert "stream_options" not in received.json
    assert received.json["max_completion_tokens"] == 7
    assert received.json["seed"] == 2


def test_a_slip_of_the_pen_is_told(sent):
    """A field that nobody knows is sent, and a likely one is named."""
    received, printed = sent("-o", "temprature=0.5")
    assert received.json["temprature"] == 0.5
    assert printed == "note: temprature is sent as it is; did you mean temperature?\n"


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("model=x", "--model"),
        ("messages=[]", "words of the prompt"),
        (f"api_key={SECRET}", "--key-from VARIABLE"),
        ('headers={"a": "b"}', "--header"),
    ],
)
def test_what_has_a_place_of_its_own(told, option, instead):
    """A field that is an option of the command is not taken twice."""
    assert instead in told("chat", "x", "-o", option, "--base-url", NOWHERE)


@pytest.mark.parametrize("option", ["", "=1", "top_p", " =x"])
def test_an_option_without_a_key(told, option):
    """``-o`` wants a key and a value."""
    assert "is not KEY=VALUE, such as top_p=0.9" in told("chat", "x", "-o", option)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-tokens", "0"], ["max_tokens"]),
        (["--max-tokens", "many"], ["--max-tokens", "try: inferd-engine chat --help"]),
        (["--temperature", "nan"], ["temperature"]),
        (["--timeout", "-1"], ["timeout"]),
        (["--timeout", "soon"], ["--timeout"]),
        (["-m"], ["-m/--model"]),
        (["-o", "thinking=deep"], ["thinking"]),
        (["-o", "thinking_style=x"], ["thinking_style"]),
    ],
)
def test_a_wrong_value(told, arguments, words):
    """A value that cannot be used is refused with its name, in two lines at the most."""
    printed = told("chat", "x", *arguments, "--base-url", NOWHERE)
    assert printed.startswith("error: ")
    assert all(word in printed for word in words)


def test_headers(sent):
    """Headers are sent with every request, a colon in their value included."""
    given = ["--header", "X-Team: red:blue", "--header", "x-empty:", "--header", "X-B:  b "]
    received, _ = sent(*given)
    headers = received.headers
    assert (headers["x-team"], headers["x-empty"], headers["x-b"]) == ("red:blue", "", "b")


@pytest.mark.parametrize("header", [SECRET, f": {SECRET}", f"a b: {SECRET}", f"x: {SECRET}\nb: c"])
def test_a_wrong_header(told, header):
    """A header that is none is refused, and its value is not shown."""
    assert "header" in told("chat", "x", "--header", header, "--base-url", NOWHERE)


def test_a_timeout_is_kept():
    """--timeout is for the whole request."""
    from inferd_engine.testing import Reply, Stall, chunk

    with Upstream(Reply([chunk("half"), Stall()])) as upstream:
        ran = run("chat", "x", "--timeout", "0.3", "--base-url", upstream.url)
    assert (ran.returncode, ran.stdout) == (cli.EXIT_CUT, "half")
    assert "timeout" in ran.stderr


# --- keys ----------------------------------------------------------------------------------------


def test_a_key_from_a_variable():
    """--key-from names the variable; '' sends no key at all."""
    with Upstream(api_key=SECRET) as upstream:
        given = ["chat", "x", "--base-url", upstream.url, "--key-from"]
        right = run(*given, "WORK_KEY", env={"WORK_KEY": SECRET, "OPENAI_API_KEY": "sk-other"})
        wrong = run(*given, "WORK_KEY", env={"WORK_KEY": "sk-wrong-key"})
        none = run(*given, "", env={"OPENAI_API_KEY": SECRET})
    assert right.returncode == 0, right.stderr
    assert wrong.returncode == none.returncode == cli.EXIT_UPSTREAM
    assert "the key came from WORK_KEY" in wrong.stderr
    assert "no key was sent" in none.stderr
    assert "sk-" not in wrong.stderr + none.stderr + right.stderr
    assert "authorization" not in upstream.requests[-1].headers


@pytest.mark.parametrize("variable", [SECRET, "NOT_SET", "EMPTY"])
def test_a_key_in_place_of_a_variable(told, monkeypatch, variable):
    """Whoever gives the key itself is not shown it; nor is a variable taken that is empty."""
    monkeypatch.setenv("EMPTY", "")
    printed = told("chat", "x", "--base-url", NOWHERE, "--key-from", variable)
    assert "--key-from names a variable that is not set, or is empty" in printed


@pytest.mark.parametrize(
    "arguments",
    [["--api-key", SECRET], [f"--api-key={SECRET}"], ["--token", SECRET], [f"--key={SECRET}"]],
)
def test_no_key_on_the_command_line(told, arguments):
    """A key is not an option, and the reason is told."""
    printed = told("chat", "x", *arguments, "--base-url", NOWHERE)
    assert "ps and the shell's history show it" in printed
    assert "--key-from VARIABLE" in printed


def test_a_key_stays_off_the_wire_in_clear(told, monkeypatch):
    """A key of the environment is not sent in clear unless it is named, and the ways are told."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    arguments = ["chat", "x", "--base-url", "http://192.0.2.1:8000"]  # TEST-NET-1, RFC 5737
    printed = told(*arguments)
    assert "is not sent to an upstream without https" in printed
    assert "--key-from VARIABLE" in printed
    assert "--key-from ''" in printed
    from inferd_engine.cli.options import Parser
    from inferd_engine.cli.upstream import backend_from

    for variable, key in (("OPENAI_API_KEY", SECRET), ("", "")):
        parser = Parser("chat", "x", "")
        cli.chat.add_options(parser)
        options = parser.parse_words([*arguments[1:], "--key-from", variable])
        with backend_from(options) as backend:
            assert backend.config.api_key == key


# --- near misses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "x", "--modle", "m"], "there is no option --modle: did you mean --model?"),
        (["chat", "x", "--max-token=3"], "did you mean --max-tokens?"),
        (["chat", "--zzz"], "behind -- words are taken as they are"),
        (["models", "x"], "there is no place for 'x'"),
        (["models", "--", "x"], "takes options alone"),
        (["demo", "--fast"], "there is no option --fast"),
        (["caht"], "there is no command 'caht': did you mean chat?"),
        (["Why?"], "there is no command 'Why?': inferd-engine help lists them"),
        (["--base-url", "x", "chat"], "--base-url comes before the command"),
        (["help", "modles"], "did you mean models?"),
    ],
)
def test_what_is_not_there(told, arguments, words):
    """What is not understood is named, with what is close to it."""
    assert words in told(*arguments)

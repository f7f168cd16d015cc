"""docs/cli.md is true: its examples print what it says, and it names every option and code."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from cli.running import COMMAND, TIMEOUT, environment

import inferd_engine as ie
from inferd_engine.cli.commands import _COMMANDS
from inferd_engine.cli.exit_codes import MEANINGS
from inferd_engine.cli.main import COMMANDS, _command, _parser
from inferd_engine.testing import Upstream, echo, error_reply, text_reply

MANUAL = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
ASKED = ("batch", "chat", "demo", "doctor", "models", "serve")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL)


def examples():
    """Give the commands of the manual, with what they print."""
    for block in blocks("console"):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            yield example.partition("\n")[::2]


def answer(received):
    said = received.json["messages"][-1]["content"]
    if "prime" in said:
        return text_reply("101 is prime.")
    if "slow" in said:
        return error_reply(429, "too many requests", headers={"Retry-After": "12"})
    return echo(received)


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs the shell of the examples")
def test_the_examples_print_what_it_says():
    """Each command, run in order in one folder, prints the lines below it."""
    run = shlex.join(COMMAND)
    with Upstream(otherwise=answer, models=["qwen3-8b"]) as upstream:
        port = f":{upstream.port}"
        for command, printed in examples():
            ran = subprocess.run(
                ["/bin/bash", "-c", command.replace("inferd-engine", run).replace(":8080", port)],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                timeout=TIMEOUT,
                check=False,
            )
            seen = re.sub(r"after \d+ ms", "after 0 ms", ran.stdout.replace(port, ":8080"))
            assert seen == printed, command


def test_the_program_runs(tmp_path):
    """A saved conversation goes on in a program."""
    (code,) = blocks("python")
    with Upstream() as upstream:
        said = ie.RequestV2([ie.user("Name a prime."), ie.assistant("101")])
        (tmp_path / "talk.json").write_text(json.dumps(said.to_dict()))
        names = {}
        exec(compile(code.replace("http://localhost:8080", upstream.url), "cli.md", "exec"), names)
        names["backend"].close()
        assert len(upstream.requests[0].json["messages"]) == 3


def options_of(name):
    return set(_parser(name, _command(name))._option_string_actions)


@pytest.mark.parametrize("name", ASKED)
def test_every_option_is_told(name):
    """Each option of each command stands in the manual, and each that stands there is one."""
    told = set(re.findall(r"`(--?[a-z][a-z-]*)", MANUAL)) - {"--api-key"}
    known = {option for command in ASKED for option in options_of(command)}
    assert options_of(name) - {"-h", "--help"} <= told <= known


def test_every_command_and_code_is_told():
    """Commands, those of a conversation, and exit codes are all there, in the program's words."""
    assert all(f"  {name:<9}{meaning}\n" in MANUAL for name, meaning in COMMANDS.items())
    assert all(f"\n{code} | {meaning}\n" in MANUAL for code, meaning in MEANINGS.items())
    also = {"?", "exit", "quit"}  # for those who know other programs
    assert all(f"`/{name}" in MANUAL for name in _COMMANDS if name not in also)

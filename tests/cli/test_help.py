"""Help, versions, and how little they cost."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cli.running import run

import inferd_engine as ie
from inferd_engine import cli
from inferd_engine.cli.exit_codes import MEANINGS
from inferd_engine.cli.main import COMMANDS

ASKED = ("batch", "chat", "demo", "doctor", "models")


@pytest.mark.parametrize("arguments", [["version"], ["-V"], ["--version"]])
def test_versions(here, arguments):
    """Each way prints the version."""
    ran = here(*arguments)
    assert (ran.returncode, ran.stdout) == (0, f"inferd-engine {ie.__version__}\n")


@pytest.mark.parametrize("arguments", [["help"], ["-h"], ["--help"], ["help", "help"]])
def test_all_commands(here, arguments):
    """Help lists every command."""
    ran = here(*arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert all(f"  {name} " in ran.stdout for name in COMMANDS)


def test_no_command(here):
    """Without a command the same is told on stderr, and the code is that of a wrong use."""
    ran = here()
    assert (ran.returncode, ran.stdout) == (cli.EXIT_USAGE, "")
    assert "usage: inferd-engine COMMAND" in ran.stderr


@pytest.mark.parametrize("name", ASKED)
def test_a_command(here, name):
    """``help NAME`` and ``NAME --help`` say the same, exit codes included."""
    helped, asked = here("help", name), here(name, "--help")
    assert helped.returncode == asked.returncode == 0
    assert helped.stdout == asked.stdout
    assert f"usage: inferd-engine {name}" in helped.stdout
    assert f"  130  {MEANINGS[130]}\n" in helped.stdout
    assert "--api-key" not in helped.stdout
    assert max(map(len, helped.stdout.splitlines())) <= 80


def test_each_exit_code_is_told_somewhere(here):
    """A code that can be seen can be looked up."""
    told = "".join(here("help", name).stdout for name in ASKED)
    assert all(f"  {code:<4} {meaning}\n" in told for code, meaning in MEANINGS.items())


@pytest.mark.parametrize("arguments", [["--version"], ["help"], ["help", "chat"], ["chat", "-x"]])
def test_nothing_heavy_is_imported(arguments):
    """What prints a few lines imports neither requests nor what draws Markdown."""
    code = (
        "import sys\nfrom inferd_engine.cli import main\n"
        f"main({arguments!r})\n"
        "print([m for m in ('requests', 'urllib3', 'rich', 'readline', 'pygments')"
        " if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_a_version_costs_next_to_nothing():
    """--version imports no parser of command lines and none of the engine's values either."""
    code = (
        "import sys\nfrom inferd_engine.cli import main\nmain(['--version'])\n"
        "print([m for m in ('argparse', 'attr', 'msgspec', 'cffi') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_command():
    """``python -m inferd_engine`` is the command."""
    assert run("version").stdout == f"inferd-engine {ie.__version__}\n"

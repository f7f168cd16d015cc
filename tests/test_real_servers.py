"""The end of a run against other people's servers: which ran, which did not, and why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SERVERS = Path(__file__).parent / "servers"
LEFT_OUT = """
from real_servers import missing
collect_ignore_glob = missing("{}", "it is not installed", must=True)
"""


def run(folder, *options):
    """Run the tests in a folder; give the code and what was printed."""
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, folder],
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": os.pathsep.join([str(SERVERS), *filter(None, sys.path)]),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return ran.returncode, ran.stdout + ran.stderr


def write(folder, tests, conftest=""):
    folder.mkdir()
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(tests)


def test_it_is_told_which_ran(tmp_path):
    """Those that ran are named with their counts, the others with what is missing."""
    write(tmp_path / "litellm", "def test_a(): pass\ndef test_b(): pass\n")
    write(tmp_path / "aimock", "def test_a(): assert False\n")
    write(tmp_path / "vllm", "def test_a(): pass\n", LEFT_OUT.format("vllm"))
    code, printed = run(tmp_path, "-p", "real_servers")
    assert code == 1
    assert "LiteLLM's proxy: ran: 2 tests passed\n" in printed
    assert "aimock: ran: 0 tests passed, 1 failed\n" in printed
    assert "vLLM: did not run: it is not installed\n" in printed
    assert "LLMock: did not run: none of its tests was selected\n" in printed


def test_a_run_without_any_fails(tmp_path):
    """A run in which no server ran is no success."""
    write(tmp_path / "vllm", "def test_a(): pass\n", LEFT_OUT.format("vllm"))
    code, printed = run(tmp_path, "-p", "real_servers")
    assert code == 1
    assert "vLLM: did not run: it is not installed\n" in printed


def test_what_must_be_there(tmp_path):
    """Where nobody tells at the end, a server that must run and cannot is an error at once."""
    write(tmp_path / "vllm", "def test_a(): pass\n", LEFT_OUT.format("vllm"))
    code, printed = run(tmp_path)
    assert code not in (0, 5)
    assert "it is not installed" in printed

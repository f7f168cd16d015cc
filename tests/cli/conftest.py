"""The command line is tested as it is used: a process, with pipes or in a terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from inferd_engine import cli

# A pseudo-terminal is a thing of POSIX.
collect_ignore = ["test_conversation.py", "test_on_a_terminal.py"] if os.name == "nt" else []


@pytest.fixture
def here(capsys, monkeypatch):
    """Run a command in this process; give what a finished process would have."""

    def run_here(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = cli.main(arguments)
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    return run_here

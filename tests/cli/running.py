"""The command line, run as a user runs it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

TIMEOUT = 30  # seconds: a process takes a fraction of one
COMMAND = [sys.executable, "-m", "inferd_engine"]


def environment(**changed):
    """Give the environment of this process, without what would change what is printed."""
    ours = (
        "NO_COLOR",
        "FORCE_COLOR",
        "COLUMNS",
        "LINES",
        "PYTHONIOENCODING",
        "PYTHONUTF8",
        "PYTHONUNBUFFERED",
    )
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    return {**clean, "TERM": "xterm-256color", "PYTHONUTF8": "1", **changed}


def run(*arguments, stdin="", env=None, **options):
    """Run a command; give the finished process."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        env=environment(**(env or {})),
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
        **({"encoding": "utf-8", **options} if isinstance(stdin, str) else options),
    )


def start(*arguments, env=None, **options):
    """Start a command with pipes; give the process."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(**(env or {})),
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **options,
        },
    )

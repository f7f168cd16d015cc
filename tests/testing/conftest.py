"""Backends that ask through cassettes, and runs of pytest in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import textwrap

import pytest

import inferd_engine as ie

LIMIT = 60.0  # seconds that a run of pytest may take, on a loaded machine
# Plugins of others, which take seconds to load.
SLOW = ("recording", "hypothesispytest", "requests_mock", "pook", "anyio")
WITHOUT = [word for name in SLOW for word in ("-p", f"no:{name}")]


@pytest.fixture
def backend_at():
    """Give a function that makes a backend for an address; all are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(url, **options):
            settings = {"api_key": "", "timeout": 20.0, **options}
            return stack.enter_context(ie.OpenAiCompat(base_url=url, **settings))

        yield make


class Run:
    """A finished run of pytest: its output, and how many tests passed, failed and so on."""

    def __init__(self, ran):
        self.code = ran.returncode
        self.text = ran.stdout + ran.stderr
        lines = [line for line in ran.stdout.splitlines() if re.search(r" in [\d.]+s", line)]
        found = re.findall(r"(\d+) (passed|failed|errors?|skipped)", lines[-1] if lines else "")
        self.outcomes = {what.rstrip("s"): int(count) for count, what in found}


@pytest.fixture
def run_tests(tmp_path):
    """Give a function that runs pytest, in a process of its own, over a file with this text."""

    def run(text, *arguments, beside_all=False):
        path = tmp_path / "test_it.py"
        path.write_text(textwrap.dedent(text), "utf-8")
        clean = {key: os.environ[key] for key in os.environ if not key.startswith("PYTEST_")}
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
                *([] if beside_all else WITHOUT),
                *(*arguments, str(path)),
            ],
            cwd=tmp_path,
            env=clean,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        return Run(ran)

    return run

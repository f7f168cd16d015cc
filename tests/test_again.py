"""The gate's second chance: for a test that failed beside its neighbours, and for nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

AGAIN = Path(__file__).parents[1] / ".ci" / "again.py"
ONCE = """
def test_once(tmp_path_factory):
    from pathlib import Path
    seen = Path(__file__).with_name("seen")
    first = not seen.exists()
    seen.touch()
    assert not first
"""
ALWAYS = "def test_always():\n    assert False\n"
NEVER = "def test_never():\n    pass\n"


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        ([NEVER], 0),
        ([NEVER, ONCE], 0),
        ([NEVER, ONCE, ALWAYS], 1),
        (["def broken(:\n"], 1),
    ],
    ids=["all pass", "passes alone", "fails again", "cannot be read"],
)
def test_what_is_forgiven(tmp_path, tests, code):
    """A failure that is none alone; not one that is, and not a run that could not be made."""
    pytest.importorskip("xdist")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for number, text in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(text)
    ran = subprocess.run(
        [sys.executable, "-I", str(AGAIN), "-p", "xdist.plugin"],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert ("is run again" in ran.stdout) == (ONCE in tests or code > 0)

"""Run pytest; what fails beside its neighbours is run once more, alone.

A test that waits for milliseconds may fail on a machine that has none to spare; one that is wrong
fails again.  The names of both are printed.  CPython's own suite does likewise (regrtest --rerun).
Nothing else is forgiven: a run that could not be made (pytest's codes above 1) is a failure.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

TESTS_FAILED = (
    1  # pytest's code for it: https://docs.pytest.org/en/stable/reference/exit-codes.html
)
HERE = Path(sys.executable).parent
PYTEST = shutil.which("pytest", path=HERE) or sys.exit("pytest is not installed")


def main(words: list[str]) -> int:
    """Run pytest with these words, and what failed again; return its exit code."""
    code = subprocess.call([PYTEST, "-n", "2", *words])
    if code != TESTS_FAILED:
        return code
    print("\nwhat failed is run again, alone:", flush=True)
    return subprocess.call([PYTEST, "-n", "1", "--last-failed", *words])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

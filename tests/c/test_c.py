"""The C part keeps its rules: ``run.py``'s steps as tests.

Each step compiles what it needs, so that these tests ask for a C compiler and nothing else.
Where there is none they are skipped, as the package is then built without its C part; with
``INFERD_ENGINE_NATIVE=1`` the C part must be there, and so must the compiler.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
MISSING = 3  # run.py's status when a tool is not there
pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the guard pages are mmap's and mprotect's"
)


@pytest.fixture
def _compiler():
    named = os.environ.get("CC", "")
    names = shlex.split(named)[:1] or ["cc", "gcc"]
    if any(shutil.which(name) for name in names):
        return
    reason = f"there is no C compiler ({' or '.join(names)})"
    if os.environ.get("INFERD_ENGINE_NATIVE") == "1":
        pytest.fail(f"{reason}, and INFERD_ENGINE_NATIVE is 1")
    pytest.skip(reason)


def run(*arguments):
    """Run a step to its end, whatever its end is."""
    return subprocess.run(
        [sys.executable, str(RUN), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("step", ["unit", "corpus"])
def test_step(step):
    """The unit tests pass and the corpus replays, under the address and undefined sanitizers."""
    done = run(step)
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_compiler")
def test_fuzz_smoke():
    """A few seconds of fuzzing find nothing."""
    done = run("fuzz", "--seconds", "5")
    if done.returncode == MISSING:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout

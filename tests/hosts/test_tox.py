"""tox finds the interpreters of a machine, whatever else lies there and however slow it is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTHING_TO_DO = ("-x", "testenv:lint.deps=", "-x", "testenv:lint.commands=")
TOO_SLOW = 16  # seconds; virtualenv's own patience ends after 15

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def tox(tmp_path, monkeypatch):
    """Run tox with this project's settings, and nothing that earlier runs have found out."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("tox.ini", "toxfile.py"):
        shutil.copy(ROOT / name, project)
    monkeypatch.setenv("VIRTUALENV_OVERRIDE_APP_DATA", str(tmp_path / "known"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    for name in [name for name in os.environ if name.startswith("TOX_")]:
        monkeypatch.delenv(name)  # this may run in an environment of tox itself

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "tox", *arguments],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def interpreter(path, script):
    """Put a script where an interpreter is looked for."""
    path.parent.mkdir(parents=True)
    path.write_text(script, "utf-8")
    path.chmod(0o755)
    return path


def test_a_slow_interpreter(tox, tmp_path):
    """An interpreter that starts after a quarter of a minute is one to run tests on."""
    script = f'#!/bin/sh\nsleep {TOO_SLOW}\nexec "{sys.executable}" "$@"\n'
    slow = interpreter(tmp_path / "slow" / "python3", script)
    ran = tox("run", "-e", "lint", *NOTHING_TO_DO, "-x", f"testenv:lint.base_python={slow}")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "script",
    [
        "not a program",
        "#!/no/such/interpreter\n",
        "#!/bin/sh\necho pyenv: not found >&2\nexit 127\n",
    ],
    ids=["no program", "moved away", "shim"],
)
@pytest.mark.parametrize("name", ["oldest-pure", "newest-native"])
def test_what_does_not_run(tox, tmp_path, script, name):
    """What lies where an interpreter could, and does not run, is passed over."""
    broken = interpreter(tmp_path / "pyenv" / "versions" / "3.10.99" / "bin" / "python3", script)
    ran = tox("config", "-e", name, "-k", "base_python")
    found = re.search(r"^base_python = *(\S+)$", ran.stdout, re.MULTILINE)
    assert found, ran.stdout + ran.stderr
    assert found[1] != str(broken)


def test_free_threaded_interpreters(tox, tmp_path):
    """A Python without the GIL is passed over: there is no C part for it."""
    as_if = "import sys; sys.abiflags, sys.version_info = 't', (3, 15, 0); exec(sys.argv[-1])"
    script = f'#!/bin/sh\nexec "{sys.executable}" -c "{as_if}" "$@"\n'
    threaded = interpreter(tmp_path / "pyenv" / "versions" / "3.15t" / "bin" / "python3", script)
    ran = tox("config", "-e", "newest-native", "-k", "base_python")
    assert str(threaded) not in ran.stdout


def test_a_whole_run_says_how_long_it_takes(tox):
    """The default run begins with what it does and how long that takes; a chosen one does not."""
    alone = ("-x", "tox.env_list=lint", *NOTHING_TO_DO)
    assert re.match(r"tox: lint, types, .* about \d+ minutes", tox(*alone).stdout, re.DOTALL)
    assert "minutes" not in tox("-e", "lint", *NOTHING_TO_DO).stdout
    assert "minutes" not in tox("list").stdout

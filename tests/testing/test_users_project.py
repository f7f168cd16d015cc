"""A user's package and its tests, in an environment of their own, with what is built from here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples" / "users_project"

pytestmark = pytest.mark.timeout(180)


def run(*command, cwd, **environment):
    ours = ("PYTEST_", "INFERD_ENGINE_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    ran = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**clean, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Give the project's folder, and an interpreter that has both packages as they are installed.

    What they depend on is taken from the environment of these tests, so nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("user")
    copy = folder / "project"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(PROJECT, copy, ignore=ignored)
    pip = (sys.executable, "-m", "pip")
    wheels = folder / "wheels"
    how = ("--no-deps", "--no-build-isolation", "--no-cache-dir", "-q", "-w", wheels)
    run(*pip, "wheel", *how, ROOT, copy, cwd=folder, INFERD_ENGINE_NATIVE="0")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(*pip, "--python", python, "install", "-q", "--no-deps", *wheels.iterdir(), cwd=folder)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    Path(site.strip(), "dependencies.pth").write_text("\n".join(paths), "utf-8")
    shutil.rmtree(copy / "explainer")  # what is tested is what is installed
    shutil.rmtree(copy / "build", ignore_errors=True)
    return copy, python


def test_its_tests_pass(project):
    """They use the public API alone, need no network, and find the plugin by its entry point."""
    copy, python = project
    options = ("-q", "-p", "no:cacheprovider", "--inferd-record=replay")
    told = run(python, "-m", "pytest", *options, cwd=copy)
    assert " passed" in told
    assert "failed" not in told


def test_it_is_an_environment_of_its_own(project):
    """Both packages are those that were built, with the data that they need."""
    copy, python = project
    program = (
        "import inferd_engine, explainer\n"
        "from inferd_engine.testing import quirks\n"
        "print(len(quirks()), inferd_engine.__file__, explainer.__file__)"
    )
    count, *files = run(python, "-c", program, cwd=copy).split()
    assert int(count) > 100
    for file in files:
        assert Path(file).is_relative_to(python.parents[1])

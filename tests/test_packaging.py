"""What is built, in every way in which it can be built; without the network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import inferd_engine

ROOT = Path(__file__).parents[1]
NO_COMPILER = str(ROOT / "no" / "compiler")
HAS_COMPILER = shutil.which(os.environ.get("CC", "cc")) is not None
BUILD_FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def build(tmp_path):
    """Build a wheel from a copy of the source; give the finished process and the wheel, if any."""
    source = tmp_path / "source"
    source.mkdir()
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, source)
    ignore = shutil.ignore_patterns("*.so", "__pycache__", "_native.c")
    for name in ("inferd_engine", "csrc"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)

    def run(**environment):
        clean = {k: v for k, v in os.environ.items() if k not in ("INFERD_ENGINE_NATIVE", "CC")}
        wheels = tmp_path / "wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"),
                *("--no-cache-dir", "--disable-pip-version-check", "-w", str(wheels), str(source)),
            ],
            env={**clean, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return ran, next(iter(wheels.glob("*.whl")), None) if wheels.exists() else None

    return run


def extensions_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]


def purity_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/WHEEL"))
        lines = archive.read(name).decode().splitlines()
    return next(line for line in lines if line.startswith("Root-Is-Purelib"))


@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C compiler")
@pytest.mark.parametrize("switch", [{}, {"INFERD_ENGINE_NATIVE": "1"}], ids=["unset", "1"])
def test_with_a_compiler(build, switch):
    """With a compiler the wheel holds the C part and is tagged for every CPython from 3.10 on."""
    ran, wheel = build(**switch)
    assert wheel is not None, ran.stdout + ran.stderr
    assert "-cp310-abi3-" in wheel.name
    assert extensions_in(wheel) == ["inferd_engine/wire/_native.abi3.so"]
    assert purity_of(wheel).endswith("false")


@pytest.mark.parametrize(
    "environment",
    [{"CC": NO_COMPILER}, {"INFERD_ENGINE_NATIVE": "0"}],
    ids=["no compiler", "switched off"],
)
def test_without_the_c_part(build, environment):
    """Without a compiler, or switched off, the wheel is pure and tagged so."""
    ran, wheel = build(**environment)
    assert wheel is not None, ran.stdout + ran.stderr
    assert wheel.name.endswith("-py3-none-any.whl")
    assert extensions_in(wheel) == []
    assert purity_of(wheel).endswith("true")


def test_demanded_without_a_compiler(build):
    """INFERD_ENGINE_NATIVE=1 without a compiler fails instead of leaving the C part out."""
    ran, wheel = build(INFERD_ENGINE_NATIVE="1", CC=NO_COMPILER)
    assert ran.returncode != 0
    assert wheel is None


@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C compiler")
def test_an_earlier_build_does_not_slip_in(build):
    """After a build with the C part, one without it does not pick up what the first had made."""
    assert extensions_in(build()[1])
    wheel = build(CC=NO_COMPILER, CFLAGS="-DCHANGED")[1]
    assert bool(extensions_in(wheel)) == ("abi3" in wheel.name)
    assert extensions_in(build(INFERD_ENGINE_NATIVE="0")[1]) == []


def test_every_module_is_packaged():
    """Every folder with modules is among the packages that are installed."""
    installed = Path(inferd_engine.__file__).parent
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "inferd_engine").rglob("*.py")}
    for folder in folders:
        assert (installed.parent / folder / "__init__.py").is_file()
    assert (installed / "py.typed").is_file()

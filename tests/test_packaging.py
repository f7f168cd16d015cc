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
# What an interpreter runs before anything else, to be taken for another one.
FREE_THREADED = "import sysconfig; sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1"
NAMED_BY_PLATFORM = "import sysconfig; sysconfig.get_config_vars()['SOABI_PLATFORM'] = 'x86_64'"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def source(tmp_path):
    """Give a copy of the source, as an export of the repository would be."""
    source = tmp_path / "source"
    source.mkdir()
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, source)
    ignore = shutil.ignore_patterns("*.so", "__pycache__", "_compiled.c")
    for name in ("inferd_engine", "csrc"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    return source


@pytest.fixture
def build(tmp_path, source):
    """Build a wheel; give the finished process and the wheel, if any."""

    def run(origin=source, *, as_if=None, **environment):
        clean = {k: v for k, v in os.environ.items() if k not in ("INFERD_ENGINE_NATIVE", "CC")}
        if as_if:
            (tmp_path / "sitecustomize.py").write_text(as_if, "utf-8")
            environment["PYTHONPATH"] = str(tmp_path)
        wheels = tmp_path / "wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"),
                *("--no-cache-dir", "--disable-pip-version-check", "-w", str(wheels), str(origin)),
            ],
            env={**clean, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return ran, next(iter(wheels.glob("*.whl")), None) if wheels.exists() else None

    return run


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def extensions_in(wheel):
    return [name for name in names_in(wheel) if name.endswith((".so", ".pyd"))]


def purity_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/WHEEL"))
        lines = archive.read(name).decode().splitlines()
    return next(line for line in lines if line.startswith("Root-Is-Purelib"))


@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C compiler")
@pytest.mark.parametrize("as_if", [None, NAMED_BY_PLATFORM], ids=["as here", "as on 3.15"])
@pytest.mark.parametrize("switch", [{}, {"INFERD_ENGINE_NATIVE": "1"}], ids=["unset", "1"])
def test_with_a_compiler(build, switch, as_if):
    """With a compiler the wheel holds the C part, tagged and named for every CPython from 3.10."""
    ran, wheel = build(as_if=as_if, **switch)
    assert wheel is not None, ran.stdout + ran.stderr
    assert "-cp310-abi3-" in wheel.name
    assert extensions_in(wheel) == ["inferd_engine/_native/_compiled.abi3.so"]
    assert purity_of(wheel).endswith("false")


@pytest.mark.parametrize(
    "environment",
    [{"CC": NO_COMPILER}, {"INFERD_ENGINE_NATIVE": "0"}, {"as_if": FREE_THREADED}],
    ids=["no compiler", "switched off", "free-threaded"],
)
def test_without_the_c_part(build, environment):
    """Without a compiler, switched off, or without the GIL, the wheel is pure and tagged so."""
    ran, wheel = build(**environment)
    assert wheel is not None, ran.stdout + ran.stderr
    assert wheel.name.endswith("-py3-none-any.whl")
    assert extensions_in(wheel) == []
    assert purity_of(wheel).endswith("true")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CC": NO_COMPILER}, NO_COMPILER),
        ({"as_if": FREE_THREADED}, "the C part cannot be built for a free-threaded Python"),
    ],
    ids=["no compiler", "free-threaded"],
)
def test_demanded_where_it_cannot_be(build, environment, reason):
    """INFERD_ENGINE_NATIVE=1 where there can be no C part fails and says why."""
    ran, wheel = build(INFERD_ENGINE_NATIVE="1", **environment)
    assert ran.returncode != 0
    assert wheel is None
    assert reason in ran.stdout + ran.stderr


def test_a_checkout_is_only_read(build, source):
    """A checkout that nobody may write to installs; a build creates and deletes nothing there."""
    folders = [source, *(path for path in source.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)  # binds everybody but root; for root the times tell
    before = [(folder.name, folder.stat().st_mtime_ns) for folder in folders]
    try:
        ran, wheel = build()
        assert wheel is not None, ran.stdout + ran.stderr
        assert [(folder.name, folder.stat().st_mtime_ns) for folder in folders] == before
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_from_an_sdist(build, source, tmp_path):
    """What is built from an sdist is what is built from its source; nothing is left behind."""
    make = (  # and go as tox's builder goes: without a clean-up at exit
        "import os, sys, setuptools.build_meta as backend; "
        "backend.build_sdist(sys.argv[1]); os._exit(0)"
    )
    sdists, scratch = tmp_path / "sdists", tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch)}
    subprocess.run([sys.executable, "-c", make, sdists], cwd=source, env=environment, check=True)
    assert list(scratch.iterdir()) == []
    [sdist] = sdists.iterdir()
    from_sdist = names_in(build(sdist)[1])
    assert from_sdist == names_in(build()[1])
    assert "inferd_engine/py.typed" in from_sdist


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


def test_an_editable_install_is_seen_by_type_checkers(source, tmp_path):
    """It puts the folder on the path: a finder in its place is code that no type checker runs."""
    make = (
        "import sys; from setuptools.build_meta import build_editable; build_editable(sys.argv[1])"
    )
    subprocess.run(
        [sys.executable, "-c", make, str(tmp_path)],
        cwd=source,
        env={**os.environ, "INFERD_ENGINE_NATIVE": "0"},
        capture_output=True,
        check=True,
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        (path,) = (name for name in wheel.namelist() if name.endswith(".pth"))
        assert wheel.read(path).decode().strip() == str(source)
        assert not any(name.endswith(".py") for name in wheel.namelist())

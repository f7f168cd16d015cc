"""The import law: a module imports lower levels only, and the pure half does no I/O."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import inferd_engine

PACKAGE = Path(inferd_engine.__file__).parent
# Lowest first; a module may import those before it.
LEVELS = [
    {"_version"},
    {"errors"},
    {"proto"},
    {"events"},
    {"wire"},
    {"deadlines", "cancel", "_socket_reader_native", "masking", "secret", "tls_settings"},
    {"exchange", "presets", "credentials", "hidden_head", "socket_reader"},
    {"config", "proxies"},
    {"receiving", "failures", "stream", "dialing", "interception"},
    {"tls", "idle"},
    {"connection"},
    {"socks_connection"},
    {"pool"},
    {"footing"},
    {"transport"},
    {"answer", "backend"},
    {"backends"},
    {"testing"},
    {"cli"},
    {"__init__", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(LEVELS) for name in names}
PURE = {"errors", "proto", "events", "wire"}
NO_IO = {"requests", "urllib3", "socket", "ssl", "threading", "queue", "select", "subprocess"}
NO_CLOCK = {"time", "os"}
# The switch is read in one place, and an HTTP date is told from now.
EXCEPTIONS = {("wire/sse.py", "os"), ("wire/openai_errors.py", "time")}

MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path):
    """Give the modules that a file imports when it runs, those inside functions too."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the level"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(name):
    """Give the part of a module's name that has a level."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_imports_lower_levels_only(path):
    """Arrows go down; inside a package they go where they like, but not between backends."""
    own = relative(path).removesuffix(".py").split("/")[0]
    assert own in RANK, f"{own} has no level yet: give it one"
    for name in imports_of(path):
        if name.split(".")[0] != "inferd_engine" or name == "inferd_engine":
            continue
        other = top(name)
        if other not in RANK:
            continue  # a name of the package itself
        if other == own:
            assert own != "backends" or name.startswith("inferd_engine.backends." + path.stem)
            continue
        assert RANK[other] < RANK[own], f"{relative(path)} imports {name}"


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if relative(p).split("/")[0].removesuffix(".py") in PURE],
    ids=relative,
)
def test_the_pure_half_does_no_io(path):
    """Protocol, events, errors and wire are functions of their input."""
    for name in imports_of(path):
        root = name.split(".")[0]
        assert root not in NO_IO, f"{relative(path)} imports {root}"
        assert root not in NO_CLOCK or (relative(path), root) in EXCEPTIONS


def test_testing_needs_the_standard_library_alone():
    """The test upstream can be used wherever the package is."""
    for path in (PACKAGE / "testing").glob("*.py"):
        for name in imports_of(path):
            root = name.split(".")[0]
            assert root in sys.stdlib_module_names | {"inferd_engine"}


def test_the_command_line_uses_the_front_door():
    """It is a program like any other; only the names of the presets are not at the door."""
    for path in (PACKAGE / "cli").glob("*.py"):
        for name in imports_of(path):
            if name.startswith("inferd_engine."):
                assert top(name) in ("cli", "testing", "presets"), f"{path.name} imports {name}"


def test_only_one_file_shuts_connections_down():
    """shutdown() is called on the kill handle alone: on a TLS socket it drops the TLS layer."""
    calls = [
        relative(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "shutdown"
    ]
    assert set(calls) - {"testing/upstream.py"} == {"exchange.py"}


def test_clocks_are_monotonic():
    """Deadlines do not jump with the wall clock."""
    wall = [
        relative(path)
        for path in MODULES
        if "time.time()" in path.read_text("utf-8") or "datetime.now" in path.read_text("utf-8")
    ]
    assert wall == ["wire/openai_errors.py"]

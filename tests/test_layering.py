"""The law of rooms: what each may import, and that the pure half does no I/O."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import inferd_engine

PACKAGE = Path(inferd_engine.__file__).parent
# A room may import from these, and nobody else; a room's own files import each other.  A folder
# that is named as a whole stands for the rooms in it.
# How all speak: errors, where their tracebacks end, and values in one line.
_SPOKEN = ("errors", "frames", "reprs")
_PURE = (*_SPOKEN, "proto", "events", "vectors", "wire")
_BACKEND = (
    *(*_PURE, "_version", "_native", "cancel", "stream", "secrets", "net"),
    *("backends.base", "backends.settings"),
)
MAY_IMPORT = {
    "_version": (),
    "errors": (),
    "frames": (),  # which tracebacks show
    "reprs": (),  # values told in a line
    "_native": (),  # the compiled part and its switch, for whoever needs it
    "proto": _SPOKEN,
    "events": (*_SPOKEN, "proto", "notebook"),
    "vectors": ("events", "reprs"),
    "wire.text": ("errors",),
    "wire.http": ("errors", "_native", "wire.text"),
    "wire.sse": (*_SPOKEN, "_native", "wire.text"),
    "wire.openai": (
        *(*_SPOKEN, "proto", "events", "vectors", "wire.text", "wire.http", "wire.sse"),
    ),
    # What servers say is wrong, JSON in pieces and images are told alike in both protocols.
    "wire.anthropic": (
        *(*_SPOKEN, "proto", "events", "wire.text", "wire.http", "wire.sse", "wire.openai"),
    ),
    "wire.aws": _SPOKEN,
    # Anthropic's Messages in other words: mapped by way of them.
    "wire.bedrock": (
        *(*_SPOKEN, "proto", "events", "wire.text", "wire.sse", "wire.openai"),
        *("wire.anthropic", "wire.aws"),
    ),
    "wire.openai_request": ("wire.openai",),  # doors that the contract names
    "wire.openai_chunks": ("wire.openai",),
    "cancel": _SPOKEN,
    "secrets": (*_SPOKEN, "wire.http"),
    # Two towers that never meet: bytes in time, which know no event; threads, which know no HTTP.
    "net": (*_SPOKEN, "_native", "secrets", "wire.http", "wire.text"),
    "stream": (*_SPOKEN, "events", "cancel", "notebook"),
    # The bridge between them, and what stands on it; no backend knows another.
    "backends.base": (
        *(*_SPOKEN, "proto", "events", "vectors", "cancel", "stream", "wire.openai"),
    ),
    "backends.settings": ("errors", "proto"),
    "backends.mock_script": (*_SPOKEN, "events", "stream"),
    "backends.mock": (
        *_SPOKEN,
        "proto",
        "events",
        "vectors",
        "cancel",
        "stream",
        "backends.base",
        "backends.mock_script",
    ),
    "backends.over_http": _BACKEND,
    "backends.llamacpp": _BACKEND,
    "backends.openai_compat": (*_BACKEND, "backends.over_http"),
    "backends.anthropic": (*_BACKEND, "backends.over_http"),
    "backends.bedrock": (*_BACKEND, "backends.over_http"),
    "testing": ("net",),  # whoever makes clocks run faster has to reach them
    # The front door, and what may be printed.  What notebooks show of values and streams is told
    # here; those import it when they are shown.
    "notebook": ("cli",),
    "web": (),  # the front door alone, as whoever writes a place of their own has it
    # A program like any other: it comes by the front door.
    "cli": ("testing", "web"),
    "__init__": ("_version",),
    "__main__": ("cli",),
}
PURE = {"errors", "proto", "events", "vectors", "wire"}
NO_IO = {"requests", "urllib3", "socket", "ssl", "threading", "queue", "select", "subprocess"}
NO_CLOCK = {"time", "os"}
# An HTTP date is told from now.
EXCEPTIONS = {("wire/http/headers.py", "time")}

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


def room_of(parts):
    """Give the room of a module by the parts of its name, without the package's."""
    return ".".join(parts[:2] if parts[0] in ("wire", "backends") else parts[:1])


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_room_imports_what_it_may(path):
    """Arrows between rooms are those of the table; what only types need is not counted."""
    own = room_of(path.relative_to(PACKAGE).with_suffix("").parts)
    if path.name == "__init__.py" and own not in MAY_IMPORT:
        own = room_of(path.parent.relative_to(PACKAGE).parts)
    assert own in MAY_IMPORT or own in ("wire", "backends"), (
        f"{own} is no room yet: say what it may"
    )
    for name in imports_of(path):
        package, *parts = name.split(".")
        if package != "inferd_engine" or not parts or name == "inferd_engine":
            continue
        other = room_of(parts)
        if not (PACKAGE / parts[0]).exists() and not (PACKAGE / f"{parts[0]}.py").exists():
            continue  # a name of the package itself
        allowed = MAY_IMPORT.get(own, ())
        assert other == own or {other, parts[0]} & set(allowed), f"{relative(path)} imports {name}"


def test_the_towers_never_meet():
    """What reads and writes the network, and what streams and ends, know nothing of each other."""
    for own, other in (("net", "stream"), ("stream", "net")):
        for path in (PACKAGE / own).glob("*.py"):
            assert not any(name.startswith(f"inferd_engine.{other}") for name in imports_of(path))


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
    """The test upstream can be used wherever the package is; what is optional is a leaf."""
    optional = {
        "tls.py": {"trustme"},
        "conversion.py": {"yaml"},
        "pytest_plugin.py": {"pytest"},
    }
    for path in (PACKAGE / "testing").glob("*.py"):
        for name in imports_of(path):
            root = name.split(".")[0]
            own = {"inferd_engine"} | optional.get(path.name, set())
            assert root in sys.stdlib_module_names | own


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
    assert set(calls) - {"testing/upstream.py", "testing/recorder.py"} == {"net/exchange.py"}


def test_clocks_are_monotonic():
    """Deadlines do not jump with the wall clock."""
    wall = [
        relative(path)
        for path in MODULES
        if "time.time()" in path.read_text("utf-8") or "datetime.now" in path.read_text("utf-8")
    ]
    assert sorted(wall) == [
        "web/body.py",  # when an answer was made, in OpenAI's words
        "web/openai_app.py",
        "wire/http/headers.py",
    ]

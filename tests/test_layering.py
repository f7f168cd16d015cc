"""The law of rooms: what each may import, and that the pure half does no I/O."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import inferd_engine

PACKAGE = Path(inferd_engine.__file__).parent
# A room may import from these, and nobody else; a room's own files import each other.  A folder
# that is named as a whole stands for the rooms in it.
DOOR = "__init__"
# How all speak: errors, where their tracebacks end, and values in one line.
_SPOKEN = ("errors", "frames", "reprs")
_PURE = (*_SPOKEN, "proto", "events", "vectors", "wire")
_PROTOCOL = (
    *(*_SPOKEN, "proto", "events", "wire.answer", "wire.request"),
    *("wire.text", "wire.http", "wire.sse"),
)
_BACKEND = (
    *(*_PURE, "_version", "_native", "cancel", "stream", "secrets", "net"),
    *("backends.base", "backends.settings"),
)
_ASKS_OTHERS = (
    *(*_SPOKEN, "proto", "events", "vectors", "cancel", "stream", "backends.base", "many.told"),
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
    # What answers have in common, and requests: the protocols stand on that, and not on each other.
    "wire.answer": (*_SPOKEN, "events", "wire.text", "wire.http", "wire.sse"),
    "wire.request": (*_SPOKEN, "proto", "wire.text"),
    "wire.openai": (*_PROTOCOL, "_native", "vectors"),
    "wire.anthropic": _PROTOCOL,
    "wire.aws": _SPOKEN,
    # Anthropic's Messages in other words: mapped by way of them.
    "wire.bedrock": (*_PROTOCOL, "wire.anthropic", "wire.aws"),
    "wire.openai_request": ("wire.openai",),  # doors that the contract names
    "wire.openai_chunks": ("wire.openai",),
    "cancel": _SPOKEN,
    "secrets": (*_SPOKEN, "wire.http"),
    # Two towers that never meet: bytes in time, which know no event; threads, which know no HTTP.
    "net": (*_SPOKEN, "_native", "secrets", "wire.http", "wire.text"),
    "stream": (*_SPOKEN, "events", "cancel", "notebook"),
    # The bridge between them, and what stands on it; no backend knows another.
    "backends.base": (
        *(*_SPOKEN, "proto", "events", "vectors", "cancel", "stream", "wire.openai", "many.batch"),
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
        "backends.settings",
        "backends.mock_script",
    ),
    "backends.over_http": _BACKEND,
    "backends.llamacpp": _BACKEND,
    "backends.openai_compat": (*_BACKEND, "backends.over_http"),
    "backends.anthropic": (*_BACKEND, "backends.over_http"),
    "backends.bedrock": (*_BACKEND, "backends.over_http"),
    # Many calls.  What ``Backend.map`` needs knows no backend; what is a backend itself does.
    "many": (),
    "many.retry": (*_SPOKEN, "backends.settings"),
    "many.told": _SPOKEN,
    "many.breaker": (),
    "many.retrying": (*_ASKS_OTHERS, "many.retry"),
    "many.router": (*_ASKS_OTHERS, "many.breaker"),
    "many.merging": (*_SPOKEN, "_native", "events", "cancel", "stream"),  # one call waits and reads
    "many.batch": (
        *(*_SPOKEN, "proto", "events", "cancel", "stream", "wire.openai"),
        *("backends.settings", "many.retry", "many.merging"),
    ),
    "testing": (DOOR, "net"),  # whoever makes clocks run faster has to reach them
    # The front door.  What notebooks show of values and streams is told there; those import it when
    # they are shown.
    "notebook": (DOOR, "cli", "wire.text"),
    "web": (DOOR,),  # the front door alone, as whoever writes a place of their own has it
    # A program like any other: it comes by the front door; and what is safe to print.
    "cli": (DOOR, "testing", "web", "wire.text"),
    DOOR: ("_version", "frames"),
    "__main__": ("cli",),
}
# What types alone need beyond that: an error's answer so far, what the doors take.
TYPES_ALONE = {
    ("errors", "events"),
    ("backends.base", "many.retry"),
    ("cli", "events"),
    ("many.batch", "backends.base"),
    ("notebook", "events"),
    ("wire.answer", "_native"),
    ("wire.anthropic", "_native"),
    ("wire.openai_request", "proto"),
    ("wire.openai_request", "backends.openai_compat"),
}
PURE = {"errors", "proto", "events", "vectors", "wire"}
NO_IO = {"requests", "urllib3", "socket", "ssl", "threading", "queue", "select", "subprocess"}
NO_CLOCK = {"time", "os"}
# An HTTP date is told from now.
EXCEPTIONS = {("wire/http/headers.py", "time")}

CALLED = re.compile(r"(^|\.)(import_module|__import__|find_spec)$")
# Names in a table of the file's own: its own room's, and what somebody may have installed.
NAMED_ELSEWHERE = {
    *("__init__.py", "cli/main.py", "testing/__init__.py", "wire/http/content_codings.py"),
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def running(body):
    """Give the nodes of a program that count when it runs: not what type checkers alone see."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from running(node.orelse)
        else:
            yield node
            yield from running(ast.iter_child_nodes(node))


def imports_of(source, place="it"):
    """Give the modules that a program imports when it runs, inside functions and by name too."""
    for node in running([ast.parse(source)]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place}: relative imports hide the level"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and CALLED.search(ast.unparse(node.func)):
            named = [a.value for a in node.args if isinstance(a, ast.Constant)]
            assert named or place in NAMED_ELSEWHERE, f"{place}: what does this import?"
            yield from named


def room_of(parts):
    """Give the room of a module by the parts of its name, without the package's."""
    return ".".join(parts[:2] if parts[0] in ("wire", "backends", "many") else parts[:1])


def home_of(path):
    """Give the room that a file is in."""
    own = room_of(path.relative_to(PACKAGE).with_suffix("").parts)
    if path.name == "__init__.py" and own not in MAY_IMPORT:
        own = room_of(path.parent.relative_to(PACKAGE).parts)
    return own


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


def imported(path):
    return imports_of(path.read_text("utf-8"), relative(path))


def forbidden(own, names):
    """Give what a room imports that it may not."""
    for name in names:
        package, *parts = name.split(".")
        if package != "inferd_engine":
            continue
        is_module = parts and any((PACKAGE / f"{parts[0]}{end}").exists() for end in ("", ".py"))
        other = room_of(parts) if is_module else DOOR  # the package itself, or a name that it gives
        if other != own and not {other, other.split(".")[0]} & {*MAY_IMPORT.get(own, ())}:
            yield name


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_room_imports_what_it_may(path):
    """Arrows between rooms are those of the table; what only types need is not counted."""
    own = home_of(path)
    assert own in MAY_IMPORT or own in ("wire", "backends"), (
        f"{own} is no room yet: say what it may"
    )
    assert [*forbidden(own, imported(path))] == []


def test_the_towers_never_meet():
    """What reads and writes the network, and what streams and ends, know nothing of each other."""
    for own, other in (("net", "stream"), ("stream", "net")):
        for path in (PACKAGE / own).glob("*.py"):
            assert not any(name.startswith(f"inferd_engine.{other}") for name in imported(path))


@pytest.mark.parametrize(
    ("own", "others"),
    [
        ("answer", ("openai", "anthropic", "bedrock", "aws")),
        ("request", ("openai", "anthropic", "bedrock", "aws")),
        ("openai", ("anthropic", "bedrock", "aws")),
        ("anthropic", ("openai", "bedrock", "aws")),
        ("bedrock", ("openai",)),
    ],
)
def test_protocols_never_meet(own, others):
    """No protocol knows another, but Bedrock Anthropic's; what they share knows none."""
    for path in (PACKAGE / "wire" / own).glob("*.py"):
        for name in imported(path):
            assert not name.startswith(tuple(f"inferd_engine.wire.{other}" for other in others))


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if relative(p).split("/")[0].removesuffix(".py") in PURE],
    ids=relative,
)
def test_the_pure_half_does_no_io(path):
    """Protocol, events, errors and wire are functions of their input."""
    for name in imported(path):
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
        for name in imported(path):
            root = name.split(".")[0]
            own = {"inferd_engine"} | optional.get(path.name, set())
            assert root in sys.stdlib_module_names | own


def test_few_files_shut_connections_down():
    """shutdown() is called on the kill handle, and below TLS: on top of it, it drops that layer."""
    calls = [
        relative(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "shutdown"
    ]
    below = {"net/exchange.py", "net/tls_records.py"}
    assert set(calls) - {"testing/upstream.py", "testing/recorder.py"} == below


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


@pytest.mark.parametrize(
    "line",
    [
        "from inferd_engine.stream.buffer import Buffer",
        "import inferd_engine.stream.buffer",
        "from inferd_engine.stream import buffer",
        "from inferd_engine import stream",
        "import inferd_engine",
        "from inferd_engine import TokenStream",
        "def late():\n    import inferd_engine.stream.buffer",
        "import importlib\nimportlib.import_module('inferd_engine.stream.buffer')",
        "__import__('inferd_engine.stream.buffer')",
        "if not TYPE_CHECKING:\n    from inferd_engine import stream",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from inferd_engine import stream",
    ],
)
def test_what_is_forbidden_is_found(line):
    """However the network imports what streams, the law finds it."""
    assert [*forbidden("net", imports_of(line))]


def test_what_types_alone_need_is_counted_apart():
    """Types come from where they are at home; those beyond the table are these, and no others."""
    source = "if TYPE_CHECKING:\n    from inferd_engine import stream"
    assert [*imports_of(source)] == []
    found = set()
    for path in MODULES:
        body = [
            line
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for line in node.body
        ]
        own = home_of(path)
        names = forbidden(own, imports_of(ast.unparse(ast.Module(body, [])), relative(path)))
        found |= {(own, room_of(name.split(".")[1:])) for name in names}
    assert {(own, other) for own, other in found if own != DOOR} == TYPES_ALONE

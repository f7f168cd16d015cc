"""Fixtures for pytest: an upstream, a mock, a cassette, and clocks that run fast.

The plugin is there wherever the package is installed, in every run of pytest.  So it imports
nothing but pytest until a fixture is used, has no fixture that is used by itself, and looks at no
test that does not use it.

A test fails, not its clean-up: what a fixture has to complain of is raised when the test's own code
has passed, so a test that fails by itself fails once.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest

import inferd_engine as ie

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from inferd_engine.testing import Cassette, FastForward, Reply, Upstream

_checks_key = pytest.StashKey["list[Callable[[], None]]"]()
_SHOWN = 300  # bytes: the first event or two
_LONGEST = 100  # characters of a file's name: below what any file system takes


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--inferd-record``."""
    group = parser.getgroup("inferd_engine")
    group.addoption(
        "--inferd-record",
        nargs="?",
        const="record",
        default="once",
        choices=("once", "record", "replay"),
        help="what inferd_cassette does: record where there is no file (once, the default), record "
        "all anew (record, or no value), or never ask the network (replay)",
    )


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Look, after a test that has passed, whether its fixtures have seen what they should."""
    for check in item.stash.get(_checks_key, ()):
        check()


def _check_at_end(request: pytest.FixtureRequest, check: Callable[[], None]) -> None:
    """Have something checked when the test has passed; anew if the test is run again."""
    checks = request.node.stash.setdefault(_checks_key, [])
    checks.append(check)
    request.addfinalizer(lambda: checks.remove(check))


@pytest.fixture
def inferd_upstream(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Serve chat completions on loopback; script it with ``enqueue()``, point a client at ``url``.

    The test fails if a reply was left over.
    """
    from inferd_engine.testing import Upstream  # noqa: PLC0415 - only where it is used

    try:
        upstream = Upstream()
    except Exception as error:
        _explain_blocked_sockets(error)
        raise

    def check() -> None:
        if left := upstream.unused:
            asked = ", ".join(f"{one.method} {one.path}" for one in upstream.requests) or "nothing"
            pytest.fail(
                f"inferd_upstream: nobody asked for {len(left)} of the replies; it was asked for "
                f"{asked}.  The next is {left[0]!r}: {_beginning_of(left[0])!r}",
                pytrace=False,
            )

    _check_at_end(request, check)
    with upstream:
        yield upstream


def _beginning_of(reply: Reply) -> bytes:
    """Give enough of a reply to know it by."""
    return b"".join(step for step in reply.steps if isinstance(step, bytes))[:_SHOWN]


@pytest.fixture
def inferd_mock() -> Iterator[ie.Mock]:
    """Return a backend that answers from a script, without a socket."""
    with ie.Mock() as mock:
        yield mock


@pytest.fixture
def inferd_cassette(request: pytest.FixtureRequest) -> Iterator[Callable[..., Cassette]]:
    """Return a function that opens a cassette: ``inferd_cassette(upstream="https://…").url``.

    The function takes ``name`` (a file below ``cassettes/`` beside the test's; by default it is
    named after the test), ``upstream`` and whatever else ``Cassette`` takes.  The mode is that of
    ``--inferd-record``.  The test fails if it asked for what was not recorded.
    """
    from inferd_engine.testing import Cassette  # noqa: PLC0415 - only where it is used

    opened: dict[Path, Cassette] = {}

    def open_cassette(
        name: str | None = None,
        *,
        upstream: str | None = None,
        **options: Any,  # of Cassette
    ) -> Cassette:
        path = _path_of(request, name)
        if path in opened:
            raise ValueError(
                f"the test has opened {path.name} already: give the second cassette a name"
            )
        mode = request.config.getoption("--inferd-record")
        if mode == "record" and upstream is None:
            mode = "once"  # it can be replayed, and nothing else
        cassette = Cassette(path, upstream=upstream, **{"mode": mode, **options})
        try:
            cassette.__enter__()
        except Exception as error:
            _explain_blocked_sockets(error)
            raise
        _check_at_end(request, cassette.check)
        opened[path] = cassette
        return cassette

    yield open_cassette
    failures = []
    for cassette in opened.values():
        try:
            cassette.close()
        except AssertionError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _path_of(request: pytest.FixtureRequest, name: str | None) -> Path:
    """Give the file of a cassette."""
    folder = request.path.parent / "cassettes"
    if name is None:
        test = request.node.nodeid.partition("::")[2].replace("::", ".")
        return folder / request.path.stem / f"{_file_name(test)}.jsonl"
    path = folder / (name if name.endswith(".jsonl") else f"{name}.jsonl")
    if not name or ".." in path.parts or folder not in path.parents:
        raise ValueError(f"a cassette's name is a file below {folder}, not {name!r}")
    return path


def _file_name(test: str) -> str:
    """Write a test's name so that every file system takes it, and no two are the same."""
    name = re.sub(r"[^\w.-]+", "-", test, flags=re.ASCII).strip("-")
    if len(name) > _LONGEST or not re.fullmatch(r"[\w.]+(\[[\w.-]+\])?", test, re.ASCII):
        name = f"{name[:_LONGEST]}-{hashlib.sha256(test.encode()).hexdigest()[:8]}"
    return name


def _explain_blocked_sockets(error: Exception) -> None:
    """Say what to allow where pytest-socket forbids sockets."""
    if type(error).__module__.partition(".")[0] == "pytest_socket":
        pytest.fail(
            "pytest-socket forbids the sockets that this fixture needs: allow those of this "
            "machine with --allow-hosts=127.0.0.1 instead of --disable-socket, or mark the test "
            "with @pytest.mark.enable_socket",
            pytrace=False,
        )


@pytest.fixture
def inferd_fast_forward() -> Iterator[FastForward]:
    """Let deadlines, ``time.sleep()`` and ``CancelToken`` take a hundredth of their time."""
    from inferd_engine.testing import FastForward  # noqa: PLC0415 - only where it is used

    with FastForward() as clock:
        yield clock

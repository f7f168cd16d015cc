"""Servers that are not ours, each in a process of its own, in front of a scripted upstream.

``INFERD_ENGINE_WEB`` names the folder that npm has installed the makers' parsers below; without it
these tests are not collected.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from server_process import ServerProcess, show_logs

from inferd_engine.testing import Upstream

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"

PREFIX = os.environ.get("INFERD_ENGINE_WEB")
if not PREFIX:
    collect_ignore_glob = ["test_*.py"]

_GUNICORN = ["gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "1"]
_UVICORN = ["uvicorn", "--host", "127.0.0.1", "--port", "{port}"]
COMMANDS = {
    "gunicorn sync": [*_GUNICORN, "flask_view:app"],
    "gunicorn gthread": [*_GUNICORN, "-k", "gthread", "--threads", "250", "flask_view:app"],
    "gunicorn gevent": [*_GUNICORN, "-k", "gevent", "flask_view:app"],
    "waitress": ["waitress", "--listen", "127.0.0.1:{port}", "--threads", "20", "flask_view:app"],
    "flask run": ["flask", "--app", "flask_view", "run", "--port", "{port}"],
    "django gunicorn": [*_GUNICORN, "-k", "gthread", "--threads", "20", "django_view:wsgi"],
    "django uvicorn": [*_UVICORN, "django_view:asgi"],
    "django daphne": ["daphne", "-b", "127.0.0.1", "-p", "{port}", "django_view:asgi"],
    "fastapi uvicorn": [*_UVICORN, "fastapi_view:app"],
}


class ViewServer(ServerProcess):
    """A server with a view, in front of an upstream of ours."""

    environment: ClassVar = {}
    ready_path = "/ready"

    def __init__(self, log, name, upstream):
        super().__init__(log)
        self.name = name
        self.upstream = upstream
        self.environment = {
            "UPSTREAM": upstream.url,
            "PYTHONPATH": str(HERE),
            "PAGE": str(EXAMPLES / "flask_app" / "page.html"),
        }

    def command(self):
        """Give the program and its arguments."""
        return [
            sys.executable,
            "-m",
            *(part.replace("{port}", str(self.port)) for part in COMMANDS[self.name]),
        ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Show what the servers printed with a test that failed."""
    return show_logs((yield))


@pytest.fixture(scope="module", params=COMMANDS)
def server(request, tmp_path_factory):
    """Each server in turn; its upstream is its attribute ``upstream``."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    with Upstream() as upstream, ViewServer(log, request.param, upstream) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    """Nothing: the upstream is the server's, and serves for longer than a test."""

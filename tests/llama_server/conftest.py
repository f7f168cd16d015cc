"""Start llama.cpp's own server, which is not ours, with a model of a few hundred kilobytes.

It comes with ``xllamacpp``, which needs no compiler.  Without that these tests are not collected;
with ``INFERD_ENGINE_LLAMA_SERVER=1`` that is an error instead.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from real_servers import missing
from server_process import ServerProcess, show_logs

if importlib.util.find_spec("xllamacpp") is None:
    collect_ignore_glob = missing(
        "llama_server",
        "xllamacpp is not installed",
        must=os.environ.get("INFERD_ENGINE_LLAMA_SERVER") == "1",
    )


class LlamaServer(ServerProcess):
    """The server, with the model."""

    ready_path = "/health"

    def __init__(self, model, log, *more):
        super().__init__(log)
        self._arguments = [str(model), str(self.port), *more]

    def command(self):
        """Give the program and its arguments."""
        return [sys.executable, Path(__file__).with_name("serve.py"), *self._arguments]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Show what the servers printed with a test that failed."""
    return show_logs((yield))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The model's file."""
    from llama.tiny_model import write_tiny_model

    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_tiny_model(path)
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory, tiny_model):
    """The server."""
    with LlamaServer(tiny_model, tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def embedding(tmp_path_factory, tiny_model):
    """The server that makes vectors."""
    log = tmp_path_factory.mktemp("embedding") / "log"
    with LlamaServer(tiny_model, log, "embedding") as server:
        yield server

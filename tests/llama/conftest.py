"""Start llama-cpp-python's server, which is not ours, with a model of a few hundred kilobytes.

Without the module ``llama_cpp`` these tests are not collected; with ``INFERD_ENGINE_LLAMA=1`` that
is an error instead.
"""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest
from server_process import ServerProcess, show_logs

import inferd_engine as ie

MODEL = "tiny"
LONG_CONTEXT = 8192  # tokens: the model reads so many in a second
PINGING = """
import runpy
from sse_starlette.sse import EventSourceResponse
EventSourceResponse.DEFAULT_PING_INTERVAL = 0.02  # instead of 15 s; the server has no option for it
runpy.run_module("llama_cpp.server", run_name="__main__", alter_sys=True)
"""

if importlib.util.find_spec("llama_cpp") is None:
    if os.environ.get("INFERD_ENGINE_LLAMA") == "1":
        raise ModuleNotFoundError(
            "INFERD_ENGINE_LLAMA=1, but llama_cpp is not there: install llama-cpp-python[server]",
            name="llama_cpp",
        )
    collect_ignore_glob = ["test_*.py"]


class LlamaServer(ServerProcess):
    """The server, with the model and settings of its own."""

    ready_path = "/v1/models"

    def __init__(self, model, log, *, program=("-m", "llama_cpp.server"), **settings):
        super().__init__(log)
        self._program = program
        self._settings = {
            "model": model,
            "model_alias": MODEL,
            "host": "127.0.0.1",
            "port": self.port,
            "n_ctx": 512,
            "n_threads": 1,  # two wait for each other by spinning: ten times slower under load
            "n_threads_batch": 1,
            "verbose": "false",
            **settings,
        }

    def command(self):
        """Give the program and its arguments."""
        options = [
            word for name, value in self._settings.items() for word in (f"--{name}", str(value))
        ]
        return [sys.executable, *self._program, *options]

    def backend(self, **fields):
        """Make a backend for this server."""
        return ie.OpenAiCompat(
            **{"base_url": self.url, "api_key": "", "model": MODEL, "timeout": 60.0, **fields}
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Show what the servers printed with a test that failed."""
    return show_logs((yield))


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory):
    """A folder with the model in it, and with the logs."""
    from llama.tiny_model import write_tiny_model

    folder = tmp_path_factory.mktemp("llama")
    write_tiny_model(folder / "tiny.gguf")
    return folder


@pytest.fixture(scope="session")
def hasty_server(llama_folder):
    """A server as it comes: a new request interrupts the stream that is being written."""
    with LlamaServer(llama_folder / "tiny.gguf", llama_folder / "hasty.log") as server:
        yield server


@pytest.fixture(scope="session")
def patient_server(llama_folder):
    """A server that answers one request after the other."""
    with LlamaServer(
        llama_folder / "tiny.gguf", llama_folder / "patient.log", interrupt_requests="false"
    ) as server:
        yield server


@pytest.fixture(scope="session")
def pinging_server(llama_folder):
    """A server that takes long prompts, and says every 20 ms that it is still there."""
    with LlamaServer(
        llama_folder / "tiny.gguf",
        llama_folder / "pinging.log",
        program=("-c", PINGING),
        n_ctx=LONG_CONTEXT,
        interrupt_requests="false",
    ) as server:
        yield server

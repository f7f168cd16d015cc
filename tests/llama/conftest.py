"""Start llama-cpp-python's server, which is not ours, with a model of a few hundred kilobytes.

Without the module ``llama_cpp`` these tests are not collected; with ``INFERD_ENGINE_LLAMA=1`` that
is an error instead.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

import inferd_engine as ie

MODEL = "tiny"
START_SECONDS = 90.0  # it takes three; a loaded machine may need many times that
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
LOG_TAIL = 8192  # bytes of a server's log that a failed test shows
LONG_CONTEXT = 8192  # tokens: the model reads so many in a second
PINGING = """
import runpy
from sse_starlette.sse import EventSourceResponse
EventSourceResponse.DEFAULT_PING_INTERVAL = 0.02  # instead of 15 s; the server has no option for it
runpy.run_module("llama_cpp.server", run_name="__main__", alter_sys=True)
"""

if importlib.util.find_spec("llama_cpp") is None:
    if os.environ.get("INFERD_ENGINE_LLAMA") == "1":
        msg = "INFERD_ENGINE_LLAMA=1, but llama_cpp is not there: install llama-cpp-python[server]"
        raise ModuleNotFoundError(msg, name="llama_cpp")
    collect_ignore_glob = ["test_*.py"]

_servers = []


class LlamaServer:
    """A server process on a free port of loopback, from ``with`` to the end of ``with``."""

    def __init__(self, model, log, *, program=("-m", "llama_cpp.server"), **settings):
        self._model = model
        self._log = log
        self._program = program
        self._settings = settings

    def __enter__(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            "model": self._model,
            "model_alias": MODEL,
            "host": "127.0.0.1",
            "port": port,
            "n_ctx": 512,
            "n_threads": 1,  # two wait for each other by spinning: ten times slower under load
            "n_threads_batch": 1,
            "verbose": "false",
            **self._settings,
        }
        command = [sys.executable, *self._program]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        try:
            self._wait_until_ready()
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
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with direct.open(f"{self.url}/v1/models", timeout=5.0):
                    return
            except (urllib.error.URLError, OSError) as error:
                gone = self._process.poll()
                if gone is not None or time.monotonic() > deadline:
                    msg = f"the server does not answer ({error}; exit code {gone}):\n{self.log()}"
                    raise RuntimeError(msg) from error
            time.sleep(POLL_SECONDS)

    def log(self):
        """Give what the server has printed."""
        return self._log.read_text("utf-8", "replace")

    def backend(self, **fields):
        """Make a backend for this server."""
        return ie.OpenAiCompat(
            **{"base_url": self.url, "api_key": "", "model": MODEL, "timeout": 60.0, **fields}
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Show what the servers printed with a test that failed."""
    report = yield
    if report.failed:
        for server in _servers:
            report.sections.append((f"log of {server.url}", server.log()[-LOG_TAIL:]))
    return report


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

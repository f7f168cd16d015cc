"""Start the LiteLLM proxy, which is not ours, with answers of its own and with an upstream of ours.

Without the package ``litellm`` these tests are not collected; with ``INFERD_ENGINE_LITELLM=1`` that
is an error instead.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import inferd_engine as ie
from inferd_engine.testing import Upstream, error_reply

MASTER_KEY = "sk-master"
UPSTREAM_KEY = "sk-upstream"
SKY = "The sky is blue: Привет 你好 😀, and that is all there is to say."
START_SECONDS = 120.0  # it takes eight; a loaded machine may need many times that
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
LOG_TAIL = 8192  # bytes of the proxy's log that a failed test shows
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks GitHub for the newest prices
    "LITELLM_MODE": "PRODUCTION",  # no .env files
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
}

try:
    importlib.metadata.version("litellm")  # find_spec would find this folder
except importlib.metadata.PackageNotFoundError:
    if os.environ.get("INFERD_ENGINE_LITELLM") == "1":
        raise
    collect_ignore_glob = ["test_*.py"]

_proxies = []


def _models(upstream):
    """Give LiteLLM's models: mocks, and ours behind OpenAI's adapter and behind vLLM's."""
    behind = {"api_base": f"{upstream.url}/v1", "api_key": UPSTREAM_KEY}
    nobody = "http://127.0.0.1:9/v1"  # the discard service's port, where nobody listens
    call = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    settings = {
        "mock-text": {"model": "openai/mock", "mock_response": SKY},
        "mock-limit": {"model": "openai/mock", "mock_response": "litellm.RateLimitError"},
        "mock-broken": {"model": "openai/mock", "mock_response": "litellm.InternalServerError"},
        "mock-overflow": {
            "model": "openai/mock",
            "mock_response": "litellm.ContextWindowExceededError",
        },
        "mock-tool": {
            "model": "openai/mock",
            "mock_response": "",
            "mock_tool_calls": [{"id": "call_1", "type": "function", "function": call}],
        },
        "openai": {"model": "openai/ours", **behind},
        "vllm": {"model": "hosted_vllm/ours", **behind},
        "wrong-key": {"model": "openai/ours", **behind, "api_key": "sk-wrong"},
        "nobody": {"model": "openai/ours", "api_base": nobody},
    }
    return [
        {"model_name": name, "litellm_params": {"api_key": "sk-none", **params}}
        for name, params in settings.items()
    ]


class LiteLlm:
    """The proxy's process on a free port of loopback, from ``with`` to the end of ``with``."""

    def __init__(self, folder, upstream):
        self._log = folder / "litellm.log"
        self._config = folder / "config.json"  # JSON is YAML
        config = {
            "model_list": _models(upstream),
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
            "litellm_settings": {"num_retries": 0, "telemetry": False},
            "general_settings": {"master_key": MASTER_KEY},
        }
        self._config.write_text(json.dumps(config, ensure_ascii=False), "utf-8")
        self.models = [model["model_name"] for model in config["model_list"]]

    def __enter__(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        program = Path(sysconfig.get_path("scripts")) / "litellm"
        options = ["--host", "127.0.0.1", "--port", str(port), "--config", str(self._config)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, *options],
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **QUIET},
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        _proxies.append(self)
        return self

    def __exit__(self, *_):
        if self in _proxies:
            _proxies.remove(self)
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
                with direct.open(f"{self.url}/health/liveliness", timeout=5.0):
                    return
            except (urllib.error.URLError, OSError) as error:
                gone = self._process.poll()
                if gone is not None or time.monotonic() > deadline:
                    msg = f"LiteLLM does not answer ({error}; exit code {gone}):\n{self.log()}"
                    raise RuntimeError(msg) from error
            time.sleep(POLL_SECONDS)

    def log(self):
        """Give the end of what the proxy has printed."""
        return self._log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")

    def backend(self, model, **fields):
        """Make a backend for a model of this proxy."""
        return ie.OpenAiCompat(
            **{
                "base_url": self.url,
                "api_key": MASTER_KEY,
                "model": model,
                "timeout": 60.0,
                **fields,
            }
        )


class OurUpstream:
    """The server behind LiteLLM: it gives every request the reply that the test has put here."""

    def __init__(self):
        self.reply = None
        self._upstream = Upstream(otherwise=self._answer)

    def __enter__(self):
        self._upstream.__enter__()
        return self

    def __exit__(self, *_):
        self._upstream.close()

    @property
    def url(self):
        """Its base URL."""
        return self._upstream.url

    @property
    def count(self):
        """How many requests have come."""
        return len(self._upstream.requests)

    def wait_for_request(self, number):
        """Wait for the request of this number, from 1; give it."""
        return self._upstream.wait_for_request(number)

    @property
    def last(self):
        """The newest request."""
        return self._upstream.requests[-1]

    def _answer(self, received):
        reply = self.reply or error_reply(500, "the test has no reply for this request")
        if received.headers["authorization"] != f"Bearer {UPSTREAM_KEY}":
            reply = error_reply(401, "Incorrect API key provided.")
        # LiteLLM would keep the connection, and with it a thread of ours, beyond the test.
        return dataclasses.replace(reply, headers={**reply.headers, "Connection": "close"})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Show what the proxy printed with a test that failed."""
    report = yield
    if report.failed:
        for proxy in _proxies:
            report.sections.append((f"log of {proxy.url}", proxy.log()))
    return report


@pytest.fixture(scope="session")
def _our_upstream():
    with OurUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def litellm(tmp_path_factory, _our_upstream):
    """The proxy."""
    with LiteLlm(tmp_path_factory.mktemp("litellm"), _our_upstream) as proxy:
        yield proxy


@pytest.fixture
def upstream(_our_upstream):
    """The server behind the proxy, without a reply."""
    _our_upstream.reply = None
    yield _our_upstream
    _our_upstream.reply = None

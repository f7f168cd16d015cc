"""Start the LiteLLM proxy, which is not ours, with answers of its own and with an upstream of ours.

Without the package ``litellm`` these tests are not collected; with ``INFERD_ENGINE_LITELLM=1`` that
is an error instead.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import sysconfig
from pathlib import Path
from typing import ClassVar

import pytest
from real_servers import missing
from server_process import ServerProcess, show_logs

import inferd_engine as ie
from inferd_engine.testing import Upstream, error_reply

MASTER_KEY = "sk-master"
UPSTREAM_KEY = "sk-upstream"
SKY = "The sky is blue: Привет 你好 😀, and that is all there is to say."
LIMITS = '''
from litellm.proxy._types import UserAPIKeyAuth


async def authorize(request, api_key):
    """Give what a key may: its number of requests under way."""
    return UserAPIKeyAuth(api_key=api_key, max_parallel_requests=int(api_key.rpartition("-")[2]))
'''
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks GitHub for the newest prices
    "LITELLM_MODE": "PRODUCTION",  # no .env files
    "NO_COLOR": "1",
}

try:
    importlib.metadata.version("litellm")  # find_spec would find this folder
except importlib.metadata.PackageNotFoundError:
    collect_ignore_glob = missing(
        "litellm",
        "litellm is not installed",
        must=os.environ.get("INFERD_ENGINE_LITELLM") == "1",
    )


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


class LiteLlm(ServerProcess):
    """The proxy, with these models.

    Args:
        folder: For its configuration and its log.
        upstream: Who answers behind it.
        settings: More of its ``general_settings``.
    """

    start_seconds = 120.0
    environment = QUIET
    ready_path = "/health/liveliness"

    def __init__(self, folder, upstream, **settings):
        super().__init__(folder / "litellm.log")
        self._config = folder / "config.json"  # JSON is YAML
        config = {
            "model_list": _models(upstream),
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
            "litellm_settings": {
                "num_retries": 0,
                "telemetry": False,
                # else it asks OpenAI for a response, which our upstream does not know
                "use_chat_completions_url_for_anthropic_messages": True,
            },
            "general_settings": {"master_key": MASTER_KEY, **settings},
        }
        self._config.write_text(json.dumps(config, ensure_ascii=False), "utf-8")
        self.models = [model["model_name"] for model in config["model_list"]]

    def command(self):
        """Give the program and its arguments."""
        program = Path(sysconfig.get_path("scripts")) / "litellm"
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--config", str(self._config)]
        return [program, *options]

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


class LimitedLiteLlm(LiteLlm):
    """The proxy, for keys that end in how many requests they may have under way."""

    environment: ClassVar = {**QUIET, "LITELLM_RATE_LIMIT_WINDOW_SIZE": "1"}  # seconds

    def __init__(self, folder, upstream):
        (folder / "limits.py").write_text(LIMITS, "utf-8")
        super().__init__(folder, upstream, custom_auth="limits.authorize")


class _WithVectors(Upstream):
    """An upstream that answers alike where it is asked for vectors."""

    def _reply_to(self, received):
        if received.path == "/v1/embeddings":
            return self._ask_otherwise(received)
        return super()._reply_to(received)


class OurUpstream:
    """The server behind LiteLLM: it gives every request the reply that the test has put here."""

    def __init__(self):
        self.reply = None
        self._upstream = _WithVectors(otherwise=self._answer)

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
    """Show what the servers printed with a test that failed."""
    return show_logs((yield))


@pytest.fixture(scope="session")
def _our_upstream():
    with OurUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def litellm(tmp_path_factory, _our_upstream):
    """The proxy."""
    with LiteLlm(tmp_path_factory.mktemp("litellm"), _our_upstream) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def limited(tmp_path_factory, _our_upstream):
    """The proxy with limits of its own."""
    with LimitedLiteLlm(tmp_path_factory.mktemp("limited"), _our_upstream) as proxy:
        yield proxy


@pytest.fixture
def upstream(_our_upstream):
    """The server behind the proxy, without a reply."""
    _our_upstream.reply = None
    yield _our_upstream
    _our_upstream.reply = None

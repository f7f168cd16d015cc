"""A real upstream on loopback for each test, and an ``Anthropic`` that asks it."""

from __future__ import annotations

import contextlib

import pytest
from anthropic_messages import KEY, AnyPath

import inferd_engine as ie

VARIABLES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")


@pytest.fixture(autouse=True)
def _no_settings_of_anthropic(monkeypatch):
    for name in (*VARIABLES, "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ask():
    """Give a backend that asks an upstream with these replies; both are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(*replies, **options):
            upstream = stack.enter_context(AnyPath(*replies))
            settings = {"base_url": upstream.url, "api_key": KEY, "timeout": 20.0, **options}
            backend = stack.enter_context(ie.Anthropic(**settings))
            backend.upstream = upstream
            return backend

        yield make


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def buffer(request):
    """Run a test with a worker and without one."""
    return request.param

"""A real upstream on loopback for each test, and a backend that asks it."""

from __future__ import annotations

import contextlib

import pytest

import inferd_engine as ie
from inferd_engine.testing import Upstream


@pytest.fixture
def ask():
    """Give a backend that asks an upstream with these replies; both are closed at the end.

    The backend has the upstream as its attribute ``upstream``.
    """
    with contextlib.ExitStack() as stack:

        def make(*replies, **options):
            serving = {
                name: options.pop(name)
                for name in ("otherwise", "models", "ssl_context")
                if name in options
            }
            upstream = stack.enter_context(Upstream(*replies, **serving))
            settings = {"base_url": upstream.url, "api_key": "", "timeout": 20.0, **options}
            backend = stack.enter_context(ie.OpenAiCompat(**settings))
            backend.upstream = upstream
            return backend

        yield make


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def buffer(request):
    """Run a test with a worker and without one."""
    return request.param

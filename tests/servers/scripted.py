"""The contract of a backend, kept by one that asks an upstream which says what a script says."""

from __future__ import annotations

import contextlib

import pytest

import inferd_engine as ie
from inferd_engine.testing import BackendContract, Upstream, script_reply


class OverHttp(BackendContract):
    """Inherit it, and give what ``over_http()`` gives, or something around that."""

    @pytest.fixture(autouse=True)
    def _upstreams(self):
        with contextlib.ExitStack() as self.stack:
            yield

    def over_http(self, script):
        """Give a backend in front of an upstream of its own."""
        upstream = Upstream(otherwise=lambda _: script_reply(script))
        url = self.stack.enter_context(upstream).url
        return ie.OpenAiCompat(url, api_key="", timeout=60.0, buffer=script.buffer)

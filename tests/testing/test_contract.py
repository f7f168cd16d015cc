"""Our own backends keep the contract that others inherit."""

from __future__ import annotations

import contextlib

import pytest

import inferd_engine as ie
from inferd_engine.testing import BackendContract, Upstream, script_reply


class TestMock(BackendContract):
    def make_backend(self, script):
        return ie.Mock(script)


class TestMockWithoutWorker(TestMock):
    def make_backend(self, script):
        return ie.Mock(script, buffer=0)


class TestOpenAiCompat(BackendContract):
    @pytest.fixture(autouse=True)
    def _upstreams(self):
        with contextlib.ExitStack() as self.stack:
            yield

    def make_backend(self, script):
        upstream = Upstream(otherwise=lambda _: script_reply(script))
        url = self.stack.enter_context(upstream).url
        return ie.OpenAiCompat(url, api_key="", timeout=60.0, buffer=script.buffer)

"""Our own backends keep the contract that others inherit."""

from __future__ import annotations

import pytest
from scripted import OverHttp

import inferd_engine as ie
from inferd_engine.testing import BackendContract, Upstream, script_reply


class TestMock(BackendContract):
    def make_backend(self, script):
        return ie.Mock(script)


class TestMockWithoutWorker(TestMock):
    def make_backend(self, script):
        return ie.Mock(script, buffer=0)


class TestOpenAiCompat(OverHttp):
    def make_backend(self, script):
        return self.over_http(script)


def ask(script):
    with Upstream(script_reply(script)) as upstream:
        with ie.OpenAiCompat(upstream.url, api_key="") as backend:
            return backend.complete("Hi")


def test_a_script_over_http_refuses():
    """The error of a script is a status, with what it says of waiting."""
    error = ie.HttpStatusError("slow down", status=429, retry_after=7.0)
    with pytest.raises(ie.HttpStatusError, match="slow down") as caught:
        ask(ie.MockConfig(pre_stream_error=error))
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
    with pytest.raises(ie.HttpStatusError, match="503"):
        ask(ie.MockConfig(pre_stream_error=ie.NotReadyError("loading")))


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (ie.StopReason.MAX_TOKENS, "length"),
        (ie.StopReason.CONTENT_FILTER, "content_filter"),
        (ie.StopReason.END_TURN, "stop"),
    ],
)
def test_a_script_over_http_ends(reason, word):
    """The ``Done`` of a script comes back: its reason, its word, its usage."""
    done = ie.Done(reason, ie.Usage(5, 6), None)
    completion = ask(ie.MockConfig(events=[ie.TextDelta("one"), done]))
    assert (completion.text, completion.stop_reason, completion.finish_reason) == (
        "one",
        reason,
        word,
    )
    assert (completion.usage.input_tokens, completion.usage.output_tokens) == (5, 6)

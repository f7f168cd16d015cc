"""``Bedrock`` keeps the contract of every backend, over real sockets."""

from __future__ import annotations

import contextlib
import json

import pytest
from event_streams import event as frame
from script_blocks import in_blocks

import inferd_engine as ie
from inferd_engine.testing import BackendContract, Reply, Upstream, json_reply
from inferd_engine.testing.pacing import paced, refusal

STREAM = {"Content-Type": "application/vnd.amazon.eventstream", "x-amzn-RequestId": "req-5"}


def delta(index, **content):
    return frame("contentBlockDelta", contentBlockIndex=index, delta=content)


def begin(index, event):
    if event.type != "tool_use":
        return []  # only calls have a beginning
    call = {"toolUse": {"toolUseId": event.tool_call_id, "name": event.name}}
    return [frame("contentBlockStart", contentBlockIndex=index, start=call)]


def say(index, event):
    if event.type == "text":
        return [delta(index, text=event.delta)]
    if event.type == "thinking":
        return [delta(index, reasoningContent={"text": event.delta})]
    written = json.dumps(event.input)
    return [delta(index, toolUse={"input": piece}) for piece in (written[:8], written[8:])]


def stop(index):
    return frame("contentBlockStop", contentBlockIndex=index)


def refused(status, message, *, headers):
    kind = {"x-amzn-ErrorType": "ServiceUnavailableException"}
    return json_reply({"message": message}, status, headers={**kind, **headers})


def script_reply(script):
    """Answer as a script says, in ConverseStream."""
    if script.pre_stream_error is not None:
        return refusal(script.pre_stream_error, refused)
    done = next((event for event in script.events or () if event.type == "done"), None)
    usage = done.usage if done and done.usage else ie.Usage(3, 4)
    counts = {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens}
    said, last = in_blocks(script, begin, say, stop)
    end = [
        *last,
        frame("messageStop", stopReason=str(done.stop_reason) if done else "end_turn"),
        frame("metadata", usage=counts),
    ]
    began = frame("messageStart", role="assistant")
    return Reply([began, *paced(script, said, end)], headers=STREAM)


class TestBedrock(BackendContract):
    @pytest.fixture(autouse=True)
    def _upstreams(self, monkeypatch):
        # From the environment, because a key that is given is left out of a pickle.
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-0123456789abcdef")
        with contextlib.ExitStack() as self.stack:
            yield

    def make_backend(self, script):
        path = "/model/m/converse-stream"
        upstream = Upstream(otherwise=lambda _: script_reply(script), path=path)
        url = self.stack.enter_context(upstream).url
        settings = {"region": "eu-central-1", "model": "m", "buffer": script.buffer}
        return ie.Bedrock(url, timeout=60.0, **settings)


class TestWithoutWorker(TestBedrock):
    def make_backend(self, script):
        return super().make_backend(script).with_options(buffer=0)

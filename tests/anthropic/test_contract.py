"""``Anthropic`` keeps the contract of every backend, over real sockets."""

from __future__ import annotations

import contextlib
import json

import pytest
from anthropic_messages import block, delta, end, error_reply, start, stop, text
from script_blocks import in_blocks

import inferd_engine as ie
from inferd_engine.testing import BackendContract, Reply, Upstream
from inferd_engine.testing.pacing import paced, refusal

EMPTY = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


def begin(index, event):
    if event.type == "tool_use":
        call = {"type": "tool_use", "id": event.tool_call_id, "name": event.name, "input": {}}
        return [block(index, **call)]
    return [block(index, **EMPTY[event.type])]


def say(index, event):
    if event.type == "text":
        return [text(event.delta, index)]
    if event.type == "thinking":
        return [delta(index, type="thinking_delta", thinking=event.delta)]
    written = json.dumps(event.input)
    pieces = ("", written[:8], written[8:])
    return [delta(index, type="input_json_delta", partial_json=piece) for piece in pieces]


def refused(status, message, **reply):
    return error_reply(status, "overloaded_error", message, **reply)


def script_reply(script):
    """Answer as a script says, in Messages."""
    if script.pre_stream_error is not None:
        return refusal(script.pre_stream_error, refused)
    done = next((event for event in script.events or () if event.type == "done"), None)
    reason = str(done.stop_reason) if done else "end_turn"
    usage = done.usage if done and done.usage else ie.Usage(3, 4)
    began = start(input_tokens=usage.input_tokens, output_tokens=1)
    said, last = in_blocks(script, begin, say, stop)
    return Reply([began, *paced(script, said, [*last, *end(reason, usage.output_tokens)])])


class TestAnthropic(BackendContract):
    @pytest.fixture(autouse=True)
    def _upstreams(self):
        with contextlib.ExitStack() as self.stack:
            yield

    def make_backend(self, script):
        upstream = Upstream(otherwise=lambda _: script_reply(script), path="/v1/messages")
        url = self.stack.enter_context(upstream).url
        return ie.Anthropic(url, api_key="", timeout=60.0, buffer=script.buffer)


class TestWithoutWorker(TestAnthropic):
    def make_backend(self, script):
        return super().make_backend(script).with_options(buffer=0)

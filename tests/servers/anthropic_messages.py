"""The events of Anthropic's Messages, as bytes for the test upstream."""

from __future__ import annotations

import json

from inferd_engine.testing import Reply, Upstream, event, json_reply

KEY = "sk-ant-0123456789abcdef"


class AnyPath(Upstream):
    """An upstream that gives its replies in order, whatever path is asked."""

    def _reply_to(self, received):
        return self._replies.popleft() if self._replies else json_reply({"no": "reply"}, 500)


def named(data):
    """Give an event under its own name."""
    return event(data, data["type"])


def start(**usage):
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "test-model", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": usage or {"input_tokens": 3, "output_tokens": 1},
    }  # fmt: skip
    return named({"type": "message_start", "message": message})


def block(index, **content):
    return named({"type": "content_block_start", "index": index, "content_block": content})


def delta(index, **content):
    return named({"type": "content_block_delta", "index": index, "delta": content})


def text(words, index=0):
    return delta(index, type="text_delta", text=words)


def stop(index):
    return named({"type": "content_block_stop", "index": index})


def end(reason="end_turn", tokens=5):
    said = {"stop_reason": reason, "stop_sequence": None}
    usage = {"output_tokens": tokens}
    return [
        named({"type": "message_delta", "delta": said, "usage": usage}),
        named({"type": "message_stop"}),
    ]


def begun(*words):
    """Give the beginning of an answer of text."""
    return [start(), block(0, type="text", text=""), *map(text, words)]


def text_reply(*words, **reply):
    return Reply([*begun(*words), stop(0), *end()], **reply)


def tool_reply(name, value, call_id="toolu_1", *, thought=None, signature="c2ln", **reply):
    """Give an answer that calls a tool, after a signed thought if there is one."""
    steps = [start()]
    at = 0
    if thought is not None:
        steps += [
            block(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking=thought),
            delta(0, type="signature_delta", signature=signature),
            stop(0),
        ]
        at = 1
    steps.append(block(at, type="tool_use", id=call_id, name=name, input={}))
    written = json.dumps(value)
    half = len(written) // 2
    for piece in ("", written[:half], written[half:]):
        steps.append(delta(at, type="input_json_delta", partial_json=piece))
    return Reply([*steps, stop(at), *end("tool_use")], **reply)


PING = named({"type": "ping"})


def error_reply(status, kind, message, **reply):
    body = {"type": "error", "error": {"type": kind, "message": message}}
    headers = {
        "Content-Type": "application/json",
        "request-id": "req_7",
        **reply.pop("headers", {}),
    }
    return Reply([json.dumps(body).encode()], status, headers, framing="length", **reply)

"""The wire vectors, and how what a client gave is compared with what they expect.

Adjacent deltas of one kind are joined first: where a server cuts its text is its own affair.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from inferd_engine.errors import (
    HttpStatusError,
    StreamInterruptedError,
    ToolCallMalformedError,
    UpstreamError,
)
from inferd_engine.events import Done
from inferd_engine.wire.http import content_codings

_FOLDER = Path(__file__).parents[1] / "vectors"


def _read(*names):
    lines = [line for name in names for line in (_FOLDER / name).read_text("utf-8").split("\n")]
    return [json.loads(line) for line in lines if line]


VECTORS = _read("wire.jsonl", "wire_own.jsonl", "wire_reported.jsonl")
ANTHROPIC = _read("anthropic.jsonl", "anthropic_others.jsonl")
ERRORS = {
    "upstream_error": (UpstreamError, HttpStatusError),
    "truncated": (StreamInterruptedError,),
    "malformed": (UpstreamError, ToolCallMalformedError),
}


def expectation_of(vector):
    """Give the name of what is expected of a vector, with what is installed here."""
    is_brotli = vector.get("headers", {}).get("Content-Encoding") == "br"
    return "expect_decoded" if is_brotli and content_codings.unbrotli() else "expect"


def body_of(vector) -> bytes:
    """Give the body's bytes."""
    if "body_base64" in vector:
        return base64.b64decode(vector["body_base64"])
    return vector["body"].encode()


def joined(events):
    """Give events as dicts, adjacent deltas joined, without ``Done``."""
    given = []
    for event in events:
        if event.type in ("text", "thinking"):
            if given and given[-1]["type"] == event.type:
                given[-1]["delta"] += event.delta
            else:
                given.append({"type": event.type, "delta": event.delta})
        elif event.type == "tool_use":
            given.append(
                {
                    "type": "tool_use",
                    "tool_call_id": event.tool_call_id,
                    "name": event.name,
                    "input": event.input,
                }
            )
    return given


def assert_expected(vector, events, ending, expect=None):
    """Compare what a client gave, events and then an ending, with a vector."""
    *wanted, last = vector[expect or expectation_of(vector)]["events"]
    given = joined(events)
    ids = [call["tool_call_id"] for call in given if call["type"] == "tool_use"]
    assert len(set(ids)) == len(ids), "tool call ids are unique in an answer"
    assert all(ids), "tool call ids are never empty"
    for call, want in zip(given, wanted, strict=False):
        if want.get("tool_call_id") == "*":
            call["tool_call_id"] = "*"
    assert given == wanted
    if last["type"] == "done":
        assert isinstance(ending, Done), f"it failed: {ending!r}"
        usage = ending.usage and {
            "input_tokens": ending.usage.input_tokens,
            "output_tokens": ending.usage.output_tokens,
        }
        assert (ending.stop_reason.value, usage) == (last["stop_reason"], last["usage"])
        return
    assert isinstance(ending, ERRORS[last["kind"]]), f"it ended with {ending!r}"
    words = f"{ending} {getattr(ending, 'message', '')}".lower()
    assert last["message_contains"].lower() in words
    assert ending.retryable is last.get("retryable", ending.retryable)
    if isinstance(ending, ToolCallMalformedError):
        assert ending.name or last.get("nameless")
        assert ending.tool_call_id
        assert ending.arguments

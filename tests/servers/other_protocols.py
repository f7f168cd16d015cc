"""The same answer in every protocol, streamed and whole."""

from __future__ import annotations

import json

from anthropic_messages import begun, end, stop
from event_streams import event as frame

from inferd_engine.testing import chunk, event

EVENTS, FRAMES = "text/event-stream", "application/vnd.amazon.eventstream"
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1},
}
# What answers, how it does, and the words that name it.
ANSWERS = {
    "openai, streamed": (EVENTS, [chunk("Hi"), chunk(finish_reason="stop"), event("[DONE]")]),
    "openai, whole": (
        "application/json",
        {
            "object": "chat.completion",
            "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
        },
    ),
    "anthropic, streamed": (EVENTS, [*begun("Hi"), stop(0), *end()]),
    "anthropic, whole": (
        "application/json",
        {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
    ),
    "responses, streamed": (
        EVENTS,
        [
            event({"type": "response.created", "response": {"id": "r"}}, "response.created"),
            event({"type": "response.output_text.delta", "delta": "Hi"}),
        ],
    ),
    "responses, whole": ("application/json", {"object": "response", "error": None, "output": []}),
    "bedrock, streamed": (
        FRAMES,
        [
            frame("messageStart", role="assistant"),
            frame("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hi"}),
            frame("messageStop", stopReason="end_turn"),
        ],
    ),
    "bedrock, whole": ("application/json", CONVERSE),
}
# The words for each, and the backend that would ask it.
SPOKEN = {
    "openai": ("OpenAI", "ask it with OpenAiCompat"),
    "anthropic": ("Anthropic", "ask it with Anthropic"),
    "responses": ("OpenAI", "check base_url"),
    "bedrock": ("Bedrock", "ask it with Bedrock"),
}


def body_of(name) -> bytes:
    """Give the body of an answer."""
    answer = ANSWERS[name][1]
    return b"".join(answer) if isinstance(answer, list) else json.dumps(answer).encode()

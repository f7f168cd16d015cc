"""Event streams as servers send them, cut into reads as a socket gives them."""

from __future__ import annotations

import json

READ = 65536  # bytes of a large read


def chunk(content: str, **delta: str) -> bytes:
    """Give a chunk of the size that OpenAI sends: about 290 bytes."""
    return json.dumps(
        {
            "id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012",
            "object": "chat.completion.chunk",
            "created": 1731000000,
            "model": "gpt-4o-mini-2024-07-18",
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": content, **delta},
                    "logprobs": None,
                    "finish_reason": None,
                }
            ],
            "usage": None,
        },
        separators=(",", ":"),
    ).encode()


def message_event(text: str) -> bytes:
    """Give an event of Anthropic's Messages, with its name."""
    delta = {"type": "text_delta", "text": text}
    data = {"type": "content_block_delta", "index": 0, "delta": delta}
    return b"event: content_block_delta\ndata: %s\n\n" % json.dumps(data).encode()


def message_end() -> bytes:
    """Give the end of an answer of Anthropic's Messages."""
    reason = {"stop_reason": "end_turn", "stop_sequence": None}
    said = {"type": "message_delta", "delta": reason, "usage": {"output_tokens": 5}}
    return b"event: message_delta\ndata: %s\n\nevent: message_stop\ndata: %s\n\n" % (
        json.dumps(said).encode(),
        b'{"type":"message_stop"}',
    )


def cut(stream: bytes, size: int = READ) -> list[bytes]:
    """Cut a stream into reads of this size."""
    return [stream[at : at + size] for at in range(0, len(stream), size)]


def events(count: int, payload: bytes, end: bytes = b"\n") -> list[bytes]:
    """Give ``count`` events with this payload."""
    return [b"data: " + payload + end + end] * count


def _with_comments(count: int) -> bytes:
    """CRLF, and a comment before every tenth event, as sse-starlette servers send them."""
    plain = b"".join(events(9, chunk(" hello"), b"\r\n"))
    ping = b": ping - 2026-01-01 00:00:00.000000+00:00\r\n\r\n"
    return (ping + plain + events(1, chunk(" hello"), b"\r\n")[0]) * (count // 10)


COUNT = 20_000
# Each stream: its name, its reads, and how many events are in it.
STREAMS = {
    "300 B, one event a read": (events(COUNT, chunk(" hello")), COUNT),
    "300 B, 64 KiB a read": (cut(b"".join(events(COUNT, chunk(" hello")))), COUNT),
    "20 B, 64 KiB a read": (cut(b"".join(events(COUNT, b'{"content":"a"}'))), COUNT),
    "16 KiB, 64 KiB a read": (cut(b"".join(events(1000, chunk("x" * 16384)))), 1000),
    "300 B, CRLF and comments": (cut(_with_comments(COUNT)), COUNT),
}

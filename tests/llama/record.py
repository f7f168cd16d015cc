"""Record what the server sends for some streams, for ``tests/wire/test_recordings.py``.

    python tests/llama/tiny_model.py tiny.gguf
    python -m llama_cpp.server --model tiny.gguf --model_alias tiny --n_ctx 8192 --verbose false
    python tests/llama/record.py http://127.0.0.1:8000

What the bytes of the first one mean is read here in the plainest way, without the package that is
tested with it; for the others it was written by hand.  For pings the server has to be started as
``conftest.PINGING`` does it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests

VECTORS = Path(__file__).parents[1] / "vectors"
NAME = "llama_cpp_python_stream"
STOP_REASONS = {"length": "max_tokens", "stop": "end_turn"}
SEED = 7  # latin, cyrillic, greek, arabic, devanagari, emoji, characters of two byte tokens
WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Łódź", "東京"]}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}
CALL = {
    "tools": [{"type": "function", "function": WEATHER}],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "seed": 2,
}
OTHERS = {
    "llama_cpp_python_tool_stream": ("Hello", {**CALL, "max_tokens": 64}),
    "llama_cpp_python_cut_tool_stream": ("Hello", {**CALL, "max_tokens": 4}),
    "llama_cpp_python_ping_stream": ("я" * 3000, {"max_tokens": 4, "seed": SEED}),
}


def ask(base_url, prompt, **fields):
    """Post a chat request; give the body's bytes, without the chunks of HTTP."""
    request = {"model": "tiny", "messages": [{"role": "user", "content": prompt}], **fields}
    with requests.post(
        f"{base_url}/v1/chat/completions", json=request, stream=True, timeout=60.0
    ) as response:
        response.raise_for_status()
        return response.raw.read(decode_content=True)


def meaning_of(body):
    """Give the text, the finish reason and the usage of an event stream with plain chunks."""
    text, finish_reason, usage = "", None, None
    *events, done, rest = body.decode("ascii").split("\n\n")
    if (done, rest) != ("data: [DONE]", ""):
        raise ValueError(f"the stream ends with {body[-40:]!r}")
    for event in events:
        chunk = json.loads(event.removeprefix("data: "))
        (choice,) = chunk["choices"]
        text += choice["delta"].get("content", "")
        finish_reason = choice["finish_reason"]
        usage = chunk.get("usage", usage)
    return text, finish_reason, usage


def record(base_url, folder):
    """Write one stream's bytes and what they mean."""
    body = ask(base_url, "Hello", stream=True, max_tokens=32, seed=SEED, temperature=1.0)
    text, finish_reason, usage = meaning_of(body)
    expected = {
        "text": text,
        "finish_reason": finish_reason,
        "stop_reason": STOP_REASONS[finish_reason],
        "usage": usage,
    }
    (folder / f"{NAME}.bin").write_bytes(body)
    (folder / f"{NAME}.json").write_text(json.dumps(expected, indent=2) + "\n", "utf-8")
    for name, (prompt, fields) in OTHERS.items():
        (folder / f"{name}.bin").write_bytes(ask(base_url, prompt, stream=True, **fields))


if __name__ == "__main__":
    record(sys.argv[1], VECTORS)

"""Record what LiteLLM sends for some streams, for ``tests/wire/test_recordings.py``.

    PYTHONPATH=tests:tests/servers python tests/litellm/record.py

What the bytes mean was written by hand.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import requests
from conftest import MASTER_KEY, LiteLlm, OurUpstream

from inferd_engine.testing import Cut, Pause, Reply, chunk, stream_reply, text_reply
from inferd_engine.testing.openai import tool_call_chunks

VECTORS = Path(__file__).parents[1] / "vectors"
WORDS = [chunk("The "), chunk("sky")]
THOUGHTS = [chunk(reasoning="Let me "), chunk(reasoning="think.")]
CALL = tool_call_chunks("get_weather", {"city": "Łódź"}, "call_1")
REPLIES = {
    "litellm_stream": text_reply("The sky is blue: Привет 😀.", usage=(3, 5)),
    "litellm_tool_stream": stream_reply([*THOUGHTS, *CALL], finish_reason="tool_calls"),
    "litellm_cut_stream": Reply([*WORDS, Pause(0.5), Cut()]),  # else it is cut before the headers
    "litellm_hidden_cut_stream": Reply(WORDS),
}


def ask(base_url):
    """Post a chat request; give the body's bytes, without the chunks of HTTP."""
    request = {
        "model": "openai",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with requests.post(
        f"{base_url}/v1/chat/completions",
        json=request,
        headers={"Authorization": f"Bearer {MASTER_KEY}"},
        stream=True,
        timeout=60.0,
    ) as response:
        response.raise_for_status()
        return response.raw.read(decode_content=True)


def record(folder):
    """Write every stream's bytes."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        OurUpstream() as upstream,
        LiteLlm(Path(scratch), upstream) as proxy,
    ):
        for name, reply in REPLIES.items():
            upstream.reply = reply
            (folder / f"{name}.bin").write_bytes(ask(proxy.url))


if __name__ == "__main__":
    record(VECTORS)

"""Record what aimock sends for some streams, for ``tests/wire/test_recordings.py``.

    INFERD_ENGINE_AIMOCK=… PYTHONPATH=tests:tests/servers python tests/aimock/record.py

What the bytes mean was written by hand.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import requests
from conftest import KEY, AiMock

VECTORS = Path(__file__).parents[1] / "vectors"
REQUESTS = {
    "aimock_openrouter_stream": ("/api/v1", "Ask the router.", {}),
    "aimock_mixed_stream": ("/v1", "Mix calls among words.", {}),
    "aimock_cut_stream": ("/v1", "Say nearly a whole text.", {}),
    "aimock_malformed_stream": ("/v1", "Why is the sky blue?", {"X-AIMock-Chaos-Malformed": "1"}),
}


def ask(base_url, words, headers):
    """Post a chat request; give the body's bytes, as far as they come."""
    request = {
        "model": "openai/gpt-5",
        "messages": [{"role": "user", "content": words}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body = b""
    with (
        requests.post(
            f"{base_url}/chat/completions",
            json=request,
            headers={"Authorization": f"Bearer {KEY}", **headers},
            stream=True,
            timeout=60.0,
        ) as response,
        contextlib.suppress(requests.exceptions.ChunkedEncodingError),
    ):
        response.raise_for_status()
        for block in response.iter_content(None):
            body += block
    return body


def record(folder):
    """Write every stream's bytes."""
    with tempfile.TemporaryDirectory() as scratch, AiMock(Path(scratch) / "log") as server:
        for name, (path, words, headers) in REQUESTS.items():
            (folder / f"{name}.bin").write_bytes(ask(server.url + path, words, headers))


if __name__ == "__main__":
    record(VECTORS)

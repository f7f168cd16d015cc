"""The client against llama.cpp's own server: vectors."""

from __future__ import annotations

import math

import pytest

import inferd_engine as ie

pytestmark = pytest.mark.timeout(120)  # the server may have to start first


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_vectors(embedding, encoding):
    """Vectors come in their order, the same in either encoding."""
    with ie.OpenAiCompat(
        embedding.url, api_key="", model="tiny", encoding_format=encoding
    ) as backend:
        result = backend.embeddings(["the sky", "is blue", "the sky"])
        again = backend.with_options(embed_batch_size=1).embeddings(["is blue"])
    assert (len(result), result.dimensions) == (3, 64)
    assert result.usage.input_tokens > 3
    assert result.arrays[0] == pytest.approx(result.arrays[2])
    assert again.arrays[0] == pytest.approx(result.arrays[1], abs=1e-5)
    length = math.sqrt(sum(number * number for number in result.arrays[0]))
    assert length == pytest.approx(1.0, abs=1e-4)


def test_a_server_without_vectors(server):
    """A server that was not started for them says so."""
    with ie.OpenAiCompat(server.url, api_key="", model="tiny", keepalive_expiry=1e-9) as backend:
        with pytest.raises(ie.HttpStatusError) as caught:
            backend.embeddings("x")
    assert caught.value.status in (400, 500, 501)

"""The client against LiteLLM's ``/v1/embeddings``, behind which our own upstream gives vectors."""

from __future__ import annotations

import base64
import struct

import pytest

import inferd_engine as ie
from inferd_engine.testing import error_reply, json_reply

pytestmark = pytest.mark.timeout(180)  # the proxy may have to start first

VECTORS = [(0.5, -2.0, 3.25), (1.0, 0.0, -0.125)]  # float32 holds them exactly
TEXTS = ["the sky", "is blue"]


def packed(vector):
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def vectors_reply(vectors):
    items = [
        {"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return json_reply({"object": "list", "data": items, "model": "ours", "usage": usage})


@pytest.mark.parametrize("model", ["openai", "vllm"])
@pytest.mark.parametrize("encoding", [None, "float", "base64"])
@pytest.mark.parametrize("form", [packed, list])
def test_vectors(litellm, upstream, model, encoding, form):
    """Vectors come through both of LiteLLM's adapters, whatever was asked for and given."""
    upstream.reply = vectors_reply([form(vector) for vector in VECTORS])
    with litellm.backend(model, encoding_format=encoding) as backend:
        result = backend.embeddings(TEXTS)
    assert result.embeddings == tuple(VECTORS)
    assert result.input_tokens == 7
    assert upstream.last.json["input"] == TEXTS
    assert upstream.last.path == "/v1/embeddings"


def test_batches(litellm, upstream):
    """Batches are calls of their own."""
    upstream.reply = vectors_reply([list(VECTORS[0])])
    before = upstream.count
    with litellm.backend("openai", embed_batch_size=1) as backend:
        result = backend.embeddings(TEXTS)
    assert (result.embeddings, result.input_tokens) == ((VECTORS[0],) * 2, 14)
    assert upstream.count - before == 2


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ([[1.0, 2.0]], "there are 1, but 2 texts"),
        ([[1.0, 2.0], [1.0]], "their lengths differ: 1, 2"),
        ([[1.0, 2.0], [1.0, None]], "number 1 holds something that is not a number"),
        ([packed([1.0, 2.0]), packed([1.0, float("nan")])], "number 1 holds something"),
    ],
)
def test_what_is_no_vector(litellm, upstream, vectors, words):
    """What the upstream behind it got wrong is found here, wherever it is passed on."""
    upstream.reply = vectors_reply(vectors)
    with litellm.backend("openai") as backend, pytest.raises(ie.GenerateError) as caught:
        backend.embeddings(TEXTS)
    assert words in str(caught.value)


def test_a_refusal(litellm, upstream):
    """What is behind LiteLLM is told in its words."""
    upstream.reply = error_reply(400, "encoding_format base64 is not supported")
    with litellm.backend("openai", encoding_format="base64") as backend:
        with pytest.raises(ie.HttpStatusError, match="configure encoding_format='float'"):
            backend.embeddings(TEXTS)

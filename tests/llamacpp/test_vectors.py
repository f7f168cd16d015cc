"""Vectors: llama.cpp's own, of the length 1, and what cannot be one is refused."""

from __future__ import annotations

import math
import threading

import pytest
from llamacpp.conftest import SETTINGS, until

import inferd_engine as ie
from inferd_engine.backends.llamacpp.embedder import _normed

TEXTS = ["the world", "日本 語", "one two three " * 9]


def embed(backend, *texts, **fields):
    return backend.embed(ie.EmbedRequest(texts, **fields).resolve())


@pytest.fixture(scope="module")
def shared(tiny):
    """A backend that is loaded once for all tests of this file."""
    with ie.LlamaCpp(model_path=tiny, embed=True, embed_n_ctx=256, **SETTINGS) as backend:
        yield backend


@pytest.mark.parametrize(("pooling", "number"), [("mean", 1), ("cls", 2), ("last", 3)])
def test_vectors_are_llama_cpps_own(tiny, pooling, number):
    """For each way of pooling."""
    import llama_cpp

    theirs = llama_cpp.Llama(
        str(tiny),
        embedding=True,
        n_ctx=256,
        n_threads=1,
        pooling_type=number,
        flash_attn=True,
        verbose=False,
    )
    llama_cpp.llama_set_embeddings(theirs.ctx, True)
    expected = [theirs.embed(text, normalize=True) for text in TEXTS]
    theirs.close()
    with ie.LlamaCpp(model_path=tiny, embed=True, embed_pooling=pooling, **SETTINGS) as backend:
        found = embed(backend, *TEXTS)
    for ours, one in zip(found.embeddings, expected, strict=True):
        assert ours == pytest.approx(one, abs=1e-4)
    assert found.model == "tiny"
    assert found.dimensions == 64
    assert found.input_tokens > 60


def test_vectors_have_the_length_1(shared):
    """Those that were cut, too; and texts do not change each other's."""
    whole = embed(shared, *TEXTS)
    cut = embed(shared, *TEXTS, dimensions=8)
    for long, short in zip(whole.embeddings, cut.embeddings, strict=True):
        assert len(short) == 8
        assert math.hypot(*long) == pytest.approx(1)
        assert math.hypot(*short) == pytest.approx(1)
        assert short == pytest.approx([x / math.hypot(*long[:8]) for x in long[:8]], abs=1e-6)
    assert embed(shared, TEXTS[1]).embeddings[0] == pytest.approx(whole.embeddings[1], abs=1e-6)


def test_a_task_puts_its_words_in_front(shared):
    """Those of the configuration; a task without any changes nothing."""
    asking = shared.with_options(task_prefixes={"retrieval_query": "query: "})
    assert asking._engine is shared._engine
    plain = embed(asking, "the world").embeddings
    assert embed(asking, "the world", task="clustering").embeddings == plain
    put = embed(asking, "the world", task="retrieval_query").embeddings
    assert put != plain
    assert put == embed(asking, "query: the world").embeddings


def test_what_cannot_be_a_vector_is_refused(shared, tiny):
    """By its place, before it is computed."""
    with pytest.raises(ie.InvalidRequestError, match=r"input\[1\] has \d+ tokens.* is 256"):
        embed(shared, "a", "я" * 300)
    with pytest.raises(ie.UnsupportedError, match="dimensions is 65"):
        embed(shared, "a", dimensions=65)
    with (
        ie.LlamaCpp(model_path=tiny) as plain,
        pytest.raises(ie.UnsupportedError, match="embed=True"),
    ):
        embed(plain, "a")
    assert shared.capabilities().embed
    for vector in ([math.nan, 1.0], [math.inf, 1.0], [0.0, 0.0]):
        with pytest.raises(ie.InternalError, match="no direction"):
            _normed(vector)


@pytest.mark.parametrize(
    "prefixes", [{"retrieval": "x"}, {"clustering": 3}], ids=["no task", "no text"]
)
def test_prefixes_are_for_tasks(prefixes):
    """A word that inferd does not have would never be used."""
    with pytest.raises(ie.InvalidRequestError, match="task_prefixes"):
        ie.LlamaCpp(model_path="x.gguf", task_prefixes=prefixes)


def test_making_vectors_has_a_deadline(slow):
    """The call's own, and the computing ends with it."""
    fields = {"n_ctx": 256, "n_threads": 1, "embed_n_ctx": 4096}
    with ie.LlamaCpp(model_path=slow, embed=True, **fields) as backend:
        backend.load()
        hasty = backend.with_options(timeout=0.3)
        with pytest.raises(ie.DeadlineError, match="making vectors took longer than"):
            hasty.embeddings(["я" * 3000] * 9)
        assert len(backend.embeddings(["a"]).embeddings) == 1


@pytest.mark.parametrize("way", ["stop", "token"])
def test_what_is_computed_can_be_ended(slow, way):
    """The call raises at once, and the computing ends."""
    token = ie.CancelToken()
    backend = ie.LlamaCpp(model_path=slow, embed=True, n_ctx=256, n_threads=1, embed_n_ctx=4096)
    backend.load()
    errors, call = [], backend.embeddings

    def ask():
        try:
            call(["я" * 3000] * 9, cancel=token)
        except ie.GenerateError as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert until(lambda: any("making vectors" in t.name for t in threading.enumerate()))
    threading.Event().wait(0.1)
    backend.stop() if way == "stop" else token.cancel()
    asking.join(1.0)
    backend.stop()
    assert isinstance(errors[0], ie.RequestCancelledError)


def test_text_and_vectors_from_one_model(shared):
    """The same model answers, at the same time."""
    stream = shared.stream("Hi", max_tokens=400)
    next(stream)
    assert len(embed(shared, "a").embeddings[0]) == 64
    stream.close()

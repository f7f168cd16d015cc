"""Several architectures and tokenizers: what they say is what llama.cpp says by itself."""

from __future__ import annotations

import itertools

import pytest
from llamacpp.architectures import QWEN, write
from llamacpp.conftest import SETTINGS
from llamacpp.theirs import their_own

import inferd_engine as ie
from inferd_engine.backends.llamacpp.library import library, redirect_log
from inferd_engine.backends.llamacpp.template import prompt_from, tokens_of

SPEAKING = [
    *(("llama", "spm"), ("llama", "bpe"), ("qwen2", "bpe"), ("qwen3", "bpe")),
    *(("gemma", "spm"), ("gpt2", "bpe"), ("mamba", "bpe")),
]
SAID = "the sky is blue, 日本 😀 is not; number"
TOKENS = 24


@pytest.fixture(scope="module", params=SPEAKING, ids="-".join)
def path(request, folder):
    """The file of each model in turn."""
    path = folder / f"{'-'.join(request.param)}.gguf"
    write(path, *request.param)
    return path


@pytest.fixture(scope="module")
def speaking(path):
    """A backend for it."""
    with ie.LlamaCpp(model_path=path, **SETTINGS) as backend:
        backend.load()
        yield backend


@pytest.fixture(scope="module")
def reference(path):
    """llama-cpp-python's own way to the same model."""
    with their_own(path) as model:
        yield model


def ask(backend, **fields):
    """Return the tokens of a prompt, those of its answer, and the answer."""
    with backend.stream([ie.user(SAID)], max_tokens=TOKENS, **fields) as stream:
        source = stream._reading.source
        answer = stream.collect()
    tokens = source._tokens
    return tokens[: source._asked], tokens[source._asked :], answer


@pytest.mark.parametrize(("temperature", "seed"), [(0.0, 0), (0.8, 1), (1.5, 2)])
def test_tokens_are_llama_cpps_own(speaking, reference, temperature, seed):
    """One by one, of the prompt and of the answer, greedy and with the same seed."""
    prompt, tokens, answer = ask(speaking, temperature=temperature, seed=seed)
    model = speaking._engine.loaded.model
    text = prompt_from(model, [{"role": "user", "content": SAID}])
    assert prompt == tokens_of(model, text)
    begins = reference.token_bos() == prompt[0]
    assert prompt == reference.tokenize(text.encode(), add_bos=begins, special=True)
    reference.reset()
    reference.set_seed(seed)
    generated = reference.generate(
        prompt, top_k=64, top_p=0.95, min_p=0.0, temp=temperature, reset=True
    )
    theirs = list(itertools.islice(generated, TOKENS))
    assert tokens == theirs[: len(tokens)]
    assert len(tokens) == TOKENS or model.is_end(theirs[len(tokens)])
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (len(prompt), len(tokens))


def test_a_second_turn_says_what_a_first_would(speaking):
    """Where no part of what was read can be taken back (Mamba), all is read anew."""
    first = speaking.complete([ie.user(SAID)], max_tokens=8, temperature=0)
    history = [ie.user(SAID), first.to_message(), ie.user("the sky")]
    again = speaking.complete(history, max_tokens=TOKENS, temperature=0)
    with ie.LlamaCpp(speaking.config) as fresh:
        assert fresh.complete(history, max_tokens=TOKENS, temperature=0).text == again.text


@pytest.fixture(scope="module")
def qwen(folder):
    """A backend for a model whose template knows tools and thoughts."""
    write(folder / "qwen3.gguf", "qwen3", "bpe")
    with ie.LlamaCpp(model_path=folder / "qwen3.gguf", **SETTINGS) as backend:
        backend.load()
        yield backend


WEATHER = ie.Tool("weather", "Look at the sky.", {"type": "object", "properties": {}})


def test_a_template_with_tools_and_thoughts(qwen):
    """It is told of both; an answer begins in a thought, unless none is wanted."""
    model = qwen._engine.loaded.model
    assert model.template == QWEN
    thinking = qwen.complete("Hi", max_tokens=12, seed=3)
    assert thinking.thinking
    plain = qwen.complete("Hi", max_tokens=12, seed=3, thinking=False)
    assert not plain.thinking
    assert plain.text
    told = qwen.complete("Hi", max_tokens=2, tools=[WEATHER], thinking=False)
    assert told.usage.input_tokens > plain.usage.input_tokens + 50


def test_a_choice_that_binds_lets_it_think_first(qwen):
    """Without a thought the call comes at once; and history goes back through the template."""
    said = [ie.user("Hi")]
    fields = {"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False}
    thought = qwen.complete(said, max_tokens=9, seed=1, **fields)
    assert thought.thinking
    assert not thought.text
    answer = qwen.complete(said, max_tokens=200, seed=1, thinking=False, **fields)
    [call] = answer.tool_uses
    assert (call.name, answer.text, answer.thinking) == ("weather", "", "")
    said += [answer.to_message(), ie.tool_result(call.tool_call_id, "blue")]
    after = qwen.complete(said, max_tokens=5, thinking=False)
    assert after.usage.output_tokens == 5


@pytest.mark.parametrize("vocabulary", ["wpm", "ugm"])
def test_vectors_of_an_encoder(folder, vocabulary):
    """Of a model that looks both ways, and makes no text."""
    import llama_cpp

    path = folder / f"bert-{vocabulary}.gguf"
    write(path, "bert", vocabulary)
    theirs = llama_cpp.Llama(
        str(path), embedding=True, n_ctx=256, n_threads=1, flash_attn=True, verbose=False
    )
    redirect_log(library())
    texts = ["the sky is blue", "hello, world. 日本"]
    expected = [theirs.embed(text, normalize=True) for text in texts]
    theirs.close()
    with ie.LlamaCpp(model_path=path, embed=True, embed_n_ctx=256, **SETTINGS) as backend:
        found = backend.embeddings(texts)
        for ours, one in zip(found.embeddings, expected, strict=True):
            assert ours == pytest.approx(one, abs=1e-4)
        with pytest.raises(ie.UnsupportedError, match="makes vectors and no text"):
            backend.complete("Hi")

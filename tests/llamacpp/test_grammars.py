"""Schemas as grammars: what comes is JSON, and valid, whatever the model wants to say."""

from __future__ import annotations

import json
import random

import pytest
from grammars.schemas import CASES, CHECKED_FORMATS, random_schema
from llamacpp.conftest import SETTINGS

import inferd_engine as ie
from inferd_engine.backends.llamacpp.json_grammar import JsonGrammar
from inferd_engine.backends.llamacpp.library import library
from inferd_engine.backends.llamacpp.sampling import Sampler, Sampling

jsonschema = pytest.importorskip("jsonschema")
SCHEMAS = 200
TOKENS = 600


@pytest.fixture(scope="module")
def shared(tiny):
    """A backend that is loaded once for all tests of this file."""
    with ie.LlamaCpp(model_path=tiny, **{**SETTINGS, "n_ctx": 1024}) as backend:
        backend.load()
        yield backend


def allows(backend, schema, text):
    """Whether llama.cpp, held to a schema, may write this text and end there."""
    model = backend._engine.loaded.model
    grammar = JsonGrammar()
    rule = grammar.rule_of(schema, "schema")
    sampling = Sampling(temperature=0, top_p=1, top_k=0, grammar=grammar.text(rule))
    sampler = Sampler(model, sampling)
    llama = library()
    end = llama.llama_vocab_eos(model.vocab)
    # The tiny model has a token for each byte, after <unk>, <s> and </s>.
    for token in [*(3 + byte for byte in text.encode()), end]:
        data = (llama.llama_token_data * 1)(llama.llama_token_data(token, 1.0, 0.0))
        array = llama.llama_token_data_array(data, 1, -1, False)
        llama.llama_sampler_apply(sampler.handle, array)
        if data[0].logit != 1.0:
            return False
        llama.llama_sampler_accept(sampler.handle, token)
    return True


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    CASES,
    ids=lambda value: json.dumps(value)[:40] if not isinstance(value, list) else "",
)
def test_a_grammar_lets_through_what_the_schema_says(shared, schema, valid, invalid):
    """And nothing else; judged by llama.cpp, byte by byte."""
    assert [text for text in valid if not allows(shared, schema, text)] == []
    assert [text for text in invalid if allows(shared, schema, text)] == []


@pytest.mark.timeout(300)
def test_answers_are_valid_by_random_schemas(shared):
    """Two hundred schemas, each with an answer of a model that knows nothing of JSON."""
    chance = random.Random(1)
    whole = 0
    for number in range(SCHEMAS):
        schema = random_schema(chance)
        wanted = {"type": "json_schema", "json_schema": {"name": "any", "schema": schema}}
        answer = shared.complete("?", response_format=wanted, max_tokens=TOKENS, seed=number)
        if answer.stop_reason is ie.StopReason.MAX_TOKENS:
            continue
        whole += 1
        checker = jsonschema.FormatChecker(CHECKED_FORMATS)
        judge = jsonschema.Draft202012Validator(schema, format_checker=checker)
        judge.validate(json.loads(answer.text))
    assert whole > SCHEMAS * 0.95

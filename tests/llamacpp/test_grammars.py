"""Schemas as grammars: what comes is JSON, and valid, whatever the model wants to say."""

from __future__ import annotations

import json
import random

import pytest
from llamacpp.conftest import SETTINGS

import inferd_engine as ie
from inferd_engine.backends.llamacpp.json_grammar import JsonGrammar
from inferd_engine.backends.llamacpp.library import library
from inferd_engine.backends.llamacpp.sampling import Sampler, Sampling

jsonschema = pytest.importorskip("jsonschema")
SCHEMAS = 200
TOKENS = 600
NODE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 3},
                "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]},
            },
            "required": ["name", "next"],
        }
    },
    "$ref": "#/$defs/node",
}


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
    [
        (True, ["1", '"a"', "null", "[1, 2]", '{"a": {}}'], ["", "x", "01", "[1,]", "{a: 1}"]),
        ({"type": "integer"}, ["0", "-7", "1234567890"], ["1.5", "01", "+1", "1e3", "--1"]),
        ({"type": "number"}, ["0", "1.5", "-2e10", "1E-9"], [".5", "1.", "1e", "NaN", "1e999"]),
        ({"type": "boolean"}, ["true", "false"], ["True", "null"]),
        ({"type": ["null", "integer"]}, ["null", "3"], ["true", '"3"']),
        (
            {"type": "string"},
            ['""', '"a"', '"\\n\\u00e9\\\\"', '"語😀"'],
            ['"\n"', '"a', '"\\x"', '"\\ud800"', '"\t"', "'a'"],
        ),
        (
            {"type": "string", "minLength": 2, "maxLength": 3},
            ['"ab"', '"abc"', '"語語"', '"\\n\\n"'],
            ['"a"', '"abcd"', '""'],
        ),
        (
            {"enum": ["a", 'q"\\', 1, None, ["x"], "\n", "é"]},
            ['"a"', '"q\\"\\\\"', "1", "null", '["x"]', '"\\n"', '"é"'],
            ["a", "2", '"b"', '"q"'],
        ),
        ({"const": {"a": 1}}, ['{"a": 1}'], ['{"a": 2}', "{}"]),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}, "b": True}},
            ["{}", '{"a": 1}', '{"b": 2}', '{"a":1,"b":"x"}', "{ }"],
            ['{"b": 1, "a": 1}', '{"c": 1}', '{"a": "1"}', '{"a": 1,}', '{,"a": 1}'],
        ),
        (
            {
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": True},
                "required": ["b"],
            },
            ['{"b": 1}', '{"a": 1, "b": 2}', '{"b": 2, "c": 3}', '{"a":1,"b":2,"c":3}'],
            ["{}", '{"a": 1}', '{"c": 1}', '{"a": 1, "c": 1}'],
        ),
        ({"required": ["x"]}, ['{"x": 1}'], ["{}"]),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            ["{}", '{"a": 1, "b": 2}'],
            ['{"a": "1"}'],
        ),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a": 1}']),
        (
            {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
            ["[1]", "[1,2]", "[ 1, 2, 3 ]"],
            ["[]", "[1,2,3,4]", '["1"]'],
        ),
        ({"type": "array", "items": {"type": "null"}}, ["[]", "[null]", "[null,null]"], ["[1]"]),
        ({"type": "array", "items": True, "maxItems": 0}, ["[]"], ["[1]"]),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
            ['[1, "a"]'],
            ["[1]", '["a", 1]', "[]"],
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
                ]
            },
            ['{"a": 1, "b": 2}'],
            ['{"a": 1}', '{"b": 2}'],
        ),
        (
            {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "boolean"}}]},
            ["1", "[true]"],
            ["[1]", "true"],
        ),
        (
            NODE,
            ['{"name": "a", "next": null}', '{"name":"a","next":{"name":"b","next":null}}'],
            ['{"name": "a"}', '{"name": "a", "next": 1}'],
        ),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}, ["1"], ["2"]),
    ],
    ids=lambda value: json.dumps(value)[:40] if not isinstance(value, list) else None,
)
def test_a_grammar_lets_through_what_the_schema_says(shared, schema, valid, invalid):
    """And nothing else; judged by llama.cpp, byte by byte."""
    assert [text for text in valid if not allows(shared, schema, text)] == []
    assert [text for text in invalid if allows(shared, schema, text)] == []


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "text"}, "schema.type is 'text'"),
        ({"type": "array", "items": 3}, "schema.items is 3"),
        ({"properties": {"a": {"type": "array", "items": {"type": 1}}}}, "properties.a.items.type"),
        ({"properties": [1]}, "schema.properties is not an object"),
        ({"enum": []}, "schema.enum is \\[\\]"),
        ({"anyOf": 3}, "schema.anyOf is 3"),
        ({"anyOf": [3]}, "schema.anyOf holds 3"),
        ({"$ref": "#/nowhere"}, "schema.\\$ref is '#/nowhere'"),
        ({"$ref": "https://example.com/schema"}, "not in the schema"),
        ({"type": "string", "maxLength": 10**6}, "schema.maxLength is 1000000"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "less than minItems"),
        ({"type": "string", "minLength": "a"}, "schema.minLength is 'a'"),
        ({"required": 3}, "is not a JSON schema"),
        ({"allOf": [{"$ref": "#"}]}, "refers to itself"),
        ([], "schema is \\[\\]"),
    ],
)
def test_a_schema_that_cannot_be_read_is_refused_by_its_place(schema, said):
    """Before llama.cpp is asked."""
    with pytest.raises(ie.InvalidRequestError, match=said):
        JsonGrammar().rule_of(schema, "schema")


def random_string(chance):
    least = chance.randrange(3)
    return {"type": "string", "minLength": least, "maxLength": least + chance.randrange(9)}


def random_object(chance, depth):
    names = chance.sample(["a", "b b", 'c"', "d\\", "é", "語"], chance.randrange(1, 5))
    return {
        "type": "object",
        "properties": {name: random_schema(chance, depth) for name in names},
        "required": chance.sample(names, chance.randrange(len(names) + 1)),
    }


def random_array(chance, depth):
    least = chance.randrange(3)
    return {
        "type": "array",
        "items": random_schema(chance, depth),
        "minItems": least,
        "maxItems": least + chance.randrange(3),
    }


def random_tuple(chance, depth):
    items = [random_schema(chance, depth) for _ in range(chance.randrange(1, 3))]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


NESTED = [
    random_object,
    random_array,
    random_tuple,
    lambda chance, depth: {"anyOf": [random_schema(chance, depth) for _ in range(2)]},
]
FLAT = [
    random_string,
    lambda chance: {"type": chance.choice(["integer", "number", "boolean", "null"])},
    lambda chance: {"type": chance.sample(["integer", "null", "boolean"], 2)},
    lambda chance: {"enum": chance.sample(["x", 'y"', "\\z", 1, None, [1, "a"], {"k": 2}], 3)},
    lambda chance: {"const": chance.choice(["x\ny", 2.5, False, {"a": []}])},
]


def random_schema(chance, depth=0):
    if depth < 3 and chance.random() < 0.5:
        return chance.choice(NESTED)(chance, depth + 1)
    return chance.choice(FLAT)(chance)


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
        jsonschema.validate(json.loads(answer.text), schema)
    assert whole > SCHEMAS * 0.95

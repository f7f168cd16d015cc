"""Schemas as grammars: what is let through is valid JSON; what cannot be held to is refused."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import random

import pytest
from grammars.gbnf import Grammar
from grammars.schemas import CASES, CHECKED_FORMATS, random_schema

import inferd_engine as ie
from inferd_engine.backends.llamacpp.json_grammar import JsonGrammar

SCHEMAS = 300
TEXTS = 4  # of each


def grammar_of(schema):
    grammar = JsonGrammar()
    return Grammar(grammar.text(grammar.rule_of(schema, "schema")))


def name_of(value):
    return json.dumps(value)[:50] if not isinstance(value, list) else ""


@pytest.mark.parametrize(("schema", "valid", "invalid"), CASES, ids=name_of)
def test_a_grammar_lets_through_what_the_schema_says(schema, valid, invalid):
    """And nothing else."""
    grammar = grammar_of(schema)
    assert [text for text in valid if not grammar.allows(text)] == []
    assert [text for text in invalid if grammar.allows(text)] == []


def validator(schema):
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.FormatChecker(CHECKED_FORMATS)
    return jsonschema.Draft202012Validator(schema, format_checker=checker)


@pytest.mark.parametrize("schema", [schema for schema, _, _ in CASES], ids=name_of)
def test_the_cases_are_judged_as_jsonschema_judges_them(schema):
    """What is made of the grammar at random is valid by what others wrote."""
    chance, grammar, judge = random.Random(1), grammar_of(schema), validator(schema)
    for _ in range(20):
        judge.validate(json.loads(grammar.text(chance)))


@pytest.mark.parametrize("seed", range(SCHEMAS // 10))
def test_texts_of_random_schemas_are_valid(seed):
    """Hundreds of schemas, each with texts that are made of its grammar at random."""
    chance = random.Random(seed)
    for _ in range(10):
        schema = random_schema(chance)
        grammar, judge = grammar_of(schema), validator(schema)
        for _ in range(TEXTS):
            text = grammar.text(chance)
            assert grammar.allows(text)
            judge.validate(json.loads(text))


REFUSED = [
    ({"type": "text"}, "schema.type is 'text'"),
    ({"type": []}, "schema.type is \\[\\]"),
    ({"type": "array", "items": 3}, "schema.items is 3"),
    ({"type": "array", "items": [{}]}, "schema.items is \\[\\{\\}\\]"),
    ({"properties": {"a": {"type": "array", "items": {"type": 1}}}}, "properties.a.items.type"),
    ({"properties": [1]}, "schema.properties is \\[1\\]: it is not an object"),
    ({"enum": []}, "schema.enum is \\[\\]"),
    ({"enum": [{1}]}, "schema.enum is \\{1\\}"),
    ({"const": float("nan")}, "schema.const is nan"),
    ({"const": "\ud800"}, "half of a surrogate pair"),
    ({"anyOf": 3}, "schema.anyOf is 3"),
    ({"anyOf": [3]}, "schema.anyOf\\[0\\] is 3"),
    ({"$ref": "#/nowhere"}, "schema.\\$ref is '#/nowhere'"),
    ({"$ref": "#nowhere"}, "schema.\\$ref is '#nowhere'"),
    ({"$ref": "https://example.com/schema"}, "not in the schema"),
    ({"$dynamicRef": "#a"}, "schema.\\$dynamicRef cannot be held to: write \\$ref"),
    ({"dependencies": {}}, "write dependentRequired"),
    ({"type": "string", "maxLength": 10**6}, "schema.maxLength is 1000000"),
    ({"type": "array", "minItems": 3, "maxItems": 2}, "less than minItems"),
    ({"type": "string", "minLength": "a"}, "schema.minLength is 'a'"),
    ({"maxLength": float("inf")}, "schema.maxLength is inf"),
    ({"minimum": True}, "schema.minimum is True"),
    ({"minimum": float("inf")}, "schema.minimum is inf"),
    ({"multipleOf": 0}, "schema.multipleOf is 0"),
    ({"required": 3}, "schema.required is 3"),
    ({"allOf": [{"$ref": "#"}]}, "refers to itself"),
    ({"pattern": "("}, "schema.pattern is '\\('"),
    ({"pattern": r"(a)\1"}, "cannot hold to"),
    ({"pattern": r"\bword"}, "cannot hold to"),
    ({"pattern": "(?i)a"}, "cannot hold to"),
    ({"pattern": "(?<=a)b"}, "cannot hold to"),
    ({"pattern": "a{1001}"}, "more than 1000"),
    ({"pattern": "^(a|b)*a(a|b){13}$"}, "too large a schema"),
    ({"format": "regex"}, "schema.format is 'regex'"),
    ({"items": {}, "uniqueItems": True}, "schema.uniqueItems cannot be held to"),
    ({"not": {"format": "date"}}, "schema.not.format has no opposite"),
    ({"not": {"additionalProperties": False}}, "has no opposite"),
    ({"not": {"const": {}}}, "no opposite"),
    ({"oneOf": [{"format": "date"}, {"pattern": "a", "format": "date"}]}, "write anyOf"),
    (
        {"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 2},
        "schema.minProperties is 2",
    ),
    ({"allOf": [{"contains": {}}, {"contains": {"const": 1}}]}, "contains is there more than once"),
    ({"allOf": [{"anyOf": [{"minimum": n} for n in range(30)]}] * 2}, "more than 500 alternatives"),
    # What allows nothing
    ({"type": "integer", "minimum": 3, "maximum": 2}, "schema allows no value"),
    ({"allOf": [{"type": "null"}, {"type": "string"}]}, "schema allows no value"),
    ({"type": "string", "pattern": "^a$", "minLength": 2}, "schema allows no value"),
    ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "schema allows no value"),
    ({"not": {}}, "schema allows no value"),
    (False, "schema allows no value"),
    ([], "schema is \\[\\]"),
]


@pytest.mark.parametrize(("schema", "said"), REFUSED, ids=lambda value: str(value)[:50])
def test_a_schema_that_cannot_be_held_to_is_refused_by_its_place(schema, said):
    """Before llama.cpp is asked."""
    with pytest.raises(ie.InvalidRequestError, match=said):
        JsonGrammar().rule_of(schema, "schema")


@pytest.mark.parametrize(
    "words",
    [
        {"title": "T", "description": "D", "default": 3, "examples": [1], "deprecated": True},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://a.example/b"},
        {"$comment": "c", "readOnly": True, "writeOnly": False, "contentEncoding": "base64"},
        {"contentMediaType": "text/plain", "contentSchema": {}, "x-mine": 1, "format": "int32"},
    ],
)
def test_annotations_say_nothing(words):
    """As the specification has it, which calls unknown keywords and formats that, too."""
    schema = {"type": "integer"}
    plain, told = JsonGrammar(), JsonGrammar()
    assert told.text(told.rule_of({**schema, **words}, "schema")) == plain.text(
        plain.rule_of(schema, "schema")
    )


@pytest.mark.parametrize("name", ["date", "time", "date-time"])
def test_dates_and_times_are_read_by_python(name):
    """No 30th of February, and no 25th hour."""
    grammar, chance = grammar_of({"format": name}), random.Random(2)
    read = {"date": dt.date, "time": dt.time, "date-time": dt.datetime}[name]
    for _ in range(300):
        read.fromisoformat(_for_python_3_10(json.loads(grammar.text(chance))))


def _for_python_3_10(text):
    whole, point, fraction = text.replace("Z", "+00:00").partition(".")
    if not point:
        return whole
    sign = "+" if "+" in fraction else "-"
    digits, _, zone = fraction.partition(sign)
    return f"{whole}.{digits.ljust(6, '0')}{sign}{zone}"


@pytest.mark.parametrize("year", [1900, 2000, 2023, 2024])
def test_every_day_is_a_date(year):
    """And no other day is."""
    grammar = grammar_of({"format": "date"})
    for month, day in itertools.product(range(14), range(33)):
        text = f"{year:04}-{month:02}-{day:02}"
        try:
            dt.date.fromisoformat(text)
        except ValueError:
            assert not grammar.allows(f'"{text}"')
        else:
            assert grammar.allows(f'"{text}"')


def test_integers_between_bounds_are_all_there_and_no_others():
    """Every pair of small bounds, every number around them."""
    for low, high in itertools.product(range(-12, 13, 3), (0, 1, 9, 23, 105)):
        grammar = grammar_of({"type": "integer", "minimum": low, "maximum": low + high})
        for number in range(low - 3, low + high + 4):
            assert grammar.allows(str(number)) == (low <= number <= low + high)


def test_a_tool_is_made_a_grammar_in_time_to_answer():
    """What was made of a pattern once is not made again."""
    from inferd_engine.backends.llamacpp.json_schema.automata import automaton

    schema = {"type": "string", "format": "uri"}
    grammar_of(schema)
    before = automaton.cache_info().misses
    grammar_of(schema)
    assert automaton.cache_info().misses == before

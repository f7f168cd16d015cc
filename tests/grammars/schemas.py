"""Schemas, each with texts that are valid by it, and texts that are not; and schemas at random."""

from __future__ import annotations

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
CASES = [
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
    # Patterns
    ({"pattern": "^[a-c]+$"}, ['"a"', '"cab"'], ['""', '"d"', '"ad"', '"a']),
    ({"pattern": "b"}, ['"b"', '"abc"', '"\\nb"'], ['""', '"ac"']),
    ({"pattern": "^a|b$"}, ['"ax"', '"xb"', '"a"'], ['"xa"', '"bx"']),
    ({"pattern": r"^\d{3}-\d{2,4}$"}, ['"123-45"', '"123-4567"'], ['"123-4"', '"123-45678"']),
    ({"pattern": r"^(?=.*\d)(?!0)\w{2,3}$"}, ['"1a"', '"ab9"'], ['"ab"', '"01"', '"1abc"']),
    ({"pattern": r"^\S+@\S+$"}, ['"a@b"', '"語@é"'], ['"a b@c"', '"@b"']),
    ({"pattern": r'^["\\\n]$'}, ['"\\""', '"\\\\"', '"\\n"'], ['"""', '"\n"', '"n"']),
    ({"pattern": r"^[^a-z]$"}, ['"A"', '"語"', '"\\u0001"', '"\\t"'], ['"a"', '"AB"']),
    ({"pattern": "^a?$", "minLength": 1}, ['"a"'], ['""']),
    ({"pattern": "^a+$", "maxLength": 9000}, ['"a"', f'"{"a" * 999}"'], ['""', '"b"']),
    ({"pattern": "^a{3}$", "maxLength": 9000}, ['"aaa"'], ['"aa"', '"aaaa"']),
    ({"format": "email", "maxLength": 254}, ['"a.b+c@example.org"'], ['"a@"']),
    ({"format": "uri", "maxLength": 2083}, [f'"https://example.org/{"a" * 180}"'], ['"a"']),
    ({"pattern": "^(ab)+$", "maxLength": 5}, ['"ab"', '"abab"'], ['"ababab"']),
    ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, ['"ab"', '"bxa"'], ['"a"', '"b"']),
    # Formats
    ({"format": "date"}, ['"2026-11-26"', '"2024-02-29"'], ['"2026-02-29"', '"2026-13-01"']),
    (
        {"format": "date-time"},
        ['"2026-11-26T15:01:02Z"', '"2026-11-26T15:01:02.5+01:00"'],
        ['"2026-11-26"', '"2026-11-26T25:01:02Z"', '"2026-11-26T15:01:02"'],
    ),
    ({"format": "time"}, ['"23:59:59Z"'], ['"24:00:00Z"', '"23:59"']),
    ({"format": "ipv4"}, ['"127.0.0.1"', '"255.255.255.255"'], ['"256.0.0.1"', '"1.2.3"']),
    ({"format": "ipv6"}, ['"::1"', '"fe80::1:2"'], ['"1::2::3"', '"12345::"']),
    (
        {"format": "uuid"},
        ['"6fa459ea-ee8a-3ca4-894e-db77e160355e"'],
        ['"6fa459eaee8a3ca4894edb77e160355e"', '"x"'],
    ),
    ({"format": "email"}, ['"a.b+c@example.org"'], ['"a@"', '"a b@c.d"', '"@c"']),
    ({"format": "hostname"}, ['"a-b.example"'], ['"-a"', '"a..b"']),
    ({"format": "uri"}, ['"https://example.org/a?b#c"', '"urn:x"'], ['"example.org"', '"a b:c"']),
    ({"format": "duration"}, ['"P1Y2M3DT4H"', '"PT5M"', '"P2W"'], ['"P"', '"P1H"', '"1D"']),
    ({"format": "json-pointer"}, ['""', '"/a~1b/0"'], ['"a"', '"/~2"']),
    ({"format": "a-word-of-mine", "type": "string"}, ['"anything"'], ["1"]),
    # Numbers
    ({"type": "integer", "minimum": 3, "maximum": 12}, ["3", "9", "12"], ["2", "13", "-3", "100"]),
    (
        {"type": "integer", "exclusiveMinimum": -3, "exclusiveMaximum": 11},
        ["-2", "0", "10"],
        ["-3", "11", "-10", "1.5"],
    ),
    ({"type": "integer", "minimum": 0}, ["0", "1234567890123456"], ["-1", "00"]),
    ({"type": "integer", "maximum": -1}, ["-1", "-999"], ["0", "1", "-0"]),
    ({"type": "integer", "minimum": 0.5, "maximum": 2.5}, ["1", "2"], ["0", "3"]),
    (
        {"type": "number", "minimum": 0.1, "exclusiveMaximum": 2},
        ["0.1", "0.10", "1", "1.999999", "1.0"],
        ["0.09", "2", "2.0", "0", "-1", "1e0"],
    ),
    ({"type": "number", "maximum": -1.5}, ["-1.5", "-2", "-1.51"], ["-1.49", "1.5", "-1", "0"]),
    ({"type": "integer", "multipleOf": 7}, ["0", "7", "-14", "700"], ["8", "71"]),
    ({"type": "number", "multipleOf": 0.25, "minimum": 1}, ["1", "1.75", "12.5"], ["1.1", "0.5"]),
    ({"type": "number", "multipleOf": 1}, ["3", "-4"], ["3.5"]),
    ({"minimum": 5, "type": ["integer", "null"]}, ["5", "null"], ["4", '"5"']),
    ({"type": "number", "not": {"type": "integer"}}, ["1.5", "-0.25"], ["1", "1.0"]),
    # Strings
    ({"type": "string", "maxLength": 2100}, ['""', f'"{"a" * 2100}"'], [f'"{"a" * 2101}"']),
    ({"type": "string", "minLength": 2001}, [f'"{"a" * 2001}"'], [f'"{"a" * 2000}"']),
    # Several types, several parts
    ({"enum": [1, "a", None, True], "type": ["string", "null"]}, ['"a"', "null"], ["1", "true"]),
    ({"enum": ["ab", "abc", "b"], "pattern": "^a", "maxLength": 2}, ['"ab"'], ['"abc"', '"b"']),
    ({"enum": [1, 2.5, 7], "minimum": 2}, ["2.5", "7"], ["1"]),
    ({"const": [1, {"a": None}]}, ['[1, {"a": null}]'], ["[1]", "[]", "[1, {}]"]),
    ({"type": ["string", "null"], "minLength": 1}, ['"a"', "null"], ['""', "1"]),
    (
        {"$ref": "#/$defs/low", "maximum": 9, "$defs": {"low": {"type": "integer", "minimum": 5}}},
        ["5", "9"],
        ["4", "10"],
    ),
    ({"$ref": "#here", "$defs": {"a": {"$anchor": "here", "const": 1}}}, ["1"], ["2"]),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "allOf": [{"properties": {"a": {"minimum": 3}}}, {"required": ["a"]}],
        },
        ['{"a": 3}'],
        ['{"a": 2}', "{}"],
    ),
    # Not
    ({"type": "string", "not": {"const": "no"}}, ['"yes"', '"n"', '"not"'], ['"no"']),
    ({"type": "string", "not": {"enum": ["a", "b"]}}, ['"c"', '""'], ['"a"', '"b"']),
    ({"type": "string", "not": {"pattern": "[0-9]"}}, ['"ab"'], ['"a1"']),
    ({"type": "integer", "not": {"minimum": 5}}, ["4", "-7"], ["5", "6"]),
    ({"type": "integer", "not": {"const": 5}, "minimum": 4, "maximum": 6}, ["4", "6"], ["5"]),
    ({"type": ["string", "null"], "not": {"type": "null"}}, ['"a"'], ["null"]),
    (
        {"properties": {"a": {"type": "null"}, "b": True}, "not": {"required": ["a", "b"]}},
        ['{"a": null}', '{"b": 1}', "{}"],
        ['{"a": null, "b": 1}'],
    ),
    (
        {"not": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
        ["1", "null", "[]"],
        ['"a"', "{}"],
    ),
    # One of
    ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, ["1", '"a"'], ["1.5"]),
    ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, ["1.5"], ["1"]),
    (
        {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": kind}, kind: {"type": "integer"}},
                    "required": ["kind", kind],
                    "additionalProperties": False,
                }
                for kind in ("cat", "dog")
            ]
        },
        ['{"kind": "cat", "cat": 1}', '{"kind": "dog", "dog": 1}'],
        ['{"kind": "cat", "dog": 1}', '{"cat": 1}'],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        ['{"a": null}', '{"b": null}'],
        ['{"a": null, "b": null}', "{}"],
    ),
    # If
    (
        {
            "type": "object",
            "properties": {"kind": {"enum": ["a", "b"]}, "n": {"type": "integer"}},
            "required": ["kind"],
            "if": {"properties": {"kind": {"const": "a"}}},
            "then": {"required": ["n"]},
            "else": {"properties": {"n": False}},
        },
        ['{"kind": "a", "n": 1}', '{"kind": "b"}'],
        ['{"kind": "a"}', '{"kind": "b", "n": 1}'],
    ),
    # Objects
    (
        {"properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "integer"}},
        ['{"a": null}', '{"a": null, "b": 1}', '{"b": 1, "c": 2}', "{}"],
        ['{"a": 1}', '{"b": null}', '{"b": 1, "a": null}'],
    ),
    (
        {"patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False},
        ["{}", '{"x-a": 1}', '{"x-a": 1, "x-b": 2}'],
        ['{"a": 1}', '{"x-a": null}'],
    ),
    (
        {
            "patternProperties": {"^x": {"type": "integer"}},
            "additionalProperties": {"type": "null"},
        },
        ['{"x": 1}', '{"a": null, "x": 1}'],
        ['{"x": null}', '{"a": 1}'],
    ),
    (
        {"properties": {"xa": {"minimum": 3}}, "patternProperties": {"^x": {"type": "integer"}}},
        ['{"xa": 3}', '{"x": 1}'],
        ['{"xa": 2}', '{"xa": 3.5}'],
    ),
    (
        {
            "type": "object",
            "propertyNames": {"pattern": "^[a-z]$"},
            "additionalProperties": {"type": "null"},
        },
        ['{"a": null}', "{}"],
        ['{"A": null}', '{"ab": null}'],
    ),
    (
        {
            "properties": {n: {"type": "null"} for n in "abc"},
            "minProperties": 2,
            "maxProperties": 2,
        },
        ['{"a": null, "b": null}', '{"a": null, "c": null}'],
        ["{}", '{"a": null}', '{"a": null, "b": null, "c": null}'],
    ),
    (
        {"type": "object", "minProperties": 1, "additionalProperties": {"type": "null"}},
        ['{"a": null}', '{"a": null, "b": null}'],
        ["{}"],
    ),
    (
        {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "null"}},
        ["{}", '{"a": null}', '{"a": null, "b": null}'],
        ['{"a": null, "b": null, "c": null}'],
    ),
    (
        {
            "properties": {n: {"type": "null"} for n in "abc"},
            "dependentRequired": {"a": ["b"]},
            "dependentSchemas": {"b": {"required": ["c"]}},
        },
        ["{}", '{"c": null}', '{"a": null, "b": null, "c": null}', '{"b": null, "c": null}'],
        ['{"a": null}', '{"b": null}', '{"a": null, "b": null}'],
    ),
    (
        {
            "allOf": [{"properties": {"a": {"type": "null"}}}],
            "properties": {"b": {"type": "null"}},
            "required": ["a"],
            "unevaluatedProperties": False,
        },
        ['{"b": null, "a": null}', '{"a": null}'],
        ['{"a": null, "c": null}'],
    ),
    ({"properties": {"a": False, "b": {"type": "null"}}}, ["{}", '{"b": null}'], ['{"a": 1}']),
    # Arrays
    (
        {"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "integer"}},
        ["[null]", "[null, 1, 2]"],
        ["[1]", "[null, null]"],
    ),
    (
        {"prefixItems": [{"type": "null"}, {"type": "integer"}], "minItems": 1, "maxItems": 2},
        ["[null]", "[null, 1]"],
        ["[]", "[null, 1, 1]"],
    ),
    (
        {"items": {"type": "integer"}, "contains": {"minimum": 7}},
        ["[7]", "[1, 8, 2]"],
        ["[]", "[1, 2]", '["a", 8]'],
    ),
    (
        {
            "items": {"type": "integer"},
            "contains": {"type": "integer", "minimum": 7},
            "minContains": 0,
            "maxContains": 1,
            "maxItems": 3,
        },
        ["[]", "[1]", "[7, 1]", "[1, 2, 7]"],
        ["[7, 8]", "[1, 1, 1, 1]"],
    ),
    (
        {"items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 1},
        ['["a"]', '["a", "c"]', '["a", "b", "c"]'],
        ["[]", '["a", "a"]', '["d"]'],
    ),
    (
        {"prefixItems": [{"type": "null"}], "unevaluatedItems": False},
        ["[null]"],
        ["[null, 1]", "[1]"],
    ),
    ({"items": {"type": "null"}, "minItems": 2, "maxItems": 9}, ["[null, null]"], ["[null]"]),
    # What cannot be is left out
    ({"anyOf": [{"type": "integer"}, False]}, ["1"], ['"a"']),
    (
        {
            "properties": {"a": {"$ref": "#/$defs/never"}, "b": {"type": "null"}},
            "$defs": {"never": {"allOf": [{"type": "null"}, {"type": "string"}]}},
        },
        ["{}", '{"b": null}'],
        ['{"a": null}'],
    ),
]


def random_string(chance):
    least = chance.randrange(3)
    schema = {"type": "string", "minLength": least, "maxLength": least + chance.randrange(9)}
    return chance.choice([schema, {**schema, "pattern": chance.choice(["^[a-z ]*$", "[^0]$|^$"])}])


PATTERNS = (
    *(
        r"^[A-Z][a-z]{1,5}$",
        r"\d",
        r"^(?!no)\w{1,4}$",
        r"^(yes|no|m(ay)?be)$",
        r"^#([0-9a-f]{3}){1,2}$",
    ),
    *(
        r'^[^"\\]{1,3}$',
        r"^\S+@\S+\.[a-z]{2,3}$",
        r"^(\+\d{1,3} )?\d{3,5}$",
        r"^\s?[^\s]*$",
        "é|^語",
    ),
)
# Those that jsonschema looks at without other packages.
CHECKED_FORMATS = ("date", "email", "ipv4", "ipv6", "uuid", "idn-email")


def random_bounds(chance):
    low = chance.choice([-1000, -7, 0, 1, 12, 99, 12345])
    schema = {"type": "integer"}
    if chance.random() < 0.7:
        schema[chance.choice(["minimum", "exclusiveMinimum"])] = low
    if chance.random() < 0.7:
        high = low + chance.choice([2, 5, 100, 10**6])
        schema[chance.choice(["maximum", "exclusiveMaximum"])] = high
    if chance.random() < 0.2 and "maximum" not in schema:
        schema["multipleOf"] = chance.choice([2, 5, 10])
    return schema


def random_fraction(chance):
    low = chance.choice([-3.5, -0.001, 0, 0.1, 2.75, 1e3])
    schema = {"type": "number", chance.choice(["minimum", "exclusiveMinimum"]): low}
    if chance.random() < 0.7:
        schema[chance.choice(["maximum", "exclusiveMaximum"])] = low + chance.choice([0.5, 3, 1e6])
    return schema


def random_object(chance, depth):
    names = chance.sample(["a", "b b", 'c"', "d\\", "é", "語"], chance.randrange(1, 5))
    schema = {
        "type": "object",
        "properties": {name: random_schema(chance, depth) for name in names},
        "required": chance.sample(names, chance.randrange(len(names) + 1)),
    }
    more = chance.random()
    if more < 0.1:
        schema["additionalProperties"] = random_schema(chance, depth)
    elif more < 0.2:
        schema["patternProperties"] = {"^x": random_schema(chance, depth)}
        schema["propertyNames"] = {"maxLength": 4}
    elif more < 0.3:
        schema["minProperties"] = chance.randrange(len(names) + 1)
        schema["additionalProperties"] = False
    elif more < 0.4:
        schema["maxProperties"] = max(len(schema["required"]), chance.randrange(len(names)))
    elif more < 0.5:
        schema["dependentRequired"] = {names[0]: names[:2]}
        schema["unevaluatedProperties"] = False
    return schema


def random_array(chance, depth):
    least = chance.randrange(3)
    schema = {
        "type": "array",
        "items": random_schema(chance, depth),
        "minItems": least,
        "maxItems": least + chance.randrange(3),
    }
    if chance.random() < 0.2:
        schema = {"items": {"type": ["integer", "null"]}, "contains": random_bounds(chance)}
    if chance.random() < 0.1:
        schema = {"type": "array", "items": {"enum": ["a", 1, None, "b"]}, "uniqueItems": True}
    return schema


def random_tuple(chance, depth):
    items = [random_schema(chance, depth) for _ in range(chance.randrange(1, 3))]
    rest = chance.choice([False, random_schema(chance, depth), True])
    return {"type": "array", "prefixItems": items, "items": rest, "minItems": len(items)}


def random_part(chance, depth):
    schema = random_object(chance, depth)
    if {"additionalProperties", "unevaluatedProperties", "maxProperties", "propertyNames"} & {
        *schema
    }:
        return schema
    schema["properties"].pop("a", None)
    part = {"properties": {"a": {"type": "integer"}, "z": {"type": "null"}}, "required": ["z"]}
    return {"allOf": [schema, part]}


def random_condition(chance, depth):
    kinds = ["a", "b"]
    return {
        "type": "object",
        "properties": {"kind": {"enum": kinds}, "more": random_schema(chance, depth)},
        "required": ["kind"],
        "if": {"properties": {"kind": {"const": chance.choice(kinds)}}},
        chance.choice(["then", "else"]): chance.choice(
            [{"required": ["more"]}, {"properties": {"more": False}}]
        ),
    }


def random_choice(chance, depth):
    parts = [random_schema(chance, depth) for _ in range(2)]
    if chance.random() < 0.5:
        return {"anyOf": parts}
    kinds = ("one", "two", "three")
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {"kind": {"const": kind}, "it": part},
                "required": ["kind"],
            }
            for kind, part in zip(kinds, parts, strict=False)
        ]
    }


NESTED = [random_object, random_array, random_tuple, random_part, random_condition, random_choice]
FLAT = [
    random_string,
    random_bounds,
    random_fraction,
    lambda chance: {"type": "string", "pattern": chance.choice(PATTERNS)},
    lambda chance: {"type": "string", "format": chance.choice(CHECKED_FORMATS)},
    lambda chance: {"type": chance.choice(["integer", "number", "boolean", "null"])},
    lambda chance: {"type": chance.sample(["integer", "null", "boolean"], 2)},
    lambda chance: {"enum": chance.sample(["x", 'y"', "\\z", 1, None, [1, "a"], {"k": 2}], 3)},
    lambda chance: {"const": chance.choice(["x\ny", 2.5, False, {"a": []}])},
    lambda chance: {"type": "string", "not": {"enum": ["", "a"]}, "maxLength": 2},
    lambda chance: {"type": ["string", "integer"], "not": {"minimum": 3}, "maxLength": 3},
    lambda chance: {
        "oneOf": [{"type": "integer", "maximum": 9}, {"type": "integer", "minimum": 5}]
    },
]


def random_schema(chance, depth=0):
    """Return a schema that has been made at random, and allows something."""
    if depth < 3 and chance.random() < 0.5:
        return chance.choice(NESTED)(chance, depth + 1)
    return chance.choice(FLAT)(chance)

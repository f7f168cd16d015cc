"""Vectors, from whatever servers answer."""

from __future__ import annotations

import base64
import json
import math
import struct

import pytest

import inferd_engine as ie
from inferd_engine._native import IS_THERE
from inferd_engine.wire.openai.embeddings import embeddings_body, joined, read_embeddings
from inferd_engine.wire.openai.packed_vectors import unpacked

A, B = [0.5, -2.0, 3.25], [1.0, 0.0, -0.125]  # float32 holds them exactly


def packed(vector):
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def item(vector, index=None, **more):
    numbered = {} if index is None else {"index": index}
    return {"object": "embedding", **numbered, "embedding": vector, **more}


def answer(*items, **more):
    return {"object": "list", "data": list(items), "model": "m", **more}


def read(value, count=2, **options):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_embeddings(body, count, **options)


def refusal(value, count=2, **options):
    with pytest.raises(ie.UpstreamError) as caught:
        read(value, count, **options)
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        answer(item(A, 0), item(B, 1)),
        answer(item(packed(A), 0), item(packed(B), 1)),
        answer(item(packed(A), 0, encoding_format="base64"), item(B, 1)),
        answer(item(B, 1), item(A, 0)),
        answer(item(A), item(B)),
        answer(item(A, 0), item(B, 0)),
        answer(item(A, 5), item(B, 1)),
        answer(item(A, "0"), item(B, "1")),
        answer(item({"float": A}, 0), item({"float": B}, 1)),
        answer(item({"base64": packed(A)}, 0), item({"float": B, "int8": [1]}, 1)),
        answer(item([A], 0), item([B], 1)),
        {"id": "x", "embeddings": {"float": [A, B]}, "texts": ["a", "b"]},
        {"id": "x", "embeddings": {"base64": [packed(A), packed(B)]}},
        {"model": "m", "embeddings": [A, B]},
        [A, B],
        [item([A], 0), item([B], 1)],
    ],
)
def test_what_came_tells_what_it_is(value):
    """Numbers, base64, Cohere's objects, items and lists: what it is, its type says."""
    result = read(value)
    assert result.embeddings == (tuple(A), tuple(B))
    assert [vector.typecode for vector in result.arrays] == ["f", "f"]
    assert (result.dimensions, len(result)) == (3, 2)


def whole(*texts, **more):
    return json.dumps(answer(*map(item, texts), **more)).encode()


PACKED = {
    "one of each length": [whole(packed(A * n)) for n in range(1, 6)],
    "three": [whole(packed(A), packed(B), packed(A), usage={"prompt_tokens": 5})],
    "blanks": [b'{"data" : [ { "embedding" :\n"%b" } ]}' % packed(A).encode()],
    "the largest and the smallest": [whole(packed([3.4028234e38, -1e-45, -0.0]))],
    "key in a str": [whole(packed(A), model='"embedding":"AAAA'), whole(packed(A), user="\\")],
}
OTHERS = {
    "no vectors": [b"", b"{}", b"[]", b'{"data": [{"index": 0}]}'],
    "numbers": [whole(A), whole(packed(A), A), whole(A, packed(A))],
    "not finite": [whole(packed([1.0, bad])) for bad in (math.nan, math.inf, -math.inf)],
    "no base64": [whole("AAAAAA"), whole("AAAA"), whole("AACA_w=="), whole("AA==AAAAAACAPwAA")],
    "escaped": [whole("AACA/w==").replace(b"/", b"\\/")],
    "cut": [whole(packed(A))[:-1], whole(packed(A))[:60], b'{"data": [{"embedding": "AA'],
    "not in items": [b'{"embedding": "AAAAAA==", "data": [{"embedding": 0}]}'],
    "not that key": [b'{"data": [{"a\\"embedding": "AAAAAA=="}]}'],
    "twice": [b'{"data": [{"embedding": "AAAAAA==", "embedding": "AAAAAA=="}]}'],
    "error": [b'{"data": [{"embedding": "AAAAAA=="}], "error": {"message": "no"}}'],
    "deep": [whole(packed(A))[:-1] + b', "a": ' + b"[" * 100_000],
}


@pytest.fixture(params=["native", "pure"])
def implementation(request):
    if request.param == "native" and not IS_THERE:
        pytest.skip("the C part is not there")
    return request.param


@pytest.mark.parametrize("bodies", PACKED.values(), ids=PACKED)
def test_packed_answers_have_their_own_way(implementation, bodies):
    """Base64 is taken out of an answer as it stands; what is left says what the whole would."""
    for body in bodies:
        vectors, rest = unpacked(body, implementation)
        told = json.loads(body)
        wanted = [item["embedding"] for item in told["data"]]
        assert [base64.b64encode(vector.tobytes()).decode() for vector in vectors] == wanted
        assert [item.index for item in rest.data] == [None] * len(wanted)
        assert (rest.model, rest.usage) == (told.get("model", ""), told.get("usage"))
        assert read(body, len(wanted)).arrays == tuple(vectors)


@pytest.mark.parametrize("bodies", OTHERS.values(), ids=OTHERS)
def test_whatever_else_goes_the_general_way(implementation, bodies):
    """What is not as expected is left to the way that knows the errors."""
    assert [unpacked(body, implementation) for body in bodies] == [None] * len(bodies)


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        ({"prompt_tokens": 7, "total_tokens": 7}, 7),
        ({"total_tokens": 7}, 7),
        ({"input_tokens": 7}, 7),
        ({"prompt_tokens": 0, "total_tokens": 0}, 0),
        ({"prompt_tokens": -1, "total_tokens": 7}, 7),
        ({"prompt_tokens": -1, "total_tokens": -1}, None),
        ({}, None),
        (None, None),
    ],
)
def test_usage(usage, wanted):
    """What it cost is what the upstream says, and None if it does not."""
    result = read(answer(item(A, 0), usage=usage), 1)
    assert result.input_tokens == wanted
    assert (result.usage is None) == (wanted is None)
    assert result.model == "m"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (answer(item(A, 0)), "there are 1, but 2 texts"),
        (answer(item(A, 0), item(B, 1), item(B, 2)), "there are 3, but 2 texts"),
        ({"object": "", "data": None}, "there is none in it"),
        (answer(), "there are 0, but 2 texts"),
        (answer(item(A, 0), item("äöü=", 1)), "holds no good vectors"),
        ({"hello": 1}, "there is none in it"),
        (answer(item(A, 0), item(B[:2], 1)), "their lengths differ: 2, 3"),
        (answer(item([], 0), item([], 1)), "number 0 is missing"),
        (answer(item(A, 0), item(None, 1)), "number 1 is missing"),
        (answer(item(A, 0), {"object": "embedding", "index": 1}), "number 1 is missing"),
        (
            answer(item(A, 0), item([1.0, None, 2.0], 1)),
            "number 1 holds something that is not a number",
        ),
        (
            answer(item(A, 0), item([1.0, "x", 2.0], 1)),
            "number 1 holds something that is not a number",
        ),
        (
            answer(item(A, 0), item([1.0, [2.0], 2.0], 1)),
            "number 1 holds something that is not a number",
        ),
        (
            answer(item(A, 0), item([1.0, math.nan, 2.0], 1)),
            "number 1 holds something that is not a number",
        ),
        (answer(item(A, 0), item([1.0, -math.inf, 2.0], 1)), "number 1 holds something"),
        (answer(item(A, 0), item([1.0, 1e300, 2.0], 1)), "number 1 holds something"),
        (answer(item(A, 0), item(packed([1.0, math.nan, 2.0]), 1)), "number 1 holds something"),
        (
            answer(item(A, 0), item(packed([1.0, math.inf, -math.inf]), 1)),
            "number 1 holds something",
        ),
        (answer(item(A, 0), item("not base64!", 1)), "number 1 is a str that is not base64"),
        (answer(item(A, 0), item("äöü=", 1)), "number 1 is a str that is not base64"),
        (answer(item(A, 0), item("AAAA", 1)), "number 1 has 3 bytes"),
        (b"<html>", "it is not JSON"),
        ([[A], 5], "number 1"),
        ("text", "there is none in it"),
    ],
)
def test_what_is_no_vector(value, words):
    """Too few, too many, of unlike lengths, or holding what is no number: never silently."""
    error = refusal(value)
    assert words in str(error)
    assert (error.code, error.retryable) == ("malformed", False)


@pytest.mark.parametrize("body", [b"", b" ", b'{"data": NaN', b'{"data": [{"emb', b"[" * 100_000])
def test_a_body_that_was_cut(body):
    """What began as JSON, or did not begin, may come whole if it is asked for again."""
    error = refusal(body)
    assert "it is not JSON" in str(error)
    assert (error.code, error.retryable) == ("malformed", True)


def test_dimensions():
    """Vectors of another length than was asked for are refused: servers ignore the wish."""
    assert read(answer(item(A, 0)), 1, dimensions=3).dimensions == 3
    error = refusal(answer(item(A, 0)), 1, dimensions=2)
    assert "3 dimensions where 2 were asked for" in str(error)


def test_an_error_with_status_200():
    """An error object is told in the upstream's words."""
    error = refusal({"error": {"message": "no such model", "code": "model_not_found"}})
    assert (error.message, error.code) == ("no such model", "model_not_found")


def test_the_body():
    """Only what is asked is sent; what the caller adds is merged."""
    plain = {"model": "m", "dimensions": None, "encoding_format": None, "extra_body": {}}
    assert embeddings_body(["a"], **plain) == {"model": "m", "input": ["a"]}
    asked = {**plain, "dimensions": 5, "encoding_format": "base64", "extra_body": {"user": "u"}}
    assert embeddings_body(["\ud83d\ude00"], **asked) == {
        "model": "m",
        "input": ["😀"],
        "dimensions": 5,
        "encoding_format": "base64",
        "user": "u",
    }


def test_batches_are_one_result():
    """What they cost is added up if all say it; vectors of unlike lengths are refused."""
    one, two = ie.EmbedResult([A], "m", 3), ie.EmbedResult([B], "m", 4)
    assert joined([one]) is one
    result = joined([one, two])
    assert result.embeddings == (tuple(A), tuple(B))
    assert (result.model, result.input_tokens) == ("m", 7)
    assert joined([one, ie.EmbedResult([B])]).usage is None
    with pytest.raises(ie.UpstreamError, match="different lengths"):
        joined([one, ie.EmbedResult([B[:2]])])

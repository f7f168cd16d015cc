"""What a request for embeddings gives."""

from __future__ import annotations

import pickle
from array import array

import pytest

import inferd_engine as ie

A, B = [0.5, -2.0, 3.25], [1.0, 0.0, -0.125]
RESULT = ie.EmbedResult([array("f", A), array("f", B)], "m", ie.Usage(3, None))


def test_arrays_and_tuples():
    """Vectors are compact, and become Python's floats when they are asked for."""
    assert RESULT.arrays == (array("f", A), array("f", B))
    assert RESULT.embeddings == (tuple(A), tuple(B))
    assert (RESULT.dimensions, len(RESULT), RESULT.input_tokens) == (3, 2, 3)
    assert ie.EmbedResult(()).dimensions == 0


def test_floats_stay_as_they_are():
    """Numbers that were given as floats are given back with all their digits."""
    result = ie.EmbedResult([[0.1, 0.2]])
    assert result.embeddings == ((0.1, 0.2),)
    assert result.arrays == (array("f", [0.1, 0.2]),)
    assert (result.usage, result.input_tokens) == (None, None)
    assert ie.EmbedResult([[0.1]], "m", 5).usage == ie.Usage(5, None)


def test_it_is_a_value():
    """Equal ones are equal, also from a pickle; a repr is one short line."""
    assert pickle.loads(pickle.dumps(RESULT)) == RESULT
    assert ie.EmbedResult([A]) != RESULT
    assert repr(RESULT) == "EmbedResult(2 of 3 dimensions, model='m', input_tokens=3)"


@pytest.mark.parametrize("dtype", [None, "f4", "f8"])
def test_numpy_takes_it(dtype):
    """numpy, where it is, makes a matrix of it."""
    numpy = pytest.importorskip("numpy")
    for result in (RESULT, ie.EmbedResult([A, B])):
        matrix = numpy.asarray(result, dtype=dtype)
        assert matrix.dtype == (dtype or "f4")
        assert matrix.tolist() == [A, B]
    assert numpy.asarray(ie.EmbedResult(())).shape == (0, 0)
    with pytest.raises(ValueError, match="a copy"):
        RESULT.__array__(copy=False)

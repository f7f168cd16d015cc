"""Where a body ends: by one header, or in doubt."""

from __future__ import annotations

import pytest

from inferd_engine.wire.http_framing import Framing, framing_of

CERTAIN = [
    ((), (), Framing(is_chunked=False, length=None, is_certain=True)),
    (("chunked",), (), Framing(is_chunked=True, length=None, is_certain=True)),
    ((" Chunked ",), (), Framing(is_chunked=True, length=None, is_certain=True)),
    ((), ("0",), Framing(is_chunked=False, length=0, is_certain=True)),
    ((), (" 123 ",), Framing(is_chunked=False, length=123, is_certain=True)),
]
DOUBTFUL = [
    # both, in any shape
    (("chunked",), ("5",), True, 5),
    (("chunked",), ("x",), True, None),
    # codings that are not exactly one
    (("identity, chunked",), (), True, None),
    (("identity", "chunked"), (), True, None),
    (("gzip, chunked",), (), True, None),
    (("chunked, chunked",), (), True, None),
    (("chunked, identity",), (), False, None),
    (("identity",), (), False, None),
    (("identity",), ("5",), False, 5),
    (("xchunked",), ("5",), False, 5),
    # lengths that are no digits, or several
    ((), ("5", "5"), False, 5),
    ((), ("5, 5",), False, 5),
    ((), ("5", "6"), False, None),
    ((), ("5, 6",), False, None),
    ((), ("1_23",), False, 123),
    ((), ("+5",), False, 5),
    ((), ("-5",), False, None),
    ((), ("0x5",), False, None),
    ((), ("five",), False, None),
    ((), ("\u0665",), False, 5),  # a digit, and none that HTTP knows
]


@pytest.mark.parametrize(("codings", "lengths", "framing"), CERTAIN)
def test_one_way_to_read_it(codings, lengths, framing):
    """One header that is as it has to be, or none, leaves no doubt."""
    assert framing_of(codings, lengths) == framing


@pytest.mark.parametrize(("codings", "lengths", "is_chunked", "length"), DOUBTFUL)
def test_more_than_one_way(codings, lengths, is_chunked, length):
    """Whatever else there is can be read in two ways: it is read in one, and called doubtful."""
    found = framing_of(codings, lengths)
    assert (found.is_chunked, found.length) == (is_chunked, length)
    assert not found.is_certain


def test_empty_headers_say_nothing():
    """A header without a value is as good as none."""
    assert framing_of(("",), (" ",)) == framing_of((), ())

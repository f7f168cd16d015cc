"""HTTP's chunked coding: everything in a read at once, and strictly."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from inferd_engine.wire.http.chunks import chunked_decoder
from inferd_engine.wire.sse import IMPLEMENTATIONS

WHOLE = b'5\r\nhello\r\n6; name="a;b"\r\n world\r\n0\r\nX-A: b\r\n\r\n'


def decode(blocks, implementation):
    decoder = chunked_decoder(implementation)
    return b"".join(decoder.feed(block) for block in blocks), decoder


def test_every_split(implementation):
    """Wherever the reads end, the body is the same, and its end is found."""
    for at in range(len(WHOLE) + 1):
        body, decoder = decode([WHOLE[:at], WHOLE[at:]], implementation)
        assert body == b"hello world"
        assert decoder.is_done
        assert not decoder.surplus
    body, decoder = decode([WHOLE[i : i + 1] for i in range(len(WHOLE))], implementation)
    assert (body, decoder.is_done) == (b"hello world", True)


def test_line_feeds_alone(implementation):
    """A server that forgets the carriage returns is understood."""
    body, decoder = decode([b"2\nab\n0\n\n"], implementation)
    assert (body, decoder.is_done) == (b"ab", True)


def test_what_comes_after_the_end(implementation):
    """Bytes after the end are no body, and are told."""
    body, decoder = decode([WHOLE + b"HTTP/1.1 200 OK"], implementation)
    assert body == b"hello world"
    assert decoder.surplus


def test_surplus_stays_told(implementation):
    """What came after the end is not forgotten with the next read, even an empty one."""
    decoder = chunked_decoder(implementation)
    decoder.feed(WHOLE + b"x")
    decoder.feed(b"")
    assert decoder.surplus


@pytest.mark.parametrize(
    "size", [b"-5", b"+5", b"1_0", b"0x10", b"", b"g", b" 5", b"5 5", b"1" * 16, b"\xd9\xa1"]
)
def test_sizes_that_are_none(size, implementation):
    """A size is hexadecimal digits and nothing else; what came before is given first."""
    decoder = chunked_decoder(implementation)
    assert decoder.feed(b"2\r\nab\r\n" + size + b"\r\nhello\r\n") == b"ab"
    with pytest.raises(ValueError, match="hexadecimal"):
        decoder.feed(b"")


@pytest.mark.parametrize("end", [b"xx\r\n", b"\r\r\n", b"x\n"])
def test_chunks_that_do_not_end(end, implementation):
    """After a chunk's bytes comes a line end and nothing else."""
    decoder = chunked_decoder(implementation)
    assert decoder.feed(b"2\r\nab" + end + b"0\r\n\r\n") == b"ab"
    with pytest.raises(ValueError, match="size says"):
        decoder.feed(b"")


@pytest.mark.parametrize("split", [0, 1])
def test_endless_lines(split, implementation):
    """Neither a size line nor a trailer may go on for ever."""
    for start in (b"5;", b"0\r\nX: "):
        decoder = chunked_decoder(implementation)
        endless = start + b"a" * 10_000
        for at in range(0, len(endless), 100) if split else [0]:
            if decoder.error is None:
                decoder.feed(endless[at : at + 100] if split else endless)
        assert decoder.error is not None


def test_endless_trailers(implementation):
    """Trailers are counted."""
    decoder = chunked_decoder(implementation)
    decoder.feed(b"0\r\n" + b"X: y\r\n" * 1000)
    assert decoder.error is not None


CHUNKED = st.lists(
    st.sampled_from(
        [b"5", b"a", b"0", b"\r\n", b"\n", b"\r", b";", b" ", b"hello", b"g", b"X: y", WHOLE[:10]]
    )
).map(b"".join)


@pytest.mark.skipif("native" not in IMPLEMENTATIONS, reason="the C part is not there")
@given(CHUNKED, st.lists(st.integers(1, 9)))
def test_both_are_alike(stream, sizes):
    """Whatever comes, in whatever reads, both give the same body and the same verdict."""
    stream += b"\n"  # the one in Python judges a line when it ends, the one in C at once
    found = []
    for implementation in ("native", "pure"):
        decoder = chunked_decoder(implementation)
        body, position = b"", 0
        for size in (*sizes, len(stream)):
            if decoder.error is None:
                body += decoder.feed(stream[position : position + size])
            position += size
        found.append((body, decoder.is_done, decoder.surplus, decoder.error is None))
    assert found[0] == found[1]

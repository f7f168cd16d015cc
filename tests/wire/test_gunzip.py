"""Bodies that came as gzip although nobody announced it."""

import gzip
import itertools
import zlib

import pytest

from inferd_engine.wire.http.gunzip import MAGIC, PIECE, Gunzip

TEXT = b'data: {"a": 1}\n\n' * 50


def fed(*reads):
    """Give the body that these reads make."""
    gunzip = Gunzip()
    return b"".join(itertools.chain.from_iterable(gunzip.feed(read) for read in reads))


def in_reads(data, size):
    """Cut data into reads of a size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("body", [TEXT, b"\x1e\x8b", b"\x1f\x8a", b"\x1fabc", b"x\x1f\x8b", b"\n"])
def test_other_bodies_pass(body, size):
    """A body that does not begin as gzip does is given as it is, however it is cut."""
    assert fed(*in_reads(body, size)) == body


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("body", [TEXT, b"", b"a"])
def test_gzip_is_decompressed(body, size):
    """X08: a body that begins as gzip does is decompressed, however it is cut."""
    assert fed(*in_reads(gzip.compress(body), size)) == body


def test_an_empty_read_decides_nothing():
    """Whether a body is gzip is decided by its bytes, not by a read without any."""
    assert fed(b"", gzip.compress(TEXT)) == TEXT
    assert fed(MAGIC[:1], b"", gzip.compress(TEXT)[1:]) == TEXT


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_members_in_a_row(size):
    """Several gzip members in a row are one body."""
    body = gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"two")
    assert fed(*in_reads(body, size)) == b"onetwo"


def test_what_was_flushed_is_given_at_once():
    """An event that the proxy flushed is given with the read in which it came."""
    squeeze = zlib.compressobj(wbits=31)
    gunzip = Gunzip()
    for number in range(3):
        event = b"data: %d\n\n" % number
        data = squeeze.compress(event) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(gunzip.feed(data)) == event


def test_nothing_is_held_back():
    """Each read gives all that can be decompressed so far, also where that is a full piece."""
    body = gzip.compress(bytes(3 * PIECE))
    for cut in range(2, len(body)):
        so_far = zlib.decompressobj(31).decompress(body[:cut])
        assert fed(body[:cut]) == so_far


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_at_the_edge(size):
    """A body around a multiple of the piece size comes whole, in pieces no larger than that."""
    body = bytes(size)
    pieces = list(Gunzip().feed(gzip.compress(body)))
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= PIECE


def test_a_bomb_takes_no_memory():
    """A small body that unpacks to a huge one is unpacked only as far as somebody takes it."""
    size = 64 * 1024 * 1024
    bomb = gzip.compress(bytes(size))
    assert len(bomb) < size // 500
    pieces = Gunzip().feed(bomb)
    assert len(next(pieces)) == PIECE
    lengths = [len(piece) for piece in pieces]
    assert max(lengths) <= PIECE
    assert sum(lengths) == size - PIECE


@pytest.mark.parametrize(
    "body",
    [MAGIC + b"no gzip at all", gzip.compress(TEXT)[:-8] + b"12345678"],
    ids=["no gzip", "wrong checksum"],
)
def test_broken_gzip(body):
    """A body that is no gzip after all, or fails its checksum, is an error."""
    with pytest.raises(zlib.error):
        fed(body)

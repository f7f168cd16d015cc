"""Compression that nobody asked for, undone; or told by its name where it cannot be."""

import gzip
import itertools
import sys
import zlib

import pytest

from inferd_engine.errors import UpstreamError
from inferd_engine.wire import content_codings
from inferd_engine.wire.content_codings import undoing
from inferd_engine.wire.gunzip import PIECE

TEXT = b'data: {"a": "x"}\n\n' * 300
ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
LIBRARIES = {"br": ["brotlicffi", "brotli"], "zstd": [ZSTD, "zstandard"]}
SIZES = [1, 2, 3, 7, 1000, 1_000_000]


def raw_deflate(data):
    """Compress as many servers do that say deflate: without a header."""
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


def brotli(data):
    return pytest.importorskip("brotli").compress(data)


def zstd(data):
    return pytest.importorskip(ZSTD).compress(data)


PACKED = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    " gzip ": gzip.compress,
    "deflate": zlib.compress,
    "deflate, raw": raw_deflate,
    "br": brotli,
    "zstd": zstd,
}


def header_of(name):
    """Give the value of the header for a row."""
    return "deflate" if name == "deflate, raw" else name


def undone(header, body, size=1_000_000):
    """Give the body that these bytes make, when they come in reads of this size."""
    coding = undoing(header)
    reads = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(itertools.chain.from_iterable(map(coding.feed, reads)))


@pytest.fixture
def only(monkeypatch):
    """Leave of the optional libraries one, or none."""
    imported = content_codings._imported

    def leave(*names):
        pytest.importorskip(names[0]) if names else None
        monkeypatch.setattr(
            content_codings,
            "_imported",
            lambda *wanted: imported(*[name for name in wanted if name in names]),
        )

    return leave


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PACKED)
def test_codings(name, size):
    """What the header names is undone, however the body is cut into reads."""
    assert undone(header_of(name), PACKED[name](TEXT), size) == TEXT


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("header", "packings"),
    [
        ("gzip, br", ["gzip", "br"]),
        ("br,gzip", ["br", "gzip"]),
        ("deflate, gzip, zstd", ["deflate", "gzip", "zstd"]),
        ("gzip, gzip", ["gzip", "gzip"]),
        ("identity, gzip", ["gzip"]),
        ("gzip, identity", ["gzip"]),
        ("none, deflate,", ["deflate"]),
        ("", ["gzip"]),  # nobody announced it
        ("deflate", ["gzip", "deflate"]),  # and nobody announced the half of it
    ],
)
def test_codings_on_top_of_each_other(header, packings, size):
    """RFC 9110, 8.4: the list names them in the order in which they were put on."""
    body = TEXT
    for name in packings:
        body = PACKED[name](body)
    assert undone(header, body, size) == TEXT


IN_CLEAR = [
    TEXT,
    b'{"error": "m"}',
    b'{\n  "a": 1}',
    b"\n\n  [{}]",
    b": ping\n\n",
    b"event: ping\n\n",
    b"<!doctype html>",
    b"retry: 5\n\n",
    b"data:[DONE]\n\n",
    b"id: 1\n\n",
]


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("body", IN_CLEAR)
@pytest.mark.parametrize(
    "header",
    [
        *("", "identity", "none", "None", "UTF-8", "utf8", "identity, none", " ", ",", "null"),
        # headers that a proxy left on what it had decompressed, and words that nobody knows
        *("gzip", "deflate", "br", "zstd", "gzip, br", "foo", "aws-chunked", "chunked"),
    ],
)
def test_bodies_in_clear(header, body, size):
    """A body that begins as an answer in clear does is left as it is, whatever its header says."""
    assert undone(header, body, size) == body


def test_a_body_in_clear_costs_nothing_more():
    """Once a body is known to be in clear, reads need not go through here."""
    for header in ("", "none", "foo", "gzip, deflate"):
        coding = undoing(header)
        assert not coding.is_passive
        assert b"".join(coding.feed(TEXT)) == TEXT
        assert coding.is_passive
        assert not coding.is_active


@pytest.mark.parametrize("name", PACKED)
def test_what_is_decoded_is_active(name):
    """While a body is being decoded, more may come out without more going in."""
    coding = undoing(header_of(name))
    list(coding.feed(PACKED[name](TEXT)))
    assert coding.is_active
    assert not coding.is_passive


@pytest.mark.parametrize("library", LIBRARIES["br"] + LIBRARIES["zstd"])
@pytest.mark.parametrize("size", SIZES)
def test_every_library(only, library, size):
    """Each of the libraries does, whichever is installed; several frames are one body."""
    name = "br" if library in LIBRARIES["br"] else "zstd"
    body = PACKED[name](TEXT)
    only(library)
    assert undone(name, body, size) == TEXT
    if name == "zstd":
        assert undone(name, body + zstd(b"") + body, size) == 2 * TEXT


@pytest.mark.parametrize("name", LIBRARIES)
def test_without_a_library(only, name):
    """Without a library the error names the coding and what to install."""
    body = PACKED[name](TEXT)
    only()
    with pytest.raises(UpstreamError, match=rf"coding '{name}'.*compression\]'") as caught:
        undone(name, body)
    assert (caught.value.code, caught.value.retryable) == ("content_coding", False)


@pytest.mark.parametrize("header", ["foo", "compress", "dcb", "gzip, foo", "x" * 39, "x" * 5000])
def test_an_unknown_coding_is_named(header):
    """A coding that nobody knows is named, not passed on as if it were text."""
    body = b"\x9d\x90\x81\x02" + bytes(100)
    with pytest.raises(UpstreamError, match=rf"coding '{header.split(', ')[-1][:39]}") as caught:
        undone(header, body)
    assert len(str(caught.value)) < 300


def test_too_many_codings_are_refused():
    """A chain of codings is an attack on memory: five are undone, more are not."""
    body = TEXT
    for _ in range(6):
        body = gzip.compress(body)
    assert undone("gzip," * 5 + "identity", gzip.decompress(body)) == TEXT
    with pytest.raises(UpstreamError, match="coding"):
        undone(",".join(["br"] * 6), body)


@pytest.mark.parametrize("name", ["deflate", "deflate, raw", "br", "zstd"])
def test_what_is_broken_is_an_error(name):
    """A body that breaks in the middle is an error that names its coding."""
    body = PACKED[name](TEXT)
    with pytest.raises(ValueError, match=header_of(name)):
        undone(header_of(name), body[:20] + b"\xff\xff\xff\xff" * 20)


@pytest.mark.parametrize("name", PACKED)
def test_half_a_body_gives_its_half(name):
    """A body that ends early gives what had come; that it was cut is seen by what reads it."""
    body = PACKED[name](TEXT)
    assert TEXT.startswith(undone(header_of(name), body[: len(body) - 5]))


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("gzip", None),
        ("deflate", None),
        ("deflate, raw", None),
        *[("br", library) for library in LIBRARIES["br"]],
        *[("zstd", library) for library in LIBRARIES["zstd"]],
    ],
)
def test_a_bomb_takes_no_memory(only, name, library):
    """A small body that unpacks to a huge one is unpacked only as far as somebody takes it."""
    size = 64 * 1024 * 1024
    bomb = PACKED[name](bytes(size))
    assert len(bomb) < size // 500
    if library is not None:
        only(library)
    pieces = undoing(header_of(name)).feed(bomb)
    largest = total = 0
    for piece in pieces:
        largest, total = max(largest, len(piece)), total + len(piece)
    assert total == size
    # zstandard gives what a slice of input makes, Brotli what fits its own buffer.
    assert largest <= {"zstandard": 2 * 1024 * 1024, "brotli": 2 * PIECE}.get(library, PIECE)


def test_an_old_library_is_none(only, monkeypatch):
    """A Brotli that cannot stop in the middle of a bomb is not used."""
    module = pytest.importorskip("brotli")
    only("brotli")

    class Old:
        process = None

    monkeypatch.setattr(module, "Decompressor", Old)
    assert content_codings.unbrotli() is None

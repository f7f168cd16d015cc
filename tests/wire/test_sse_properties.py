"""Both decoders against the reference, and against each other, on bytes made to be hostile."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from inferd_engine.errors import EventTooLargeError
from inferd_engine.wire.sse import IMPLEMENTATIONS, SSEDecoder

_SPEC = importlib.util.spec_from_file_location(
    "sse_reference", Path(__file__).parents[1] / "vectors" / "sse_reference.py"
)
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)

# What a stream is made of, and what breaks decoders: line ends in every mixture, fields that are
# nearly known, byte order marks, halves of characters, NUL.
PIECES = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r"),
    *(b"data", b"data:", b"data: ", b"data:  x", b"data: {}", b"dat", b"datax: 1", b"data\x00:"),
    *(b"event: a", b"event", b"event:", b"id: 1", b"id", b"id: \x00", b"id:2", b"retry: 10"),
    *(b"retry: 1a", b"retry", b"retry:\xd9\xa1", b": c", b":", b"error: {}", b"{}", b" "),
    *(b"\xef\xbb\xbf", b"\xef\xbb", b"\xef", b"\xe2\x82", b"\xac", b"\xf0\x9f\x98\x80"),
    *(
        b"\xc3",
        b"\xff",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\x0b",
        b"\x0c",
        b"\x1c",
        b"\x00",
        b"\x1f",
        b"\x1e",
    ),
]
streams = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)), max_size=40).map(
    b"".join
)
cuts = st.lists(st.integers(0, 200), max_size=8)


def cut(stream, where):
    """Cut a stream at these places."""
    edges = [0, *sorted(min(at, len(stream)) for at in where), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


def decode(implementation, blocks, **options):
    """Give all that can be seen of a decoder after these blocks."""
    decoder = SSEDecoder(implementation=implementation, **options)
    events, too_large = [], False
    try:
        for block in blocks:
            events += decoder.feed(block)
    except EventTooLargeError as error:
        events += error.events
        too_large = True
    seen = [{"event": e.event, "data": e.data, "id": e.id} for e in events]
    pending = None if too_large else decoder.pending
    assert too_large or decoder.has_pending == bool(pending)
    return seen, decoder.last_event_id, decoder.retry, pending, too_large


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=400, deadline=None)
@given(stream=streams, where=cuts)
def test_like_the_reference(implementation, stream, where):
    """Events, ids and retry are those of the standard's algorithm, wherever the reads end."""
    expected = reference.run([stream])
    events, last_event_id, retry, _, _ = decode(implementation, cut(stream, where))
    assert events == expected.events
    assert last_event_id == expected.last_event_id
    assert retry == expected.retry


@settings(max_examples=400, deadline=None)
@given(
    stream=streams,
    where=cuts,
    other=cuts,
    keep_unknown=st.booleans(),
    limit=st.one_of(st.just(1 << 20), st.integers(1, 60)),
)
def test_like_each_other(stream, where, other, keep_unknown, limit):
    """Every implementation sees the same at every cut: events, rest, unknown lines, limits."""
    options = {"keep_unknown": keep_unknown, "max_event_bytes": limit}
    seen = [
        decode(implementation, cut(stream, places), **options)
        for implementation in IMPLEMENTATIONS
        for places in ([], where, other, range(len(stream)))
    ]
    assert all(result == seen[0] for result in seen)


@settings(max_examples=200, deadline=None)
@given(stream=streams, more=streams)
def test_what_was_given_stays_given(stream, more):
    """More bytes only ever add events."""
    for implementation in IMPLEMENTATIONS:
        before = decode(implementation, [stream])[0]
        assert decode(implementation, [stream, more])[0][: len(before)] == before

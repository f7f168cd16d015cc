"""Amazon's event stream: the frames that were sent, or an error, at every split.

``botocore``, where it is, is the oracle.
"""

from __future__ import annotations

import binascii
import itertools
import struct

import pytest
from event_streams import encoded, framed
from hypothesis import given, settings, strategies as st

import inferd_engine as ie
from inferd_engine.wire.aws.event_stream import (
    MAX_HEADERS_BYTES,
    MAX_PAYLOAD_BYTES,
    EventStreamDecoder,
    Frame,
)

try:
    from botocore import eventstream as oracle
except ImportError:
    oracle = None
needs_oracle = pytest.mark.skipif(oracle is None, reason="needs botocore")


def integers(bits):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


VALUES = st.one_of(
    st.tuples(st.just(0), st.just(True)),
    st.tuples(st.just(1), st.just(False)),
    st.tuples(st.just(2), integers(8)),
    st.tuples(st.just(3), integers(16)),
    st.tuples(st.just(4), integers(32)),
    st.tuples(st.just(5), integers(64)),
    st.tuples(st.just(6), st.binary(max_size=30)),
    st.tuples(st.just(7), st.text(max_size=20)),
    st.tuples(st.just(8), integers(64)),
    st.tuples(st.just(9), st.binary(min_size=16, max_size=16)),
)
HEADERS = st.dictionaries(st.text(min_size=1, max_size=20), VALUES, max_size=6).map(
    lambda found: [(name, *value) for name, value in found.items()]
)
MESSAGES = st.lists(st.tuples(HEADERS, st.binary(max_size=60)), max_size=5)


def decode(blocks, **options):
    """Give the frames, and the error if there is one."""
    decoder, frames = EventStreamDecoder(**options), []
    try:
        for block in blocks:
            frames.extend(decoder.feed(block))
    except (ie.UpstreamError, ie.EventTooLargeError) as error:
        return frames, error
    return frames, None


def cut(body, places):
    places = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[a:b] for a, b in itertools.pairwise(places)]


@given(MESSAGES, st.lists(st.integers(0, 2000), max_size=6))
def test_what_was_sent(messages, places):
    """Frames come out as they went in, however the stream is cut."""
    body = b"".join(encoded(*message) for message in messages)
    wanted = [Frame({name: v for name, _, v in headers}, p) for headers, p in messages]
    for blocks in (cut(body, places), [body[i : i + 1] for i in range(len(body))]):
        assert decode(blocks) == (wanted, None)


@needs_oracle
@given(MESSAGES, st.lists(st.integers(0, 2000), max_size=6))
def test_as_botocore(messages, places):
    """The frames are those that botocore finds."""
    body = b"".join(encoded(*message) for message in messages)
    buffer, wanted = oracle.EventStreamBuffer(), []
    for block in cut(body, places):
        buffer.add_data(block)
        wanted += [Frame(dict(message.headers), message.payload) for message in buffer]
    assert decode(cut(body, places)) == (wanted, None)


@needs_oracle
@settings(max_examples=300)
@given(MESSAGES.filter(bool), st.integers(0, 10**6), st.integers(0, 7), st.booleans())
def test_a_flipped_bit(messages, place, bit, whole):
    """A damaged stream gives the frames before the damage, then an error: so does botocore."""
    parts = [encoded(*message) for message in messages]
    body = bytearray(b"".join(parts))
    place %= len(body)
    body[place] ^= 1 << bit
    blocks = [bytes(body)] if whole else [bytes(body[i : i + 1]) for i in range(len(body))]
    frames, error = decode(blocks)
    good = 0
    while sum(map(len, parts[: good + 1])) <= place:
        good += 1
    assert len(frames) == good
    assert isinstance(error, ie.UpstreamError)
    assert (error.code, error.retryable) == ("malformed", True)
    buffer = oracle.EventStreamBuffer()
    buffer.add_data(bytes(body))
    for _ in range(good):
        next(buffer)
    with pytest.raises(oracle.ParserError):
        next(buffer)


@given(st.binary(max_size=200))
def test_noise(data):
    """Any bytes at all give frames, or an error, and nothing else."""
    for blocks in ([data], [data[i : i + 1] for i in range(len(data))]):
        frames, error = decode(blocks)
        assert frames == [] or error is None or data.startswith(b"\0\0")


@given(MESSAGES.filter(bool), st.integers(1, 10**6))
def test_a_cut_stream(messages, missing):
    """What has no end is pending, and no error of the decoder's."""
    parts = [encoded(*message) for message in messages]
    body = b"".join(parts)
    missing = 1 + missing % len(parts[-1])
    decoder = EventStreamDecoder()
    assert len(list(decoder.feed(body[:-missing]))) == len(parts) - 1
    assert decoder.pending == parts[-1][:-missing]
    assert len(list(decoder.feed(body[-missing:]))) == 1
    assert decoder.pending == b""


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"\x01a\x0a", "there is no type 10"),
        (b"\x01a\xff", "there is no type 255"),
        (b"\x05a", "index out of range"),
        (b"\x01a\x07\x00\x05abc", "a value is longer than all of them"),
        (b"\x01a\x06\x00", "requires a buffer"),
        (b"\x01a\x09abc", "a value is longer than all of them"),
        (b"\x01a\x04\x00\x00", "requires a buffer"),
        (b"\x01a\x00\x01a\x01", "'a' is there twice"),
        (b"\x01\xff\x00", "can't decode"),
        (b"\x01a\x07\x00\x01\xff", "can't decode"),
    ],
)
def test_headers_that_cannot_be_read(block, words):
    """Headers whose checksum is right may be wrong all the same."""
    good = encoded([("a", 7, "b")])
    frames, error = decode([good + framed(block) + good])
    assert frames == [Frame({"a": "b"}, b"")]
    assert (error.code, words in str(error)) == ("malformed", True), error


def prelude(total, headers):
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", binascii.crc32(lengths))


@pytest.mark.parametrize(
    ("total", "headers"),
    [
        (0, 0),
        (15, 0),
        (20, 5),
        (2**32 - 1, 0),
        (MAX_HEADERS_BYTES + 17, MAX_HEADERS_BYTES + 1),
        (MAX_PAYLOAD_BYTES + 17, 0),
    ],
)
def test_lengths_that_cannot_be(total, headers):
    """They are known by the first twelve bytes: nobody waits for the rest."""
    _, error = decode([prelude(total, headers)])
    assert isinstance(error, ie.UpstreamError)
    assert error.code == "malformed"


def test_a_checksum_of_lengths_is_looked_at_first():
    """A damaged length is an error at once."""
    _, error = decode([b"\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"])
    assert "lengths" in str(error)


def test_the_limit():
    """A frame above the limit is an error as soon as it is announced, one at the limit is none."""
    body = encoded([("a", 0, True)], b"x" * 100)
    assert decode([body], max_frame_bytes=len(body))[1] is None
    frames, error = decode([body, body[:12]], max_frame_bytes=len(body) - 1)
    assert (frames, error.size, error.limit) == ([], len(body), len(body) - 1)


def test_after_an_error_there_is_nothing():
    """What is damaged ends the stream."""
    decoder = EventStreamDecoder()
    for _ in range(2):
        with pytest.raises(ie.UpstreamError):
            list(decoder.feed(b"x" * 12))
    assert decoder.pending == b""


def test_the_frames_of_a_stream():
    """A stream of Bedrock's, as its documentation has it: an event, then an exception."""
    event = [
        (":message-type", 7, "event"),
        (":event-type", 7, "contentBlockDelta"),
        (":content-type", 7, "application/json"),
    ]
    failed = [(":message-type", 7, "exception"), (":exception-type", 7, "throttlingException")]
    body = encoded(event, b'{"p":"abc"}') + encoded(failed, b'{"message":"slow down"}')
    first, second = decode([body])[0]
    assert first.headers[":event-type"] == "contentBlockDelta"
    assert second == Frame(
        {":message-type": "exception", ":exception-type": "throttlingException"},
        b'{"message":"slow down"}',
    )


def test_time_grows_with_the_bytes():
    """Many small frames in one read are taken in one pass."""
    one = encoded([("a", 0, True)], b"x" * 20)
    assert len(list(EventStreamDecoder().feed(one * 50_000))) == 50_000

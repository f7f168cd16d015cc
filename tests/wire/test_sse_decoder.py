"""What the decoder promises beyond the standard: limits, unknown lines, the unfinished rest."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from inferd_engine.errors import EventTooLargeError
from inferd_engine.wire.sse import IMPLEMENTATIONS, SSEDecoder, decoder as sse, utf8_truncate


@pytest.fixture
def decoder(implementation):
    def make(**options):
        return SSEDecoder(implementation=implementation, **options)

    return make


def data_of(events):
    return [event.data for event in events]


def test_pending_is_what_close_drops(decoder):
    """What has no blank line yet is visible, and close() drops it."""
    one = decoder()
    assert data_of(one.feed(b"data: a\n\ndata: b\nid: 7")) == ["a"]
    assert one.pending == b"data: b\nid: 7"
    assert one.has_pending
    one.close()
    assert one.pending == b""
    assert not one.has_pending
    assert one.feed(b"\n\n") == []
    assert one.last_event_id == ""


def test_half_a_byte_order_mark_is_pending(decoder):
    """Bytes that may become a byte order mark are kept, and seen."""
    one = decoder()
    assert one.feed(b"\xef\xbb") == []
    assert one.pending == b"\xef\xbb"
    assert one.has_pending
    assert data_of(one.feed(b"\xbfdata: a\n\n")) == ["a"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_limit_is_the_same_at_every_split(decoder, end):
    """A block of the limit's size passes, one byte more raises, wherever the reads end."""
    block = b"event: x" + end + b"data: " + b"y" * 20 + end
    stream = block + end
    for at in range(len(stream) + 1):
        fits = decoder(max_event_bytes=len(block))
        assert data_of(fits.feed(stream[:at]) + fits.feed(stream[at:])) == ["y" * 20]
        tight = decoder(max_event_bytes=len(block) - 1)
        with pytest.raises(EventTooLargeError):
            tight.feed(stream[:at])
            tight.feed(stream[at:])


def test_too_large_keeps_what_came_before(decoder):
    """The events before the one that is too large are on the exception, with size and limit."""
    one = decoder(max_event_bytes=30)
    with pytest.raises(EventTooLargeError) as caught:
        one.feed(b"data: a\n\ndata: b\n\ndata: " + b"x" * 100)
    assert data_of(caught.value.events) == ["a", "b"]
    assert caught.value.limit == 30
    assert caught.value.size > 30
    assert "30" in str(caught.value)


def test_too_large_stays_so(decoder):
    """After a block that is too large the decoder gives nothing more."""
    one = decoder(max_event_bytes=10)
    with pytest.raises(EventTooLargeError):
        one.feed(b"data: 0123456789\n\n")
    with pytest.raises(EventTooLargeError):
        one.feed(b"data: a\n\n")


def test_keep_unknown_gives_lines_as_they_end(decoder):
    """Lines with unknown fields come in order, whole, with an empty event type."""
    one = decoder(keep_unknown=True)
    events = one.feed(b'error: {"a": 1}\n{"b": 2}\n: comment\nretry: 5\ndata: x\nfoo\n\nbar: 1\n')
    assert [(event.event, event.data) for event in events] == [
        ("", 'error: {"a": 1}'),
        ("", '{"b": 2}'),
        ("", "foo"),
        ("message", "x"),
        ("", "bar: 1"),
    ]
    assert one.retry == 5


def test_unknown_lines_are_nothing_by_default(decoder):
    """Without keep_unknown a line with an unknown field does nothing."""
    assert data_of(decoder().feed(b"error: x\nfoo\ndata: a\nbar: 1\n\n")) == ["a"]


@pytest.mark.parametrize("lines", [1, 2, 1000])
def test_unlike_events_in_one_read(decoder, lines):
    """More pieces than the native framer has room for still come in order."""
    stream = b"".join(
        b"id: %d\ndata: %d\n\ndata:%d\n\ndata: %d\r\n\r\n" % (n, n, n, n) for n in range(lines)
    )
    events = decoder().feed(stream)
    assert data_of(events) == [str(n) for n in range(lines) for _ in range(3)]
    assert events[-1].id == str(lines - 1)


def test_no_such_implementation():
    """Asking for an implementation that is not there names those that are."""
    with pytest.raises(ValueError, match="pure"):
        SSEDecoder(implementation="fast")


@pytest.mark.parametrize(
    ("text", "most", "wanted"),
    [
        (b"abc", 0, b""),
        (b"abc", 3, b"abc"),
        (b"abc", 9, b"abc"),
        ("aé".encode(), 2, b"a"),
        ("aé".encode(), 3, "aé".encode()),
        ("😀".encode(), 3, b""),
        (b"a\xe2\x82", 3, b"a\xe2\x82"),
        (b"a\xc3b", 2, b"a\xc3"),
        (b"\x80\x80\x80\x80", 2, b"\x80\x80"),
        (b"\xe0\x80\x80", 1, b"\xe0"),
    ],
)
def test_utf8_truncate_cuts_between_characters(monkeypatch, implementation, text, most, wanted):
    """The longest prefix of so many bytes that does not end inside a character."""
    if implementation == "pure":
        monkeypatch.setattr(sse, "_truncate", sse._utf8_truncate_pure)
    assert utf8_truncate(text, most) == wanted


BEST = IMPLEMENTATIONS[0]


@pytest.mark.parametrize(
    ("switch", "wanted"), [("0", "pure"), ("", BEST), *([("1", BEST)] if BEST == "native" else [])]
)
def test_the_switch_names_the_default(switch, wanted):
    """INFERD_ENGINE_NATIVE decides which implementation is the default; unset takes the best."""
    environment = {**os.environ, "INFERD_ENGINE_NATIVE": switch}
    code = (
        "from inferd_engine.wire.sse import IMPLEMENTATION, SSEDecoder\n"
        "print(IMPLEMENTATION, SSEDecoder().implementation)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [wanted, wanted]


def test_native_demanded_but_missing_says_what_to_do():
    """INFERD_ENGINE_NATIVE=1 without the C part fails at import and names the next step."""
    code = (
        "import sys; sys.modules['inferd_engine._native._compiled'] = None\n"
        "import inferd_engine.wire.sse"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "INFERD_ENGINE_NATIVE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert "INFERD_ENGINE_NATIVE" in ran.stderr
    assert "C compiler" in ran.stderr

"""Compressed answers over a real socket: decoded as they come, or an error that says so."""

from __future__ import annotations

import gzip
import zlib

import pytest

import inferd_engine as ie
from inferd_engine.testing import DONE, Gate, Reply, chunk, event
from inferd_engine.wire import content_codings

WHOLE = b"".join([chunk("a"), chunk("b", finish_reason="stop"), DONE])


def reply(body, coding, size=None, **fields):
    """Give an answer with this body and Content-Encoding."""
    size = size or len(body)
    steps = [body[at : at + size] for at in range(0, len(body), size)]
    headers = {"Content-Type": "text/event-stream", "Content-Encoding": coding}
    return Reply(steps, fields.pop("status", 200), {**headers, **fields})


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity, gzip", gzip.compress),
        ("gzip, deflate", lambda body: zlib.compress(gzip.compress(body))),
        ("none", bytes),
        ("UTF-8", bytes),
        ("br", bytes),  # a header that was left on
        ("br", lambda body: pytest.importorskip("brotli").compress(body)),
        ("zstd", lambda body: pytest.importorskip("zstandard").compress(body)),
    ],
)
def test_answers(ask_by, coding, pack, size):
    """X08: whatever the coding, with TLS too, the answer is whole and the connection is kept."""
    body = pack(WHOLE)
    for way in ("http", "https"):
        backend = ask_by(way, reply(body, coding, size), reply(body, coding, size))
        for _ in range(2):
            assert backend.complete("x").text == "ab"
        assert backend.upstream.connections == 1


def test_what_was_flushed_comes_at_once(ask, buffer):
    """An event that the upstream flushed is given before the next one is there."""
    squeeze = zlib.compressobj(wbits=31)

    def flushed(data):
        return squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH)

    gate = Gate()
    steps = [flushed(chunk("a")), gate, flushed(chunk("b", finish_reason="stop") + DONE)]
    headers = {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}
    with ask(Reply(steps, 200, headers), buffer=buffer).stream("x") as stream:
        assert next(stream) == ie.TextDelta("a")
        gate.open()
        assert [found.type for found in stream] == ["text", "done"]


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, foo"])
def test_what_cannot_be_undone(ask, buffer, monkeypatch, coding, content_type):
    """The error names the coding, is final, and says what to do; nothing is an empty answer."""
    monkeypatch.setattr(content_codings, "_imported", lambda *_: None)
    body = b"\x1b\x54\x01\x60" * 20
    backend = ask(reply(body, coding, **{"Content-Type": content_type}), buffer=buffer)
    with pytest.raises(ie.UpstreamError, match=coding.split(", ")[-1]) as caught:
        backend.complete("x")
    assert (caught.value.code, caught.value.retryable) == ("content_coding", False)


@pytest.mark.parametrize("coding", ["br", "foo"])
def test_a_status_is_told_all_the_same(ask, monkeypatch, coding):
    """A refusal whose body cannot be undone is still told by its status."""
    monkeypatch.setattr(content_codings, "_imported", lambda *_: None)
    backend = ask(reply(b"\x1b\x54\x01\x60" * 20, coding, status=429))
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete("x")
    assert caught.value.status == 429


def test_a_refusal_that_is_compressed_says_why(ask):
    """The words of a compressed refusal are read."""
    body = gzip.compress(b'{"error": {"message": "too hot"}}')
    backend = ask(reply(body, "gzip", status=400))
    with pytest.raises(ie.HttpStatusError, match="too hot"):
        backend.complete("x")


@pytest.mark.parametrize("name", ["gzip", "br", "zstd"])
def test_a_bomb_ends_at_the_limit(ask, name):
    """A small body that unpacks to a huge event ends at the limit for events."""
    module = {"gzip": gzip, "br": "brotli", "zstd": "zstandard"}[name]
    module = pytest.importorskip(module) if isinstance(module, str) else module
    bomb = module.compress(b"data: " + bytes(64 * 1024 * 1024))
    assert len(bomb) < 100_000
    backend = ask(reply(bomb, name), max_event_bytes=1_000_000)
    with pytest.raises(ie.UpstreamError) as caught:
        backend.complete("x")
    assert caught.value.code == "event_too_large"


@pytest.mark.parametrize("cut", [15, 30])
def test_half_of_a_compressed_answer_is_half_an_answer(ask, cut):
    """A compressed body that ends early is told as cut, after what had come."""
    body = gzip.compress(chunk("a") + event({"choices": []}) * 50 + chunk("b") + DONE)
    with pytest.raises(ie.StreamInterruptedError):
        ask(reply(body[:-cut], "gzip")).complete("x")

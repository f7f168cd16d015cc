"""A real upstream for each test, and an answer to stream from it."""

from __future__ import annotations

import contextlib
import json
import time

import pytest

import inferd_engine as ie
from inferd_engine.testing import Upstream

SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds


@pytest.fixture
def ask():
    """Give a backend that asks an upstream with these replies; both are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(*replies, **options):
            upstream = stack.enter_context(Upstream(*replies))
            settings = {"base_url": upstream.url, "api_key": "", "timeout": 20.0, **options}
            backend = stack.enter_context(ie.OpenAiCompat(**settings))
            backend.upstream = upstream
            return backend

        yield make


def events_of(body):
    """Give the data of server-sent events, as our own decoder reads them."""
    decoder = ie.SSEDecoder()
    data = [event.data for event in decoder.feed(bytes(body))]
    assert decoder.pending == b"", "the last frame is whole"
    return [json.loads(one) if one.startswith("{") else one for one in data]


def lines_of(body):
    """Give the objects of NDJSON."""
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.decode("ascii").split("\n")[:-1]]


def soon(happened, timeout=SOON):
    """Wait until something is so."""
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.002)

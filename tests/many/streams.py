"""What the tests of merged streams share: upstreams, sources, and how a merge is read."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time

import pytest
from fed_source import Queued

import inferd_engine as ie
from inferd_engine.testing import DONE, Reply, Upstream, chunk, text_reply

SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds
WORKER = "inferd-engine-worker"
WORDS = [f"{number} " for number in range(40)]
GZIPPED = {"Content-Encoding": "gzip"}


def reply(words=WORDS, **options):
    return text_reply(words, **options)


def gzipped(**options):
    body = b"".join([*map(chunk, WORDS), chunk(finish_reason="stop"), DONE])
    return Reply([gzip.compress(body)], **options)


class Deaf(Queued):
    """One that does not give up in time."""

    can_wait = False


class Backend(ie.Backend):
    """A backend over what a function makes."""

    name = "somebody's"

    def __init__(self, make, buffer=512):
        super().__init__()
        self.make = make
        self.buffer = buffer

    def capabilities(self):
        return ie.BackendCapabilities(v2=True)

    def generate_v2(self, request, *, cancel=None, include_raw=False):
        return self.open_stream(self.make(), cancel=cancel, request_id=request.id)


def events():
    return [*map(ie.TextDelta, WORDS), ie.Done(ie.StopReason.END_TURN)]


WAYS = {
    "chunked": reply,
    "closed": lambda: reply(framing="close"),
    "length": lambda: reply(framing="length"),
    "gzip": lambda: gzipped(headers=GZIPPED),
    "gzip that nobody announced": gzipped,
}
OTHERS = {
    "mock": lambda buffer: ie.Mock(WORDS, buffer=buffer),
    "slow mock": lambda buffer: ie.Mock(WORDS, token_delay=0.001, buffer=buffer),
    "generator": lambda buffer: Backend(lambda: iter(events()), buffer),
    "source": lambda buffer: Backend(lambda: Queued(*events()), buffer),
    "deaf source": lambda buffer: Backend(lambda: Deaf(*events()), buffer),
}


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def buffer(request):
    """Run a test with streams that have a worker and with those that have none."""
    return request.param


@pytest.fixture
def serve():
    """Give a backend that asks an upstream which answers so; both are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(*replies, otherwise=None, tls=False, **options):
            serving = {"tls": tls} | ({"otherwise": otherwise} if otherwise else {})
            upstream = stack.enter_context(Upstream(*replies, **serving))
            settings = {"base_url": upstream.url, "api_key": "", "timeout": 20.0, **options}
            if tls:
                settings["verify"] = upstream.ca_file
            backend = stack.enter_context(ie.OpenAiCompat(**settings))
            backend.upstream = upstream
            return backend

        yield make


def gather(merge):
    """Give what each stream gave, in order."""
    given = {}
    for stream, event in merge:
        given.setdefault(stream, []).append(event)
    return given


def text_of(events):
    return "".join(event.delta for event in events if event.type == "text")


def workers():
    return [t for t in threading.enumerate() if t.name.startswith(WORKER) and t.is_alive()]


def until(is_so):
    """Wait until something is so."""
    deadline = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


def check_whole(given, count):
    """All of every stream came, in order, and Done once, as the last."""
    assert len(given) == count
    for stream, events in given.items():
        assert text_of(events) == "".join(WORDS)
        assert [event.type for event in events].count("done") == 1
        assert events[-1] is stream.done
        assert stream.ended
        assert stream.stats.events == len(events)

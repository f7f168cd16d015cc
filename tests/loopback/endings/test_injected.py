"""Every call that may fail does, once each: an error comes out, nothing hangs, nothing is left."""

from __future__ import annotations

import gc
import pathlib
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from loopback.conftest import SOON, open_files

import inferd_engine as ie
from inferd_engine.testing import DONE, Reply, Stall, Upstream, chunk
from inferd_engine.wire.sse import IMPLEMENTATION

START = threading.Thread.start  # which is one of the places
WORDS = ["one ", "two ", "three "]
ANSWER = Reply([*[chunk(word) for word in WORDS], chunk(finish_reason="stop"), DONE])
CHUNKED_DECODER = {
    "native": "inferd_engine.wire.http.chunks_native.NativeChunkedDecoder",
    "pure": "inferd_engine.wire.http.chunks.PureChunkedDecoder",
}[IMPLEMENTATION]
SOCKET_READER = {
    "native": "inferd_engine.net._socket_reader_native.NativeReader",
    "pure": "inferd_engine.net.socket_reader.PythonReader",
}[IMPLEMENTATION]
# Where something below or inside may fail: a class, by the path to it, and one of its methods.
PLACES = [
    ("socket.socket", "dup"),
    ("socket.socket", "connect"),
    ("socket.socket", "settimeout"),
    ("socket.socket", "setsockopt"),
    ("socket.socket", "sendall"),
    ("socket.socket", "recv_into"),
    ("socket.socket", "recv"),
    ("ssl.SSLSocket", "do_handshake"),
    ("ssl.SSLSocket", "sendall"),
    ("ssl.SSLSocket", "recv_into"),
    ("ssl.SSLSocket", "recv"),
    ("http.client.HTTPResponse", "begin"),
    ("inferd_engine.net.response.GuardedResponse", "receive"),
    (SOCKET_READER, "read"),
    (CHUNKED_DECODER, "feed"),
    ("inferd_engine.wire.answer.likeness.Likeness", "take"),
    ("inferd_engine.wire.sse.SSEDecoder", "runs"),
    ("inferd_engine.wire.openai.chunks.ChunkAccumulator", "add_plain"),
    ("inferd_engine.wire.openai.chunks.ChunkAccumulator", "ingest_into"),
    ("inferd_engine.backends.over_http.answer.AnswerSource", "read"),
]
FAILURES = [
    *[(*place, error) for place in PLACES for error in (OSError, MemoryError, RuntimeError)],
    ("threading.Thread", "start", RuntimeError),
]


def found(path):
    """Give a class by its path."""
    import importlib

    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


class Failing:
    """Let the call number ``at`` of a method fail, in the threads that are not the upstream's."""

    def __init__(self, monkeypatch, cls, method, at, error):
        self.calls = 0
        original = getattr(cls, method)

        def call(this, *arguments, **named):
            if not threading.current_thread().name.startswith("test-upstream"):
                self.calls += 1
                if self.calls == at:
                    raise error  # a new one each time: its frames hold connections
            return original(this, *arguments, **named)

        monkeypatch.setattr(cls, method, call)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", ["http", "https"])
@pytest.mark.parametrize(("path", "method", "error"), FAILURES)
def test_one_call_fails(ask_by, monkeypatch, buffer, way, path, method, error):
    """The answer is whole, or there is an error: the injected one, or ours for it."""
    backend = ask_by(way, otherwise=lambda _: ANSWER, buffer=buffer)
    assert backend.complete("x").text == "".join(WORDS)
    backend._transport.close()  # each try makes its own connection
    gc.collect()
    files = open_files()
    at = 0
    while True:
        at += 1
        with monkeypatch.context() as patched:
            failing = Failing(patched, found(path), method, at, error)
            result = outcome_in_time(backend, f"call {at}")
        if failing.calls < at:
            break
        whole = isinstance(result, ie.Completion) and result.text == "".join(WORDS)
        assert whole or isinstance(result, (ie.GenerateError, error)), result
        assert backend.complete("again").text == "".join(WORDS)
        backend._transport.close()
    del result
    backend._transport.close()
    deadline = time.monotonic() + SOON
    while open_files() > files and time.monotonic() < deadline:
        gc.collect()
        assert not threading.Event().wait(0.01)  # the upstream's side closes a moment later
    assert open_files() <= files


def outcome_in_time(backend, name):
    """Give what came of a call, which somebody else makes: it may hang."""
    results = []
    caller = threading.Thread(target=lambda: results.append(outcome(backend)))
    START(caller)
    caller.join(SOON)
    assert not caller.is_alive(), f"{name} hangs"
    return results[0]


def outcome(backend):
    """Give the answer, or what came instead."""
    try:
        return backend.complete("x")
    except (ie.GenerateError, OSError, MemoryError, RuntimeError) as error:
        return error.with_traceback(None)


NO_DESCRIPTORS = """
    import resource, sys
    import inferd_engine as ie

    backend = ie.OpenAiCompat(base_url=sys.argv[1], api_key="", timeout=20.0)
    assert backend.complete("warm up").text
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    for _ in range(3):
        streams = []
        try:
            while True:
                streams.append(backend.stream("stall"))
                assert next(streams[-1]).delta == "a"
        except ie.TransportError as error:
            assert "Too many open files" in str(error) and error.retryable
        assert 10 <= len(streams) <= 18  # two descriptors for each
        for stream in streams:
            stream.close()
        assert all(stream.cancelled for stream in streams)
        for stream in streams:
            stream.wait_released(5.0)
        assert backend.complete("again").text
    print("fine")
"""


@pytest.mark.skipif(not pathlib.Path("/proc/self").is_dir(), reason="the numbers are Linux's")
def test_no_descriptors_are_left():
    """Without descriptors a call ends in a clear error, and works again once some are free."""

    def reply(received):
        stalls = received.json["messages"][-1]["content"] == "stall"
        return Reply([chunk("a"), Stall()]) if stalls else ANSWER

    with Upstream(otherwise=reply) as upstream:
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(NO_DESCRIPTORS), upstream.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "fine\n", "")

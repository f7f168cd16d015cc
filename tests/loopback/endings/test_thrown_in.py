"""Exceptions that another thread throws in: they are raised soon, wherever the thread waits.

Time limits of task queues do that, and some notebooks, with ``PyThreadState_SetAsyncExc``.  The
interpreter raises what was thrown in when the thread comes back to it.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import gzip
import socket
import threading
import time

import pytest
from http_proxy import Proxy
from loopback.conftest import RARE_WAYS, SOON, WAYS, open_files
from socks_proxy import SocksProxy

import inferd_engine as ie
from inferd_engine.net.deadlines import SLICE
from inferd_engine.testing import DONE, Pause, Reply, Stall, chunk, text_reply

SETTLE = 0.1  # seconds until whoever is to be hit waits
LARGE = "x" * 30_000_000  # more than sockets hold


class TimeLimitError(BaseException):
    """What a task queue throws into a task that takes too long."""


class Task:
    """Something that another thread does, and that is hit by an exception."""

    def __init__(self, work):
        self.raised = []
        self.over = None
        self._work = work
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.raised.append(type(error))
        self.over = time.monotonic()

    def hit(self):
        """Throw the exception in, and wait until it is over; give how long that took."""
        time.sleep(SETTLE)
        assert self._thread.is_alive()
        hit = time.monotonic()
        assert ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident), ctypes.py_object(TimeLimitError)
        )
        self._thread.join(SOON)
        assert not self._thread.is_alive()
        assert self.raised == [TimeLimitError]
        return self.over - hit


def assert_soon(seconds):
    """Look that it took a slice at the most, on a machine that may be loaded."""
    assert seconds < SLICE + 1.5


@pytest.mark.parametrize("way", [*WAYS, *RARE_WAYS])
def test_while_waiting_for_headers(ask_by, way):
    """A call that waits for headers is left, its upstream is told, and the next call works."""
    backend = ask_by(way, Reply(before=[Stall()]), text_reply("fine"))
    task = Task(lambda: backend.stream("x"))
    received = backend.upstream.wait_for_request()
    assert_soon(task.hit())
    assert received.gone.wait(SOON)
    assert backend.complete("x").text == "fine"


STALLED = {
    "chunked": Reply([chunk("a"), Stall()]),
    "close": Reply([chunk("a"), Stall()], framing="close"),
    "length": Reply([chunk("a"), Stall(), b" "], framing="length"),
    "nothing": Reply([Stall()]),
    "gzip": Reply([Stall()], headers={"Content-Encoding": "gzip"}),
    "half of it": Reply(
        [gzip.compress(chunk("a"))[:10], Stall()], headers={"Content-Encoding": "gzip"}
    ),
}


@pytest.mark.parametrize("way", ["http", "https", "socks"])
@pytest.mark.parametrize("body", STALLED)
def test_while_reading_the_body(ask_by, way, body):
    """A consumer that reads a body which does not come is left, compressed or not."""
    backend = ask_by(way, STALLED[body], text_reply("fine"), buffer=0)
    task = Task(lambda: backend.complete("x"))
    received = backend.upstream.wait_for_request()
    assert_soon(task.hit())
    assert received.gone.wait(SOON)
    assert backend.complete("x").text == "fine"


@pytest.mark.parametrize("body", ["chunked", "close", "nothing"])
def test_while_the_consumer_reads_with_a_worker(ask, body):
    """Nor does a worker that could read instead change anything."""
    backend = ask(STALLED[body], text_reply("fine"))
    task = Task(lambda: backend.complete("x"))
    received = backend.upstream.wait_for_request()
    assert_soon(task.hit())
    assert received.gone.wait(SOON)
    assert backend.complete("x").text == "fine"


def test_while_sending(deaf):
    """A call whose request nobody reads is left."""
    task = Task(lambda: deaf.stream(LARGE))
    assert deaf.server.arrived.wait(SOON)
    assert_soon(task.hit())
    deaf.server.listens.set()
    assert deaf.server.gone.wait(SOON)


def test_while_connecting(dead_end):
    """A call whose connection nobody accepts is left, and its descriptors with it."""
    with ie.OpenAiCompat(base_url=dead_end, api_key="", connect_timeout=SOON) as backend:
        files = open_files()
        assert_soon(Task(lambda: backend.stream("x")).hit())
        gc.collect()
        assert open_files() <= files


@pytest.mark.parametrize("what", ["handshake", "tunnel", "socks", "socks handshake"])
def test_while_something_is_agreed_on(authority, what):
    """A call that waits for a handshake or for a proxy is left, and they hear of it."""
    settings = {"api_key": "", "verify": authority[1], "connect_timeout": SOON}
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Proxy(stalls=True) as proxy,
        SocksProxy(stalls="request" if what == "socks" else "") as socks,
    ):
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        if what == "tunnel":
            settings["proxies"] = {"https": proxy.url}
        elif what.startswith("socks"):
            settings["proxies"] = {"https": socks.url()}
        with ie.OpenAiCompat(base_url=url, **settings) as backend:
            task = Task(lambda: backend.stream("x"))
            if what.endswith("handshake"):
                peer, _ = silent.accept()
                with peer:
                    assert peer.recv(1)
                    assert_soon(task.hit())
                    peer.settimeout(SOON)
                    while peer.recv(65536):
                        pass  # until it is gone
            else:
                place = proxy if what == "tunnel" else socks
                assert place.arrived.wait(SOON)
                assert_soon(task.hit())
                assert place.client_gone.wait(SOON)


def late(data):
    """Let everything come a few slices late, and one thing after the other."""
    return Reply(
        [Pause(0.3), *[step for one in data for step in (one, Pause(0.15))]], before=[Pause(0.3)]
    )


@pytest.mark.parametrize("way", [*WAYS, *RARE_WAYS, "pyopenssl"])
@pytest.mark.parametrize("body", ["chunks", "gzip"])
def test_waiting_in_slices_loses_nothing(ask_by, request, monkeypatch, way, body, buffer):
    """What comes between two slices is there, whatever is between us and the socket."""
    if way == "pyopenssl":
        pytest.importorskip("OpenSSL")
        import urllib3.contrib.pyopenssl as module

        module.inject_into_urllib3()
        request.addfinalizer(module.extract_from_urllib3)
    monkeypatch.setattr("inferd_engine.net.deadlines.SLICE", 0.05)
    monkeypatch.setattr("inferd_engine.net.response.SLICE", 0.05)
    data = [chunk("a"), chunk("b"), chunk("c", finish_reason="stop") + DONE]
    if body == "gzip":
        whole = gzip.compress(b"".join(data))
        data = [whole[:20], whole[20:]]
    reply = late(data)
    if body == "gzip":
        reply = dataclasses.replace(reply, headers={"Content-Encoding": "gzip"})
    backend = ask_by("https" if way == "pyopenssl" else way, reply, buffer=buffer)
    assert backend.complete("x" * 100_000).text == "abc"


def test_a_large_request_is_sent_whole(deaf, monkeypatch):
    """A request that is taken slowly, slice by slice, arrives as it was."""
    monkeypatch.setattr("inferd_engine.net.deadlines.SLICE", 0.02)
    results = []
    task = threading.Thread(target=lambda: results.append(fails(deaf)))
    task.start()
    assert deaf.server.arrived.wait(SOON)
    time.sleep(0.2)  # it waits, and again
    assert task.is_alive()
    deaf.server.listens.set()
    end = time.monotonic() + 2 * SOON
    while deaf.server.received <= len(LARGE) and time.monotonic() < end:
        time.sleep(0.01)
    deaf.stop()
    task.join(SOON)
    assert deaf.server.gone.wait(SOON)
    assert len(LARGE) < deaf.server.received < len(LARGE) + 2000  # nothing is lost or doubled
    assert results == ["RequestCancelledError"]


def fails(backend):
    try:
        backend.stream(LARGE)
    except ie.GenerateError as error:
        return type(error).__name__

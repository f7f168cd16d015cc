"""While a call waits, whoever looks at its frames sees no secret among their locals.

Crash reporters, profilers and debuggers look: at our frames and at those of requests, urllib3,
http.client and ssl below them.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import sys
import threading
import time

import pytest
from http_proxy import Proxy
from loopback.conftest import SOON, WAYS

import inferd_engine as ie
from inferd_engine.testing import Reply, Stall, chunk

KEY = "sk-canary-0123456789"
HEADER = "header-canary-0123456789"
QUERY = "query-canary-0123456789"
PASSWORD = "proxy-canary-0123456789"
SENT = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
SECRETS = (KEY, HEADER, QUERY, PASSWORD, SENT)
LARGE = "x" * 30_000_000  # more than sockets hold


def with_secrets(backend):
    """Give the same backend with a secret in every place that can hold one."""
    config = backend.config
    return backend.with_options(
        base_url=f"{config.base_url}/v1?key={QUERY}",
        api_key=KEY,
        headers={"X-Other": HEADER},
        proxies={
            scheme: address.replace("//", f"//me:{PASSWORD}@")
            for scheme, address in (config.proxies or {}).items()
        },
    )


@contextlib.contextmanager
def calling(call):
    """Make a call in a thread of its own; give the thread."""

    def run():
        with contextlib.suppress(ie.GenerateError):
            call()

    thread = threading.Thread(target=run)
    thread.start()
    yield thread
    thread.join(SOON)
    assert not thread.is_alive()


def frames_of(thread):
    """Give a thread's frames, innermost first."""
    frames = []
    frame = sys._current_frames().get(thread.ident)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def waiting_frames(thread):
    """Give a thread's frames once they stand still."""
    deadline = time.monotonic() + SOON
    before = None
    while time.monotonic() < deadline:
        frames = frames_of(thread)
        now = [(id(frame), frame.f_lasti) for frame in frames]
        if now == before:
            return frames
        before = now
        threading.Event().wait(0.05)
    pytest.fail("the call did not come to wait")


def shown_by(frames):
    """Give which secrets the locals of frames show, and where."""
    pretty = pytest.importorskip("rich.pretty").pretty_repr
    found = []
    for frame in frames:
        for name, value in frame.f_locals.items():
            if isinstance(value, (str, bytes)) and LARGE[:100] in str(value[:1000]):
                continue  # the prompt
            texts = repr(value), pretty(value, max_string=25)
            place = f"{frame.f_code.co_filename}:{frame.f_code.co_name}: {name}"
            found += [place for secret in SECRETS for text in texts if secret[:12] in text]
    return found


def look(backend, arrived, prompt="x"):
    """Look at the frames of a call that has come somewhere, then end it."""
    with calling(lambda: backend.stream(prompt)) as thread:
        assert arrived(SOON)
        frames = waiting_frames(thread)
        shown = shown_by(frames)
        names = [frame.f_code.co_name for frame in frames]
        del frames
        backend.stop()
    assert "send" in names  # of the transport: this is the call
    assert shown == []


@pytest.mark.parametrize("way", WAYS)
def test_waiting_for_headers(ask_by, way):
    """The request is sent, and nothing comes."""
    backend = ask_by(way, Reply(before=[Stall()]))
    look(with_secrets(backend), lambda _: backend.upstream.wait_for_request())
    sent = backend.upstream.requests[0]
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["x-other"] == HEADER
    if way in ("http", "https"):  # the proxy forwards without it
        assert sent.path.endswith(f"?key={QUERY}")


def test_sending(deaf):
    """The upstream does not read what is sent."""
    look(with_secrets(deaf), deaf.server.arrived.wait, LARGE)
    deaf.server.listens.set()


def test_connecting(dead_end):
    """Nobody accepts the connection."""
    with ie.OpenAiCompat(base_url=dead_end, api_key="") as backend:
        look(with_secrets(backend), lambda _: True)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_does_not_answer(scheme):
    """The proxy takes the request, or the wish for a tunnel, and nothing comes."""
    with Proxy(stalls=True) as proxy:
        backend = ie.OpenAiCompat(
            base_url=f"{scheme}://upstream.invalid",
            api_key="",
            proxies={scheme: proxy.url},
        )
        look(with_secrets(backend), proxy.arrived.wait)
        assert f"Proxy-Authorization: Basic {SENT}" in proxy.heads[0]
        assert (QUERY in proxy.heads[0]) is (scheme == "http")


def test_shaking_hands():
    """The server accepts, and says nothing of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        accepted = threading.Event()
        peers = []

        def accept():
            peers.append(server.accept()[0])
            accepted.set()

        thread = threading.Thread(target=accept)
        thread.start()
        with ie.OpenAiCompat(base_url=url, api_key="") as backend:
            look(with_secrets(backend), accepted.wait)
        thread.join(SOON)
        peers[0].close()


@pytest.mark.parametrize("way", WAYS)
def test_in_the_body(ask_by, buffer, way):
    """Whoever reads, the consumer or the worker, holds no secret."""
    backend = with_secrets(ask_by(way, Reply([chunk("a"), Stall()]), buffer=buffer))
    with backend.stream("x") as stream:
        assert next(stream).delta == "a"
        shown = []
        with calling(lambda: list(stream)) as thread:
            for _ in range(20):  # whoever reads just now
                threading.Event().wait(0.01)
                shown += shown_by(frames_of(thread))
                for other in threading.enumerate():
                    shown += shown_by(frames_of(other)) if "inferd-engine" in other.name else []
            stream.close()
        assert shown == []

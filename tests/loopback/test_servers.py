"""Streams behind web servers: the browser goes away, workers are forked, and nothing stays open."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
import wsgiref.simple_server

import pytest
from loopback.conftest import SOON

from inferd_engine.testing import Reply, Stall, Upstream, chunk, echo

BEAT = 0.05  # seconds between signs of life to the browser


class ThreadedServer(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """A WSGI server with a thread for each request."""

    daemon_threads = True


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    """Serve without a line on stderr for each request."""

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(view):
    """Serve a WSGI view; give its address, and an event that is set when a view was left."""
    left = threading.Event()

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        try:
            yield from view()
        finally:
            left.set()

    settings = {"server_class": ThreadedServer, "handler_class": QuietHandler}
    with wsgiref.simple_server.make_server("127.0.0.1", 0, application, **settings) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server.server_address, left
        finally:
            server.shutdown()
            thread.join()


def browse_until(address, wanted, path="/"):
    """Ask as a browser does; give the connection once the answer has come so far."""
    browser = socket.create_connection(address, timeout=SOON)
    browser.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    seen = b""
    while wanted not in seen:
        data = browser.recv(65536)
        assert data, f"the server ended with {seen[-500:]!r}"
        seen += data
    return browser


def view_by_heartbeat(backend):
    """Relay a stream, with comments while it is silent."""
    with backend.stream("x") as stream:
        for event in stream.with_heartbeat(BEAT):
            yield b": ping\n\n" if event is None else f"data: {event.delta}\n\n".encode()


def view_by_poll(backend):
    """Do the same by hand."""
    with backend.stream("x") as stream:
        while not stream.ended:
            event = stream.poll(BEAT)
            yield b": ping\n\n" if event is None else f"data: {event.delta}\n\n".encode()


def view_without_with(backend):
    """Do it without `with`: the generator's end drops the stream."""
    stream = backend.stream("x")
    for event in stream.with_heartbeat(BEAT):
        yield b": ping\n\n" if event is None else f"data: {event.delta}\n\n".encode()


def view_of_a_busy_upstream(backend):
    """Relay what comes, and nothing in between."""
    with backend.stream("x") as stream:
        for text in stream.text():
            yield f"data: {text}\n\n".encode()


VIEWS = [view_by_heartbeat, view_by_poll, view_without_with]


@pytest.mark.filterwarnings("ignore:a stream was dropped:ResourceWarning")
@pytest.mark.parametrize("view", VIEWS)
def test_a_browser_that_leaves(ask, view):
    """The upstream is silent, the browser goes: a heartbeat notices, and the upstream hears."""
    backend = ask(Reply([chunk("a"), Stall()]))
    with serving(lambda: view(backend)) as (address, left):
        browser = browse_until(address, b"data: a\n\n: ping\n\n")
        received = backend.upstream.requests[0]
        assert not received.gone.is_set()
        browser.close()
        assert received.gone.wait(BEAT + 1.0)
        assert left.wait(SOON)


@pytest.mark.parametrize("buffer", [512, 0])
def test_a_browser_that_leaves_a_busy_upstream(ask, buffer):
    """While text comes no heartbeat is needed, and no worker."""
    backend = ask(Reply([chunk("a" * 1000)] * 100_000), buffer=buffer)
    with serving(lambda: view_of_a_busy_upstream(backend)) as (address, left):
        browse_until(address, b"data: a").close()
        assert backend.upstream.requests[0].gone.wait(SOON)
        assert left.wait(SOON)


def test_one_browser_leaves_and_others_stay(ask):
    """The streams of other browsers go on when one of them goes."""
    backend = ask(*[Reply([chunk("a"), Stall()])] * 4)
    with serving(lambda: view_by_heartbeat(backend)) as (address, _):
        browsers = [browse_until(address, b": ping") for _ in range(4)]
        *others, received = backend.upstream.requests
        browsers.pop().close()
        assert received.gone.wait(SOON)
        assert not any(other.gone.is_set() for other in others)
        for browser in browsers:
            assert browser.recv(65536)
            browser.close()
        assert all(other.gone.wait(SOON) for other in others)


APPLICATION = """
    import os
    import inferd_engine as ie

    backend = ie.OpenAiCompat(base_url=os.environ["UPSTREAM"], api_key="")
    inherited = backend.stream("stall")
    assert next(inherited).delta == "a"
    assert backend.complete("warm up").text  # a connection in the pool, made before the fork
    master = os.getpid()

    def texts(path):
        if path == "/stream":
            with backend.stream("stall") as stream:
                for event in stream.with_heartbeat(0.05):
                    yield ": ping\\n" if event is None else event.delta
        elif path == "/inherited":
            try:
                next(inherited)
            except ie.InternalError as error:
                yield str(error)
        else:
            yield backend.complete(path).text
            yield f" {os.getpid() != master}"

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
        return (text.encode() for text in texts(environ["PATH_INFO"]))
"""


@pytest.fixture(params=["sync", "gthread"])
def workers(request, tmp_path):
    """Run the application in two gunicorn workers, forked after it was loaded.

    Gives the upstream and the address; a worker is replaced after every five requests.
    """
    pytest.importorskip("gunicorn", reason="gunicorn forks, and so runs where there is fork")
    (tmp_path / "application.py").write_text(textwrap.dedent(APPLICATION))

    def reply(received):
        stalls = received.json["messages"][-1]["content"] == "stall"
        return Reply([chunk("a"), Stall()]) if stalls else echo(received)

    options = ["--preload", "--workers", "2", "--worker-class", request.param]
    options += ["--max-requests", "5", "--log-level", "error", "--graceful-timeout", "2"]
    with (
        Upstream(otherwise=reply) as upstream,
        socket.create_server(("127.0.0.1", 0), backlog=64) as listener,
    ):
        listening = listener.fileno()
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listening}", *options]
        with subprocess.Popen(
            [*command, "application"],
            env={**os.environ, "UPSTREAM": upstream.url},
            pass_fds=[listening],
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield upstream, listener.getsockname()
            finally:
                process.send_signal(signal.SIGTERM)
                errors = process.communicate(timeout=30.0)[1]
            assert (process.returncode, errors) == (0, "")
        for received in upstream.requests:
            assert received.finished.is_set() or received.gone.wait(SOON)


def get(address, path):
    """Give the body of an answer."""
    with socket.create_connection(address, timeout=SOON) as browser:
        browser.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        with browser.makefile("rb") as answer:
            return answer.read().partition(b"\r\n\r\n")[2].decode()


def test_forked_workers(workers):
    """A backend made before the fork works in the workers, and the master's stream lives on."""
    upstream, address = workers
    for number in range(12):  # more than a worker lives for: two of them end on the way
        assert get(address, f"/{number}") == f"You said: /{number} True"
    assert upstream.connections >= 4  # the stream's, the pool's, and one of each worker
    assert "forked" in get(address, "/inherited")
    browse_until(address, b": ping", "/stream").close()
    streamed = [r for r in upstream.requests if r.json["messages"][-1]["content"] == "stall"]
    assert streamed[-1].gone.wait(SOON)
    assert not streamed[0].gone.is_set()  # the master's

"""While a request is being sent: it can be ended, and it is sent once."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading

import pytest
from http_proxy import Proxy
from loopback.conftest import WAYS

import inferd_engine as ie
from inferd_engine.testing import Cut, Reply, Reset, chunk, error_reply, event, text_reply

SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds
LARGE = "x" * 30_000_000  # more than sockets hold


class Deaf:
    """A server that reads a request's beginning and no more, until it is told to."""

    def __init__(self, context):
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.arrived = threading.Event()
        self.listens = threading.Event()
        self.gone = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            peer, _ = self._listener.accept()
            with peer if self._context is None else self._wrapped(peer) as peer:
                peer.settimeout(SOON)
                assert peer.recv(1000)
                self.arrived.set()
                self.listens.wait(SOON)
                while peer.recv(1 << 20):
                    pass
        self.gone.set()

    def _wrapped(self, peer):
        return self._context.wrap_socket(peer, server_side=True)

    def close(self):
        self.listens.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(SOON)


@pytest.fixture(params=WAYS)
def deaf(request, authority):
    """A backend whose upstream does not read, in each way to it; the server is ``server``."""
    context, trusted = authority
    has_tls = request.param in ("https", "tunnel")
    with contextlib.ExitStack() as stack:
        server = Deaf(context if has_tls else None)
        stack.callback(server.close)
        proxies = {}
        if request.param in ("proxy", "tunnel"):
            proxy = stack.enter_context(Proxy())
            proxies = {"http": proxy.url, "https": proxy.url}
        backend = ie.OpenAiCompat(
            base_url=f"{'https' if has_tls else 'http'}://127.0.0.1:{server.port}",
            api_key="",
            verify=trusted,
            proxies=proxies,
        )
        backend.server = server
        yield stack.enter_context(backend)


@pytest.mark.parametrize("how", ["stop", "token"])
def test_end_while_sending(deaf, how):
    """A call whose request nobody reads is ended by stop() and by a token."""
    token, results = ie.CancelToken(), []

    def call():
        try:
            deaf.stream(LARGE, cancel=token)
        except ie.GenerateError as error:
            results.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert deaf.server.arrived.wait(SOON)
    deaf.stop() if how == "stop" else token.cancel()
    thread.join(SOON)
    assert [type(error) for error in results] == [ie.RequestCancelledError]
    deaf.server.listens.set()
    assert deaf.server.gone.wait(SOON)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_ctrl_c_while_sending(deaf):
    """KeyboardInterrupt ends a call whose request nobody reads."""
    main = threading.main_thread().ident
    waker = threading.Thread(
        target=lambda: (deaf.server.arrived.wait(SOON), signal.pthread_kill(main, signal.SIGINT))
    )
    waker.start()
    with pytest.raises(KeyboardInterrupt):
        deaf.stream(LARGE)
    waker.join()
    deaf.server.listens.set()
    assert deaf.server.gone.wait(SOON)


ONCE = {
    "reset before the answer": Reply(before=[Reset()]),
    "end before the answer": Reply(before=[Cut()]),
    "refused": error_reply(503, "no", headers={"Retry-After": "0"}),
    "reset in the answer": Reply([chunk("a"), Reset()]),
    "error in the answer": Reply([event({"error": {"message": "boom", "code": 500}})]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.parametrize("connection", ["fresh", "kept"])
def test_nothing_is_sent_twice(ask_by, way, fault, connection):
    """Whatever becomes of a request, on a fresh connection or a kept one, it is sent once."""
    before = [text_reply("ok")] if connection == "kept" else []
    backend = ask_by(way, *before, ONCE[fault], otherwise=lambda _: text_reply("sent again"))
    for _ in before:
        assert backend.complete("first").text == "ok"
    with pytest.raises(ie.UnavailableError):
        backend.complete("second")
    assert len(backend.upstream.requests) == len(before) + 1
    assert backend.upstream.connections == 1

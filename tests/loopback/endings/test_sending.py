"""While a request is being sent: it can be ended, in time, and it is sent once."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time

import pytest
from loopback.conftest import SOON, WAYS

import inferd_engine as ie
from inferd_engine.testing import Cut, Reply, Reset, chunk, error_reply, event, text_reply

LIMIT = 0.25  # seconds
LARGE = "x" * 30_000_000  # more than sockets hold


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


@pytest.mark.parametrize(
    ("option", "phase"), [("timeout", "total"), ("first_token_timeout", "first_token")]
)
def test_deadlines_while_sending(deaf, option, phase):
    """An upstream that stops reading the request outlasts no deadline."""
    begun = time.monotonic()
    with pytest.raises(ie.DeadlineError) as caught:
        deaf.with_options(**{option: LIMIT}).stream(LARGE)
    assert caught.value.phase == phase
    assert LIMIT * 0.9 <= time.monotonic() - begun < SOON / 2


@pytest.mark.parametrize("option", ["timeout", "first_token_timeout"])
def test_an_upstream_that_reads_slowly(authority, option):
    """Over TLS each record is a write of its own: together they keep to the deadline."""
    context, trusted = authority
    over = threading.Event()

    def drip(server):
        with contextlib.suppress(OSError):
            peer, _ = server.accept()
            with context.wrap_socket(peer, server_side=True) as peer:
                while peer.recv(16384) and not over.wait(0.05):
                    pass

    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        server.bind(("127.0.0.1", 0))
        server.listen()
        thread = threading.Thread(target=drip, args=[server])
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        settings = {"api_key": "", "verify": trusted, option: LIMIT, "connect_timeout": None}
        begun = time.monotonic()
        with ie.OpenAiCompat(base_url=url, **settings) as backend:
            with pytest.raises(ie.DeadlineError):
                backend.stream(LARGE)
        assert time.monotonic() - begun < 2.0
        over.set()
        thread.join(SOON)

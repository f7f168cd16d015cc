"""Ending a call that has no stream yet, in every phase and in every way to the upstream."""

from __future__ import annotations

import signal
import socket
import threading
import time

import pytest
from http_proxy import Proxy
from loopback.conftest import SOON, WAYS
from loopback.endings.test_closing import run

import inferd_engine as ie
from inferd_engine.testing import Reply, Stall


def ended_by(how, backend, token, thread):
    """End a call that waits, in one of the ways."""
    if how == "stop":
        backend.stop()
    else:
        token.cancel()
    begun = time.monotonic()
    thread.join(SOON)
    assert not thread.is_alive()
    return time.monotonic() - begun


@pytest.mark.parametrize("how", ["stop", "token"])
@pytest.mark.parametrize("way", WAYS)
def test_end_while_waiting_for_headers(ask_by, way, how):
    """A call that waits for headers is ended by stop() and by a token."""
    backend, token = ask_by(way, Reply(before=[Stall()])), ie.CancelToken()
    thread, results = run(lambda: backend.stream("x", cancel=token))
    received = backend.upstream.wait_for_request()
    ended_by(how, backend, token, thread)
    assert isinstance(results[0], ie.RequestCancelledError)
    assert received.gone.wait(SOON)


@pytest.mark.parametrize("how", ["stop", "token"])
def test_end_while_connecting(how, dead_end):
    """A call whose connection nobody accepts is ended by stop() and by a token."""
    token = ie.CancelToken()
    with ie.OpenAiCompat(base_url=dead_end, api_key="") as backend:
        thread, results = run(lambda: backend.stream("x", cancel=token))
        time.sleep(0.1)  # so that it connects; if it does not yet, it is ended before
        assert thread.is_alive()
        ended_by(how, backend, token, thread)
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("how", ["stop", "token"])
def test_end_in_the_tls_handshake(how, authority):
    """A call whose handshake nobody answers is ended by stop() and by a token."""
    token = ie.CancelToken()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with ie.OpenAiCompat(base_url=url, api_key="", verify=authority[1]) as backend:
            thread, results = run(lambda: backend.stream("x", cancel=token))
            peer, _ = server.accept()
            with peer:
                assert peer.recv(1)  # it has begun
                ended_by(how, backend, token, thread)
                peer.settimeout(SOON)
                while peer.recv(65536):
                    pass  # until it is gone
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("how", ["stop", "token"])
def test_end_while_a_proxy_connects(how):
    """A call whose CONNECT is not answered is ended by stop() and by a token."""
    token = ie.CancelToken()
    with Proxy(stalls=True) as proxy:
        settings = {
            "base_url": "https://localhost:9",
            "api_key": "",
            "proxies": {"https": proxy.url},
        }
        with ie.OpenAiCompat(**settings) as backend:
            thread, results = run(lambda: backend.stream("x", cancel=token))
            assert proxy.arrived.wait(SOON)
            ended_by(how, backend, token, thread)
            assert proxy.client_gone.wait(SOON)
    assert isinstance(results[0], ie.RequestCancelledError)


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_while_waiting_for_headers(ask_by, way):
    """KeyboardInterrupt ends a call that waits, and the upstream sees the client go."""
    backend = ask_by(way, Reply(before=[Stall()]))
    main = threading.main_thread().ident
    waker, _ = run(
        lambda: (
            backend.upstream.wait_for_request(),
            time.sleep(0.02),
            signal.pthread_kill(main, signal.SIGINT),
        )
    )
    with pytest.raises(KeyboardInterrupt):
        backend.stream("x")
    waker.join(SOON)
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_a_cancelled_token_refuses_calls(ask):
    """A call with a token that was cancelled before is refused without a connection."""
    backend, token = ask(), ie.CancelToken()
    token.cancel()
    with pytest.raises(ie.RequestCancelledError):
        backend.stream("x", cancel=token)
    assert backend.upstream.connections == 0


@pytest.mark.parametrize("how", ["stop", "token", "token_after"])
def test_a_call_that_waits_for_headers_can_be_ended(ask, how):
    """stop() and a token end a call that has no stream yet."""
    backend, token = ask(Reply(before=[Stall()])), ie.CancelToken()
    failures = []

    def call():
        try:
            backend.stream("x", cancel=token)
        except ie.GenerateError as error:
            failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    received = backend.upstream.wait_for_request()
    if how == "stop":
        backend.stop()
    elif how == "token":
        token.cancel()
    else:
        token.cancel_after(0.01)
    caller.join(SOON)
    assert isinstance(failures[0], ie.RequestCancelledError)
    assert received.gone.wait(SOON)

"""Through SOCKS proxies of every kind: what is promised holds from the first byte to the proxy on.

That it holds in the answer, too, is shown where the other ways are (``WAYS``).
"""

from __future__ import annotations

import gc
import logging
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from loopback.conftest import SOON, open_files
from socks_proxy import SocksProxy

import inferd_engine as ie
from inferd_engine.socket_reader import socket_reader
from inferd_engine.testing import Reply, Stall, chunk, text_reply

KINDS = ["socks4", "socks4a", "socks5", "socks5h"]
STEPS = [
    ("socks5h", "greeting"),
    ("socks5", "password"),
    ("socks5h", "request"),
    ("socks4a", "request"),
]


def through(proxy, scheme="socks5h", credentials=""):
    url = proxy.url(scheme, credentials)
    return {"http": url, "https": url}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("scheme", KINDS)
def test_every_kind(ask, authority, scheme, tls, buffer):
    """An answer comes through, and its connection serves the next call."""
    settings = {"ssl_context": authority[0], "verify": authority[1]} if tls else {}
    with SocksProxy() as proxy:
        backend = ask(
            otherwise=lambda _: text_reply("fine"),
            proxies=through(proxy, scheme),
            buffer=buffer,
            **settings,
        )
        for _ in range(3):
            assert backend.complete("x").text == "fine"
        port = backend.upstream.port
        assert proxy.asked == [(4 if "4" in scheme else 5, "127.0.0.1", port)]
        assert backend.upstream.connections == 1


@pytest.mark.parametrize("scheme", KINDS)
def test_who_looks_names_up(ask, scheme):
    """With socks4a and socks5h the proxy does, with the others this machine."""
    upstream = ask(otherwise=lambda _: text_reply("fine")).upstream
    name = "localhost" if scheme in ("socks4", "socks5") else "known.to.the.proxy.example"
    with SocksProxy(names={name: ("127.0.0.1", upstream.port)}) as proxy:
        settings = {"api_key": "", "proxies": through(proxy, scheme)}
        with ie.OpenAiCompat(base_url=f"http://{name}:{upstream.port}", **settings) as backend:
            assert backend.complete("x").text == "fine"
        asked = proxy.asked[0][1]
    assert asked in (("127.0.0.1", "::1") if name == "localhost" else (name,))


def test_the_environment_s_proxy(ask, monkeypatch):
    """ALL_PROXY is followed as every other proxy of the environment."""
    upstream = ask(otherwise=lambda _: text_reply("fine")).upstream
    with SocksProxy(names={"far.example": ("127.0.0.1", upstream.port)}) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        with ie.OpenAiCompat(base_url=f"http://far.example:{upstream.port}", api_key="") as backend:
            assert backend.complete("x").text == "fine"
        assert len(proxy.asked) == 1


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_credentials(ask, scheme):
    """User and password are the proxy's alone."""
    with SocksProxy(password="pass word") as proxy:
        backend = ask(proxies=through(proxy, scheme, "user:pass%20word@"))
        assert backend.complete("x").text
        assert proxy.users == ["user"]
        assert "pass" not in repr(backend)


def test_the_user_of_version_4(ask):
    """Version 4 knows a user, and no password."""
    with SocksProxy() as proxy:
        assert ask(proxies=through(proxy, "socks4", "somebody:@")).complete("x").text
        assert proxy.users == ["somebody"]


REFUSALS = [
    ("socks5h", {"refuses": 5}, "Connection refused"),
    ("socks5", {"refuses": 2}, "not allowed by ruleset"),
    ("socks4a", {"refuses": 0x5B}, "rejected or failed"),
    ("socks5h", {"password": "right"}, "authentication"),
]


@pytest.mark.parametrize(("scheme", "manners", "said"), REFUSALS)
@pytest.mark.parametrize("credentials", ["", "user:sekret@"])
def test_a_refusal_is_told(ask, caplog, scheme, manners, said, credentials):
    """What the proxy refuses is a TransportError that names the proxy, and shows no password."""
    caplog.set_level(logging.DEBUG)
    files = open_files()
    with SocksProxy(**manners) as proxy:
        backend = ask(proxies=through(proxy, scheme, credentials))
        with pytest.raises(ie.TransportError, match=f"SOCKS proxy .*{said}") as caught:
            backend.complete("x")
        assert caught.value.retryable
        assert backend.upstream.connections == 0
    shown = repr(caught.value) + repr(caught.value.__cause__) + repr(backend) + caplog.text
    assert "sekret" not in shown
    del caught
    gc.collect()
    assert open_files() <= files + 2  # the upstream's listener, and what wakes it


@pytest.mark.parametrize("gone", ["refuses", "unknown"])
def test_a_proxy_that_is_not_there(gone, monkeypatch):
    """That it is the proxy which cannot be reached is said."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    if gone == "unknown":
        address = "nowhere.example:1080"

        def fail(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
    proxies = {"http": f"socks5h://user:sekret@{address}"}
    with ie.OpenAiCompat(base_url="http://far.example", api_key="", proxies=proxies) as backend:
        with pytest.raises(ie.TransportError, match="through the proxy") as caught:
            backend.complete("x")
    assert "sekret" not in str(caught.value)


def test_another_word_than_those():
    """A scheme that is no kind of SOCKS is the configuration's fault, and hides its credentials."""
    proxies = {"http": "socks9://user:sekret@127.0.0.1:1"}
    with ie.OpenAiCompat(base_url="http://far.example", api_key="", proxies=proxies) as backend:
        with pytest.raises(ie.InvalidRequestError, match=r"socks9 .*socks5h") as caught:
            backend.complete("x")
    assert "sekret" not in str(caught.value)


# --- every step with the proxy can be ended ------------------------------------------------------


def called(backend, token):
    """Make a call in a thread of its own; give the thread, and a list for how it ends."""
    results = []

    def call():
        try:
            results.append(backend.complete("x", cancel=token))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            results.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, results


@pytest.mark.parametrize("how", ["token", "stop"])
@pytest.mark.parametrize("fault", ["stalls", "trickles"])
@pytest.mark.parametrize(("scheme", "step"), STEPS)
def test_end_while_the_proxy_is_asked(scheme, step, fault, how):
    """A call that waits for the proxy's word is ended at once, and the proxy hears of it."""
    password = "right" if step == "password" else ""
    token = ie.CancelToken()
    with SocksProxy(password=password, **{fault: step}) as proxy:
        settings = {
            "base_url": "http://far.example",
            "api_key": "",
            "proxies": through(proxy, scheme if scheme != "socks5" else "socks5h", "user:right@"),
        }
        with ie.OpenAiCompat(**settings) as backend:
            thread, results = called(backend, token)
            assert proxy.arrived.wait(SOON)
            begun = time.monotonic()
            token.cancel() if how == "token" else backend.stop()
            thread.join(SOON)
            assert time.monotonic() - begun < 1.0
            assert proxy.client_gone.wait(SOON)
    assert [type(result) for result in results] == [ie.RequestCancelledError]


@pytest.mark.parametrize("option", ["connect_timeout", "timeout"])
@pytest.mark.parametrize("fault", ["stalls", "trickles"])
@pytest.mark.parametrize(("scheme", "step"), STEPS)
def test_deadlines_while_the_proxy_is_asked(scheme, step, fault, option):
    """Asking the proxy is connecting, and no trickle outlasts it."""
    password = "right" if step == "password" else ""
    files = open_files()
    with SocksProxy(password=password, **{fault: step}) as proxy:
        url = proxy.url(scheme if scheme != "socks5" else "socks5h", "user:right@")
        settings = {"api_key": "", "proxies": {"http": url}, "timeout": None, option: 0.25}
        begun = time.monotonic()
        with ie.OpenAiCompat(base_url="http://far.example", **settings) as backend:
            with pytest.raises(ie.DeadlineError) as caught:
                backend.complete("x")
        assert 0.2 < time.monotonic() - begun < SOON / 2
        assert caught.value.phase == ("total" if option == "timeout" else "connect")
        assert proxy.client_gone.wait(SOON)
    del caught
    gc.collect()
    assert open_files() <= files


@pytest.mark.parametrize("how", ["token", "stop", "deadline"])
def test_end_in_the_handshake_behind_the_proxy(authority, how):
    """A handshake that nobody answers is ended behind a proxy as well."""
    token = ie.CancelToken()
    limit = {"connect_timeout": 0.3} if how == "deadline" else {}
    with SocksProxy() as proxy, socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        settings = {"api_key": "", "verify": authority[1], "proxies": through(proxy), **limit}
        with ie.OpenAiCompat(base_url=url, **settings) as backend:
            thread, results = called(backend, token)
            peer, _ = server.accept()
            with peer:
                assert peer.recv(1)
                if how == "token":
                    token.cancel()
                elif how == "stop":
                    backend.stop()
                thread.join(SOON)
            assert proxy.client_gone.wait(SOON)
    kind = ie.DeadlineError if how == "deadline" else ie.RequestCancelledError
    assert [type(result) for result in results] == [kind]


def test_end_while_the_proxy_does_not_accept(dead_end):
    """A proxy that swallows packets is connecting, which ends as ever."""
    token = ie.CancelToken()
    proxies = {"http": dead_end.replace("http:", "socks5h:")}
    with ie.OpenAiCompat(base_url="http://far.example", api_key="", proxies=proxies) as backend:
        thread, results = called(backend, token)
        time.sleep(0.1)
        assert thread.is_alive()
        token.cancel()
        thread.join(SOON)
        assert [type(result) for result in results] == [ie.RequestCancelledError]
        with pytest.raises(ie.DeadlineError):
            backend.with_options(connect_timeout=0.2).complete("x")


def test_a_proxy_with_a_dead_address(ask, dead_end, monkeypatch):
    """Of a proxy's addresses, too, the one that answers is taken."""
    backend = ask(otherwise=lambda _: text_reply("fine"))
    resolve = socket.getaddrinfo

    def look_up(host, port, *rest, **named):
        if host != "proxy.example":
            return resolve(host, port, *rest, **named)
        ports = (int(dead_end.rpartition(":")[2]), int(proxy.address.rpartition(":")[2]))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", p)) for p in ports]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with SocksProxy() as proxy:
        other = backend.with_options(proxies={"http": "socks5h://proxy.example:1080"})
        assert other.complete("x").text == "fine"


def test_the_answer_is_read_as_every_other(ask):
    """Once the proxy has connected, a plain socket is left, read in the best way there is."""
    with SocksProxy() as proxy:
        backend = ask(Reply([chunk("a"), Stall()]), proxies=through(proxy))
        with backend.stream("x") as stream:
            next(stream)
            file = stream._reading.source._exchange.receiver._file
            assert type(file._sock) is socket.socket
            assert type(file._reader) is type(socket_reader(file._sock, None))


WITHOUT = """
    import sys
    sys.modules["socks"] = None  # as if it were not installed
    import inferd_engine as ie
    with ie.OpenAiCompat(
        base_url="http://far.example", api_key="", proxies={"http": "socks5h://user:sekret@127.0.0.1:1"}
    ) as backend:
        try:
            backend.complete("x")
        except ie.InvalidRequestError as error:
            print(error)
"""


def test_without_pysocks():
    """What is missing is said, and how to get it."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(WITHOUT)],
        capture_output=True,
        text=True,
        timeout=SOON * 3,
        check=False,
    )
    assert ran.stderr == ""
    assert "pip install 'inferd-engine[socks]'" in ran.stdout
    assert "sekret" not in ran.stdout

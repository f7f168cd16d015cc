"""What goes wrong before there is an answer, told by class, with the place and the next step."""

from __future__ import annotations

import socket
import ssl
import sys
import threading

import pytest
import trustme

import inferd_engine as ie
from inferd_engine.testing import DONE, Gate, Reply, Upstream, chunk, text_reply


def test_no_such_host(monkeypatch):
    """A name that cannot be found is a TransportError with the resolver's own words."""

    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with ie.OpenAiCompat(base_url="http://nowhere.example", api_key="") as backend:
        with pytest.raises(
            ie.TransportError, match="cannot find the host of http://nowhere"
        ) as caught:
            backend.stream("x")
    assert isinstance(caught.value.__cause__, socket.gaierror)
    assert caught.value.retryable


def test_a_certificate_for_somebody_else(ask, tmp_path):
    """A certificate with another name is not trusted, and trying again is no use."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("else.example").configure_cert(context)
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    backend = ask(ssl_context=context, verify=str(trusted))
    with pytest.raises(ie.TransportError, match="not trusted") as caught:
        backend.stream("x")
    assert not caught.value.retryable


def test_https_to_a_plain_port(ask, authority):
    """TLS with a server that speaks none fails, or never comes about: connecting, either way."""
    url = f"https://127.0.0.1:{ask().upstream.port}"
    settings = {"api_key": "", "verify": authority[1], "connect_timeout": 0.5}
    with ie.OpenAiCompat(base_url=url, **settings) as backend:
        with pytest.raises((ie.TransportError, ie.DeadlineError)) as caught:
            backend.stream("x")
    assert getattr(caught.value, "phase", "connect") == "connect"


def test_http_to_a_tls_port(ask, authority):
    """Plain HTTP to a TLS port is an error, not an answer."""
    upstream = ask(ssl_context=authority[0]).upstream
    with ie.OpenAiCompat(base_url=f"http://127.0.0.1:{upstream.port}", api_key="") as backend:
        with pytest.raises(ie.TransportError):
            backend.stream("x")


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_an_answer_while_the_request_is_sent(authority, tls):
    """A server that refuses a large request before it has read it is heard, or the cut is told."""
    context, trusted = authority

    def refuse(server):
        peer, _ = server.accept()
        if tls:
            peer = context.wrap_socket(peer, server_side=True)
        with peer:
            peer.recv(1000)
            peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            peer.settimeout(1.0)
            try:
                while peer.recv(65536):
                    pass
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=refuse, args=[server])
        thread.start()
        url = f"{'https' if tls else 'http'}://127.0.0.1:{server.getsockname()[1]}"
        with ie.OpenAiCompat(base_url=url, api_key="", verify=trusted) as backend:
            with pytest.raises(ie.HttpStatusError) as caught:
                backend.stream("x" * 5_000_000)
        thread.join()
    assert (caught.value.status, caught.value.body) == (413, "big")


@pytest.mark.parametrize("field", ["verify", "cert"])
def test_files_that_are_not_there(ask, field):
    """A certificate file that is not there is the configuration's fault, not the network's."""
    with pytest.raises(ie.InvalidRequestError, match="not there"):
        ask(**{field: "/no/such/file"}).stream("x")


def test_no_warning_about_the_pool(caplog):
    """As many streams at a time as connections are kept give no warning."""
    count = 40
    gate = Gate()
    reply = Reply([chunk("a", finish_reason="stop"), gate, DONE])
    with (
        Upstream(*[reply] * count) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="", max_connections=count) as backend,
    ):
        streams = [backend.stream("x") for _ in range(count)]
        assert upstream.connections == count
        gate.open()
        assert all(stream.collect().text == "a" for stream in streams)
        assert backend.complete("again").text
        assert upstream.connections == count
    assert "pool" not in caplog.text


def test_the_pool_has_no_lock_to_leave_behind(ask, monkeypatch):
    """Ctrl-C at any moment leaves the pool usable: there is no lock that it could leave taken."""
    enter = threading.Condition.__enter__

    def struck(self):
        entered = enter(self)
        if "connectionpool" in sys._getframe(2).f_code.co_filename:
            raise KeyboardInterrupt  # the lock is taken, and `with` does not know of it yet
        return entered

    monkeypatch.setattr(threading.Condition, "__enter__", struck)
    backend = ask(text_reply("one"), text_reply("two"))
    assert [backend.complete("x").text for _ in range(2)] == ["one", "two"]
    assert backend.upstream.connections == 1


def test_a_full_pool_keeps_no_more_than_it_may(ask):
    """More streams than the pool keeps connections still work; what is too much is closed."""
    backend = ask(otherwise=lambda _: text_reply("fine"), max_connections=1)
    streams = [backend.stream("x") for _ in range(3)]
    assert [stream.collect().text for stream in streams] == ["fine"] * 3
    assert backend.complete("x").text == "fine"
    assert backend.upstream.connections == 3

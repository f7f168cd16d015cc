"""The key is where it has to be and nowhere else."""

from __future__ import annotations

import logging
import pickle
import threading
import traceback

import pytest
from http_proxy import Proxy
from loopback.conftest import WAYS

import inferd_engine as ie
from inferd_engine.testing import (
    Cut,
    Reply,
    Reset,
    Stall,
    chunk,
    error_reply,
    event,
    raw_reply,
    text_reply,
)

KEY = "sk-canary-0123456789"
PASSWORD = "canary-password"
FAULTS = {
    "status": error_reply(401, "Incorrect API key provided"),
    "cut": Reply([chunk("a"), Cut()]),
    "reset": Reply([chunk("a"), Reset()]),
    "nothing": Reply(before=[Cut()]),
    "nonsense": raw_reply(b"nonsense\r\n\r\n"),
    "error": Reply([event({"error": {"message": "boom"}})]),
    "page": Reply([b"<html>"], headers={"Content-Type": "text/html"}),
    "silence": Reply(before=[Stall()]),
    "silent body": Reply([chunk("a"), Stall()]),
}


def everything_about(error):
    """Give all text that can be got out of an exception, with the locals of its frames."""
    seen = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts = ["".join(seen.format()), repr(error), str(error), repr(vars(error))]
    link = error
    while link is not None:
        texts += [repr(link.args), repr(getattr(link, "__dict__", ""))]
        link = link.__cause__ or link.__context__
    return "\n".join(texts)


@pytest.fixture
def log(caplog):
    """Everything that anybody logs."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.mark.parametrize("buffer", [512, 0])
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_shows_the_key(ask, log, fault, buffer):
    """No exception of the fault matrix shows the key: not in text, locals, pickles or logs."""
    limits = {"idle_timeout": 0.1, "first_token_timeout": 0.1, "headers": {"X-Secret": PASSWORD}}
    backend = ask(FAULTS[fault], api_key=KEY, buffer=buffer, **limits)
    del limits  # this frame is among those that are looked at
    with pytest.raises(ie.GenerateError) as caught:
        backend.complete("x")
    texts = everything_about(caught.value) + log.text + repr(backend)
    assert backend.upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in texts
    assert PASSWORD not in texts
    copy = pickle.dumps(caught.value)
    assert KEY.encode() not in copy
    assert type(pickle.loads(copy)) is type(caught.value)


def test_an_interruption_does_not_show_the_key(ask):
    """KeyboardInterrupt through the request's own frames leaves their locals behind."""
    import signal

    backend = ask(FAULTS["silence"], api_key=KEY)
    main = threading.main_thread().ident
    waker = threading.Thread(
        target=lambda: (
            backend.upstream.wait_for_request(),
            signal.pthread_kill(main, signal.SIGINT),
        )
    )
    waker.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        backend.stream("x")
    waker.join()
    assert KEY not in everything_about(caught.value)


@pytest.mark.parametrize("make", [ie.OpenAiCompat, ie.OpenAiCompatConfig])
@pytest.mark.parametrize("fields", [{"timeout": -1}, {"base_url": "nonsense"}, {"buffer": "x"}])
def test_a_wrong_setting_does_not_show_the_key(make, fields):
    """A configuration that is refused for something else does not show the key."""
    key = {"api_key": KEY}  # this frame knows it, and is left out
    with pytest.raises(ie.InvalidRequestError) as caught:
        make(**key, **fields)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    for frame in frames.stack:
        if frame.filename != __file__:
            assert KEY not in str(frame.locals)


@pytest.mark.parametrize("key", ["sk-\nX: y", "sk-é", "sk 1", "sk-\x00", "sk-😀", "sk-\r"])
def test_a_malformed_key_is_not_quoted(key):
    """A key that no header can hold is refused without being shown."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        ie.OpenAiCompat(api_key=key)
    assert key not in str(caught.value)
    assert "api_key" in str(caught.value)


def test_a_dropped_stream_does_not_show_the_key(ask):
    """The warning about a dropped stream, and its repr, do not show the key."""
    backend = ask(FAULTS["silent body"], api_key=KEY)
    stream = backend.stream("x")
    assert KEY not in repr(stream)
    with pytest.warns(ResourceWarning) as caught:
        del stream
    assert KEY not in str(caught[0].message)


def test_a_proxy_does_not_see_the_key(ask_by):
    """On the way to an https upstream a proxy sees neither the key nor the headers."""
    backend = ask_by("tunnel", api_key=KEY, headers={"X-Secret": PASSWORD})
    assert backend.complete("x").text
    heads = "".join(backend.proxy.heads)
    assert heads.startswith("CONNECT ")
    assert KEY not in heads
    assert PASSWORD not in heads
    assert backend.upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_proxys_password_is_not_shown():
    """A proxy that refuses is an error without the credentials for it."""
    with Proxy(refuses=True) as proxy:
        address = proxy.url.replace("http://", f"http://user:{PASSWORD}@")
        backend = ie.OpenAiCompat(
            base_url="https://127.0.0.1:9", api_key=KEY, proxies={"https": address}
        )
        del address  # this frame is among those that are looked at
        with backend, pytest.raises(ie.TransportError) as caught:
            backend.stream("x")
    assert "Proxy-Authorization: Basic" in proxy.heads[0]
    texts = everything_about(caught.value) + repr(backend)
    assert PASSWORD not in texts
    assert KEY not in texts


def test_the_environment_does_not_weaken_verify(ask, authority, monkeypatch, tmp_path):
    """What the configuration says about certificates stands, whatever the environment says."""
    context, trusted = authority
    empty = tmp_path / "none.pem"
    empty.write_text("")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(empty))
    backend = ask(ssl_context=context, verify=trusted)
    assert backend.complete("x").text
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    with pytest.raises(ie.TransportError, match="not trusted") as caught:
        backend.with_options(verify=True).complete("x")
    assert caught.value.retryable is False
    assert backend.with_options(verify=None).complete("x").text


@pytest.mark.parametrize("way", WAYS)
def test_somebody_elses_connections_are_told_all(ask_by, monkeypatch, way):
    """Where urllib3 is not the one that we know, everything is sent that has to be."""
    monkeypatch.setattr("inferd_engine.footing.is_supported", lambda: False)
    backend = ask_by(way, api_key=KEY, headers={"X-Secret": PASSWORD})
    base_url = f"{backend.config.base_url}/v1?key={PASSWORD}"
    with backend.with_options(base_url=base_url) as other:
        assert other.complete("x").text
    sent = backend.upstream.requests[0]
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.headers["x-secret"] == PASSWORD
    if way != "proxy":  # which forwards without the query
        assert sent.path.endswith(f"?key={PASSWORD}")


def test_a_header_that_says_what_answers_say(ask):
    """What is masked in an answer's headers changes nothing of how the answer is read."""
    backend = ask(text_reply("ok"), headers={"X-Accept": "text/event-stream"})
    with backend.stream("x") as stream:
        assert stream.response_headers["content-type"] == "***"
        assert stream.collect().text == "ok"

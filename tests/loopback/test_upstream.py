"""The test upstream itself: users build on it."""

from __future__ import annotations

import builtins
import math
import pathlib
import socket
import ssl
import threading
import time
from urllib.parse import unquote, urlsplit

import pytest
import requests

import inferd_engine as ie
from inferd_engine.testing import (
    DONE,
    Action,
    Cut,
    Gate,
    Pause,
    Reply,
    Reset,
    Stall,
    Trickle,
    Upstream,
    chunk,
    error_reply,
    event,
    json_reply,
    text_reply,
)

SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds


def test_it_echoes_by_default():
    """Without replies it says what the user said."""
    with Upstream() as upstream, ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
        assert backend.complete("good morning").text == "You said: good morning"


def test_replies_come_in_order_then_the_default():
    """Replies are given in order; enqueue() adds more."""
    with Upstream(text_reply("a")) as upstream:
        upstream.enqueue(text_reply("b"))
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            assert [backend.complete("c").text for _ in range(3)] == ["a", "b", "You said: c"]


def test_it_wants_its_key():
    """With api_key every request has to carry it."""
    with Upstream(api_key="sk-1") as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="sk-2") as backend:
            with pytest.raises(ie.HttpStatusError, match="401"):
                backend.complete("x")
            assert backend.with_options(api_key="sk-1").complete("x").text


def test_other_paths_are_not_found():
    """It serves the two endpoints and nothing else."""
    with Upstream() as upstream:
        answer = requests.get(f"{upstream.url}/v2/models", timeout=5)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found"}


def test_another_path():
    """With path it is posted there, and nowhere else; a query is no part of it."""
    path = "/model/a%2Fb:0/converse-stream"
    with Upstream(json_reply({"ok": 5}), path=path) as upstream:
        for other in ("/v1/chat/completions", path.upper(), path + "/"):
            assert requests.post(upstream.url + other, json={}, timeout=5).status_code == 404
        assert requests.get(upstream.url + path, timeout=5).status_code == 404
        assert upstream.unused
        answer = requests.post(f"{upstream.url}{path}?beta=true", json={}, timeout=5)
    assert answer.json() == {"ok": 5}


EMBEDDED = json_reply({"data": [{"index": 0, "embedding": [0.5, 1.5]}], "model": "m"})


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
def test_replies_to_whatever_a_client_posts(path):
    """Embeddings and Messages take their replies from the same script; nothing else is made up."""
    busy = error_reply(429, "slow", headers={"Retry-After": "3"})
    with Upstream(EMBEDDED, busy, path=path) as upstream:
        with ie.OpenAiCompat(upstream.url, api_key="") as backend:
            assert list(backend.embeddings(["one"]).arrays[0]) == [0.5, 1.5]
        with ie.Anthropic(upstream.url, api_key="", model="m") as backend:
            with pytest.raises(ie.HttpStatusError, match="slow") as caught:
                backend.complete("Hi")
        assert caught.value.retry_after == 3
        assert not upstream.unused
        for other in ("/v1/embeddings", "/v1/messages"):
            assert requests.post(upstream.url + other, json={}, timeout=5).status_code == 404


def test_a_gate_holds_a_reply_back():
    """A gate lets the test say when the reply goes on."""
    gate = Gate()
    with (
        Upstream(Reply([chunk("a"), gate, chunk("b", finish_reason="stop")])) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend,
        backend.stream("x") as stream,
    ):
        assert next(stream) == ie.TextDelta("a")
        assert stream.poll(0.05) is None
        gate.open()
        assert next(stream) == ie.TextDelta("b")


def test_pauses_and_trickles_take_their_time():
    """A pause and a trickle take as long as they say, at least."""
    begun = time.monotonic()
    reply = Reply([Pause(0.05), Trickle(chunk("a", finish_reason="stop")[:10], 0.01)])
    with Upstream(reply) as upstream:
        requests.post(f"{upstream.url}/v1/chat/completions", json={}, timeout=5)
    assert time.monotonic() - begun >= 0.15


def test_it_remembers_what_it_received():
    """Requests are kept, and can be waited for."""
    with Upstream() as upstream:
        with pytest.raises(TimeoutError, match="0 of 1"):
            upstream.wait_for_request(timeout=0.01)
        requests.get(f"{upstream.url}/v1/models?limit=1", headers={"X-A": "b"}, timeout=5)
        received = upstream.wait_for_request()
    assert (received.method, received.path) == ("GET", "/v1/models?limit=1")
    assert received.headers["x-a"] == "b"
    assert received.finished.is_set()
    assert "GET /v1/models" in repr(received)


# --- what it cannot serve is refused where it is written ------------------------------------------

REFUSED = {
    "bytes instead of a list": (lambda: Reply(chunk("a")), "steps is a bytes.*put it in a list"),
    "a step alone": (lambda: Reply(Stall()), "steps is a Stall.*put it in a list"),
    "no list": (lambda: Reply(7), "steps is an int, not a list of steps"),
    "text": (lambda: Reply([chunk("a"), "b"]), r"steps\[1\] is a str.*chunk\(\)"),
    "a bytearray": (lambda: Reply([bytearray(b"a")]), r"steps\[0\] is a bytearray"),
    "nothing": (lambda: Reply([None]), r"steps\[0\] is None"),
    "a class": (lambda: Reply([Stall]), r"steps\[0\] is the class Stall.*write Stall\(\)"),
    "before": (lambda: Reply(before=["HTTP/1.1 100"]), r"before\[0\] is a str"),
    "raw": (lambda: Reply([1], framing="raw"), r"steps\[0\] is an int"),
    "a text as status": (lambda: Reply(status="200"), "status is a str, not an int"),
    "a bool as status": (lambda: Reply(status=True), "status is a bool"),
    "1xx alone": (lambda: Reply(status=100), "status is 100.*before="),
    "four digits": (lambda: Reply(status=1000), "status is 1000"),
    "headers in a list": (lambda: Reply(headers=[("a", "b")]), "headers is a list"),
    "a number in a header": (lambda: Reply(headers={"Retry-After": 1}), "1 is an int, not a str"),
    "two lines": (lambda: Reply(headers={"X-A": "b\r\nX-C: d"}), "does not fit one line"),
    "beyond latin-1": (lambda: Reply(headers={"X-A": "\u20ac"}), "does not fit one line"),
    "no such framing": (lambda: Reply(framing="gzip"), "framing is 'gzip', not one of 'chunked'"),
    "endless length": (
        lambda: Reply([Trickle(b"a", 0.1, forever=True)], framing="length"),
        "needs an end",
    ),
    "an empty trickle for ever": (lambda: Trickle(b"", 0.1, forever=True), "is empty"),
    "a trickle of text": (lambda: Trickle("abc", 0.1), "Trickle.data is a str"),
    "a trickle backwards": (lambda: Trickle(b"a", -1), "Trickle.seconds is -1"),
    "a pause in words": (lambda: Pause("1"), "Pause.seconds is a str"),
    "a pause backwards": (lambda: Pause(-0.1), "Pause.seconds is -0.1"),
    "a pause without end": (lambda: Pause(math.inf), "Stall"),
    "a pause of no number": (lambda: Pause(math.nan), "Pause.seconds is nan"),
    "a true pause": (lambda: Pause(True), "Pause.seconds is a bool"),
    "a text as reply": (lambda: Upstream("hello"), r"replies\[0\] is a str.*text_reply"),
    "a list of replies": (lambda: Upstream([text_reply("a")]), r"replies\[0\] is a list"),
    "a reply as otherwise": (
        lambda: Upstream(otherwise=text_reply("a")),
        "otherwise is a Reply, not a function",
    ),
    "one model": (lambda: Upstream(models="gpt"), "models is not a list of str"),
    "a key in bytes": (lambda: Upstream(api_key=b"sk"), "api_key is a bytes"),
    "a path in bytes": (lambda: Upstream(path=b"/v1"), "path is a bytes, not a str"),
    "a path without /": (lambda: Upstream(path="v1/messages"), "begin it with /"),
    "a path with a query": (lambda: Upstream(path="/v1?beta"), "leave the query out"),
    "a file as tls": (lambda: Upstream(tls="cert.pem"), "tls is a str, not True or"),
    "a client's context": (
        lambda: Upstream(tls=ssl.create_default_context()),
        "tls is a client's context",
    ),
    "tls at a Unix socket": (lambda: Upstream(unix=True, tls=True), "speaks no TLS"),
    "a reset at a Unix socket": (
        lambda: Upstream(Reply([chunk("a"), Reset()]), unix=True),
        r"replies\[0\] has a Reset\(\).*use Cut\(\)",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_mistake_is_refused_where_it_is_made(mistake):
    """What could not be served is an error with its place, in the line that wrote it."""
    make, sentence = REFUSED[mistake]
    with pytest.raises((TypeError, ValueError), match=sentence):
        make()


def test_enqueue_refuses_too():
    """What comes later is looked at like what comes first; and nothing of it is kept."""
    with Upstream() as upstream:
        with pytest.raises(TypeError, match=r"replies\[1\] is None"):
            upstream.enqueue(text_reply("a"), None)
        assert upstream.unused == ()


@pytest.mark.parametrize(
    ("otherwise", "sentence"),
    [(lambda _: "text", "a str, not a Reply"), (lambda _: 1 / 0, "ZeroDivisionError")],
    ids=["wrong", "raises"],
)
def test_a_function_that_fails_is_told_to_the_client(otherwise, sentence):
    """What goes wrong in otherwise= is the answer, with status 500."""
    with (
        Upstream(otherwise=otherwise) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend,
        pytest.raises(ie.HttpStatusError, match=sentence) as caught,
    ):
        backend.complete("x")
    assert caught.value.status == 500


# --- steps and heads -----------------------------------------------------------------------------


class Twice(Action):
    """An action of a user's own."""

    def __init__(self, data):
        self.data = data
        self.size = 2 * len(data)

    def take(self, peer):
        peer.send(self.data)
        peer.wait(0.01)
        peer.send(self.data)


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_an_action_of_ones_own(framing):
    """An action sends and waits with what it is given, in every framing."""
    reply = Reply([Twice(chunk("a")), chunk(finish_reason="stop"), DONE], framing=framing)
    with Upstream(reply) as upstream:
        backend = ie.OpenAiCompat(base_url=upstream.url, api_key="")
        with backend:
            assert backend.complete("x").text == "aa"


class Wrong(Action):
    """An action with a mistake in it."""

    def take(self, peer):
        raise ValueError("a mistake in the test")


def test_a_mistake_in_an_action_is_told(monkeypatch):
    """It is not swallowed as if the client had done it; the client sees a cut."""
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    with (
        Upstream(Reply([chunk("a"), Wrong()])) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend,
        pytest.raises(ie.StreamInterruptedError),
    ):
        backend.complete("x")
    assert [str(one.exc_value) for one in told] == ["a mistake in the test"]


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_not_http_is_left(said):
    """Whoever speaks something else finds the connection closed, and the next one is served."""
    with Upstream() as upstream:
        with socket.create_connection(("127.0.0.1", upstream.port)) as stranger:
            stranger.settimeout(SOON)
            stranger.sendall(said)
            assert stranger.recv(1) == b""
        assert upstream.requests == []
        assert requests.get(f"{upstream.url}/v1/models", timeout=SOON).ok


def test_the_length_counts_a_trickle():
    """Content-Length is that of all bytes, however they are sent."""
    body = event("a" * 30)
    reply = Reply([body, Trickle(body, 0.001)], framing="length")
    with Upstream(reply) as upstream:
        answer = requests.post(f"{upstream.url}/v1/chat/completions", json={}, timeout=SOON)
    assert answer.content == body * 2


@pytest.mark.parametrize("name", ["Content-Type", "content-type", "CONTENT-TYPE"])
@pytest.mark.parametrize("make", [Reply, lambda **reply: json_reply({}, **reply)])
def test_a_header_that_is_given_wins(name, make):
    """A header is sent once, however its name is written."""
    with Upstream(make(headers={name: "text/html"})) as upstream:
        with requests.post(
            f"{upstream.url}/v1/chat/completions", json={}, timeout=SOON, stream=True
        ) as answer:
            assert answer.raw.headers.getlist("content-type") == ["text/html"]


def test_what_was_not_asked_for_is_told():
    """Unused is what no request has come for."""
    first, second = text_reply("a"), text_reply("b")
    with Upstream(first, second) as upstream:
        assert upstream.unused == (first, second)
        requests.post(f"{upstream.url}/v1/chat/completions", json={}, timeout=SOON)
        assert upstream.unused == (second,)


def test_when_the_client_left_is_told():
    """The moment in which the client went lies between close() and what came after."""
    with (
        Upstream(Reply([chunk("a"), Stall()]), text_reply("b")) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend,
    ):
        with backend.stream("x") as stream:
            next(stream)
            received = upstream.wait_for_request()
            assert received.gone_at is None
            before = time.monotonic()
        assert received.gone.wait(SOON)
        assert before <= received.gone_at <= time.monotonic()
        assert received.arrived_at <= before
        backend.complete("x")
        whole = upstream.requests[1]
        assert whole.finished.wait(SOON)
        assert whole.gone_at is None


# --- ways to it ----------------------------------------------------------------------------------


def test_a_certificate_is_made_on_the_spot():
    """tls=True speaks https, and ca_file is all that a client needs; it is gone at the end."""
    with Upstream(tls=True) as upstream:
        assert upstream.url.startswith("https://127.0.0.1:")
        with ie.OpenAiCompat(base_url=upstream.url, verify=upstream.ca_file, api_key="") as backend:
            assert backend.complete("a").text == "You said: a"
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            with pytest.raises(ie.TransportError, match=r"(?i)certificate"):
                backend.complete("a")
    assert not pathlib.Path(upstream.ca_file).parent.exists()


def test_without_trustme_it_says_what_to_install(monkeypatch):
    """What makes the certificate is optional."""
    real = builtins.__import__

    def missing(name, *rest):
        if name == "trustme":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=r"pip install 'inferd-engine\[testing\]'"):
        Upstream(tls=True)


@pytest.mark.parametrize("name", ["tls", "ssl_context"])
def test_a_ready_context_will_do(authority, name):
    """A context of the test's own is used as it is."""
    context, trusted = authority
    with (
        Upstream(**{name: context}) as upstream,
        ie.OpenAiCompat(base_url=upstream.url, verify=trusted, api_key="") as backend,
    ):
        assert backend.complete("a").text == "You said: a"
        assert upstream.ca_file == ""


def test_a_handshake_that_stands_still_delays_no_end():
    """Leaving ends a connection whose client never speaks."""
    with Upstream(tls=True) as upstream:
        with socket.create_connection(("127.0.0.1", upstream.port)) as silent:
            while not upstream.connections:
                time.sleep(0.001)
            begun = time.monotonic()
            upstream.close()
            assert time.monotonic() - begun < 4.0  # it gives a thread five seconds to go
            assert silent.recv(1) == b""


def ask_at(path, body):
    """Post a request to a Unix socket; give all that comes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SOON)
        client.connect(path)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


def test_it_listens_at_a_unix_socket():
    """unix=True has an address that says where, and leaves nothing behind."""
    reply = Reply([chunk("over a file"), DONE], framing="close")
    with Upstream(reply, Reply([chunk("half"), Cut()]), unix=True) as upstream:
        address = urlsplit(upstream.url)
        path = unquote(address.netloc)
        assert (address.scheme, upstream.port) == ("http+unix", 0)
        assert ask_at(path, b"{}").endswith(chunk("over a file") + DONE)
        assert ask_at(path, b"{}").endswith(chunk("half") + b"\r\n")
        assert [received.body for received in upstream.requests] == [b"{}", b"{}"]
    assert not pathlib.Path(path).parent.exists()


def test_a_path_that_is_too_long_is_refused(monkeypatch, tmp_path):
    """A socket's path has a hundred bytes or so; what was made before it is taken away."""
    far = tmp_path / ("d" * 100)
    far.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(far))
    with pytest.raises(ValueError, match=r"takes no Unix socket.*set TMPDIR"):
        Upstream(unix=True)
    assert not [*far.iterdir()]

"""``inferd-engine serve``, run as a user runs it, on waitress and on the standard library."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests
from web.conftest import SOON, events_of
from web.served import Served

import inferd_engine as ie
from inferd_engine.testing import Cut, Reply, Stall, Upstream, chunk, text_reply

HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
SERVERS = ["standard library", "waitress"]


@pytest.fixture(scope="module", params=SERVERS)
def which(request):
    """Each server in turn."""
    if request.param == "waitress" and importlib.util.find_spec("waitress") is None:
        pytest.skip("the extra serve is not installed")
    return request.param


@pytest.fixture(scope="module")
def served(which):
    """A server in front of an upstream that echoes."""
    with Upstream() as upstream, Served(which, upstream=upstream, seconds=1.0) as served:
        yield served


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    """Nothing: the upstream serves for longer than a test."""


def connect(served):
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=SOON)
    connection.settimeout(SOON)
    return connection


def post(data, length=None):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    size = len(body) if length is None else length
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    kind = "Content-Type: application/json\r\n"
    return f"{head}{kind}Content-Length: {size}\r\n\r\n".encode() + body


def read_all(connection):
    seen = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            seen += data
    return seen


def is_well(served):
    answer = requests.post(f"{served.url}/chat/completions", json=HI, timeout=SOON)
    assert answer.status_code == 200
    return answer.json()["choices"][0]["message"]["content"] == "You said: Hi"


def test_our_own_client(served):
    """What our client asks comes back whole, streamed and not, text and lists."""
    with ie.OpenAiCompat(served.url, api_key="", model="m") as backend:
        assert backend.complete("Grüße\n日本").text == "You said: Grüße\n日本"
        assert backend.complete("x", stream=False).usage.output_tokens
        assert backend.models() == ["test-model"]
        served.upstream.enqueue(Reply([chunk("Hel"), Cut()]))
        with pytest.raises(ie.GenerateError) as cut:
            backend.complete("Hi")
        assert cut.value.partial.text == "Hel"


def test_a_thousand_streams(served):
    """A thousand answers, many at once, and none is lost or mixed up."""
    with ie.OpenAiCompat(served.url, api_key="", model="m") as backend:
        lost = []

        def ask(first):
            for number in range(first, 1000, 20):
                text = backend.complete(f"number {number}").text
                if text != f"You said: number {number}":
                    lost.append(text)

        threads = [threading.Thread(target=ask, args=(first,)) for first in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lost == []


def test_it_streams(served):
    """The first chunk leaves before the second is there."""
    served.upstream.enqueue(Reply([chunk("one"), Stall()]))
    asked = len(served.upstream.requests) + 1
    with connect(served) as connection:
        connection.sendall(post({**HI, "stream": True}))
        seen = b""
        while b"one" not in seen:
            seen += connection.recv(65536)
        received = served.upstream.wait_for_request(asked)
        began = time.monotonic()
    assert received.gone.wait(SOON)
    assert time.monotonic() - began < 1.5


def test_leaving_a_whole_answer(served):
    """A client that does not wait for its whole answer ends it."""
    served.upstream.enqueue(Reply([chunk("one"), Stall()]))
    asked = len(served.upstream.requests) + 1
    with connect(served) as connection:
        connection.sendall(post(HI))
        received = served.upstream.wait_for_request(asked)
        time.sleep(0.1)
    assert received.gone.wait(2.0)


@pytest.mark.parametrize("stream", [False, True])
def test_leaving_before_the_upstream_speaks(served, stream):
    """So does a client that leaves while the upstream has not even sent its headers."""
    served.upstream.enqueue(Reply([chunk("one")], before=[Stall()]))
    asked = len(served.upstream.requests) + 1
    with connect(served) as connection:
        connection.sendall(post({**HI, "stream": stream}))
        received = served.upstream.wait_for_request(asked)
    assert received.gone.wait(2.0)
    assert is_well(served)


def test_a_client_that_does_not_read(served):
    """A client that takes nothing ends its stream; the next request is served."""
    served.upstream.enqueue(Reply([chunk("word " * 2000)] * 4000))
    asked = len(served.upstream.requests) + 1
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with connection:
        connection.connect(("127.0.0.1", served.port))
        connection.sendall(post({**HI, "stream": True}))
        received = served.upstream.wait_for_request(asked)
        assert received.gone.wait(30.0)
        assert is_well(served)


def test_a_byte_a_second(served):
    """A request that trickles in is 408 when its time is up, and the next one is served."""
    with connect(served) as connection:
        connection.sendall(post(HI)[:40])
        began = time.monotonic()
        ended = threading.Event()

        def trickle():
            with contextlib.suppress(OSError):
                while not ended.wait(0.2):
                    connection.sendall(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        assert is_well(served)
        seen = connection.recv(65536)
        assert seen.split(b" ", 2)[1] == b"408"
        assert time.monotonic() - began < 5
        ended.set()
        thread.join()


def test_a_body_that_trickles(served):
    """So is one whose headers were quick."""
    with connect(served) as connection:
        connection.sendall(post(b"{", length=50))
        for _ in range(12):
            time.sleep(0.2)
            with contextlib.suppress(OSError):
                connection.sendall(b" ")
        assert read_all(connection).split(b" ", 2)[1] == b"408"
    assert is_well(served)


def test_a_body_that_is_too_large(which):
    """100 MB are 413, in OpenAI's shape, and the next request is served."""
    with Upstream() as upstream, Served(which, upstream=upstream) as served:
        for size in (65 << 20, 100 << 20):
            data = b'{"x": "' + b"x" * size
            answer = requests.post(f"{served.url}/chat/completions", data=data, timeout=30)
            assert answer.status_code == 413
            assert answer.json()["error"]["code"] == "request_too_large"
            assert is_well(served)


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/chat/completions HTTP/1.1\r\n" + b"x" * 400_000,
        b"GET /" + b"x" * 400_000 + b" HTTP/1.1\r\n\r\n",
        post(b"{"),
        post(b"\xff"),
        post(b"", length=-5),
        b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/models HTTP/1.1\r\nX: a\r\n\tb\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:30]),
)
def test_nonsense(served, sent):
    """Whatever is sent, the next request is served."""
    with connect(served) as connection:
        connection.sendall(sent)
        connection.settimeout(2.0)  # what is not a whole request yet is not answered
        with contextlib.suppress(OSError):
            seen = connection.recv(65536)
            assert not seen or seen.split(b" ", 2)[1][:1] in (b"2", b"4", b"5") or b"400" in seen
    assert is_well(served)


def test_a_key(which, monkeypatch):
    """Clients send the key in the variable; who does not is 401."""
    monkeypatch.setenv("SERVED_KEY", "secret")
    with Upstream() as upstream, Served(which, "--key-from", "SERVED_KEY", upstream=upstream) as it:
        with ie.OpenAiCompat(it.url, api_key="secret") as backend:
            assert backend.complete("Hi").text == "You said: Hi"
        with ie.OpenAiCompat(it.url, api_key="wrong") as backend:
            with pytest.raises(ie.HttpStatusError) as refused:
                backend.complete("Hi")
            assert refused.value.status == 401
        assert "authorization" not in upstream.requests[0].headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.nip.io", "[::2]:80"]
)
def test_names_of_other_machines(served, host):
    """A site whose name was made to point here is not answered; our own names are."""
    asked = {"headers": {"Host": host}, "timeout": SOON}
    refused = requests.get(f"{served.url}/models", **asked)
    assert refused.status_code == 421
    assert "serve with a key" in refused.json()["error"]["message"]
    for own in ("localhost", f"127.0.0.1:{served.port}", "[::1]"):
        asked["headers"]["Host"] = own
        assert requests.get(f"{served.url}/models", **asked).status_code == 200


def test_the_model_that_is_named(which):
    """--model is what is asked where a client names none."""
    with Upstream(text_reply("x")) as upstream, Served(which, "-m", "q", upstream=upstream) as it:
        asked = {"messages": HI["messages"]}
        answer = requests.post(f"{it.url}/chat/completions", json=asked, timeout=SOON)
        assert answer.json()["model"] == "q"
        assert upstream.requests[0].json["model"] == "q"


def test_settings_are_options(which):
    """Of the upstream; what is none goes into the body of every request."""
    words = ("-o", "max_tokens_field=max_completion_tokens", "-o", "top_a=0.5")
    with Upstream(text_reply("x")) as upstream, Served(which, *words, upstream=upstream) as it:
        requests.post(f"{it.url}/chat/completions", json={**HI, "max_tokens": 3}, timeout=SOON)
        body = upstream.requests[0].json
        assert (body["max_completion_tokens"], body["top_a"]) == (3, 0.5)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "input_audio", "input_audio": {"data": "UklGRgQAAABXQVZF", "format": "wav"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        },
    ],
    ids=lambda part: part["type"],
)
def test_what_a_client_attaches(served, part):
    """It reaches the upstream as it came: whether the model takes it, that one says."""
    said = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]
    answer = requests.post(f"{served.url}/chat/completions", json={"messages": said}, timeout=SOON)
    assert answer.status_code == 200, answer.text
    assert served.upstream.requests[-1].json["messages"] == said


def test_interrupted_in_the_middle(which):
    """Ctrl-C ends the streams that are under way, and the process."""
    with Upstream(Reply([chunk("one"), Stall()])) as upstream:
        with Served(which, upstream=upstream) as it, connect(it) as connection:
            connection.sendall(post({**HI, "stream": True}))
            seen = b""
            while b"one" not in seen:
                seen += connection.recv(65536)
            it.interrupt()
            assert upstream.wait_for_request().gone.wait(SOON)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], "--key-from"),
        (["--host", "::"], "--key-from"),
        (["--key-from", "NOT_SET"], "not set"),
        (["--port", "70000"], "port"),
        (["--host", "no.such.host.invalid", "--key-from", "HOME"], "listen"),
        (["--threads", "0"], "threads"),
        (["-o", "top_p=0.5"], "-o top_p=… is a field of a request: clients send it"),
        (["-o", "api_key=x"], "-o api_key=… is given as --key-from VARIABLE"),
        (["-o", "version=x"], "-o version=… is nothing that an upstream of --protocol openai has"),
        ([], "--base-url"),
    ],
)
def test_what_it_refuses(words, told):
    """What cannot be served is told in a line, and the exit code is 2."""
    base = [] if told == "--base-url" else ["--base-url", "http://127.0.0.1:1"]
    ran = subprocess.run(
        [sys.executable, "-m", "inferd_engine", "serve", *base, *words],
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert ran.returncode == 2, ran
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_port_that_is_taken():
    """A port that somebody has is told of."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["serve", "--base-url", "http://127.0.0.1:1", "--port", port]
        ran = subprocess.run(
            [sys.executable, "-m", "inferd_engine", *words],
            capture_output=True,
            text=True,
            timeout=SOON,
            check=False,
        )
    assert ran.returncode == 2
    assert "another --port" in ran.stderr


def test_events_are_read_by_anybody(served):
    """A stream over HTTP/1.0 or 1.1 ends with [DONE]."""
    with connect(served) as connection:
        connection.sendall(
            post({**HI, "stream": True}).replace(b"Host", b"Connection: close\r\nHost")
        )
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        body = b"".join(re.split(rb"\r?\n?[0-9a-f]+\r\n(?=data|:|$)", body))
        body = body.rpartition(b"data: [DONE]")[0] + b"data: [DONE]\n\n"
    assert events_of(body)[-1] == "[DONE]"

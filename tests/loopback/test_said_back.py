"""An upstream that says back what it was sent: none of it is shown, wherever it stands."""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
import socket
import threading

import pytest
from http_proxy import Proxy
from loopback.conftest import SOON
from loopback.test_secrets import everything_about, log

import inferd_engine as ie
from inferd_engine.testing import DONE, Reply, chunk, error_reply, raw_reply

KEY = "sk-canary-0123456789"
HEADER = "header-canary-0123456789"
QUERY = "query-canary-0123456789"
SECRETS = {"key": KEY, "header": f"Basic {HEADER}", "query": QUERY}

PASSWORD = "proxy-canary-0123"
SENT = base64.b64encode(f"me:{PASSWORD}".encode()).decode()

__all__ = ["log"]  # a fixture


def spelled(spell):
    return lambda secret: "".join(map(spell, secret))


SPELLINGS = {
    "plain": str,
    "upper": str.upper,
    "json": spelled(lambda char: f"\\u{ord(char):04x}"),
    "url": spelled(lambda char: f"%{ord(char):02X}"),
    "html": spelled(lambda char: f"&#{ord(char)};"),
}


def answer(body, status="200 OK", content_type="application/json", headers=""):
    """Give a whole answer as bytes."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nConnection: close\r\n{headers}\r\n"
    )
    return raw_reply((head + body).encode())


def problem(said):
    return f'{{"error": {{"message": "bad {said}"}}}}'


def events(*payloads):
    return answer("".join(f"data: {p}\n\n" for p in payloads), content_type="text/event-stream")


def call_with(name, arguments):
    call = {"index": 0, "id": "c", "function": {"name": name, "arguments": arguments}}
    return json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})


TEXT = json.dumps({"choices": [{"index": 0, "delta": {"content": "a"}}]})
END = '{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}'
PLACES = {
    "error object": lambda said: answer(problem(said).replace("}}", f', "code": "{said}"}}}}')),
    "error text": lambda said: answer(f'{{"error": "bad {said}"}}'),
    "detail": lambda said: answer(f'{{"detail": [{{"msg": "bad {said}"}}]}}'),
    "error in a stream": lambda said: events(problem(said)),
    "error after text": lambda said: events(TEXT, problem(said)),
    "error event": lambda said: answer(
        f"event: error\ndata: bad {said}\n\n", content_type="text/event-stream"
    ),
    "type of an event": lambda said: answer(
        f"event: {said}\ndata: {TEXT}\n\n", content_type="text/event-stream"
    ),
    "error field": lambda said: answer(
        f'error: {{"message": "{said}"}}\n\n', content_type="text/event-stream"
    ),
    "finish word": lambda said: events(TEXT, END.replace("tool_calls", f"error {said}"), "[DONE]"),
    "tool arguments": lambda said: events(call_with("f", "{" + said), END, "[DONE]"),
    "tool name": lambda said: events(call_with(said, "{oops"), END, "[DONE]"),
    "skipped payload": lambda said: events(said, TEXT, END, "[DONE]"),
    "title": lambda said: answer(f"<html><title>for {said}</title>", content_type="text/html"),
    "title in a stream": lambda said: answer(
        f"<html><title>{said}</title>", content_type="text/event-stream"
    ),
    "401": lambda said: answer(problem(said), "401 X"),
    "401, text": lambda said: answer(f"bad {said}", "401 X", "text/plain"),
    "401, page": lambda said: answer(f"<title>{said}</title>", "401 X", "text/html"),
    "401, long": lambda said: answer(
        f"{'x' * (4096 - len(said) // 2)}{said}", "401 X", "text/plain"
    ),
    "401, long message": lambda said: answer(problem("x" * (495 - len(said) // 2) + said), "401 X"),
    "401, header": lambda said: answer("{}", "401 X", headers=f"X-Echo: {said}\r\n"),
    "401, request id": lambda said: answer("{}", "401 X", headers=f"X-Request-Id: {said}\r\n"),
    "401, retry": lambda said: answer("{}", "401 X", headers=f"Retry-After: {said}\r\n"),
    "401, no header": lambda said: answer("{}", "401 X", headers=f"{said}\r\n"),
    "401, begins with no header": lambda said: raw_reply(
        f"HTTP/1.1 401 X\r\n {said}\r\n\r\n".encode()
    ),
    "redirect": lambda said: answer("", "302 X", headers=f"Location: http://x/{said}\r\n"),
    "reason": lambda said: answer("{}", f"401 bad {said}"),
    "status line": lambda said: raw_reply(f"{said}\r\n\r\n".encode()),
    "status": lambda said: raw_reply(f"HTTP/1.1 {said} X\r\n\r\n".encode()),
    "version": lambda said: raw_reply(f"HTTP/{said} 200 X\r\n\r\n".encode()),
    "length": lambda said: answer("{}", headers=f"Content-Length: 5, {said}\r\n"),
    "coding": lambda said: answer("{}", headers=f"Content-Encoding: {said}\r\n"),
    "chunk size": lambda said: answer(f"{said}\r\n", headers="Transfer-Encoding: chunked\r\n"),
    "cookie": lambda said: answer(
        "{}", "401 X", headers=f"Set-Cookie: a={said}; domain={said}\r\n"
    ),
}


@pytest.fixture
def shown(ask, log):
    """Ask, and give all that is shown of how it went."""

    def ask_and_tell(reply):
        backend = ask(reply, api_key=KEY, headers={"X-Other": f"Basic {HEADER}"})
        del reply  # this frame is among those that are looked at
        backend = backend.with_options(base_url=f"{backend.upstream.url}/v1?key={QUERY}")
        try:
            backend.complete("x")
        except ie.GenerateError as error:
            copied = pickle.dumps(error).decode("latin-1")
            return everything_about(error) + copied + log.text
        return log.text

    return ask_and_tell


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_said_back_is_not_shown(shown, place, spelling, secret):
    """Neither errors, nor their causes, frames and pickles, nor anybody's log show a secret."""
    said = SPELLINGS[spelling](SECRETS[secret])
    texts = shown(PLACES[place](said)).lower()
    assert said.lower() not in texts
    for piece in (KEY[:10], HEADER[:10], QUERY[:10]):  # nor as much of it as a limit may leave
        assert piece not in texts


@pytest.fixture
def serve():
    """Give the URL of a server that says the same to every request, as bytes."""
    with contextlib.ExitStack() as stack:

        def make(said):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def run():
                with contextlib.suppress(OSError):
                    while True:
                        peer, _ = listener.accept()
                        with peer:
                            assert peer.recv(65536)
                            peer.sendall(said)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join, SOON)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield make


@pytest.mark.parametrize("place", ["error object", "error text", "401", "title", "401, no header"])
def test_what_is_said_back_to_models(serve, log, place):
    """The same for the list of models."""
    url = serve(b"".join(PLACES[place](KEY).steps))
    with ie.OpenAiCompat(base_url=url, api_key=KEY) as backend:
        with pytest.raises(ie.UnavailableError) as caught:
            backend.models()
    assert KEY not in everything_about(caught.value) + log.text


def test_ids_and_headers_of_a_stream(ask):
    """Of a stream that went well, too, and its repr is one short line."""
    said = f"{KEY} \x1b[31m\x07" + "x" * 10_000
    headers = {"X-Request-Id": said, "X-Echo": KEY}
    with ask(Reply([chunk("a"), DONE], headers=headers), api_key=KEY).stream("x") as stream:
        assert stream.request_id.startswith("*** \x1b")
        assert stream.response_headers["x-echo"] == "***"
        shown = repr(stream)
    assert shown.isprintable()
    assert len(shown) < 100


def test_the_models_text_is_given_as_it_is(ask, buffer):
    """A model that says the key says it: the text is not ours to change, nor what came of it."""
    said = {"choices": [{"index": 0, "delta": {"content": f"it is {KEY}"}}]}
    reply = events(json.dumps(said), json.dumps({"error": {"message": KEY}}))
    with pytest.raises(ie.UpstreamError) as caught:
        ask(reply, api_key=KEY, buffer=buffer).complete("x")
    assert caught.value.partial.text == f"it is {KEY}"
    assert caught.value.message == "***"


def test_a_proxy_that_says_it_back(log):
    """The password of a proxy is not shown, as it was given or as it was sent."""
    with Proxy(refuses=f"407 {PASSWORD} {SENT}") as proxy:
        address = {"https": proxy.url.replace("//", f"//me:{PASSWORD}@")}
        backend = ie.OpenAiCompat(base_url="https://127.0.0.1:9", api_key=KEY, proxies=address)
        del address
        with backend, pytest.raises(ie.TransportError) as caught:
            backend.stream("x")
        assert SENT in proxy.heads[0]
    seen = everything_about(caught.value) + log.text
    assert "407 *** ***" in seen
    assert PASSWORD not in seen
    assert SENT not in seen


def test_a_key_in_the_query_is_sent(ask, log):
    """It reaches the upstream as it was given, and stands in nobody's log."""
    upstream = ask().upstream
    query = f"key={QUERY}&sig=a%2fb{{}}"
    backend = ie.OpenAiCompat(base_url=f"{upstream.url}/v1?{query}", api_key=KEY)
    with backend:
        assert backend.complete("?***").text == "You said: ?***"
    assert upstream.requests[0].path == f"/v1/chat/completions?key={QUERY}&sig=a%2fb%7B%7D"
    assert backend.chat_url.endswith("/v1/chat/completions?***")
    assert QUERY not in log.text
    assert "?***" in log.text  # urllib3's own line is there


def test_a_key_that_the_upstream_says_back(ask):
    """A refusal that quotes the key does not bring it into logs by way of the error."""
    key = "sk-0123456789abcdef"
    headers = {"X-Echo": f"Bearer {key}"}
    reply = error_reply(401, f"Incorrect API key provided: {key}.", headers=headers)
    with pytest.raises(ie.HttpStatusError) as caught:
        ask(reply, api_key=key).stream("x")
    error = caught.value
    assert "provided: ***." in error.message
    for shown in (str(error), error.message, error.body, repr(error.headers), pickle.dumps(error)):
        assert key.encode() not in (shown if isinstance(shown, bytes) else shown.encode())


@pytest.mark.parametrize("key", ["x", "e", "ollama"])
def test_a_dummy_key_hides_nothing(ask, key):
    """The letters of a key that is none are left where they are in a message."""
    reply = error_reply(400, f"max_tokens exceeds the context of model '{key}/llama'")
    with pytest.raises(ie.HttpStatusError, match=f"max_tokens exceeds .* '{key}/llama'"):
        ask(reply, api_key=key).stream("x")

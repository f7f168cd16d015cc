"""The key of a server of Messages is where it has to be and nowhere else, whatever comes back."""

from __future__ import annotations

import json
import pickle

import pytest
from anthropic_messages import AnyPath, begun, block, delta, end, named, start, stop, text_reply
from loopback.test_said_back import SPELLINGS, answer
from loopback.test_secrets import everything_about, log

import inferd_engine as ie
from inferd_engine.testing import Cut, Reply, Reset, Stall, json_reply

KEY = "sk-ant-canary-0123456789"
HEADER = "header-canary-0123456789"
QUERY = "query-canary-0123456789"
SECRETS = {"key": KEY, "header": f"Basic {HEADER}", "query": QUERY}
WAYS = ["x-api-key", "authorization"]

__all__ = ["log"]  # a fixture

STREAM = "text/event-stream"
TEXT = "".join(part.decode() for part in begun("a"))
END = "".join(part.decode() for part in end("tool_use"))


def stream(*parts):
    return answer("".join(parts), content_type=STREAM)


def event(name, payload):
    return f"event: {name}\ndata: {payload}\n\n"


def problem(said):
    return f'{{"type": "error", "error": {{"type": "x", "message": "bad {said}"}}}}'


def call(name, said):
    opened = f'{{"type":"tool_use","id":"c","name":"{name}","input":{{}}}}'
    piece = json.dumps("{" + said)
    return (
        event("content_block_start", f'{{"index":1,"content_block":{opened}}}'),
        event(
            "content_block_delta",
            f'{{"index":1,"delta":{{"type":"input_json_delta","partial_json":{piece}}}}}',
        ),
        event("content_block_stop", '{"index":1}'),
    )


PLACES = {
    "error event": lambda said: stream(event("error", problem(said))),
    "error after text": lambda said: stream(TEXT, event("error", problem(said))),
    "flat error": lambda said: stream(TEXT, event("error", f'{{"code":5,"message":"{said}"}}')),
    "type of an error": lambda said: stream(
        TEXT, event("error", f'{{"error": {{"type": "{said}", "message": "x"}}}}')
    ),
    "only the type": lambda said: stream(event("error", f'{{"error": {{"type": "{said}"}}}}')),
    "id beside an error": lambda said: stream(
        event("error", f'{{"error": {{"message": "x"}}, "request_id": "{said}"}}')
    ),
    "plain text": lambda said: stream(TEXT, event("error", said)),
    "bare line": lambda said: stream(TEXT, problem(said) + "\n"),
    "input of a call": lambda said: stream(TEXT, *call("f", said), END),
    "name of a call": lambda said: stream(TEXT, *call(said, "oops"), END),
    "skipped payload": lambda said: stream(event("x", said), TEXT, END),
    "name of an event": lambda said: stream(event(said, "oops"), TEXT, END),
    "deep payload": lambda said: stream(event("x", f'["{said}",' + "[" * 5000), TEXT, END),
    "error as JSON": lambda said: answer(problem(said)),
    "error as text": lambda said: answer(f'{{"error": "bad {said}"}}'),
    "title": lambda said: answer(f"<title>{said}</title>", content_type="text/html"),
    "401, id in the body": lambda said: answer(f'{{"request_id": "{said}"}}', "401 X"),
    "401": lambda said: answer(problem(said), "401 X"),
    "404": lambda said: answer(problem(f"model: {said}"), "404 X"),
    "401, request-id": lambda said: answer("{}", "401 X", headers=f"request-id: {said}\r\n"),
    "401, X-Generation-Id": lambda said: answer(
        "{}", "401 X", headers=f"X-Generation-Id: {said}\r\n"
    ),
    "529, retry-after-ms": lambda said: answer(
        "{}", "529 X", headers=f"retry-after-ms: {said}\r\n"
    ),
    "400, x-should-retry": lambda said: answer(
        "{}", "400 X", headers=f"x-should-retry: {said}\r\n"
    ),
}


@pytest.fixture
def told():
    """Ask an upstream that gives a reply, and give the backend and the error."""
    backends = []

    def ask_and_tell(reply, way, **options):
        upstream = AnyPath(reply)
        upstream.__enter__()
        url = f"{upstream.url}/v1?key={QUERY}"
        settings = {"api_key": KEY, "api_key_header": way, "headers": {"X-O": f"Basic {HEADER}"}}
        backend = ie.Anthropic(url, **settings, **options)
        backends.append((upstream, backend))
        del settings, url, reply
        error = None
        try:
            backend.complete("x")
        except ie.GenerateError as raised:
            error = raised
        return backend, upstream, error

    yield ask_and_tell
    for upstream, backend in backends:
        backend.close()
        upstream.__exit__(None, None, None)


def assert_hidden(texts):
    for secret in (KEY, HEADER, QUERY):
        assert secret[:12] not in texts  # nor as much of it as a limit may leave


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_said_back(told, log, place, spelling, secret):
    """Neither errors, nor their causes, frames and pickles, nor anybody's log show a secret."""
    said = SPELLINGS[spelling](SECRETS[secret])
    _, _, error = told(PLACES[place](said), "x-api-key")
    texts = log.text
    if error is not None:
        texts += everything_about(error) + repr(error.to_dict())
        texts += pickle.dumps(error).decode("latin-1")
    texts = texts.lower()
    assert said.lower() not in texts
    assert_hidden(texts)


FAULTS = {
    "status": json_reply({"type": "error", "error": {"type": "x", "message": "no"}}, 401),
    "cut": Reply([*begun("a"), Cut()]),
    "reset": Reply([*begun("a"), Reset()]),
    "nothing": Reply(before=[Cut()]),
    "error": Reply([start(), named({"type": "error", "error": {"message": "boom"}})]),
    "other protocol": Reply([b'data: {"choices": []}\n\n']),
    "call": Reply(
        [
            start(),
            block(0, type="tool_use", id="i", name="f", input={}),
            delta(0, type="input_json_delta", partial_json="{oops"),
            stop(0),
            *end("tool_use"),
        ]
    ),
    "silence": Reply(before=[Stall()]),
    "silent body": Reply([*begun("a"), Stall()]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_shows_it(told, log, fault, way, buffer):
    """It is sent as it was asked, and no error, pickle, repr or log shows it."""
    limits = {"idle_timeout": 0.1, "first_token_timeout": 0.1}
    backend, upstream, error = told(FAULTS[fault], way, buffer=buffer, **limits)
    assert isinstance(error, ie.GenerateError)
    headers = {name.lower(): value for name, value in upstream.requests[0].headers.items()}
    sent = headers.pop(way)
    assert sent == (KEY if way == "x-api-key" else f"Bearer {KEY}")
    assert not {"x-api-key", "authorization"} & set(headers)
    del headers, sent
    shown = everything_about(error) + repr(error.to_dict()) + log.text + repr(backend)
    shown += repr(backend.config) + pickle.dumps(error).decode("latin-1")
    assert_hidden(shown)
    assert KEY.encode() not in pickle.dumps(backend)


@pytest.mark.parametrize("way", WAYS)
def test_a_redirect_gets_no_key(way):
    """An address that the upstream sends us to is not asked."""
    with AnyPath(text_reply("no")) as other:
        location = {"Location": f"{other.url}/v1/messages"}
        with (
            AnyPath(Reply([], 307, location)) as upstream,
            ie.Anthropic(upstream.url, api_key=KEY, api_key_header=way) as backend,
            pytest.raises(ie.HttpStatusError),
        ):
            backend.complete("x")
        assert other.requests == []


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_a_key_of_the_environment_stays_with_https(monkeypatch, variable):
    """In clear it goes to this machine alone."""
    monkeypatch.setenv(variable, KEY)
    with pytest.raises(ie.InvalidRequestError, match=f"{variable} is not sent") as caught:
        ie.Anthropic("http://192.0.2.1")
    assert KEY not in everything_about(caught.value)


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_a_pickle_reads_the_variable_again(monkeypatch, variable):
    """The copy takes the key from the same variable, in the same header."""
    monkeypatch.setenv(variable, KEY)
    with AnyPath(text_reply("a"), text_reply("b")) as upstream, ie.Anthropic(upstream.url) as first:
        packed = pickle.dumps(first)
        assert KEY.encode() not in packed
        monkeypatch.setenv(variable, "another")
        with pickle.loads(packed) as copy:
            assert copy.complete("x").text == "a"
        headers = {k.lower(): v for k, v in upstream.requests[0].headers.items()}
    bearer = variable == "ANTHROPIC_AUTH_TOKEN"
    assert headers.get("authorization") == ("Bearer another" if bearer else None)
    assert headers.get("x-api-key") == (None if bearer else "another")


def test_a_pickle_without_its_key_says_so():
    """A key that was given is left out, and the first call of the copy tells."""
    packed = pickle.dumps(ie.Anthropic("http://127.0.0.1:9", api_key=KEY))
    assert KEY.encode() not in packed
    with pickle.loads(packed) as copy, pytest.raises(ie.InvalidRequestError, match="key"):
        copy.complete("x")

"""No secret reaches a cassette: not from the request, not from the answer, in no spelling."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.parse

import pytest
import requests

from inferd_engine.testing import DONE, Cassette, Reply, Upstream, chunk, text_reply
from inferd_engine.testing.matching import difference
from inferd_engine.testing.scrubbing import Scrubber
from inferd_engine.testing.tape import Request

KEY = "Zm9v/tangerine+dream=42"  # looks like no provider's key: it is known from its header alone
ACCOUNT = "account-of-somebody"
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def record(tmp_path):
    """Give a function that records one request and returns the file's text."""
    path = tmp_path / "one.jsonl"

    def run(reply=None, body=REQUEST, headers=(), query=""):
        replies = [] if reply is None else [reply]
        with Upstream(*replies) as upstream, Cassette(path, upstream=upstream.url) as cassette:
            url = f"{cassette.url}/v1/chat/completions{query}"
            with requests.post(url, json=body, headers=dict(headers), timeout=10) as response:
                run.given = response.content
                run.headers = response.headers
            [received] = upstream.requests
            run.received = received
        return path.read_text("utf-8")

    run.path = path
    return run


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": "Basic " + base64.b64encode(f"me:{KEY}".encode()).decode()},
        {"api-key": KEY},
        {"X-API-Key": KEY},
        {"Cookie": f"a=b; session={KEY}"},
        {"X-Whatever-Somebody-Thought-Of": KEY},
        {"OpenAI-Organization": KEY},
    ],
    ids="".join,
)
def test_headers(record, headers):
    """What a header holds is passed on, and is written nowhere: not even where it is said back."""
    text = record(text_reply(f"Your key is {KEY}."), headers=headers)
    assert KEY not in text
    assert json.dumps(KEY)[1:-1] not in text
    name, value = next(iter(headers.items()))
    assert record.received.headers[name.lower()] == value
    assert value not in text


def test_what_is_kept_of_headers(record):
    """The lists are short: what is wanted for reading and replaying, and no more."""
    headers = {"Retry-After": "3", "X-Request-Id": "r-1", "X-RateLimit-Remaining": "9"}
    secret = {
        "Set-Cookie": f"a={KEY}; Path=/",
        "OpenAI-Organization": ACCOUNT,
        "CF-Ray": "8a1b2c3d",
    }
    text = record(text_reply(f"{ACCOUNT} {KEY} 8a1b2c3d", headers={**headers, **secret}))
    lines = [json.loads(line) for line in text.splitlines()]
    asked, answered = (
        next(line for line in lines if line.get("kind") == kind) for kind in ("request", "response")
    )
    assert set(asked["headers"]) == {"accept", "content-type", "user-agent"}
    assert set(answered["headers"]) == {"content-type", *(name.lower() for name in headers)}
    for value in (KEY, ACCOUNT, "8a1b2c3d"):
        assert value not in text


SPELLINGS = {
    "plain": lambda key: key,
    "another case": str.upper,
    "JSON": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "URL": lambda key: urllib.parse.quote(key, safe=""),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 after one": lambda key: base64.b64encode(b":" + key.encode()).decode(),
    "base64 after two": lambda key: base64.b64encode(b"u:" + key.encode() + b"!").decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
}


@pytest.mark.parametrize("place", ["answer", "question", "answer's header", "own header"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings(record, spelling, place):
    """A key is found in each way in which it may be written, wherever it is said."""
    said = SPELLINGS[spelling](KEY)
    headers = {"Authorization": f"Bearer {KEY}"}
    reply, body = text_reply("Hello"), REQUEST
    if place == "answer":
        reply = Reply([b": " + said.encode() + b"\n\n", chunk(finish_reason="stop"), DONE])
    elif place == "question":
        body = {**REQUEST, "messages": [{"role": "user", "content": f"It is {said}, right?"}]}
    elif place == "answer's header":
        reply = text_reply("Hello", headers={"X-Request-Id": said})
    else:
        headers["User-Agent"] = f"mine/{said}"
    text = record(reply, body, headers)
    middle = said[4:-4]  # base64 shares its ends with what is beside it
    assert middle not in text
    assert json.dumps(middle)[1:-1] not in text


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_key_that_is_cut_into_chunks(record, size):
    """Chunks keep their borders, and the key is in none of them, nor in all together."""
    body = chunk(f"Your key is {KEY}.") + chunk(finish_reason="stop") + DONE
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    text = record(Reply(pieces), headers={"Authorization": f"Bearer {KEY}"})
    chunks = [json.loads(line) for line in text.splitlines()[1:]]
    written = [line["text"] for line in chunks if line["kind"] == "chunk"]
    assert [len(piece) for piece in written] == [len(piece) for piece in pieces]
    assert KEY not in "".join(written)
    assert record.given == body
    with Cassette(record.path) as cassette:
        url = f"{cassette.url}/v1/chat/completions"
        assert requests.post(url, json=REQUEST, timeout=10).content == "".join(written).encode()


def test_a_length_stays_true(record):
    """An answer with a Content-Length that holds a key can be replayed."""
    reply = text_reply(f"It is {KEY}.", framing="length")
    record(reply, headers={"Authorization": f"Bearer {KEY}"})
    with Cassette(record.path) as cassette:
        url = f"{cassette.url}/v1/chat/completions"
        assert "*" * len(KEY) in requests.post(url, json=REQUEST, timeout=10).text


@pytest.mark.parametrize("query", ["?key={}", "?api-version=1&access_token={}", "?sig={}&x={}"])
def test_queries(record, query):
    """What a query holds is masked, and a replay does not ask for it."""
    text = record(text_reply(f"You sent {KEY}"), query=query.replace("{}", urllib.parse.quote(KEY)))
    assert KEY not in text
    assert urllib.parse.quote(KEY) not in text
    assert ("api-version=1" in text) == ("api-version=1" in query)
    with Cassette(record.path) as cassette:
        url = f"{cassette.url}/v1/chat/completions" + query.replace("{}", "another")
        assert requests.post(url, json=REQUEST, timeout=10).ok


WHOSE = {
    "user": ACCOUNT,
    "metadata": {"team": [ACCOUNT]},
    "safety_identifier": ACCOUNT,
    "prompt_cache_key": ACCOUNT,
}


@pytest.mark.parametrize("field", WHOSE)
def test_whose_request_it_is(record, field):
    """Fields that say who asks are left out, and are not matched by."""
    text = record(text_reply(f"Hello, {ACCOUNT}"), {**REQUEST, field: WHOSE[field]})
    assert ACCOUNT not in text
    for body in (REQUEST, {**REQUEST, field: "another"}):
        with Cassette(record.path) as cassette:
            assert requests.post(f"{cassette.url}/v1/chat/completions", json=body, timeout=10).ok


def test_fields_that_are_named_like_secrets(record):
    """A secret inside of the body is masked by its name; a schema of one is left as it is."""
    schema = {"type": "object", "properties": {"password": {"type": "string"}}}
    tools = [
        {"type": "mcp", "authorization": KEY, "headers": {"X-Api-Key": KEY}},
        {"type": "function", "function": {"name": "login", "parameters": schema}},
    ]
    text = record(text_reply(f"It said {KEY}"), {**REQUEST, "tools": tools})
    assert KEY not in text
    asked = json.loads(text.splitlines()[1])["body"]
    assert asked["tools"][1]["function"]["parameters"] == schema


@pytest.mark.parametrize(
    "name",
    ["apiKey", "token", "id_token", "refresh-token", "account_id", "organization", "tenantId"],
)
def test_names_of_secrets_and_accounts(record, name):
    """Somebody's token or account in the body is masked wherever it is said again."""
    text = record(text_reply(f"Hello, {ACCOUNT}"), {**REQUEST, "extra": {name: ACCOUNT}})
    assert ACCOUNT not in text


def test_names_of_what_is_none(record):
    """Names of a model's own tokens and of a project are not."""
    body = {"eos_token": "<|endoftext|>", "max_tokens": 5, "project": "our house"}
    text = record(text_reply("Our house <|endoftext|>"), {**REQUEST, **body})
    assert body.items() <= json.loads(text.splitlines()[1])["body"].items()
    assert "***" not in text


LOOKS = [
    "sk-test-1234",
    "sk-proj-abcdefghijklmnop1234",
    "sk-ant-api03-abcdefghijklmnop",
    "gsk_abcdefghijklmnop1234",
    "hf_abcdefghijklmnopqrst",
    "xai-abcdefghijklmnop1234",
    "nvapi-abcdefghijklmnop12",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "AIzaSyA-abcdefghijklmnopqrstuvwxyz01234",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "Bearer abcdefghijkl0123456789",
    "org-abcdefghijklmnopqrstuvwx",
    "http://me:hunter22@proxy.example",
    "203.0.114.7",
]


@pytest.mark.parametrize("secret", LOOKS)
def test_what_looks_like_a_secret(record, secret):
    """A key that nobody configured, a token, an account or a public address is masked anywhere."""
    body = {**REQUEST, "messages": [{"role": "user", "content": f"Is {secret} it?"}]}
    text = record(text_reply(["It is ", f"({secret})", "."]), body)
    assert secret not in text
    assert secret.rpartition(" ")[2].partition("@")[0] not in text


@pytest.mark.parametrize(
    "text",
    [
        "risk-management-and-task-scheduling, sk-learning and sk-12",
        "bearer certificates, and Bearer authentication",
        "127.0.0.1, 10.0.0.1 and version 1.2.3",
        "chatcmpl-9abcdefghijklmnopqrstuvwxyz",
        "call_abcdefghijklmnopqrstuvwx",
        "org-structures of the user-experience",
        "keep-alive, gzip, deflate",
    ],
)
def test_what_is_none(record, text):
    """Ordinary words, ids of answers and addresses of this machine stay as they are."""
    assert text in record(text_reply([text]))


def test_the_environment(record, monkeypatch):
    """No value of a variable that is named like a secret is in the file: it is searched for all."""
    for name in ("SOME_API_KEY", "GITHUB_TOKEN", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, f"value-of-{name.lower()}")
    secrets = [os.environ[name] for name in os.environ if name.endswith(("KEY", "TOKEN", "WORD"))]
    body = {**REQUEST, "messages": [{"role": "user", "content": " ".join(secrets)}]}
    text = record(text_reply(" and ".join(secrets)), body)
    assert len(secrets) >= 4
    for secret in secrets:
        assert secret not in text


def test_nothing_that_is_masked_is_matched_by(record, monkeypatch):
    """A cassette with masks replays where the keys are others, or none."""
    monkeypatch.setenv("MY_TOKEN", "value-of-my-token")

    def asking(secret):
        return {**REQUEST, "messages": [{"role": "user", "content": f"Use {secret}, please."}]}

    record(text_reply("Hello"), asking("value-of-my-token"), {"Authorization": f"Bearer {KEY}"})
    monkeypatch.delenv("MY_TOKEN")
    with Cassette(record.path) as cassette:
        url = f"{cassette.url}/v1/chat/completions"
        assert requests.post(url, json=asking("dummy"), timeout=10).ok


@pytest.mark.parametrize(
    ("recorded", "asked", "is_it"),
    [
        ("***", "", True),
        ("a***", "abc", True),
        ("a***", "ba", False),
        ("***c", "abc", True),
        ("***c", "cb", False),
        ("a***c", "ac", True),
        ("ab***bc", "abc", False),
        ("a***b***c", "a1b2c", True),
        ("a***b***c", "a1c", False),
        ("a***b***b", "ab", False),
        ("*** ***", "x y", True),
        ("a", "ab", False),
    ],
)
def test_a_mask_stands_for_anything(recorded, asked, is_it):
    """What is beside it has to be there, once for each time, in the same order."""
    requests_ = [Request("POST", "/", {}, text) for text in (recorded, asked)]
    assert requests_[0].matches(requests_[1]) is is_it
    assert (difference(recorded, asked) is None) is is_it


def test_many_masks_take_no_time():
    """A request that does not fit is found out at once, however much of it is masked."""
    recorded = Request("POST", "/", {}, "a***" * 500 + "end")
    began = time.monotonic()
    assert not recorded.matches(Request("POST", "/", {}, "a" * 100_000))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "account",
    ["0123456789abcdef0123456789abcdef", "123456789012", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"],
)
def test_accounts_in_paths(tmp_path, account):
    """An account in the upstream's own path is not written, and the cassette's URL has a mask."""

    class Anywhere(Upstream):
        def _reply_to(self, received):
            return text_reply("found")

    path = tmp_path / "one.jsonl"
    with Anywhere() as upstream:
        with Cassette(path, upstream=f"{upstream.url}/v1/{account}/openai") as cassette:
            assert requests.post(f"{cassette.url}/chat/completions", json=REQUEST, timeout=10).ok
        assert account in upstream.requests[0].path
    assert account not in path.read_text("utf-8")
    with Cassette(path) as cassette:
        assert requests.post(f"{cassette.url}/chat/completions", json=REQUEST, timeout=10).ok


def test_the_file_says_what_it_may_hold(record):
    """Prompts are personal data; the first line says so."""
    assert "personal data" in record().splitlines()[0]


def test_a_scrubber_shows_nothing():
    """What it knows is not in its repr."""
    scrubber = Scrubber({"MY_KEY": KEY})
    assert KEY not in repr(scrubber)
    assert scrubber.text(f"a {KEY} b {KEY}") == "a *** b ***"

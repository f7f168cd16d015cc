"""What vcrpy and browsers recorded becomes cassettes that replay."""

from __future__ import annotations

import base64
import builtins
import gzip
import json

import pytest
import requests
import vcr

import inferd_engine as ie
from inferd_engine.testing import (
    Cassette,
    Upstream,
    cassette_from_har,
    cassette_from_vcrpy,
    error_reply,
    text_reply,
)

KEY = "tangerine-dream-42"
EVENTS = "".join(
    f'data: {{"choices": [{{"delta": {{"content": "{word}"}}}}]}}\n\n' for word in ("one", " two")
)
STREAM = f"{EVENTS}data: [DONE]\n\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "converted.jsonl"


def har_of(*entries):
    return json.dumps({"log": {"version": "1.2", "entries": [*entries]}})


def entry(url="https://api.openai.com/v1/chat/completions", prompt="Hi", **response):
    asked = {"model": "gpt-4o-mini", "stream": True}
    asked["messages"] = [{"role": "user", "content": prompt}]
    kind = [{"name": "Content-Type", "value": "text/event-stream"}]
    return {
        "startedDateTime": "2026-01-01T00:00:00Z",
        "time": 350,
        "timings": {"send": 1, "wait": 200, "receive": 300},
        "request": {
            "method": "POST",
            "url": url,
            "headers": [
                {"name": ":authority", "value": "api.openai.com"},
                {"name": "Authorization", "value": f"Bearer {KEY}"},
            ],
            "postData": {"mimeType": "application/json", "text": json.dumps(asked)},
        },
        "response": {"status": 200, "headers": kind, "content": {"text": STREAM}, **response},
    }


@pytest.mark.parametrize("serializer", ["yaml", "json"])
def test_vcrpy(tmp_path, path, serializer):
    """A file of vcrpy's own making gives the answers that it recorded, in both of its formats."""
    recorded = tmp_path / f"old.{serializer}"

    def ask(url, prompt, **headers):
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": prompt}]}
        url = f"{url}/v1/chat/completions"
        answer = requests.post(url, json=body, headers=headers, timeout=10)
        return answer.status_code, answer.headers.get("retry-after"), answer.text

    replies = text_reply("one two"), error_reply(429, f"slow, {KEY}", headers={"Retry-After": "7"})
    with Upstream(*replies) as upstream, vcr.use_cassette(str(recorded), serializer=serializer):
        answers = [
            ask(upstream.url, prompt, Authorization=f"Bearer {KEY}") for prompt in ("Hi", "Ho")
        ]
    assert KEY in recorded.read_text("utf-8")
    assert cassette_from_vcrpy(recorded, path) == 2
    assert KEY not in path.read_text("utf-8")
    with Cassette(path, mode="replay") as cassette:
        assert ask(cassette.url, "Hi") == answers[0]
        status, after, text = ask(cassette.url, "Ho")
        assert (status, after) == answers[1][:2]
        assert text == answers[1][2].replace(KEY, "*" * len(KEY))


def test_a_har(tmp_path, path, backend_at):
    """An entry of a HAR is an interaction, its events cut apart and spread over its time."""
    source = tmp_path / "page.har"
    coded = {"text": base64.b64encode(STREAM.encode()).decode(), "encoding": "base64"}
    failed = entry(prompt="Hu", status=0, headers=[], content={})
    source.write_text(har_of(entry(), entry(prompt="Ho", content=coded), failed), "utf-8-sig")
    assert cassette_from_har(source, path) == 3
    assert KEY not in path.read_text("utf-8")
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    times = [line["t"] for line in lines if line.get("kind") == "chunk"][:3]
    assert times == [0.3, 0.4, 0.5]
    with Cassette(path) as cassette:
        backend = backend_at(cassette.url)
        assert [backend.complete(prompt).text for prompt in ("Hi", "Ho")] == ["one two"] * 2
        with pytest.raises(ie.TransportError):
            backend.complete("Hu")


def test_the_base_url(tmp_path, path, backend_at):
    """With the recorded server's base URL the cassette stands in its place; others are left out."""
    source = tmp_path / "page.har"
    url = "https://openrouter.ai/api/v1/chat/completions"
    source.write_text(har_of(entry(url), entry("https://elsewhere.example/x")), "utf-8")
    assert cassette_from_har(source, path, upstream="https://openrouter.ai/api/v1") == 1
    with Cassette(path) as cassette:
        assert cassette.url.endswith("/api/v1")
        assert backend_at(cassette.url).complete("Hi").text == "one two"


def test_packed_bodies(tmp_path, path):
    """A body that vcrpy kept as gzip is unpacked: in a cassette nothing is hidden."""
    source = tmp_path / "old.yaml"
    packed = base64.b64encode(gzip.compress(b'{"data": []}')).decode()
    source.write_text(
        "version: 1\ninteractions:\n- request: {method: GET, uri: 'https://x.example/v1/models',"
        " body: null, headers: {}}\n  response:\n    status: {code: 200, message: OK}\n"
        "    headers: {Content-Type: [application/json], content-encoding: [gzip]}\n"
        f"    body: {{string: !!binary {packed}}}\n",
        "utf-8",
    )
    assert cassette_from_vcrpy(source, path) == 1
    with Cassette(path) as cassette:
        assert requests.get(f"{cassette.url}/v1/models", timeout=10).json() == {"data": []}


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_bodies_that_cannot_be_unpacked(tmp_path, path, coding):
    """They could not be searched for secrets, nor read: they are refused; unpacked ones are not."""
    source = tmp_path / "old.json"
    body, packed = '{"data": []}', base64.b64encode(b"\x0b\x05\x80\xff\xfe").decode()
    text = (
        "interactions:\n- request: {{method: GET, uri: 'https://x.example/v1/models'}}\n"
        "  response:\n    status: {{code: 200, message: OK}}\n"
        "    headers: {{content-encoding: [{}]}}\n    body: {{string: {}}}\n"
    )
    source.write_text(text.format(coding, f"!!binary {packed}"), "utf-8")
    with pytest.raises(ValueError, match=f"old.json.*{coding}.*decode_compressed_response"):
        cassette_from_vcrpy(source, path)
    assert not path.exists()
    source.write_text(text.format(coding, f"'{body}'"), "utf-8")
    assert cassette_from_vcrpy(source, path) == 1


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (cassette_from_vcrpy, "- just\n- a list\n"),
        (cassette_from_vcrpy, "interactions: [{request: 1}]"),
        (cassette_from_vcrpy, "!!python/object/apply:os.getcwd []"),
        (cassette_from_vcrpy, "a: [unclosed"),
        (cassette_from_vcrpy, "{not json"),
        (cassette_from_vcrpy, ""),
        (cassette_from_har, "not json"),
        (cassette_from_har, "[]"),
        (cassette_from_har, '{"log": {"entries": [{}]}}'),
        (cassette_from_har, har_of(entry(status="OK", content={"text": 5}))),
    ],
)
def test_other_files(tmp_path, path, convert, text):
    """A file of another kind is refused by name, runs nothing, and leaves no cassette."""
    source = tmp_path / "other"
    source.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="other"):
        convert(source, path)
    assert not path.exists()


def test_without_pyyaml(tmp_path, path, monkeypatch):
    """What is missing is named, with the command that installs it."""
    original = builtins.__import__

    def without(name, *arguments, **options):
        if name == "yaml":
            raise ModuleNotFoundError(name=name)
        return original(name, *arguments, **options)

    source = tmp_path / "old.yaml"
    source.write_text("interactions: []", "utf-8")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match="pip install pyyaml"):
        cassette_from_vcrpy(source, path)

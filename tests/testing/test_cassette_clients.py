"""A cassette serves every client in every language: it is an address, and nothing is patched."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import requests

from inferd_engine.testing import Cassette, CassetteError, Upstream, text_reply, tool_call_reply

REQUEST = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
HEADERS = {"Content-Type": "application/json"}


@pytest.fixture
def openai():
    return pytest.importorskip("openai", reason="openai has no wheels for this Python")


@pytest.fixture
def twice(tmp_path):
    """Give a function that asks by way of a cassette twice: recording, then replaying."""

    def run(ask, *replies):
        path = tmp_path / "one.jsonl"
        with Upstream(*replies) as upstream:
            with Cassette(path, upstream=upstream.url) as cassette:
                recorded = ask(cassette.url)
        with Cassette(path, mode="replay") as cassette:
            assert ask(cassette.url) == recorded
        return recorded

    return run


def test_openai_python(openai, twice):
    """openai-python streams text, calls tools, and fails, as it does without a cassette."""

    def ask(url):
        with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:
            chat = client.chat.completions
            fields = {"model": "m", "messages": REQUEST["messages"]}
            with chat.create(stream=True, **fields) as stream:
                text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            with chat.create(stream=True, **fields) as stream:
                calls = [chunk.choices[0].delta.tool_calls for chunk in stream]
            names = [call[0].function.name for call in calls if call and call[0].function.name]
            whole = chat.create(stream=False, **fields).choices[0].message.content
            return text, names, whole

    replies = text_reply("Hello, you."), tool_call_reply("weather", {"city": "Köln"})
    assert twice(ask, *replies) == ("Hello, you.", ["weather"], "You said: Hi")


def test_openai_python_does_not_try_a_miss_again(openai, tmp_path):
    """A miss has a status after which nobody tries again."""
    path = tmp_path / "one.jsonl"
    with Upstream() as upstream, Cassette(path, upstream=upstream.url) as cassette:
        requests.post(f"{cassette.url}/v1/chat/completions", json=REQUEST, timeout=10).close()
    with pytest.raises(CassetteError) as caught, Cassette(path) as cassette:
        with openai.OpenAI(base_url=f"{cassette.url}/v1", api_key="x", max_retries=5) as client:
            with pytest.raises(openai.APIStatusError, match="was not recorded"):
                client.chat.completions.create(model="other", messages=REQUEST["messages"])
            assert len(cassette.missed) == 1
    assert "body.model" in str(caught.value)


IN_NODE = """
const [url, body] = process.argv.slice(1);
const headers = {"Content-Type": "application/json"};
const response = await fetch(url, {method: "POST", headers, body});
for await (const piece of response.body) process.stdout.write(piece);
"""
COMMANDS = {
    "curl": lambda url, body: ["curl", "-sN", "--noproxy", "*", "-d", body, url],
    "node": lambda url, body: ["node", "--input-type=module", "-e", IN_NODE, url, body],
}


@pytest.mark.parametrize("program", COMMANDS)
def test_other_languages(twice, program):
    """Clients that are not Python stream, each with an HTTP of its own."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")

    def ask(url):
        command = COMMANDS[program](f"{url}/v1/chat/completions", json.dumps(REQUEST))
        return subprocess.run(command, capture_output=True, check=True, timeout=30).stdout

    assert b"[DONE]" in twice(ask, text_reply("Hello"))


def test_a_body_in_chunks(twice):
    """A request whose length is not told, as Node and Go send it, is read and passed on."""

    def ask(url):
        body = json.dumps(REQUEST).encode()
        pieces = (body[at : at + 7] for at in range(0, len(body), 7))
        url = f"{url}/v1/chat/completions"
        with requests.post(url, data=pieces, headers=HEADERS, timeout=10) as response:
            return response.status_code, response.text

    status, text = twice(ask)
    assert status == 200
    assert "said" in text


@pytest.mark.parametrize("spelling", ["spaces", "order", "floats", "escapes"])
def test_another_spelling_of_one_request(tmp_path, spelling):
    """Clients write one JSON in different ways: it is compared by what it means."""
    asked = {**REQUEST, "temperature": 1.0, "messages": [{"role": "user", "content": "ünï"}]}
    spelled = {
        "spaces": json.dumps(asked, indent=4, ensure_ascii=False),
        "order": json.dumps(dict(reversed(asked.items())), ensure_ascii=False),
        "floats": json.dumps({**asked, "temperature": 1}, ensure_ascii=False),
        "escapes": json.dumps(asked, ensure_ascii=True),
    }[spelling]
    path = tmp_path / "one.jsonl"
    with Upstream() as upstream, Cassette(path, upstream=upstream.url) as cassette:
        url = f"{cassette.url}/v1/chat/completions"
        first = requests.post(url, json=asked, timeout=10).text
    with Cassette(path) as cassette:
        url = f"{cassette.url}/v1/chat/completions"
        again = requests.post(url, data=spelled.encode(), headers=HEADERS, timeout=10).text
    assert again == first

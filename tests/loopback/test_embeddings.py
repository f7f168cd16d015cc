"""Vectors over real sockets: batches, prefixes, clocks, and what ends a request."""

from __future__ import annotations

import base64
import contextlib
import re
import struct
import threading
from pathlib import Path

import pytest
from loopback.conftest import SOON

import inferd_engine as ie
from inferd_engine.proto.embed import EMBED_TASKS
from inferd_engine.testing import Reply, Stall, Upstream, error_reply, json_reply


def vectors(texts, *, is_base64=False):
    """Answer with a vector for each text: its length, and 1."""
    items = []
    for index, text in enumerate(texts):
        vector = [float(len(text)), 1.0]
        if is_base64:
            vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
        items.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return json_reply({"object": "list", "data": items[::-1], "model": "e", "usage": usage})


MANUAL = (Path(__file__).parents[2] / "docs" / "embeddings.md").read_text("utf-8")


class Embedding(Upstream):
    """An upstream that makes vectors, or gives its replies in order."""

    def _reply_to(self, received):
        if self._replies:
            return self._replies.popleft()
        asked = received.json
        return vectors(asked["input"], is_base64=asked.get("encoding_format") == "base64")


@pytest.fixture
def embed():
    """Give a backend that asks an upstream that makes vectors."""
    with contextlib.ExitStack() as stack:

        def make(*replies, **options):
            upstream = stack.enter_context(Embedding(*replies))
            settings = {"api_key": "sk-0123456789", "model": "e", "timeout": 20.0, **options}
            backend = stack.enter_context(ie.OpenAiCompat(upstream.url, **settings))
            backend.upstream = upstream
            return backend

        yield make


def bodies(backend):
    return [received.json for received in backend.upstream.requests]


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_a_call(embed, encoding):
    """Texts are posted, and vectors come in their order."""
    backend = embed(encoding_format=encoding)
    result = backend.embeddings(["a", "bbb"], cancel=ie.CancelToken())
    assert result.embeddings == ((1.0, 1.0), (3.0, 1.0))
    assert (result.model, result.dimensions, result.input_tokens) == ("e", 2, 2)
    received = backend.upstream.requests[0]
    assert (received.method, received.path) == ("POST", "/v1/embeddings")
    wanted = {"model": "e", "input": ["a", "bbb"]}
    assert received.json == {**wanted, **({"encoding_format": encoding} if encoding else {})}
    assert received.headers["authorization"] == "Bearer sk-0123456789"


def test_fields_of_a_call(embed):
    """A call may name a model, dimensions and a task; a str is one text."""
    prefixes = {"retrieval_query": "query: ", "clustering": ""}
    backend = embed(task_prefixes=prefixes, extra_body={"user": "u"})
    backend.embeddings("a", model="f", dimensions=2, task="retrieval_query")
    backend.embeddings(iter(["a"]), task="similarity")
    first, second = bodies(backend)
    assert first == {"model": "f", "input": ["query: a"], "dimensions": 2, "user": "u"}
    assert second == {"model": "e", "input": ["a"], "user": "u"}
    assert backend.embed(ie.EmbedRequest("ab", id="r").resolve()).embeddings == ((2.0, 1.0),)
    assert backend.capabilities().embed


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_batches(embed, size):
    """More texts than are sent at once are split; the result is one, in the texts' order."""
    texts = ["a" * n for n in range(1, 6)]
    backend = embed(embed_batch_size=size)
    result = backend.embeddings(texts)
    assert result.embeddings == tuple((float(n), 1.0) for n in range(1, 6))
    assert result.input_tokens == 5
    sent = [body["input"] for body in bodies(backend)]
    assert [text for batch in sent for text in batch] == texts
    assert max(map(len, sent)) <= size
    assert backend.upstream.connections == 1


@pytest.mark.parametrize("how", ["token", "stop"])
def test_it_is_cancelled(embed, how):
    """A token and stop() end it, in whichever batch it is."""
    backend = embed(vectors(["a"]), Reply([b"{", Stall()], framing="close"), embed_batch_size=1)
    token = ie.CancelToken()
    raised = []

    def ask():
        try:
            backend.embeddings(["a", "b", "c"], cancel=token)
        except ie.GenerateError as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    backend.upstream.wait_for_request(2)
    token.cancel() if how == "token" else backend.stop()
    thread.join(SOON)
    assert isinstance(raised[0], ie.RequestCancelledError)
    assert len(backend.upstream.requests) == 2
    assert backend.upstream.requests[1].gone.wait(SOON)


def test_a_deadline(embed):
    """The clocks are those of each batch."""
    backend = embed(Reply([b"{", Stall()], framing="close"), timeout=0.2)
    with pytest.raises(ie.DeadlineError) as caught:
        backend.embeddings("a")
    assert caught.value.phase == "total"


def test_refusals(embed):
    """A refusal is told as every other, with the next step where there is one."""
    backend = embed(error_reply(400, "encoding_format base64 is not supported"))
    with pytest.raises(ie.HttpStatusError, match="configure encoding_format='float'") as caught:
        backend.embeddings("a")
    assert not caught.value.retryable
    for texts in ([], [""], [5]):
        with pytest.raises(ie.InvalidRequestError, match="input"):
            backend.embeddings(texts)
    with pytest.raises(ie.InvalidRequestError, match="take one of retrieval_query"):
        backend.embeddings("a", task="search")
    with pytest.raises(ie.InvalidRequestError, match="model is 5"):
        backend.embeddings("a", model=5)
    backend.stop()
    with pytest.raises(ie.NotReadyError):
        backend.embeddings("a")


@pytest.mark.parametrize(
    ("encoding", "is_told"), [("base64", True), ("float", False), (None, False)]
)
def test_a_gateway_that_refuses_base64_in_other_words(embed, encoding, is_told):
    """A refusal that says nothing of base64 may be of base64 all the same, where that was asked."""
    refused = error_reply(400, "Invalid input")
    with pytest.raises(ie.HttpStatusError) as caught:
        embed(refused, encoding_format=encoding).embeddings("a")
    assert ("some gateways refuse base64" in str(caught.value)) == is_told


def test_a_body_that_is_too_large(embed):
    """A body larger than an event may be is an error."""
    with pytest.raises(ie.UpstreamError) as caught:
        embed(max_event_bytes=50).embeddings(["a"] * 20)
    assert caught.value.code == "event_too_large"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"encoding_format": "int8"},
            "encoding_format is 'int8': take one of None, 'float', 'base64'",
        ),
        ({"embed_batch_size": 0}, "embed_batch_size is 0"),
        ({"task_prefixes": {"search": "x"}}, "task_prefixes has the task 'search': take some of"),
        ({"task_prefixes": {EMBED_TASKS[0]: 5}}, "task_prefixes['retrieval_query'] is 5"),
    ],
)
def test_settings_that_are_refused(fields, words):
    """A setting that cannot be used is named, with what can."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        ie.OpenAiCompatConfig(base_url="http://localhost", **fields)
    assert str(caught.value).startswith(words)


def test_the_manual(embed, capsys):
    """The snippets of docs/embeddings.md run, in their order."""
    url = embed().upstream.url
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL):
        exec(code.replace("http://localhost:8080", url), names)
    names["backend"].close()
    printed = capsys.readouterr().out
    assert printed.startswith("2 2 Usage(input_tokens=2")
    assert printed.endswith("25\n")

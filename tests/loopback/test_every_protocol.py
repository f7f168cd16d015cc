"""What a call may say reaches every protocol: documents, a model, fields of its own, thinking."""

from __future__ import annotations

import base64
import json
from urllib.parse import unquote

import pytest
from anthropic_messages import AnyPath

import inferd_engine as ie

BACKENDS = {
    "openai": (ie.OpenAiCompat, {"documents": True}),
    "anthropic": (ie.Anthropic, {}),
    "bedrock": (ie.Bedrock, {"region": "eu-central-1"}),
}
PDF = b"%PDF-1.7 of mine"
IN_BASE64 = base64.b64encode(PDF).decode()
# Where a document is, in a message of the user.
DOCUMENTS = {
    "openai": {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{IN_BASE64}"},
    },
    "anthropic": {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": IN_BASE64},
        "title": "a.pdf",
    },
    "bedrock": {"document": {"format": "pdf", "name": "a", "source": {"bytes": IN_BASE64}}},
}
# What each is told of thinking.
THINKING = {
    "openai": {"reasoning_effort": "high"},
    "anthropic": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    "bedrock": {
        "additionalModelRequestFields": {"thinking": {"type": "adaptive"}},
        "outputConfig": {"effort": "high"},
    },
}


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Give each backend, before an upstream that refuses whatever arrives."""
    kind, settings = BACKENDS[request.param]
    with AnyPath() as upstream:
        settings = {"api_key": "key-5", "model": "m", "timeout": 20.0, **settings}
        with kind(upstream.url, **settings) as made:
            made.upstream, made.protocol = upstream, request.param
            yield made


def sent(backend, *prompt, **fields):
    """Give what a call sends: the path and the body."""
    with pytest.raises(ie.HttpStatusError):
        backend.complete(*(prompt or ("x",)), **fields)
    received = backend.upstream.requests[-1]
    return unquote(received.path), received.json


@pytest.mark.parametrize("way", ["beside a text", "as a block"])
def test_documents(backend, way):
    """A document goes in the user's message, as the protocol has it."""
    document = ie.DocumentAttachment("d", PDF, name="a.pdf")
    prompt = "What does it say?"
    if way == "as a block":
        prompt = [ie.MessageV2("user", [ie.TextBlock(prompt), ie.DocumentBlock("d")])]
    _, body = sent(backend, prompt, attachments=[document])
    assert body["messages"][-1]["content"][1] == DOCUMENTS[backend.protocol]


def test_documents_that_are_switched_off(backend):
    """They are refused by the name of the switch, and nothing is sent."""
    document = ie.DocumentAttachment("d", PDF)
    deaf = backend.with_options(documents=False)
    with pytest.raises(ie.AttachmentUnsupportedError, match="configure documents=True"):
        deaf.complete("x", attachments=[document])
    assert backend.upstream.requests == []


def test_another_model(backend):
    """It is asked for once; the next call has the backend's own."""
    arn = "arn:aws:bedrock:eu-central-1:1:inference-profile/eu.x:0"
    for model in (arn, "m"):
        path, body = sent(backend, **({"model": model} if model == arn else {}))
        found = path.split("/model/")[1].rpartition("/")[0] if "/model/" in path else body["model"]
        assert found == model


def test_fields_of_its_own(backend):
    """They are merged over the configured ones, object by object, and over what is mapped."""
    asked = backend.with_options(extra_body={"own": {"a": 1, "b": 1}, "kept": True})
    _, body = sent(asked, max_tokens=5, extra_body={"own": {"b": 2}, "messages": []})
    assert (body["own"], body["kept"], body["messages"]) == ({"a": 1, "b": 2}, True, [])
    _, body = sent(asked)
    assert body["own"] == {"a": 1, "b": 1}
    assert json.dumps(body["messages"])


def test_thinking(backend):
    """It is asked for in the protocol's words."""
    _, body = sent(backend, thinking="high")
    for name, value in THINKING[backend.protocol].items():
        assert body[name] == value

"""Requests as they are given, whole, against what a server of Messages is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import inferd_engine as ie
from inferd_engine.wire.anthropic.dialect import Dialect
from inferd_engine.wire.anthropic.request import body_from
from inferd_engine.wire.openai.messages import messages_from
from inferd_engine.wire.openai_request import request_from_resolved

_PATH = Path(__file__).parents[2] / "vectors" / "anthropic_requests.jsonl"
VECTORS = [json.loads(line) for line in _PATH.read_text("utf-8").split("\n") if line]
SETTINGS = {
    "model": "m",
    "max_tokens": 1024,
    "version": "2023-06-01",
    "thinking_style": "adaptive",
    "cache": False,
    "vision": True,
    "documents": True,
    "extra_body": {},
}


def sent(vector):
    """Give the body that a vector's request becomes."""
    if "prompt" in vector:
        messages, attachments = messages_from(vector["prompt"])
        request = ie.RequestV2(messages, attachments=attachments)
    else:
        request = ie.RequestV2.from_dict(vector["request"])
    resolved = request.resolve()
    if vector["to"] == "openai":
        config = ie.OpenAiCompatConfig(base_url="http://localhost", model="m")
        return request_from_resolved(resolved, config)
    return body_from(resolved, Dialect(**{**SETTINGS, **vector.get("settings", {})}))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_a_request(vector):
    """The body is the expected one, whole; what must not be sent is nowhere in it."""
    if "error" in vector:
        with pytest.raises(getattr(ie, vector["error"])) as caught:
            sent(vector)
        assert vector["says"] in str(caught.value)
        return
    body = sent(vector)
    if "body" in vector:
        assert body == vector["body"]
    else:
        assert body["messages"] == vector["messages"]
    assert not [word for word in vector.get("lacks", ()) if word in json.dumps(body)]

"""``capabilities()`` tells the truth: what it denies is refused unsent, all else is sent."""

from __future__ import annotations

import pytest
from anthropic_messages import AnyPath

import inferd_engine as ie
from inferd_engine.testing import json_reply

BACKENDS = {
    "openai-compat": (ie.OpenAiCompat, {}),
    "openai-compat that sees and hears": (ie.OpenAiCompat, {"vision": True, "audio": True}),
    "anthropic": (ie.Anthropic, {}),
    "anthropic that is blind": (ie.Anthropic, {"vision": False}),
    "bedrock": (ie.Bedrock, {"region": "eu-central-1"}),
    "bedrock that is blind": (ie.Bedrock, {"region": "eu-central-1", "vision": False}),
}
SHOWN = {
    "vision": (ie.ImageBlock, ie.ImageAttachment.encoded("a", b"\x89PNG\r\n\x1a\n" + bytes(20))),
    "audio": (ie.AudioBlock, ie.AudioAttachment.encoded("a", b"RIFF\0\0\0\0WAVEfmt ")),
    "video": (ie.VideoBlock, ie.VideoAttachment("a", b"\0\0\0\x18ftypmp42")),
}


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Give each backend, before an upstream that refuses whatever arrives."""
    kind, settings = BACKENDS[request.param]
    with AnyPath() as upstream:
        with kind(upstream.url, api_key="key-5", model="m", timeout=20.0, **settings) as made:
            made.upstream = upstream
            yield made


def assert_told(backend, can, ask):
    """Ask; see that it was sent if the backend can, and refused otherwise."""
    refused = (ie.UnsupportedError, ie.AttachmentUnsupportedError)
    with pytest.raises(ie.HttpStatusError if can else refused):
        ask()
    assert len(backend.upstream.requests) == can


@pytest.mark.parametrize("what", SHOWN)
def test_what_is_shown(backend, what):
    """Images, sounds, videos."""
    block, attachment = SHOWN[what]
    message = ie.MessageV2("user", [ie.TextBlock("What is it?"), block("a")])
    assert_told(
        backend,
        getattr(backend.capabilities(), what),
        lambda: backend.complete([message], attachments=[attachment]),
    )


def test_vectors(backend):
    """Embeddings."""
    assert_told(backend, backend.capabilities().embed, lambda: backend.embeddings(["x"]))


def test_tools(backend):
    """Each of them sends tools."""
    assert backend.capabilities().tools
    assert_told(backend, True, lambda: backend.complete("x", tools=[ie.Tool("weather")]))
    assert b'"weather"' in backend.upstream.requests[0].body


def test_thinking(backend):
    """Those that say so ask the model to think, and tell a thought from the text."""
    assert backend.capabilities().thinking is not isinstance(backend, ie.OpenAiCompat)
    assert_told(backend, True, lambda: backend.complete("x", thinking=True))
    assert b'"think' in backend.upstream.requests[0].body or b'"reason' in (
        backend.upstream.requests[0].body
    )


@pytest.mark.parametrize("kind", [ie.OpenAiCompat, ie.Anthropic])
@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(
    "body",
    [
        {"detail": "Not Found"},
        {"type": "error", "error": {"type": "not_found_error", "message": "Not found"}},
        {"error": {"message": "Invalid URL (GET /v1/models)", "code": "model_not_found"}},
    ],
    ids=["FastAPI", "Anthropic", "OpenAI"],
)
def test_models_that_are_not_listed(kind, status, body):
    """Where there is no list, neither the model nor the protocol is to blame."""
    with AnyPath(json_reply(body, status)) as upstream:
        with kind(upstream.url, api_key="", model="m7") as backend:
            with pytest.raises(ie.HttpStatusError) as caught:
                backend.models()
    said = str(caught.value)
    assert f"base_url is {upstream.url}; if that is right, it lists no models" in said
    assert "m7" not in said
    assert "speaks" not in said

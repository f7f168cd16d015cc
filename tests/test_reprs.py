"""What a notebook or a debugger shows of a public object: one short line, and no secret."""

from __future__ import annotations

import inspect
import pickle

import pytest

import inferd_engine as ie
from inferd_engine import testing
from inferd_engine.stream.iterators import HeartbeatIterator, TextIterator

LONGEST = 100
LONG = "a long text of\nmany lines \x1b[31m " * 1000
KEY = "sk-canary-canary-canary"
ADDRESS = f"http://localhost:8080/v1?key={KEY}"
SETTINGS = {
    "model": "m" * 200,
    "api_key": KEY,
    "headers": {"X-Secret": KEY},
    "proxies": {"https": f"http://user:{KEY}@proxy:1"},
    "extra_body": {"a": LONG},
}
MESSAGES = [ie.user(LONG), ie.assistant(LONG)] * 50
DONE = ie.Done(ie.StopReason.END_TURN, ie.Usage(1, 2, {"a": LONG, "b": LONG}), LONG)
CALL = ie.ToolUse(LONG, LONG, {"a": LONG}, {"signature": LONG})
V1 = ie.Request([ie.Message("user", LONG)] * 100, id=LONG, grammar=LONG)
V2 = ie.RequestV2(MESSAGES, id=LONG, tools=[ie.Tool("n", LONG)], stop=[LONG], model=LONG)

# Of each public class what is largest in it, and what is smallest.
OBJECTS = {
    "Role": [ie.Role.USER],
    "Message": [ie.Message("user", LONG), ie.Message("user", "")],
    "Request": [V1],
    "Resolved": [V1.resolve()],
    "TextBlock": [ie.TextBlock(LONG), ie.TextBlock("")],
    "ImageBlock": [ie.ImageBlock(LONG)],
    "AudioBlock": [ie.AudioBlock("a")],
    "VideoBlock": [ie.VideoBlock("v")],
    "DocumentBlock": [ie.DocumentBlock("d")],
    "ThinkingBlock": [ie.ThinkingBlock(LONG)],
    "ToolUseBlock": [ie.ToolUseBlock(LONG, LONG, {"a": LONG}), ie.ToolUseBlock("c", "f", LONG)],
    "ToolResultBlock": [ie.ToolResultBlock("c", LONG)],
    "UnknownBlock": [ie.UnknownBlock("hologram", {"data": LONG})],
    "MessageV2": [ie.user(LONG), ie.MessageV2(LONG, [ie.TextBlock(LONG)] * 9)],
    "Tool": [ie.Tool("n", LONG, {"type": "object", "properties": {}}), ie.Tool("n")],
    "ImageAttachment": [
        ie.ImageAttachment.encoded("i", LONG.encode()),
        ie.ImageAttachment.at("i", f"data:image/png;base64,{LONG}"),
    ],
    "AudioAttachment": [ie.AudioAttachment("a", 16000, LONG.encode())],
    "VideoAttachment": [ie.VideoAttachment("v", LONG.encode())],
    "DocumentAttachment": [ie.DocumentAttachment("d", LONG.encode(), name=LONG)],
    "RequestV2": [V2, ie.RequestV2([])],
    "ResolvedV2": [V2.resolve()],
    "EmbedRequest": [ie.EmbedRequest([LONG] * 9), ie.EmbedRequest([LONG])],
    "EmbedResolved": [ie.EmbedRequest([LONG]).resolve()],
    "EmbedResult": [ie.Mock().embed(ie.EmbedRequest([LONG] * 9, dimensions=99).resolve())],
    "OpenAiCompat": [ie.OpenAiCompat(ADDRESS, **SETTINGS), ie.OpenAiCompat(api_key="")],
    "OpenAiCompatConfig": [
        ie.OpenAiCompatConfig(base_url=ADDRESS, **SETTINGS),
        ie.OpenAiCompatConfig.preset("vllm", model="m"),
    ],
    "Anthropic": [ie.Anthropic(ADDRESS, api_key="sk-1", model=LONG, betas=["beta"] * 99)],
    "AnthropicConfig": [ie.AnthropicConfig.preset("ollama", model=LONG)],
    "LlamaCpp": [ie.LlamaCpp(model_path=f"{LONG}.gguf")],
    "LlamaCppConfig": [ie.LlamaCppConfig(model_path=f"{LONG}.gguf")],
    "Bedrock": [ie.Bedrock(region="us-east-1", model=LONG, api_key="sk-1")],
    "BedrockConfig": [ie.BedrockConfig(region="us-east-1", model=LONG, api_key="sk-1")],
    "Mock": [ie.Mock([LONG] * 9), ie.Mock(LONG), ie.Mock()],
    "MockConfig": [ie.MockConfig(tokens=[LONG] * 9), ie.MockConfig()],
    "BackendCapabilities": [
        ie.BackendCapabilities(*[True] * 7, ie.AcceleratorInfo("cuda", 9, LONG)),
        ie.BackendCapabilities(),
    ],
    "AcceleratorInfo": [ie.AcceleratorInfo("cuda", 99, LONG, 2**40)],
    "MapResult": [
        ie.MapResult(10**9, LONG, ie.Completion(LONG)),
        ie.MapResult(0, MESSAGES, error=ie.UpstreamError(LONG), attempts=3),
    ],
    "Retry": [ie.Retry(10**9, 1e9 / 3, 1e9 / 3), ie.Retry()],
    "Retrying": [
        ie.Retrying(ie.OpenAiCompat(ADDRESS, **SETTINGS), ie.Retry(5)),
        ie.Retrying(ie.Mock()),
    ],
    "Router": [ie.Router([ie.Mock()] * 50), ie.Router([ie.Mock()])],
    "CancelToken": [ie.CancelToken()],
    "Merge": [ie.merge(), ie.merge(ie.Mock("a").stream("x") for _ in range(99))],
    "TokenStream": [ie.Mock("a").generate_v2(V2.resolve()), ie.Mock("a").stream("x")],
    "SSEDecoder": [ie.SSEDecoder()],
    "ServerSentEvent": [ie.ServerSentEvent(LONG, LONG, LONG), ie.ServerSentEvent("message", "")],
    "ChunkAccumulator": [ie.ChunkAccumulator()],
    "TextDelta": [ie.TextDelta(LONG)],
    "ThinkingDelta": [ie.ThinkingDelta(LONG)],
    "ToolUse": [CALL],
    "Done": [DONE, ie.Done(ie.StopReason.END_TURN)],
    "RawChunk": [ie.RawChunk(LONG.encode())],
    "Token": [ie.Token(LONG)],
    "StopReason": [ie.StopReason.CONTENT_FILTER],
    "Usage": [ie.Usage(10**6, 10**6, {"a": LONG, "b": LONG}), ie.Usage(None, None)],
    "Completion": [
        ie.Completion(LONG, LONG, (CALL,) * 20, DONE, LONG, LONG),
        ie.Completion(""),
    ],
    "StreamStats": [ie.StreamStats(1 / 3, 2 / 3, 10**6, 10**9, 10**6)],
    "Upstream": [testing.Upstream()],
    "Reply": [testing.Reply([LONG.encode()] * 99)],
    "Gate": [testing.Gate()],
    "Trickle": [testing.Trickle(LONG.encode(), 1.0, forever=True)],
    "Pause": [testing.Pause(1.0)],
    "TextIterator": [TextIterator(ie.Mock("a").stream("x"))],
    "HeartbeatIterator": [HeartbeatIterator(ie.Mock("a").stream("x"), 1.0)],
}
# What is made by nobody but those who extend it, or is a type and no object.
WITHOUT = {"Backend", "RequestFields", "Source"}


@pytest.fixture(autouse=True, scope="module")
def closed():
    yield
    for name in (
        "TokenStream",
        "Upstream",
        "OpenAiCompat",
        "Anthropic",
        "Bedrock",
        "Mock",
        "Retrying",
    ):
        for held in OBJECTS[name]:
            held.close()
    for name in ("TextIterator", "HeartbeatIterator"):
        OBJECTS[name][0].close()


def public_classes():
    for name in ie.__all__:
        value = getattr(ie, name)
        if inspect.isclass(value) and not issubclass(value, Exception) and name not in WITHOUT:
            yield name


def test_every_public_class_is_shown():
    """No public class is left out here."""
    assert set(public_classes()) - set(OBJECTS) == set()


@pytest.mark.parametrize("name", OBJECTS)
def test_a_repr_is_one_short_line(name):
    """A repr is a line of at most a hundred characters that a terminal can print."""
    for held in OBJECTS[name]:
        shown = repr(held)
        assert len(shown) <= LONGEST, shown
        assert shown.isprintable(), shown
        assert KEY[:9] not in shown
        assert name in shown
        assert " at 0x" not in shown
        assert f"{held!r}" == shown


@pytest.mark.parametrize(
    "name", [n for n in ie.__all__ if inspect.isclass(getattr(ie, n)) and n.endswith("Error")]
)
def test_the_repr_of_an_error(name):
    """An error is its class and its message, whatever else it holds."""
    error = getattr(ie, name)
    if name == "EventTooLargeError":
        assert repr(error(5, 3)).startswith("EventTooLargeError('a server-sent event has 5 bytes")
        return
    assert repr(error("what happened", partial=ie.Completion(LONG))) == f"{name}('what happened')"
    assert repr(pickle.loads(pickle.dumps(error("x")))) == f"{name}('x')"


def test_what_a_backend_shows():
    """A backend shows where it asks and what differs from the default."""
    local = {"base_url": "http://localhost:8080"}
    assert repr(ie.OpenAiCompat(**local, model="m", api_key="")) == (
        "OpenAiCompat(base_url='http://localhost:8080', model='m')"
    )
    assert repr(ie.OpenAiCompat(**local, api_key="secret", timeout=5.0, vision=True)) == (
        "OpenAiCompat(api_key='***', base_url='http://localhost:8080', timeout=5.0, vision=True)"
    )
    assert repr(ie.OpenAiCompatConfig(**local, api_key="", buffer=0)) == (
        "OpenAiCompatConfig(base_url='http://localhost:8080', buffer=0)"
    )
    assert repr(ie.Mock()) == "Mock()"
    assert repr(ie.Mock(token_delay=0.5)) == "Mock(token_delay=0.5)"
    assert repr(ie.BackendCapabilities(v2=True, tools=True)) == (
        "BackendCapabilities(v2=True, tools=True)"
    )


def test_what_changes_is_shown():
    """A token says whether it is cancelled, a stream how it ended, an upstream where it is."""
    token = ie.CancelToken()
    assert repr(token) == "<CancelToken>"
    token.cancel()
    assert repr(token) == "<CancelToken cancelled>"
    late = ie.CancelToken()
    late.cancel_after(-1)
    assert repr(late) == "<CancelToken cancelled>"
    stream = ie.Mock("a").stream("x")
    assert repr(stream) == "<TokenStream streaming>"
    assert repr(stream.text()) == "<TextIterator of <TokenStream streaming>>"
    stream.close()
    assert repr(stream) == "<TokenStream closed>"
    stream = ie.Mock("a").stream("x", id="r-1")
    list(stream)
    assert repr(stream) == "<TokenStream r-1 done>"
    with testing.Upstream() as upstream:
        assert repr(upstream) == f"<Upstream {upstream.url}>"
    gate = testing.Gate()
    assert repr(gate) == "<Gate shut>"
    gate.open()
    assert repr(gate) == "<Gate open>"


def test_what_values_show():
    """Small values are shown whole, large ones by their size."""
    assert repr(ie.TextDelta("Hi")) == "TextDelta(delta='Hi')"
    assert repr(ie.user("Hi")) == "MessageV2(role='user', content=[TextBlock(text='Hi')])"
    assert repr(ie.Done(ie.StopReason.END_TURN, None, "stop")) == (
        "Done(stop_reason='end_turn', finish_reason='stop')"
    )
    assert repr(ie.RequestV2(MESSAGES, temperature=0.0)) == (
        "RequestV2(messages=<100 items>, temperature=0.0)"
    )
    assert repr(ie.Completion("Hi", done=ie.Done(ie.StopReason.END_TURN))) == (
        "<Completion 'Hi' end_turn>"
    )


@pytest.mark.parametrize(
    "value",
    [
        ie.RequestV2.from_dict({"messages": [], "attachments": [{"kind": "image"}]}),
        ie.ImageAttachment("i", 1, 1, None),
        ie.AudioAttachment("a", 1, 5),
        ie.VideoAttachment("v", ["not", "bytes"]),
    ],
)
def test_what_is_wrong_can_be_shown(value):
    """A value that resolve() will refuse is shown all the same: somebody looks for the reason."""
    assert len(repr(value)) <= LONGEST

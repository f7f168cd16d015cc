"""A program that uses the public API, for the type checker alone: it is never run."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import assert_type

import inferd_engine as ie
from inferd_engine.testing import Received, Reply, Upstream, text_reply

if TYPE_CHECKING:
    from collections.abc import Iterator


def stream_text(backend: ie.Backend) -> Iterator[str]:
    """Stream text from whatever backend it is."""
    with backend.stream("Why is the sky blue?", max_tokens=10) as stream:
        assert_type(stream, ie.TokenStream)
        yield from stream.text()
    assert_type(stream.done, ie.Done | None)


def look_at_events(stream: ie.TokenStream) -> None:
    """Tell events apart by class."""
    for event in stream:
        if isinstance(event, ie.TextDelta):
            assert_type(event.delta, str)
        elif isinstance(event, ie.ToolUse):
            assert_type(event.name, str)
        elif isinstance(event, ie.Done):
            assert_type(event.stop_reason, ie.StopReason)
            assert_type(event.usage, ie.Usage | None)


def next_turn(backend: ie.OpenAiCompat, tool: ie.Tool) -> ie.Completion:
    """Answer the tool calls of a completion."""
    history: list[ie.MessageV2] = [ie.system("Be brief."), ie.user("Weather?")]
    completion = backend.complete(history, tools=[tool])
    history.append(completion.to_message())
    history += [ie.tool_result(call.tool_call_id, "sunny") for call in completion.tool_uses]
    return backend.with_options(timeout=None).complete(history, tools=[tool])


def handle(error: ie.GenerateError) -> float | None:
    """Act on an error by its class."""
    if isinstance(error, ie.HttpStatusError):
        assert_type(error.status, int)
        assert_type(error.code, "str | None")
        return error.retry_after
    if isinstance(error, ie.DeadlineError) and error.phase == "connect":
        return 1.0
    return 0.0 if error.retryable else None


def show_live(backend: ie.Backend) -> None:
    """Show answers in a notebook."""
    assert_type(backend.display("Hi", max_tokens=9, thinking=True, plain=True), ie.Completion)
    with backend.stream("Hi") as stream:
        assert_type(stream.display(thinking="open", trust=True), ie.Completion)


def configure() -> ie.OpenAiCompat:
    """Make a backend from a configuration or from fields."""
    config = ie.OpenAiCompatConfig(base_url="http://localhost:8080", api_key="", model="m")
    known = ie.OpenAiCompatConfig.preset("groq", model="m", api_key=None)
    assert_type(known, ie.OpenAiCompatConfig)
    assert_type(known.vision, bool)
    keyless = ie.OpenAiCompatConfig(api_key=None, vision=True, split_think_tags="inside")
    assert_type(ie.OpenAiCompat(keyless).capabilities().vision, bool)
    rotating = ie.OpenAiCompatConfig(api_key=lambda: "k", verify=Path("ca.pem"), cert=("a", "b"))
    assert_type(rotating.api_key.reveal(), str)
    assert_type(rotating.verify, "bool | str | None")
    return ie.OpenAiCompat(config, timeout=5.0)


def show(backend: ie.Backend, png: bytes) -> str:
    """Show images by address and by their bytes."""
    images = [
        ie.ImageAttachment.at("a", "https://x.example/"),
        ie.ImageAttachment.encoded("b", png),
    ]
    blocks = (ie.TextBlock("See"), ie.ImageBlock("a"), ie.ImageBlock("b"))
    return backend.complete([ie.MessageV2(ie.Role.USER, blocks)], attachments=images).text


def answer(received: Received) -> Reply:
    """Make a reply from a request."""
    return text_reply(f"You asked {received.path}")


def cancel_all(backends: list[ie.Backend], token: ie.CancelToken) -> None:
    """Carry one token through several calls."""
    for backend in backends:
        with backend.stream("x", cancel=token) as stream:
            event = stream.poll(1.0)
            if event is None and not stream.ended:
                token.cancel()
    with Upstream(text_reply("x"), otherwise=answer) as upstream:
        assert_type(upstream.url, str)


def messages() -> None:
    """Ask Anthropic's Messages."""
    config = ie.AnthropicConfig.preset("ollama", model="m", cache="1h")
    with ie.Anthropic(config, thinking_style="budget").with_options(betas=["a"]) as backend:
        assert_type(backend.complete("x", thinking="low").done, ie.Done | None)
        assert_type(backend.models(), list[str])
    document = ie.DocumentAttachment("d", b"%PDF", name="d.pdf")
    failed = ie.ToolResultBlock("i", "x", is_error=True)
    ie.RequestV2([ie.MessageV2("user", [ie.DocumentBlock("d"), failed])], attachments=[document])


def ask_many(backend: ie.Backend, path: Path, lines: list[str]) -> list[ie.Completion]:
    """Ask many prompts at once."""
    found: list[ie.Completion] = []
    with backend.map(
        lines, concurrency="auto", retry=ie.Retry(), journal=path, max_tokens=5, system="Brief."
    ) as results:
        for result in results:
            assert_type(result, ie.MapResult)
            assert_type(result.error, ie.GenerateError | None)
            if result.completion is not None:
                found.append(result.completion)
    mixed = backend.map(["a", [ie.user("b")], {"prompt": "c"}, ie.RequestV2([ie.user("d")])])
    iterator: Iterator[ie.MapResult] = mixed
    assert_type(next(iterator).completion, ie.Completion | None)
    with ThreadPoolExecutor() as pool:
        return found + [r.completion for r in backend.map(lines, executor=pool) if r.completion]


def vectors(backend: ie.Backend) -> None:
    """Make embeddings."""
    result = backend.embeddings(["x"], task="retrieval_query", dimensions=8)
    assert_type(result, ie.EmbedResult)
    assert_type(result.embeddings, tuple[tuple[float, ...], ...])
    assert_type(result.usage, ie.Usage | None)


def again(backend: ie.Backend, token: ie.CancelToken) -> None:
    """Ask again, and ask others."""
    retry = ie.Retry(attempts=5, max_elapsed=60.0)
    asking = ie.Retrying(ie.Router([backend, ie.Mock("x")], clock=time.monotonic), retry)
    try:
        assert_type(asking.complete("x", cancel=token), ie.Completion)
        assert_type(asking.with_options(timeout=5.0), ie.Retrying)
    except ie.GenerateError as error:
        assert_type(error.retry_after, float | None)
        assert_type(error.attempts, int)
        assert_type(retry.pause(error, attempt=1, elapsed=0.0), float | None)
        assert_type(token.wait(1.0), bool)


class Counting(ie.Source):
    """A source of somebody's own."""

    can_wait = True

    def read(self, give_up: float | None) -> list[ie.TokenEventV2]:
        """Give all at once."""
        return [ie.TextDelta("1"), ie.Done(ie.StopReason.END_TURN)]

    def cancel(self) -> None:
        """Nothing waits."""


def open_streams(backend: ie.Backend, token: ie.CancelToken) -> None:
    """Open streams over whatever gives events."""
    assert_type(backend.open_stream(Counting(), cancel=token), ie.TokenStream)
    events: list[ie.TokenEventV2] = [ie.TextDelta("1"), ie.Done(ie.StopReason.END_TURN)]
    backend.open_stream(iter(events), request_id="mine")
    backend.open_stream(event for event in events)


def read_many(backend: ie.Backend) -> None:
    """Read many streams in one thread."""
    with ie.merge(backend.stream(str(number)) for number in range(3)) as merge:
        assert_type(merge, ie.Merge)
        merge.add(backend.stream("x"))
        pair = merge.poll(1.0)
        if pair is not None:
            assert_type(pair[0], ie.TokenStream)
        for stream, event in merge:
            if isinstance(event, ie.GenerateError):
                assert_type(event.retryable, bool)
            elif event.type == "text":
                assert_type(event.delta, str)
            elif event.type == "done":
                assert_type(stream.done, ie.Done | None)


def first_text(request: ie.ResolvedV2) -> str:
    """Answer with what was asked."""
    return "".join(b.text for b in request.messages[0].content if isinstance(b, ie.TextBlock))


def script(call: ie.ToolUse) -> list[ie.Mock]:
    """Script mocks in every way."""
    mock = ie.Mock(answers=["a", ["b", call], ie.TransportError("down"), first_text])
    assert_type(mock.models(), list[str])
    assert_type(mock.with_options(token_delay=0.1), ie.Mock)
    assert_type(mock.embed(ie.EmbedRequest("x").resolve()), ie.EmbedResult)
    config = ie.MockConfig(tokens=["a"], answers=[lambda request: request.id])
    plain = [ie.Mock("hello"), ie.Mock(["hel", "lo"]), ie.Mock(config), ie.Mock(tokens="a")]
    return [mock, *plain, ie.Mock([call]), ie.Mock(first_text), ie.Mock("a", buffer=0)]

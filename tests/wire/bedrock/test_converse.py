"""Bedrock's Converse: requests in its words, answers from its frames."""

from __future__ import annotations

import base64
import json

import pytest
from event_streams import encoded, event, exception

import inferd_engine as ie
from inferd_engine.wire.anthropic.dialect import Dialect
from inferd_engine.wire.bedrock.answer import Answer
from inferd_engine.wire.bedrock.request import body_from

PNG = b"\x89PNG\r\n\x1a\n rest"
WEATHER = ie.Tool("weather", "What the weather is like", {"type": "object", "properties": {}})
SETTINGS = {
    "model": "m", "max_tokens": 1024, "version": "2023-06-01", "thinking_style": "adaptive",
    "cache": False, "vision": True, "documents": True, "extra_body": {},
}  # fmt: skip


def mapped(*messages, settings=None, **fields):
    dialect = Dialect(**{**SETTINGS, **(settings or {})})
    return body_from(ie.RequestV2(messages, **fields).resolve(), dialect)


def turn(role, *content):
    return ie.MessageV2(role, content)


# --- requests ------------------------------------------------------------------------------------


def test_a_request():
    """Every field goes where Converse wants it; the model is in the address."""
    body = mapped(
        ie.system("Be brief."), ie.user("Hi"), temperature=0.5, top_p=0.9, top_k=4, stop="END",
        max_tokens=5, thinking="low", extra_body={"requestMetadata": {"a": "b"}},
        response_format={"type": "json_schema", "schema": {"type": "object"}},
    )  # fmt: skip
    assert body == {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "inferenceConfig": {
            "maxTokens": 5,
            "temperature": 0.5,
            "topP": 0.9,
            "stopSequences": ["END"],
        },
        "additionalModelRequestFields": {"top_k": 4, "thinking": {"type": "adaptive"}},
        "outputConfig": {
            "effort": "low",
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": '{"type": "object"}'}},
            },
        },
        "requestMetadata": {"a": "b"},
    }


def test_blocks():
    """Thoughts, calls, results, images and documents are said in Converse's words."""
    attachments = [
        ie.ImageAttachment.encoded("i", PNG),
        ie.DocumentAttachment("d", b"%PDF", name="My/report_1  v2.pdf"),
        ie.DocumentAttachment("t", b"words", "text/plain"),
    ]
    shown = [ie.ImageBlock("i"), ie.DocumentBlock("d"), ie.DocumentBlock("t")]
    thoughts = [
        ie.ThinkingBlock("hm", {"signature": "s"}),
        ie.ThinkingBlock("", {"redacted": "cmVk"}),
        ie.ThinkingBlock("unsigned"),
    ]
    body = mapped(
        turn("user", ie.TextBlock("Look:"), *shown),
        turn("assistant", *thoughts, ie.ToolUseBlock("c", "weather", {"a": 1})),
        turn("user", ie.ToolResultBlock("c", [ie.TextBlock("boom"), shown[0]], is_error=True)),
        attachments=attachments,
    )
    image = {"image": {"format": "png", "source": {"bytes": base64.b64encode(PNG).decode()}}}
    asked, called, answered = (message["content"] for message in body["messages"])
    assert asked == [
        {"text": "Look:"},
        image,
        {"document": {"format": "pdf", "name": "My report 1 v2", "source": {"bytes": "JVBERg=="}}},
        {"document": {"format": "txt", "name": "document", "source": {"bytes": "d29yZHM="}}},
    ]
    assert called == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"toolUse": {"toolUseId": "c", "name": "weather", "input": {"a": 1}}},
    ]
    result = {"toolUseId": "c", "content": [{"text": "boom"}, image], "status": "error"}
    assert answered == [{"toolResult": result}]


def test_ids_that_are_too_long():
    """They are written anew, alike in call and result, and another for another call."""
    long = ["call_" + "x" * 100, "call_" + "x" * 101, "c" * 64]
    called = [ie.ToolUseBlock(i, "f", {}) for i in long]
    results = [ie.ToolResultBlock(i, "x") for i in long]
    body = mapped(ie.user("a"), turn("assistant", *called), turn("user", *results))
    sent = [block["toolUse"]["toolUseId"] for block in body["messages"][1]["content"]]
    assert sent == [b["toolResult"]["toolUseId"] for b in body["messages"][2]["content"]]
    assert len(set(sent)) == 3
    assert {len(one) for one in sent} == {64}
    assert sent[2] == long[2]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (None, None),
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ("weather", {"tool": {"name": "weather"}}),
    ],
)
def test_tools(choice, wanted):
    """Tools have their schema as JSON; a choice is an object of one name."""
    config = mapped(ie.user("a"), tools=[WEATHER], tool_choice=choice)["toolConfig"]
    assert config["tools"] == [
        {
            "toolSpec": {
                "name": "weather",
                "description": "What the weather is like",
                "inputSchema": {"json": {"type": "object", "properties": {}}},
            }
        }
    ]
    assert config.get("toolChoice") == wanted


def test_no_tools_are_chosen():
    """There is no choice "none": the tools are left out."""
    assert "toolConfig" not in mapped(ie.user("a"), tools=[WEATHER], tool_choice="none")


def test_marks_of_the_cache():
    """A mark is a block of its own, behind what is kept."""
    body = mapped(
        ie.system("s"), ie.user("a"), ie.assistant("b"), ie.user("c"), tools=[WEATHER],
        settings={"cache": "1h"},
    )  # fmt: skip
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert body["system"] == [{"text": "s"}, point]
    assert body["toolConfig"]["tools"][-1] == point
    assert [message["content"][-1] == point for message in body["messages"]] == [True, False, True]
    body = mapped(ie.user("a"), settings={"cache": True})
    assert body["messages"][0]["content"][-1] == {"cachePoint": {"type": "default"}}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seed": 1}, "seed"),
        ({"parallel_tool_calls": False, "tools": [WEATHER]}, "parallel_tool_calls"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"attachments": [ie.ImageAttachment.at("i", "https://h/i.png")]}, "address"),
        ({"attachments": [ie.ImageAttachment.encoded("i", PNG)], "off": True}, "vision=True"),
    ],
)
def test_what_has_no_words(fields, words):
    """What cannot be said is refused before anything is sent."""
    content = [ie.TextBlock("a"), *([ie.ImageBlock("i")] if "attachments" in fields else [])]
    settings = {"vision": not fields.pop("off", False)}
    with pytest.raises(ie.InvalidRequestError, match=words):
        mapped(turn("user", *content), settings=settings, **fields)


def test_refusals_name_the_protocol():
    """Whoever asks Bedrock is not told of Anthropic's words."""
    for fields in ({"seed": 1}, {"response_format": {"type": "json_object"}}):
        with pytest.raises(ie.UnsupportedError) as caught:
            mapped(ie.user("a"), **fields, settings={"spoken": "Bedrock's Converse"})
        assert "Bedrock's Converse" in str(caught.value)
        assert "Anthropic" not in str(caught.value)


def test_images_of_other_kinds():
    """The kinds of images are four."""
    for kind, wanted in (("jpg", "jpeg"), ("webp", "webp")):
        shown = {"attachments": [ie.ImageAttachment.at("i", f"data:image/{kind};base64,QUJD")]}
        body = mapped(turn("user", ie.ImageBlock("i")), **shown)
        image = body["messages"][0]["content"][0]["image"]
        assert image == {"format": wanted, "source": {"bytes": "QUJD"}}
    shown = {"attachments": [ie.ImageAttachment.at("i", "data:image/svg+xml;base64,QUJD")]}
    with pytest.raises(ie.AttachmentUnsupportedError, match=r"image/svg\+xml.*image/png"):
        mapped(turn("user", ie.ImageBlock("i")), **shown)


@pytest.mark.parametrize("media_type", ["application/rtf", "image/png", "text/xml"])
def test_documents_of_other_kinds(media_type):
    """The kinds of documents are nine: others are refused with those that are taken."""
    shown = {"attachments": [ie.DocumentAttachment("d", b"x", media_type=media_type)]}
    with pytest.raises(ie.AttachmentUnsupportedError, match=media_type) as caught:
        mapped(turn("user", ie.TextBlock("a"), ie.DocumentBlock("d")), **shown)
    assert "application/pdf" in str(caught.value)


# --- answers -------------------------------------------------------------------------------------


def delta(index, **said):
    return event("contentBlockDelta", contentBlockIndex=index, delta=said)


def stop(index):
    return event("contentBlockStop", contentBlockIndex=index)


def call(index, call_id="c", name="f"):
    start = {"toolUse": {"toolUseId": call_id, "name": name}}
    return event("contentBlockStart", contentBlockIndex=index, start=start)


START = event("messageStart", role="assistant")
USAGE = {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8, "cacheReadInputTokens": 10}


def end(reason="end_turn", usage=USAGE):
    told = event("metadata", usage=usage, metrics={"latencyMs": 5})
    return [event("messageStop", stopReason=reason), *([told] if usage else [])]


def read(body, size=0, **options):
    answer, events = Answer(**options), []
    for at in range(0, len(body), size or len(body) or 1):
        events += answer.feed(body[at : at + (size or len(body))])
    events += answer.end()
    events += [given for given, _ in answer.rest()]
    return events, answer.ending


both = pytest.mark.parametrize("size", [0, 1, 13], ids=["whole", "bytes", "pieces"])


@both
def test_text_thoughts_and_a_call(size):
    """Blocks become events; usage comes after the reason; the turn can go back."""
    body = b"".join(
        [
            START,
            delta(0, reasoningContent={"text": "hm"}),
            delta(0, reasoningContent={"signature": "s"}),
            stop(0),
            delta(1, text="I "),
            delta(1, text="look."),
            stop(1),
            call(2),
            delta(2, toolUse={"input": '{"q":'}),
            delta(2, toolUse={"input": '"x"}'}),
            stop(2),
            *end("tool_use"),
        ]
    )
    events, done = read(body, size)
    assert events == [
        ie.ThinkingDelta("hm"),
        ie.TextDelta("I "),
        ie.TextDelta("look."),
        ie.ToolUse("c", "f", {"q": "x"}),
    ]
    assert (done.stop_reason, done.finish_reason) == (ie.StopReason.TOOL_USE, "tool_use")
    assert done.usage == ie.Usage(13, 5, USAGE)
    assert done.blocks == (
        ie.ThinkingBlock("hm", {"signature": "s"}),
        ie.TextBlock("I look."),
        ie.ToolUseBlock("c", "f", {"q": "x"}),
    )


@both
def test_redacted_and_hidden_thoughts(size):
    """A thought that cannot be read, or is not shown, goes back all the same."""
    body = b"".join(
        [
            START,
            delta(0, reasoningContent={"redactedContent": "cmVk"}),
            stop(0),
            delta(1, reasoningContent={"signature": "only"}),
            stop(1),
            delta(2, text="x"),
            stop(2),
            *end(),
        ]
    )
    events, done = read(body, size)
    assert events == [ie.TextDelta("x")]
    assert done.blocks == (
        ie.ThinkingBlock("", {"redacted": "cmVk"}),
        ie.ThinkingBlock("", {"signature": "only"}),
        ie.TextBlock("x"),
    )


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "end_turn"),
        ("stop_sequence", "stop_sequence"),
        ("max_tokens", "max_tokens"),
        ("model_context_window_exceeded", "max_tokens"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "error"),
        ("malformed_tool_use", "error"),
        ("something_new", "end_turn"),
    ],
)
def test_stop_reasons(word, reason):
    """Every word of Bedrock's has one of ours."""
    _, done = read(b"".join([START, delta(0, text="x"), stop(0), *end(word)]))
    assert (done.stop_reason.value, done.finish_reason) == (reason, word)


@both
@pytest.mark.parametrize("usage", [USAGE, None])
def test_the_end(size, usage):
    """A reason makes the answer whole, with usage or without; without a reason it was cut."""
    events, done = read(b"".join([START, delta(0, text="x"), *end(usage=usage)]), size)
    assert events == [ie.TextDelta("x")]
    assert isinstance(done, ie.Done)
    assert (done.usage is None) == (usage is None)
    for body in (START + delta(0, text="x"), START + delta(0, text="x") + end()[0][:-3]):
        events, error = read(body, size)
        assert events == [ie.TextDelta("x")]
        assert isinstance(error, ie.StreamInterruptedError)
    assert isinstance(read(b"", size)[1], ie.StreamInterruptedError)


EXCEPTIONS = [
    ("internalServerException", True),
    ("modelStreamErrorException", True),
    ("modelTimeoutException", True),
    ("serviceUnavailableException", True),
    ("throttlingException", True),
    ("validationException", False),
]


@both
@pytest.mark.parametrize("before", [b"", START, START + delta(0, text="half")])
@pytest.mark.parametrize(("kind", "retryable"), EXCEPTIONS)
def test_exceptions(size, before, kind, retryable):
    """A modelled error is given after what had come, with its type and whether it may pass."""
    body = before + exception(kind, message="too much")
    events, error = read(body, size, request_id="r")
    assert events == ([ie.TextDelta("half")] if len(before) > len(START) else [])
    assert type(error) is ie.UpstreamError
    assert (error.code, error.message, error.retryable) == (kind, "too much", retryable)
    assert error.request_id == "r"


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        ("InternalFailure", True),
        ("ServiceUnavailable", True),
        ("ThrottlingException", True),
        ("AccessDeniedException", False),
        ("ExpiredTokenException", False),
        ("ResourceNotFoundException", False),
        ("ValidationError", False),
    ],
)
def test_an_unmodelled_error(code, retryable):
    """One that has no type has a code, and no payload."""
    headers = [
        (":message-type", 7, "error"),
        (":error-code", 7, code),
        (":error-message", 7, "it broke"),
    ]
    events, error = read(START + delta(0, text="half") + encoded(headers))
    assert events == [ie.TextDelta("half")]
    assert type(error) is ie.UpstreamError
    assert (error.code, error.message, error.retryable) == (code, "it broke", retryable)


@pytest.mark.parametrize("kind", ["exception", "error"])
def test_an_error_without_words(kind):
    """It is an error all the same, told by what there is."""
    _, error = read(START + encoded([(":message-type", 7, kind)]))
    assert type(error) is ie.UpstreamError
    assert "an error" in str(error)
    named = encoded(
        [(":message-type", 7, "exception"), (":exception-type", 7, "throttlingException")]
    )
    assert "throttlingException" in str(read(named)[1])


def test_the_words_of_the_model_behind():
    """What the model itself said is told."""
    failed = exception(
        "modelStreamErrorException", message="error", originalMessage="out of memory"
    )
    assert read(START + failed)[1].message == "out of memory"


@both
def test_a_damaged_frame(size):
    """What came before is given, then the error."""
    damaged = bytearray(delta(0, text="lost"))
    damaged[-6] ^= 1
    events, error = read(START + delta(0, text="x") + bytes(damaged) + b"".join(end()), size)
    assert events == [ie.TextDelta("x")]
    assert (error.code, isinstance(error, ie.UpstreamError)) == ("malformed", True)


def test_a_frame_that_is_too_large():
    """A frame above the limit is an error as everywhere."""
    _, error = read(START + delta(0, text="x" * 1000), max_event_bytes=500)
    assert error.code == "event_too_large"


@both
def test_a_cut_call(size):
    """A call that a limit has cut is left out; one that is no JSON otherwise is an error."""
    body = [START, call(0), delta(0, toolUse={"input": '{"a": '}), stop(0)]
    events, done = read(b"".join([*body, *end("max_tokens")]), size)
    assert (events, done.stop_reason) == ([], ie.StopReason.MAX_TOKENS)
    _, error = read(b"".join([*body, *end("tool_use")]), size)
    assert isinstance(error, ie.ToolCallMalformedError)


@both
def test_tools_of_the_server(size):
    """What Bedrock runs by itself is no call, and its result says nothing."""
    own = {"toolUseId": "s", "name": "nova_grounding", "type": "server_tool_use"}
    body = [
        START,
        event("contentBlockStart", contentBlockIndex=0, start={"toolUse": own}),
        delta(0, toolUse={"input": '{"q": 1}'}),
        stop(0),
        event("contentBlockStart", contentBlockIndex=1, start={"toolResult": {"toolUseId": "s"}}),
        delta(1, toolResult=[{"text": "found"}]),
        stop(1),
        delta(2, text="so"),
        stop(2),
        *end("end_turn"),
    ]
    events, done = read(b"".join(body), size)
    assert events == [ie.TextDelta("so")]
    assert done.stop_reason == ie.StopReason.END_TURN
    content = [{"toolUse": {**own, "input": {"q": 1}}}, {"text": "so"}]
    whole = {**WHOLE, "output": {"message": {"content": content}}, "stopReason": "end_turn"}
    events, done = read(json.dumps(whole).encode(), size)
    assert events == [ie.TextDelta("so")]
    assert done.stop_reason == ie.StopReason.END_TURN


def test_what_nobody_knows():
    """Events and deltas of new kinds say nothing; pieces of JSON that is none are counted."""
    odd = [event("contentBlockSparkle", x=1), delta(0, citation={"x": 1}), delta(0, text="x")]
    broken = encoded([(":message-type", 7, "event"), (":event-type", 7, "metadata2")], b"{oops")
    events, done = read(b"".join([START, *odd, broken, *end()]))
    assert events == [ie.TextDelta("x")]
    assert isinstance(done, ie.Done)


def test_a_payload_that_cannot_be_read(caplog):
    """It is left out, counted and told, as for every protocol; its words are nobody's to log."""
    headers = [(":message-type", 7, "event"), (":event-type", 7, "contentBlockDelta")]
    answer = Answer()
    answer.feed(START + encoded(headers, b"{oops") + delta(0, text="x") + b"".join(end()))
    assert answer.skipped == 1
    assert "skipped a payload of 5 characters that is not JSON" in caplog.text
    assert "oops" not in caplog.text


def test_raw():
    """Every payload is there for those who ask."""
    events, _ = read(b"".join([START, delta(0, text="x"), *end()]), include_raw=True)
    raw = [json.loads(given.data) for given in events if given.type == "raw"]
    assert len(raw) == 4
    assert raw[-1]["metrics"] == {"latencyMs": 5}


WHOLE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
                {"text": "hi"},
                {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": USAGE,
}


@both
def test_an_answer_that_was_not_streamed(size):
    """It gives the same events."""
    events, done = read(json.dumps(WHOLE).encode(), size)
    assert events == [
        ie.ThinkingDelta("hm"),
        ie.TextDelta("hi"),
        ie.ToolUse("c", "f", {"a": 1}),
    ]
    assert (done.stop_reason, done.usage) == (ie.StopReason.TOOL_USE, ie.Usage(13, 5, USAGE))
    assert done.blocks[0] == ie.ThinkingBlock("hm", {"signature": "s"})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "no such model"}', "no such model"),
        (b'{"choices": []}', "OpenAI"),
        (b"<html><title>Sign in</title></html>", "Sign in"),
    ],
)
def test_what_is_no_answer(body, words):
    """An error, another protocol's answer or a page with status 200 is an error."""
    _, error = read(body)
    assert isinstance(error, ie.UpstreamError)
    assert words in str(error)


MESSAGE = b'{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}'
OTHERS = {
    "OpenAI": b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\ndata: [DONE]\n\n',
    "OpenAI, a comment first": b': ping\n\ndata: {"choices": []}\n\n',
    "OpenAI, a blank line first": b'\ndata: {"choices": []}\n\n',
    "Anthropic": b'event: message_start\ndata: {"type": "message_start"}\n\n',
    "Anthropic, whole": MESSAGE,
}


@both
@pytest.mark.parametrize("name", OTHERS)
def test_the_answer_of_another_protocol(size, name):
    """It is named, and to ask again does not help: it is no damaged frame."""
    given, error = read(OTHERS[name], size)
    assert given == []
    assert isinstance(error, ie.UpstreamError)
    assert (error.code, error.retryable) == ("other_protocol", False)
    assert name.partition(",")[0] in str(error)

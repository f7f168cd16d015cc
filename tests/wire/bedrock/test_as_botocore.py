"""Bodies for Converse, looked at by botocore: its model of the service is Amazon's own."""

from __future__ import annotations

import re

import pytest

import inferd_engine as ie
from inferd_engine.wire.bedrock.request import body_from

pytest.importorskip("botocore")

from botocore.session import Session
from botocore.validate import ParamValidator

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
SHOWN = [
    ie.ImageAttachment.encoded("png", b"\x89PNG\r\n\x1a\n rest"),
    ie.ImageAttachment.encoded("jpeg", b"\xff\xd8\xff\xe0 rest"),
    ie.ImageAttachment.encoded("gif", b"GIF89a rest"),
    ie.ImageAttachment.encoded("webp", b"RIFF\0\0\0\0WEBPVP8 "),
    ie.ImageAttachment("raw", 1, 1, b"abc"),
]
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
TYPES = ["application/pdf", "text/plain", "text/markdown", "text/html", "text/csv", WORD]
FILES = [
    ie.DocumentAttachment(f"d{at}", b"words", kind, name)
    for at, kind in enumerate(TYPES)
    for name in [["", "a_b/c.x.pdf", "Grüße 😀.txt", "...", "a  b", "x" * 300][at]]
]
SECOND = "call_" + "x" * 100
CALL = ie.MessageV2(
    "assistant",
    [
        ie.ThinkingBlock("hm", {"signature": "s"}),
        ie.ThinkingBlock("", {"redacted": "cmVk"}),
        ie.TextBlock("I look."),
        ie.ToolUseBlock("a.b:c", "f", {"city": "Łódź"}),
        ie.ToolUseBlock(SECOND, "g", "no object"),
    ],
)
RESULTS = ie.MessageV2(
    "user",
    [
        ie.ToolResultBlock("a.b:c", [ie.TextBlock("x"), ie.ImageBlock("png")]),
        ie.ToolResultBlock(SECOND, "", is_error=True),
    ],
)
TOOLS = [ie.Tool("f", "Look.", SCHEMA, strict=True), ie.Tool("g", "", {})]
REQUESTS = {
    "text": {"messages": [ie.system("Be brief."), ie.user("Hi")]},
    "images": {
        "messages": [ie.MessageV2("user", [ie.ImageBlock(one.id) for one in SHOWN])],
        "attachments": SHOWN,
    },
    "documents": {
        "messages": [
            ie.MessageV2(
                "user", [ie.TextBlock("Read."), *[ie.DocumentBlock(one.id) for one in FILES]]
            )
        ],
        "attachments": FILES,
    },
    "a tool loop": {
        "messages": [ie.user("Hi"), CALL, RESULTS], "tools": TOOLS, "attachments": SHOWN,
    },
    "everything": {
        "messages": [ie.user("Hi")], "temperature": 0.5, "top_p": 0.9, "top_k": 4, "stop": "END",
        "response_format": {"type": "json_schema", "schema": SCHEMA}, "thinking": "low",
    },
    **{
        f"choice {choice}": {"messages": [ie.user("Hi")], "tools": TOOLS, "tool_choice": choice}
        for choice in ("auto", "required", "none")
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def shape():
    """What a body may be, as botocore knows it."""
    service = Session().get_service_model("bedrock-runtime")
    return service.operation_model("ConverseStream").input_shape


@pytest.mark.parametrize("cache", [False, True, "1h"])
@pytest.mark.parametrize("style", ["adaptive", "effort", "enabled", "budget"])
@pytest.mark.parametrize("name", REQUESTS)
def test_a_body_is_what_the_model_says(shape, name, style, cache):
    """Names, types, lengths and words: nothing is unknown, nothing is missing."""
    config = ie.BedrockConfig(
        region="us-east-1", model="m", thinking_style=style, cache=cache, guardrail_id="g"
    )
    body = body_from(ie.RequestV2(**REQUESTS[name]).resolve(), config.dialect)
    report = ParamValidator().validate({**body, "modelId": "m"}, shape)
    assert not report.has_errors(), report.generate_report()
    assert [*_breaches(body, shape, "body")] == []


def _breaches(value, shape, place):
    """Yield what is longer than it may be, or another word: botocore leaves that to the service."""
    known = shape.metadata
    if isinstance(value, (str, list)) and len(value) > known.get("max", len(value)):
        yield f"{place} has {len(value)}, {known['max']} at the most"
    if shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            yield f"{place} is {value!r}, not one of {shape.enum}"
        if not re.fullmatch(known.get("pattern", ".*"), value, re.DOTALL):
            yield f"{place} is {value!r}, not {known['pattern']}"
    elif shape.type_name == "list":
        for at, item in enumerate(value):
            yield from _breaches(item, shape.member, f"{place}[{at}]")
    elif shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        for name, item in value.items():
            yield from _breaches(item, shape.members[name], f"{place}.{name}")

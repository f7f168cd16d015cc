"""Requests as Anthropic's Messages take them."""

from __future__ import annotations

import base64
import json

import pytest

import inferd_engine as ie
from inferd_engine.wire.anthropic.dialect import Dialect
from inferd_engine.wire.anthropic.request import body_from

PNG = b"\x89PNG\r\n\x1a\n rest"
PDF = b"%PDF-1.7 rest"
WEATHER = ie.Tool("weather", "What the weather is like", {"type": "object", "properties": {}})
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
BLOCK = ie.TextBlock


def mapped(*messages, settings=None, **fields):
    dialect = Dialect(**{**SETTINGS, **(settings or {})})
    return body_from(ie.RequestV2(messages, **fields).resolve(), dialect)


def turn(role, *content):
    return ie.MessageV2(role, content)


def refusal(*messages, **options):
    with pytest.raises(ie.InvalidRequestError) as caught:
        mapped(*messages, **options)
    return caught.value


def text(words):
    return {"type": "text", "text": words}


def test_what_is_not_set_is_not_sent():
    """Beside the model, the messages and the limit that is required there is nothing."""
    assert mapped(ie.user("Hi")) == {
        "model": "m",
        "max_tokens": 1024,
        "stream": True,
        "messages": [{"role": "user", "content": [text("Hi")]}],
    }


def test_fields_in_words_of_the_protocol():
    """What the caller sets goes where Messages want it."""
    body = mapped(
        ie.user("Hi"), model="other", max_tokens=5, temperature=0.5, top_p=0.9, top_k=4,
        stop="END", stream=False, extra_body={"metadata": {"user_id": "u"}},
    )  # fmt: skip
    assert body == {
        "model": "other",
        "max_tokens": 5,
        "stream": False,
        "messages": body["messages"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
    }


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_the_new_version_refuses_sampling(field):
    """From 2026-10-21 on a sampling field is refused with the way out, and is never dropped."""
    error = refusal(ie.user("Hi"), settings={"version": "2026-10-21"}, **{field: 1})
    assert isinstance(error, ie.UnsupportedError)
    assert field in str(error)
    assert 'version="2023-06-01"' in str(error)


@pytest.mark.parametrize("version", ["vertex-2023-10-16", "bedrock-2023-05-31"])
def test_the_version_is_its_date(version):
    """Amazon and Google write their name before it."""
    body = mapped(ie.user("Hi"), settings={"version": version}, temperature=0.5)
    assert body["temperature"] == 0.5
    later = version.replace("2023", "2027")
    assert "temperature" in str(refusal(ie.user("Hi"), settings={"version": later}, temperature=1))


def test_the_new_version_refuses_documents_of_the_assistant():
    """They are a 400 there: the place is told, before anything is sent."""
    history = [
        ie.user("Hi"),
        ie.MessageV2("assistant", [ie.TextBlock("here"), ie.DocumentBlock("d")]),
        ie.user("and?"),
    ]
    shown = {"attachments": [ie.DocumentAttachment("d", b"%PDF-1.7")]}
    error = refusal(*history, settings={"version": "2026-10-21"}, **shown)
    assert isinstance(error, ie.AttachmentUnsupportedError)
    assert str(error).startswith("messages[1].content[1] is a document in the assistant's turn")
    body = mapped(*history, settings={"version": "2023-06-01"}, **shown)
    assert body["messages"][1]["content"][1]["type"] == "document"
    result = ie.MessageV2("user", [ie.ToolResultBlock("c", [ie.DocumentBlock("d")])])
    body = mapped(ie.user("Hi"), result, settings={"version": "2026-10-21"}, **shown)
    assert body["messages"][0]["content"][0]["type"] == "tool_result"


def test_seed_is_refused():
    """There is no word for a seed."""
    assert isinstance(refusal(ie.user("Hi"), seed=1), ie.UnsupportedError)


# --- the history ---------------------------------------------------------------------------------


def test_system_messages_are_joined_wherever_they_stand():
    """Only user and assistant speak; what the system says goes in front."""
    body = mapped(ie.system("Be brief."), ie.user("Hi"), ie.system("Be kind."), ie.user("There"))
    assert body["system"] == "Be brief.\n\nBe kind."
    assert body["messages"] == [{"role": "user", "content": [text("Hi"), text("There")]}]


def test_turns_of_one_speaker_are_one():
    """Messages of one role in a row are merged, in order."""
    body = mapped(ie.user("a"), ie.user("b"), ie.assistant("c"), ie.assistant("d"), ie.user("e"))
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == [text("c"), text("d")]


def test_results_come_first():
    """Results of tools precede all else in the user's turn, each in its order."""
    body = mapped(
        ie.user("How is it?"),
        turn(
            "assistant",
            ie.ToolUseBlock("a", "weather", {}),
            ie.ToolUseBlock("b", "weather", {"x": 1}),
        ),
        ie.user("Quick!"),
        ie.tool_result("a", "sun"),
        turn("user", ie.ToolResultBlock("b", "boom", is_error=True)),
    )
    called, answered = body["messages"][1:]
    assert called["content"] == [
        {"type": "tool_use", "id": "a", "name": "weather", "input": {}},
        {"type": "tool_use", "id": "b", "name": "weather", "input": {"x": 1}},
    ]
    assert answered["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "sun"},
        {"type": "tool_result", "tool_use_id": "b", "content": "boom", "is_error": True},
        text("Quick!"),
    ]


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_blank_text_is_left_out(blank):
    """Blank text is a 400: it is left out, and so is a turn that holds nothing else."""
    body = mapped(ie.user("a"), ie.assistant(blank), turn("user", BLOCK(blank), BLOCK("b")))
    assert body["messages"] == [{"role": "user", "content": [text("a"), text("b")]}]
    assert "messages holds nothing" in str(refusal(ie.system("x"), ie.user(blank)))


def test_thoughts_go_back_as_they_came():
    """A signed thought and a redacted one go back unchanged, in order; others are left out."""
    body = mapped(
        ie.user("a"),
        turn(
            "assistant",
            ie.ThinkingBlock("hm", {"signature": "s"}),
            ie.ThinkingBlock("", {"redacted": "ZW5j"}),
            ie.ThinkingBlock("of another backend"),
            ie.ThinkingBlock("", {"signature": "of a thought that was not shown"}),
            BLOCK("b"),
        ),
        ie.user("c"),
    )
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "ZW5j"},
        {"type": "thinking", "thinking": "", "signature": "of a thought that was not shown"},
        text("b"),
    ]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"a": 1}, {"a": 1}),
        (None, {}),
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ("ls -l", {"input": "ls -l"}),
        ([1], {"input": [1]}),
        ("[1]", {"input": "[1]"}),
    ],
)
def test_an_input_is_an_object(value, wanted):
    """A call of another backend may have any input; here it is an object."""
    body = mapped(ie.user("a"), turn("assistant", ie.ToolUseBlock("i", "f", value)), ie.user("b"))
    assert body["messages"][1]["content"][0]["input"] == wanted


@pytest.mark.parametrize("value", [object(), float("nan"), {"a": {1, 2}}])
def test_an_input_that_json_cannot_hold(value):
    """What cannot be sent is named with its place."""
    error = refusal(ie.user("a"), turn("assistant", ie.ToolUseBlock("i", "f", value)))
    assert "messages[1].content[0].input" in str(error)


def test_ids_of_other_backends():
    """Ids have letters, digits, _ and -: others are written anew, alike in call and result."""
    odd = ["functions.f:0", "functions_f_0", "functions.f.0", "ok-1_A"]
    called = [ie.ToolUseBlock(i, "f", {}) for i in odd]
    results = [ie.ToolResultBlock(i, "x") for i in odd]
    body = mapped(ie.user("a"), turn("assistant", *called), turn("user", *results))
    sent = [block["id"] for block in body["messages"][1]["content"]]
    assert len(set(sent)) == len(odd)
    assert sent[3] == "ok-1_A"
    assert all(i.replace("-", "").replace("_", "").isalnum() for i in sent)
    assert sent == [block["tool_use_id"] for block in body["messages"][2]["content"]]


# --- images and documents ------------------------------------------------------------------------


def base64_source(kind, data):
    encoded = base64.b64encode(data).decode()
    return {"type": "base64", "media_type": kind, "data": encoded}


@pytest.mark.parametrize(
    ("attachment", "wanted"),
    [
        (
            ie.ImageAttachment.encoded("x", PNG),
            {"type": "image", "source": base64_source("image/png", PNG)},
        ),
        (
            ie.ImageAttachment.at("x", "https://h/i.png"),
            {"type": "image", "source": {"type": "url", "url": "https://h/i.png"}},
        ),
        (
            ie.ImageAttachment.at("x", "data:image/webp;base64,QUJD"),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/webp", "data": "QUJD"},
            },
        ),
        (
            ie.ImageAttachment.at("x", "data:image/JPG;base64,QUJD"),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"},
            },
        ),
        (
            ie.DocumentAttachment("x", PDF, name="a.pdf"),
            {"type": "document", "source": base64_source("application/pdf", PDF), "title": "a.pdf"},
        ),
        (
            ie.DocumentAttachment("x", "grüß".encode(), "text/plain"),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "grüß"},
            },
        ),
        (
            ie.DocumentAttachment("x", "https://h/a.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}},
        ),
    ],
    ids=["png", "url", "data url", "jpg", "pdf", "text", "pdf by address"],
)
def test_images_and_documents(attachment, wanted):
    """They are shown in the user's words and in the results of tools."""
    shown = (ie.ImageBlock if attachment.kind == "image" else ie.DocumentBlock)("x")
    body = mapped(
        turn("user", BLOCK("Look:"), shown),
        turn("assistant", ie.ToolUseBlock("i", "f", {})),
        turn("user", ie.ToolResultBlock("i", [BLOCK("Seen:"), shown])),
        attachments=[attachment],
    )
    assert body["messages"][0]["content"] == [text("Look:"), wanted]
    assert body["messages"][2]["content"][0]["content"] == [text("Seen:"), wanted]


def test_raw_rgb_becomes_png():
    """Pixels are encoded as for every other upstream."""
    pytest.importorskip("PIL")
    body = mapped(
        turn("user", ie.ImageBlock("x")), attachments=[ie.ImageAttachment("x", 1, 1, b"abc")]
    )
    source = body["messages"][0]["content"][0]["source"]
    assert source["media_type"] == "image/png"
    assert base64.b64decode(source["data"]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("block", "attachment", "words"),
    [
        (ie.ImageBlock("x"), ie.ImageAttachment.encoded("x", PNG), "vision=True"),
        (ie.DocumentBlock("x"), ie.DocumentAttachment("x", PDF), "documents=True"),
        (ie.AudioBlock("x"), ie.AudioAttachment("x", 8000, bytes(4)), "audio"),
        (ie.VideoBlock("x"), ie.VideoAttachment("x", b"v"), "video"),
    ],
)
def test_what_is_not_sent(block, attachment, words):
    """What is switched off or has no place in the protocol is refused with its place."""
    settings = {"vision": False, "documents": False}
    for content in (block, ie.ToolResultBlock("i", [block])):
        error = refusal(turn("user", content), attachments=[attachment], settings=settings)
        assert isinstance(error, ie.AttachmentUnsupportedError)
        assert str(error).startswith("messages[0].content[0]")
        assert words in str(error)


@pytest.mark.parametrize("inner", [ie.ThinkingBlock("x"), ie.ToolUseBlock("i", "f", {})])
def test_a_result_holds_no_calls(inner):
    """In a tool's result there are text, images and documents alone."""
    error = refusal(turn("user", ie.ToolResultBlock("i", [inner])))
    assert isinstance(error, ie.NonTextToolResultError)


def test_a_system_message_holds_text_alone():
    """An image in the system's words has no place there."""
    attachment = ie.ImageAttachment.encoded("x", PNG)
    error = refusal(turn("system", ie.ImageBlock("x")), attachments=[attachment])
    assert "messages[0].content[0]" in str(error)


# --- tools ---------------------------------------------------------------------------------------


def test_tools():
    """A tool has its schema beside its name; an empty schema is one of an object."""
    body = mapped(ie.user("a"), tools=[WEATHER, ie.Tool("now", strict=True)])
    assert body["tools"] == [
        {
            "name": "weather",
            "description": "What the weather is like",
            "input_schema": {"type": "object", "properties": {}},
        },
        {"name": "now", "input_schema": {"type": "object", "properties": {}}, "strict": True},
    ]
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("choice", "parallel", "wanted"),
    [
        ("auto", None, {"type": "auto"}),
        ("required", None, {"type": "any"}),
        ("any", None, {"type": "any"}),
        ("none", None, {"type": "none"}),
        ("none", False, {"type": "none"}),
        ("weather", None, {"type": "tool", "name": "weather"}),
        (
            {"type": "function", "function": {"name": "weather"}},
            None,
            {"type": "tool", "name": "weather"},
        ),
        ({"type": "tool", "name": "weather"}, None, {"type": "tool", "name": "weather"}),
        ({"type": "any"}, False, {"type": "any", "disable_parallel_tool_use": True}),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            None,
            {"type": "auto", "disable_parallel_tool_use": True},
        ),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, None),
        (None, None, None),
    ],
)
def test_tool_choice(choice, parallel, wanted):
    """OpenAI's words and Anthropic's objects are taken; one call at a time is said inside."""
    body = mapped(ie.user("a"), tools=[WEATHER], tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == wanted


def test_a_choice_of_several_tools_is_refused():
    """There is no word for a choice among some of the tools."""
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
    }
    error = refusal(ie.user("a"), tools=[WEATHER], tool_choice=choice)
    assert isinstance(error, ie.UnsupportedError)


# --- a schema, and thinking ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "json_schema", "schema": {"type": "object"}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    ],
)
def test_a_schema_of_the_answer(wanted):
    """Inferd's shape and OpenAI's become the format of the output, beside the effort."""
    body = mapped(ie.user("a"), response_format=wanted, thinking="low")
    assert body["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }


@pytest.mark.parametrize(
    "wanted", [{"type": "json_object"}, {"type": "json_schema"}, {"type": "grammar", "schema": {}}]
)
def test_a_format_without_a_schema_is_refused(wanted):
    """There is no word for JSON of any shape."""
    error = refusal(ie.user("a"), response_format=wanted)
    assert isinstance(error, ie.UnsupportedError)
    assert "json_schema" in str(error)


def test_a_format_of_text_is_what_there_is():
    """Text is the format without a word."""
    assert "output_config" not in mapped(ie.user("a"), response_format={"type": "text"})


OFF = {"thinking": {"type": "disabled"}}


@pytest.mark.parametrize(
    ("style", "asked", "wanted"),
    [
        ("adaptive", True, {"thinking": {"type": "adaptive"}}),
        ("adaptive", False, OFF),
        (
            "adaptive",
            "high",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        ("enabled", True, {"thinking": {"type": "enabled"}}),
        ("enabled", False, OFF),
        ("enabled", "low", {"thinking": {"type": "enabled"}, "output_config": {"effort": "low"}}),
        ("effort", True, {"output_config": {"effort": "high"}}),
        ("effort", False, {"output_config": {"effort": "low"}}),
        ("effort", "medium", {"output_config": {"effort": "medium"}}),
        ("budget", False, OFF),
        (
            "budget",
            True,
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 3072},
        ),
        (
            "budget",
            "high",
            {"thinking": {"type": "enabled", "budget_tokens": 4096}, "max_tokens": 5120},
        ),
    ],
)
def test_thinking(style, asked, wanted):
    """Each kind of model is asked in its own words."""
    plain = mapped(ie.user("a"))
    body = mapped(ie.user("a"), thinking=asked, settings={"thinking_style": style})
    assert {name: body[name] for name in body if body[name] != plain.get(name)} == wanted


@pytest.mark.parametrize(("most", "budget"), [(1025, 1024), (2000, 1999), (9000, 2048)])
def test_a_budget_leaves_room_for_the_answer(most, budget):
    """A number of tokens to think is below the limit of the answer."""
    body = mapped(
        ie.user("a"), thinking=True, max_tokens=most, settings={"thinking_style": "budget"}
    )
    assert body["thinking"]["budget_tokens"] == budget
    assert body["max_tokens"] == most


def test_a_limit_that_leaves_no_room_to_think():
    """Fewer than 1024 tokens to think are a 400: the limit is refused before."""
    error = refusal(
        ie.user("a"), thinking=True, max_tokens=1024, settings={"thinking_style": "budget"}
    )
    assert "max_tokens is 1024" in str(error)


# --- caching -------------------------------------------------------------------------------------


def marks(body):
    """Give the marks of a body, each with its place."""
    found = {}

    def look(value, place):
        if isinstance(value, dict):
            if "cache_control" in value:
                found[place] = value["cache_control"]
            for key, inner in value.items():
                look(inner, f"{place}.{key}")
        if isinstance(value, list):
            for number, inner in enumerate(value):
                look(inner, f"{place}[{number}]")

    look(body, "")
    return found


@pytest.mark.parametrize(
    ("cache", "control"),
    [
        (True, {"type": "ephemeral"}),
        ("5m", {"type": "ephemeral", "ttl": "5m"}),
        ("1h", {"type": "ephemeral", "ttl": "1h"}),
    ],
)
def test_where_the_marks_are(cache, control):
    """At the last tool, the system's end, the end of the user's last turn but one, and the end."""
    body = mapped(
        ie.system("s"), ie.user("a"), ie.assistant("b"), ie.user("c"),
        turn("assistant", BLOCK("d"), ie.ToolUseBlock("i", "weather", {})),
        ie.tool_result("i", "sun"), ie.user("e"),
        tools=[ie.Tool("first"), WEATHER], settings={"cache": cache},
    )  # fmt: skip
    places = [
        ".tools[1]", ".system[0]", ".messages[2].content[0]", ".messages[4].content[1]",
    ]  # fmt: skip
    assert marks(body) == dict.fromkeys(places, control)
    assert body["system"][0]["text"] == "s"


def test_thoughts_carry_no_mark():
    """A mark goes to the last block that may have one."""
    body = mapped(
        ie.user("a"),
        turn("assistant", BLOCK("b"), ie.ThinkingBlock("", {"redacted": "x"})),
        settings={"cache": True},
    )
    assert list(marks(body)) == [".messages[0].content[0]", ".messages[1].content[0]"]


def test_no_marks_unasked():
    """Without the setting there is none."""
    assert marks(mapped(ie.system("s"), ie.user("a"), tools=[WEATHER])) == {}


def test_a_body_is_new_each_time():
    """Marks and merging never change what the caller gave."""
    schema = {"type": "object", "properties": {"a": {}}}
    extra = {"output_config": {"effort": "max"}, "metadata": {"user_id": "u"}}
    before = json.dumps([schema, extra])
    for _ in range(2):
        body = mapped(
            ie.user("a"), tools=[ie.Tool("f", "", schema)], thinking="low", extra_body=extra,
            settings={"cache": True, "extra_body": {"metadata": {"user_id": "w", "x": 1}}},
        )  # fmt: skip
        assert body["output_config"] == {"effort": "max"}
        assert body["metadata"] == {"user_id": "u", "x": 1}
    assert json.dumps([schema, extra]) == before


def test_halves_of_characters_are_joined():
    """Strict JSON parsers refuse them."""
    assert mapped(ie.user("\ud83d\ude00"))["messages"][0]["content"] == [text("😀")]

"""A checked request becomes the JSON of Chat Completions."""

import json
import math

import pytest

import inferd_engine as ie
from inferd_engine.wire.openai.chunks import ChunkAccumulator
from inferd_engine.wire.openai_request import request_from_resolved

CONFIG = ie.OpenAiCompatConfig(api_key="", base_url="http://localhost", model="m")
USE = ie.ToolUseBlock("c1", "f", {"x": 1})
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}

CUSTOM = {"id": "c1", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}}


def mapped(*messages, config=None, **fields):
    """Give the JSON that is posted for these messages."""
    fields["messages"] = messages or (ie.user("hello"),)
    return request_from_resolved(
        ie.RequestV2(**fields).resolve(),
        CONFIG if config is None else ie.OpenAiCompatConfig(base_url="http://localhost", **config),
    )


def mapped_messages(*messages):
    """Give the messages that are posted for these messages."""
    return mapped(*messages)["messages"]


def said(role, *blocks):
    """Give a message of these blocks."""
    return ie.MessageV2(role, blocks)


# --- fields --------------------------------------------------------------------------------------


def test_custom_calls_go_back_as_custom():
    """A custom call that the model made is sent as it came, its result as any other."""
    chunk = {"index": 0, "delta": {"tool_calls": [CUSTOM]}, "finish_reason": "tool_calls"}
    accumulator = ChunkAccumulator()
    accumulator.ingest(json.dumps({"choices": [chunk]}))
    events = accumulator.finalize()
    answer = ie.Completion.of(events).to_message()
    call, result = mapped_messages(answer, ie.tool_result("c1", "total 0"))
    assert call == {"role": "assistant", "content": None, "tool_calls": [CUSTOM]}
    assert (result["tool_call_id"], result["content"]) == ("c1", "total 0")


def test_input_of_a_custom_call_is_text():
    """What a program puts into the place of a custom call's text is written as JSON."""
    use = ie.ToolUseBlock("c1", "shell", {"x": 1}, {"type": "custom"})
    [message] = mapped_messages(said("assistant", use))
    assert message["tool_calls"][0]["custom"] == {"name": "shell", "input": '{"x": 1}'}


def test_only_what_is_set_is_sent():
    """Q10: a request that sets nothing has the model, its messages, and that it streams."""
    assert mapped() == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        ("temperature", 0, {"temperature": 0}),
        ("top_p", 0.5, {"top_p": 0.5}),
        ("top_k", 0, {"top_k": 0}),
        ("max_tokens", 5, {"max_tokens": 5}),
        ("stop", ["a", "b"], {"stop": ["a", "b"]}),
        ("stop", "a", {"stop": ["a"]}),
        ("stop", [], {}),
        ("seed", 0, {"seed": 0}),
        ("response_format", {"type": "json_object"}, {"response_format": {"type": "json_object"}}),
        ("thinking", "low", {"reasoning_effort": "low"}),
        ("thinking", "medium", {"reasoning_effort": "medium"}),
        ("thinking", "high", {"reasoning_effort": "high"}),
        ("thinking", True, {"reasoning_effort": "medium"}),
        ("thinking", False, {"reasoning_effort": "none"}),
        ("id", "mine", {}),
    ],
)
def test_fields(field, value, sent):
    """Each field that the caller set is sent under OpenAI's name, also where it is falsy."""
    assert mapped(**{field: value}) == {**mapped(), **sent}


@pytest.mark.parametrize("stream", [None, True, False])
def test_stream_is_always_said(stream):
    """Q20: whether to stream is sent in any case, and usage is asked for only of a stream."""
    body = mapped(stream=stream)
    assert body["stream"] is (stream is not False)
    assert ("stream_options" in body) is body["stream"]


def test_usage_need_not_be_asked_for():
    """Q02: an upstream that refuses stream_options is not sent any."""
    assert "stream_options" not in mapped(config={"include_usage": False})


def test_name_of_the_token_limit():
    """Q01: the limit of tokens is sent under the name that the upstream wants."""
    body = mapped(config={"max_tokens_field": "max_completion_tokens"}, max_tokens=5)
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body


# --- tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "function"),
    [
        (
            ie.Tool("f", "does f", {"type": "object", "required": []}),
            {
                "name": "f",
                "description": "does f",
                "parameters": {"type": "object", "required": [], "properties": {}},
            },
        ),
        (ie.Tool("f"), {"name": "f", "parameters": {"type": "object", "properties": {}}}),
        (
            ie.Tool("f", "", {"type": "object", "properties": None}),
            {"name": "f", "parameters": {"type": "object", "properties": {}}},
        ),
        (
            ie.Tool("f", "", {"type": "object", "additionalProperties": True}),
            {
                "name": "f",
                "parameters": {"type": "object", "additionalProperties": True, "properties": {}},
            },
        ),
        (
            ie.Tool("f", "", {"$ref": "#/x"}),
            {"name": "f", "parameters": {"$ref": "#/x"}},
        ),
        (
            ie.Tool("f", "", {"type": "object", "properties": {"a": {"type": "object"}}}),
            {
                "name": "f",
                "parameters": {"type": "object", "properties": {"a": {"type": "object"}}},
            },
        ),
        (
            ie.Tool("f", strict=True),
            {"name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True},
        ),
        (
            ie.Tool("f", strict=False),
            {"name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False},
        ),
        (
            {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}},
            {"name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True},
        ),
    ],
)
def test_tools(tool, function):
    """A tool is a function with a schema; one without arguments has the empty object's."""
    assert mapped(tools=[tool])["tools"] == [{"type": "function", "function": function}]


FORCED = {"type": "function", "function": {"name": "f"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FORCED]}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("f", {"type": "function", "function": {"name": "f"}}),
        ("any", "required"),
        ({"type": "any"}, "required"),
        ({"type": "function", "function": {"name": "f"}}, FORCED),
        ({"type": "function", "name": "f"}, FORCED),
        ({"type": "tool", "name": "f"}, FORCED),
        ({"type": "allowed_tools"}, {"type": "allowed_tools"}),
        (ALLOWED, ALLOWED),
    ],
)
def test_tool_choice(choice, sent):
    """A word of OpenAI's or an object is sent as it is; names and other shapes are mapped to it."""
    assert mapped(tools=[ie.Tool("f")], tool_choice=choice)["tool_choice"] == sent


def test_a_schema_is_left_as_it_is():
    """What is added on the wire is not added to the caller's schema."""
    schema = {"type": "object"}
    mapped(tools=[ie.Tool("f", "", schema)])
    assert schema == {"type": "object"}


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        (
            {"type": "json_schema", "schema": SCHEMA},
            {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}},
        ),
        (
            {"type": "json_schema", "schema": SCHEMA, "name": "n", "strict": True},
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
            },
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
        ),
        ({"type": "json_object"}, {"type": "json_object"}),
        # llama.cpp and Together take a schema beside this type.
        ({"type": "json_object", "schema": SCHEMA}, {"type": "json_object", "schema": SCHEMA}),
        ({"type": "json_schema"}, {"type": "json_schema"}),
        ("text", "text"),
    ],
)
def test_response_format(wanted, sent):
    """A schema beside the type, inferd's shape, goes where OpenAI has it; all else as it is."""
    assert mapped(response_format=wanted)["response_format"] == sent


@pytest.mark.parametrize("value", [True, False])
def test_parallel_tool_calls(value):
    """Whether calls may be parallel is sent as it was set."""
    body = mapped(tools=[ie.Tool("f")], parallel_tool_calls=value)
    assert body["parallel_tool_calls"] is value


def test_without_tools_nothing_is_said_of_them():
    """Q03: without tools neither an empty list nor what is only about tools is sent."""
    assert mapped(tools=[], tool_choice="auto", parallel_tool_calls=True) == mapped()


# --- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_roles(role):
    """Q08: the three roles are sent under their own names, as plain text."""
    [message] = mapped_messages(said(role, ie.TextBlock("a")))
    assert message == {"role": role, "content": "a"}
    assert type(message["role"]) is str


def test_text_blocks_are_joined():
    """The text blocks of a message are one text."""
    message = said("user", ie.TextBlock("a"), ie.TextBlock(""), ie.TextBlock("b"))
    assert mapped_messages(message) == [{"role": "user", "content": "ab"}]


def test_thoughts_are_left_out():
    """Q09: thoughts are not sent back, and a message of nothing else is no message."""
    messages = mapped_messages(
        said("assistant", ie.ThinkingBlock("hm")),
        said("assistant", ie.ThinkingBlock("hm"), ie.TextBlock("a")),
    )
    assert messages == [{"role": "assistant", "content": "a"}]


@pytest.mark.parametrize(
    ("blocks", "content"),
    [
        ([USE], None),
        ([ie.TextBlock(""), USE], None),
        ([ie.ThinkingBlock("hm"), USE], None),
        ([ie.TextBlock("a"), USE], "a"),
    ],
)
def test_content_beside_calls(blocks, content):
    """Q05: beside calls a message without text has the content null."""
    expected = {"role": "assistant", "content": content, "tool_calls": [CALL]}
    assert mapped_messages(said("assistant", *blocks)) == [expected]


def test_content_without_calls_is_never_null():
    """Q05: without calls an empty text is an empty text."""
    assert mapped_messages(ie.assistant("")) == [{"role": "assistant", "content": ""}]


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        ({}, "{}"),
        ({"x": [1, None, True]}, '{"x": [1, null, true]}'),
        ({"x": "é\n"}, '{"x": "é\\n"}'),
        ("words", '"words"'),
        (None, "{}"),
        ("", "{}"),
        ("5", '"5"'),
        ('{"x": 1}', '{"x": 1}'),
    ],
)
def test_arguments_are_json_as_text(value, arguments):
    """Q17: the arguments of a replayed call are JSON in a string."""
    [message] = mapped_messages(said("assistant", ie.ToolUseBlock("c", "f", value)))
    assert message["tool_calls"][0]["function"]["arguments"] == arguments


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", math.nan, {"x": math.inf}, object()])
def test_arguments_that_json_cannot_hold(value):
    """A replayed input that is no JSON value is refused with its place."""
    message = said("assistant", ie.TextBlock("a"), ie.ToolUseBlock("c", "f", value))
    with pytest.raises(ie.InvalidRequestError, match=r"^messages\[1\]\.content\[1\]\.input is "):
        mapped(ie.user("a"), message)


def test_extra_of_a_call_is_sent_back():
    """R09: what an upstream wants back with a call is sent beside its function."""
    extra = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    [message] = mapped_messages(said("assistant", ie.ToolUseBlock("c1", "f", {"x": 1}, extra)))
    assert message["tool_calls"] == [{**CALL, **extra}]


def test_results_are_messages_of_their_own():
    """Results have the role tool and the called tool's name, and come before the text beside."""
    messages = mapped_messages(
        said("assistant", USE, ie.ToolUseBlock("c2", "g", {})),
        said(
            "user",
            ie.TextBlock("and"),
            ie.ToolResultBlock("c1", "one"),
            ie.ToolResultBlock("c2", [ie.TextBlock("t"), ie.TextBlock("wo")]),
        ),
    )
    assert messages[1:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "one", "name": "f"},
        {"role": "tool", "tool_call_id": "c2", "content": "two", "name": "g"},
        {"role": "user", "content": "and"},
    ]


def test_a_result_of_an_unknown_call_has_no_name():
    """Q06: a result whose call is not in the history has its id alone."""
    assert mapped_messages(ie.tool_result("c9", "")) == [
        {"role": "tool", "tool_call_id": "c9", "content": ""}
    ]


# --- what upstreams differ in --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "thinking", "sent"),
    [
        ("reasoning", True, {"reasoning": {"effort": "medium"}}),
        ("reasoning", False, {"reasoning": {"effort": "none"}}),
        ("reasoning", "high", {"reasoning": {"effort": "high"}}),
        ("thinking", True, {"thinking": {"type": "enabled"}}),
        ("thinking", False, {"thinking": {"type": "disabled"}}),
        ("thinking", "low", {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("enable_thinking", False, {"enable_thinking": False}),
        ("enable_thinking", True, {"enable_thinking": True}),
        (
            "chat_template_kwargs",
            False,
            {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
        ),
        (
            "chat_template_kwargs",
            "high",
            {
                "chat_template_kwargs": {
                    "enable_thinking": True,
                    "thinking": True,
                    "reasoning_effort": "high",
                }
            },
        ),
        ("chat_template_kwargs", None, {}),
    ],
)
def test_thinking_in_the_words_of_the_upstream(style, thinking, sent):
    """Whether to think is asked as the upstream wants it to be asked."""
    config = {"model": "m", "thinking_style": style}
    assert mapped(config=config, thinking=thinking) == {**mapped(), **sent}


def test_thoughts_are_sent_back_where_they_are_wanted():
    """Q09: an assistant's thoughts go into the field that is configured, and nowhere else."""
    message = said("assistant", ie.ThinkingBlock("hm"), ie.ThinkingBlock("!"), USE)
    config = {"replay_thinking_as": "reasoning_content"}
    assert mapped(message, config=config)["messages"] == [
        {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "hm!"}
    ]
    assert "hm" not in json.dumps(mapped(message))


def test_reasoning_details_go_back_to_their_message():
    """R04: details that came with an answer are sent beside its calls, not inside of one."""
    details = [{"type": "reasoning.encrypted", "data": "c2ln"}]
    use = ie.ToolUseBlock("c1", "f", {"x": 1}, {"reasoning_details": details})
    assert mapped_messages(said("assistant", use)) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [CALL],
            "reasoning_details": details,
        }
    ]


def test_short_ids():
    """Q07: ids of any shape become nine letters and digits, the same for call and result."""
    uses = [ie.ToolUseBlock(f"functions.f:{n}", "f", {}) for n in range(3)]
    kept = ie.ToolUseBlock("abcDEF123", "f", {})
    results = [ie.tool_result(use.tool_call_id, "x") for use in (*uses, kept)]
    body = mapped(said("assistant", *uses, kept), *results, config={"short_tool_call_ids": True})
    calls, *answers = body["messages"]
    ids = [call["id"] for call in calls["tool_calls"]]
    assert ids == [answer["tool_call_id"] for answer in answers]
    assert len(set(ids)) == 4
    assert ids[3] == "abcDEF123"
    assert all(len(i) == 9 and i.isascii() and i.isalnum() for i in ids)
    again = mapped(said("assistant", uses[0]), config={"short_tool_call_ids": True})
    assert again["messages"][0]["tool_calls"][0]["id"] == ids[0]


def test_strict_turns():
    """Q21: speakers take turns, and the assistant speaks between a tool and the user."""
    messages = mapped(
        ie.system("s"),
        ie.user("a"),
        ie.user("b"),
        ie.assistant("c"),
        ie.assistant("d"),
        said("assistant", USE),
        ie.tool_result("c1", "r"),
        ie.user("e"),
        config={"strict_turns": True},
    )["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("system", "s"),
        ("user", "a\n\nb"),
        ("assistant", "c\n\nd"),
        ("assistant", None),
        ("tool", "r"),
        ("assistant", "I have read the results."),
        ("user", "e"),
    ]


def test_strict_turns_keep_images():
    """Q21: messages of one speaker are merged part by part where one shows an image."""
    messages = mapped(
        ie.user("a"),
        said("user", ie.ImageBlock("i")),
        attachments=[ie.ImageAttachment.at("i", "https://x.example/i")],
        config={"strict_turns": True, "vision": True},
    )["messages"]
    assert [part["type"] for part in messages[0]["content"]] == ["text", "image_url"]


@pytest.mark.parametrize("name", ["f", "a_b-C9", "x" * 64])
def test_names_of_tools_that_are_taken(name):
    """Q18: a name that fits the configured pattern is sent; without a pattern all are."""
    config = {"tool_name_pattern": "[A-Za-z0-9_-]{1,64}"}
    assert mapped(tools=[ie.Tool(name)], config=config)["tools"][0]["function"]["name"] == name
    assert mapped(tools=[ie.Tool("wetter für ü")])["tools"]


@pytest.mark.parametrize("name", ["a b", "x" * 65, "é", "a\n"])
def test_names_of_tools_that_are_refused(name):
    """Q18: a name that the upstream would refuse is refused before anything is sent."""
    config = {"tool_name_pattern": "[A-Za-z0-9_-]{1,64}"}
    with pytest.raises(ie.InvalidRequestError, match=r"^tools\[1\]\.name is "):
        mapped(tools=[ie.Tool("ok"), ie.Tool(name)], config=config)


# --- what is refused -----------------------------------------------------------------------------

ATTACHMENTS = [
    ie.ImageAttachment("a", 1, 1, b"rgb"),
    ie.AudioAttachment("b", 8000, b""),
    ie.VideoAttachment("c", b""),
]


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        (ie.ImageBlock("a"), "image"),
        (ie.AudioBlock("b"), "audio"),
        (ie.VideoBlock("c"), "video"),
    ],
)
def test_attachments_are_refused(block, kind):
    """A block that shows an attachment is refused with its place and kind."""
    message = said("user", ie.TextBlock("a"), block)
    with pytest.raises(ie.AttachmentUnsupportedError) as caught:
        mapped(ie.user("a"), message, attachments=ATTACHMENTS)
    assert str(caught.value).startswith(f"messages[1].content[1] is of type {kind}")


def test_attachments_that_nobody_shows_are_no_matter():
    """Attachments to which no block refers are not sent and not refused."""
    assert mapped(attachments=ATTACHMENTS) == mapped()


@pytest.mark.parametrize(
    "block",
    [ie.ImageBlock("a"), ie.ThinkingBlock("hm"), USE, ie.ToolResultBlock("c", "a")],
    ids=lambda block: block.type,
)
def test_results_of_anything_but_text(block):
    """A tool result that holds something else than text is refused with the place inside it."""
    result = ie.ToolResultBlock("c", [ie.TextBlock("a"), block])
    with pytest.raises(ie.NonTextToolResultError) as caught:
        mapped(said("user", result), attachments=ATTACHMENTS)
    assert str(caught.value).startswith(f"messages[0].content[0].content[1] is {block.type}")


def test_unknown_blocks():
    """A block of an unknown type is refused with its place even where nobody called resolve()."""
    resolved = ie.ResolvedV2((said("user", ie.UnknownBlock("hologram")),))
    with pytest.raises(ie.UnknownContentBlockError, match=r"^messages\[0\]\.content\[0\] .*'holo"):
        request_from_resolved(resolved, CONFIG)


def test_values_nested_too_deeply():
    """A value nested more deeply than can be sent is an invalid request."""
    schema = {}
    for _ in range(100_000):
        schema = {"a": schema}
    with pytest.raises(ie.InvalidRequestError, match="nested too deeply"):
        mapped(response_format=schema)


# --- extra_body ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "changed"),
    [
        ({"top_k": 5}, {"top_k": 5}),
        ({"model": "other"}, {"model": "other"}),
        ({"stream_options": None}, {"stream_options": None}),
        ({"stream_options": {"x": 1}}, {"stream_options": {"include_usage": True, "x": 1}}),
        (
            {"stream_options": {"include_usage": False}},
            {"stream_options": {"include_usage": False}},
        ),
        ({"messages": []}, {"messages": []}),
    ],
)
def test_extra_body_is_merged_last(extra, changed):
    """What extra_body says is added object by object, and wins over what we would send."""
    assert mapped(config={"model": "m", "extra_body": extra}) == {**mapped(), **changed}


def test_extra_body_is_not_changed():
    """Merging changes neither the configuration nor what the caller gave."""
    extra = {"stream_options": {"x": 1}}
    config = ie.OpenAiCompatConfig(base_url="http://localhost", extra_body=extra)
    request_from_resolved(ie.RequestV2([ie.user("a")]).resolve(), config)
    assert config.extra_body == extra == {"stream_options": {"x": 1}}


# --- characters ----------------------------------------------------------------------------------


def test_halves_of_characters():
    """Q16: halves of characters are joined, or replaced, wherever they are in the request."""
    body = mapped(
        ie.user("\ud83d\ude00 \ud83d"),
        said("assistant", ie.ToolUseBlock("c", "f", {"k\ude00": "\ud83d"})),
        stop=["\ud83d"],
        config={"extra_body": {"x\ud83d": ["\ude00"]}},
    )
    text = json.dumps(body, ensure_ascii=False)
    assert text.encode("utf-8", "surrogatepass") == text.encode()
    assert body["messages"][0]["content"] == "\U0001f600 \ufffd"
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"k\ufffd": "\ufffd"}'
    assert body["stop"] == ["\ufffd"]
    assert body["x\ufffd"] == ["\ufffd"]


def test_a_model_and_a_body_for_one_request():
    """model= stands in for the configured one; extra_body= is merged over the configured one."""
    request = ie.RequestV2(
        [ie.user("x")], model="other", extra_body={"a": {"y": 2}, "temperature": 0.5}
    )
    config = ie.OpenAiCompatConfig(api_key="", model="own", extra_body={"a": {"x": 1, "y": 1}})
    body = ie.request_from_resolved(request.resolve(), config)
    assert body["model"] == "other"
    assert body["a"] == {"x": 1, "y": 2}
    assert body["temperature"] == 0.5
    plain = ie.request_from_resolved(ie.RequestV2([ie.user("x")]).resolve(), config)
    assert (plain["model"], plain["a"]) == ("own", {"x": 1, "y": 1})

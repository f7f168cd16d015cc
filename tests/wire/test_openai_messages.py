"""Messages in OpenAI's shape are read as ours."""

import base64

import pytest

import inferd_engine as ie
from inferd_engine.wire.openai.messages import messages_from
from inferd_engine.wire.openai_request import request_from_resolved


def read(**message):
    """Give one message in OpenAI's shape as ours."""
    return messages_from([*[ie.user("before")] * 3, message])[0][3]


def refusal(**message):
    """Give the message with which a message is refused."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        read(**message)
    return str(caught.value)


def called(*calls, **message):
    """Give the blocks of an assistant message with these calls."""
    return read(role="assistant", tool_calls=list(calls), **message).content


def call(arguments, **fields):
    """Make a call in OpenAI's shape."""
    function = {"name": "f", "arguments": arguments}
    return {"id": "c1", "type": "function", "function": function, **fields}


# --- prompts -------------------------------------------------------------------------------------


def test_a_str_is_one_user_message():
    """A prompt that is a str is one user message."""
    assert messages_from("hello") == ((ie.user("hello"),), ())


def test_our_messages_stay_as_they_are():
    """Messages of ours are taken as they are, also beside dicts, from any iterable."""
    prompt = iter([ie.system("a"), {"role": "user", "content": "b"}])
    assert messages_from(prompt) == ((ie.system("a"), ie.user("b")), ())


def test_other_things_are_left_to_resolve():
    """What is no message is kept, so that resolve() names its place."""
    messages, _ = messages_from(["a", ie.user("b")])
    with pytest.raises(ie.InvalidRequestError, match=r"^messages\[0\] is not a MessageV2"):
        ie.RequestV2(messages).resolve()


def test_the_place_is_named():
    """A dict of another shape is refused with its place in the prompt."""
    with pytest.raises(ie.InvalidRequestError, match=r"^messages\[1\]\.role is 'robot': take "):
        messages_from([ie.user("a"), {"role": "robot", "content": "b"}])


# --- roles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("system", ie.Role.SYSTEM),
        ("developer", ie.Role.SYSTEM),
        ("user", ie.Role.USER),
        ("assistant", ie.Role.ASSISTANT),
    ],
)
def test_roles(word, role):
    """OpenAI's roles become the three of ours."""
    assert read(role=word, content="a") == ie.MessageV2(role, "a")


@pytest.mark.parametrize("role", ["robot", "", "User", None, 5, ["user"], {}])
def test_other_roles_are_refused(role):
    """A role that OpenAI does not have, or none, is refused with its place."""
    assert refusal(role=role, content="a").startswith(f"messages[3].role is {role!r}: take system")


# --- content -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("a", ["a"]),
        ("", [""]),
        (None, [""]),
        ([], [""]),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ["a", "b"]),
        ([{"type": "text", "text": ""}], [""]),
        ([{"type": "refusal", "refusal": "no"}], ["no"]),
        ([{"type": "refusal", "text": None, "refusal": ""}], [""]),
        (["a", "b"], ["a", "b"]),
        (({"type": "text", "text": "a"},), ["a"]),
    ],
)
def test_content(content, texts):
    """Content is text, parts of text, or nothing, which is an empty text."""
    blocks = tuple(map(ie.TextBlock, texts))
    assert read(role="user", content=content) == ie.MessageV2("user", blocks)


def test_no_content():
    """A message without the field is an empty text."""
    assert read(role="user") == ie.user("")


@pytest.mark.parametrize("content", [5, {"type": "text"}, True, b"a"])
def test_content_that_is_refused(content):
    """Content that is neither text nor a list is refused with its place."""
    expected = "messages[3].content is neither text nor a list of parts"
    assert refusal(role="user", content=content) == expected


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "file", "file": {}}, " is a part of type 'file'"),
        ({"type": "text"}, " is a part of type 'text'"),
        ({"type": "text", "text": 5}, " is a part of type 'text'"),
        ({}, " is a part of type None"),
        (5, " is a int"),
        (None, " is a NoneType"),
        ({"type": "image_url"}, ".image_url has no url"),
        ({"type": "image_url", "image_url": {"url": 5}}, ".image_url has no url"),
        ({"type": "input_audio", "input_audio": {}}, ".input_audio has no data in base64"),
        ({"type": "input_audio", "input_audio": {"data": "?"}}, ".input_audio has no data"),
    ],
)
def test_parts_that_are_refused(part, kind):
    """A part of another shape is refused with its place."""
    message = refusal(role="user", content=["a", part])
    assert message.startswith(f"messages[3].content[1]{kind}")


def test_images_and_sounds_become_attachments():
    """Parts that show an image or a sound go through untouched, detail and all."""
    wav = base64.b64encode(b"RIFF\x00\x00\x00\x00WAVEfmt ").decode()
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}},
    ]
    messages, attachments = messages_from({"role": "user", "content": parts})
    request = ie.RequestV2(messages, attachments=attachments).resolve()
    config = ie.OpenAiCompatConfig(base_url="http://localhost", vision=True, audio=True)
    assert request_from_resolved(request, config)["messages"] == [
        {"role": "user", "content": parts}
    ]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_are_read(field):
    """Thoughts in a history are kept, for upstreams that want them back."""
    message = read(role="assistant", content="a", **{field: "hm"})
    assert message.content == (ie.ThinkingBlock("hm"), ie.TextBlock("a"))


def test_reasoning_details_are_kept():
    """R04: reasoning_details beside calls come back in the next request as they are."""
    details = [{"type": "reasoning.encrypted", "data": "c2ln", "index": 0}]
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [call("{}")],
        "reasoning_details": details,
    }
    messages, _ = messages_from([message])
    config = ie.OpenAiCompatConfig(base_url="http://localhost")
    body = request_from_resolved(ie.RequestV2(messages).resolve(), config)
    assert body["messages"] == [message]


# --- tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"x": 1}', {"x": 1}),
        ({"x": 1}, {"x": 1}),
        ("", {}),
        (None, {}),
        ("[1]", [1]),
        ('{"t": "a\nb"}', {"t": "a\nb"}),
    ],
)
def test_calls(arguments, value):
    """A call's arguments are decoded, whether they come as text or as they are."""
    assert called(call(arguments)) == (ie.ToolUseBlock("c1", "f", value),)


def test_text_comes_before_calls():
    """Text beside calls comes before them, and the calls keep their order."""
    blocks = called(call("{}"), call("{}", id="c2"), content="a")
    assert blocks == (
        ie.TextBlock("a"),
        ie.ToolUseBlock("c1", "f", {}),
        ie.ToolUseBlock("c2", "f", {}),
    )


def test_other_fields_of_a_call_are_kept():
    """R09: what else a call holds is kept, so that it is sent back."""
    assert called(call("{}", extra_content={"s": 1}))[0].extra == {"extra_content": {"s": 1}}


CUSTOM = {"id": "c1", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}}


def test_custom_calls():
    """A custom call has text for an input, which is not looked into, and stays custom."""
    assert called(CUSTOM) == (ie.ToolUseBlock("c1", "shell", "ls -l", {"type": "custom"}),)
    without_type = {key: value for key, value in CUSTOM.items() if key != "type"}
    assert called(without_type) == called(CUSTOM)
    digits = {**CUSTOM, "custom": {"name": "shell", "input": "{}"}}
    assert called(digits)[0].input == "{}"
    assert called({**CUSTOM, "custom": {"name": "shell"}})[0].input == ""


@pytest.mark.parametrize("calls", [None, []])
def test_no_calls(calls):
    """T25: calls that are null or an empty list are none."""
    assert read(role="assistant", content="a", tool_calls=calls) == ie.assistant("a")


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        (5, "messages[3].tool_calls is not a list"),
        ({"id": "c"}, "messages[3].tool_calls is not a list"),
        ([call("{}"), 5], "messages[3].tool_calls[1] has no function"),
        ([{"id": "c"}], "messages[3].tool_calls[0] has no function"),
        ([call("{a")], "messages[3].tool_calls[0].function.arguments are not JSON"),
        ([call("[" * 200_000)], "messages[3].tool_calls[0].function.arguments are not JSON"),
    ],
)
def test_calls_that_are_refused(calls, message):
    """A call of another shape is refused with its place."""
    assert refusal(role="assistant", tool_calls=calls) == message


@pytest.mark.parametrize("fields", [{"id": None}, {"function": {"arguments": "{}"}}])
def test_calls_without_id_or_name_are_left_to_resolve(fields):
    """A call without id or name is read, and refused by resolve() with its place."""
    message = read(role="assistant", tool_calls=[call("{}", **fields)])
    with pytest.raises(ie.InvalidRequestError, match=r"^messages\[0\]\.content\[0\] has no "):
        ie.RequestV2([message]).resolve()


@pytest.mark.parametrize("content", ["42", [{"type": "text", "text": "42"}]])
def test_a_tool_message_is_a_result(content):
    """A message with the role tool is a tool result."""
    assert read(role="tool", tool_call_id="c1", content=content) == ie.tool_result("c1", "42")


@pytest.mark.parametrize("call_id", [None, "", 5])
def test_a_tool_message_without_id(call_id):
    """A tool message that names no call is refused with its place."""
    message = refusal(role="tool", tool_call_id=call_id, content="a")
    assert message == "messages[3] has no tool_call_id: it pairs the result with its call"


def test_a_history_comes_back_as_it_was():
    """A history in OpenAI's shape is sent as it was given."""
    history = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call('{"city": "Paris"}')]},
        {"role": "tool", "tool_call_id": "c1", "content": "mild", "name": "f"},
        {"role": "assistant", "content": "mild"},
    ]
    config = ie.OpenAiCompatConfig(base_url="http://localhost")
    resolved = ie.RequestV2(messages_from(history)[0]).resolve()
    assert request_from_resolved(resolved, config)["messages"] == history

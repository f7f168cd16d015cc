"""Version 2 of the protocol: typed content blocks, attachments, tools."""

import json
import math

import attrs
import pytest
from hypothesis import given, strategies as st

import inferd_engine as ie
from inferd_engine.proto.blocks import UnknownAttachment

HELLO = ie.user("hello")
IMAGE = ie.ImageAttachment("img", 2, 1, b"rgbrgb")
AUDIO = ie.AudioAttachment("snd", 16000, b"\0" * 8)
VIDEO = ie.VideoAttachment("vid", b"mp4")
BLOCKS = [
    ie.TextBlock("a"),
    ie.ImageBlock("img"),
    ie.AudioBlock("snd"),
    ie.VideoBlock("vid"),
    ie.ThinkingBlock("hm"),
    ie.ToolUseBlock("c1", "f", {"x": 1}),
    ie.ToolResultBlock("c1", "42"),
]


def refusal(*messages, **fields):
    """Give the message with which a request is refused."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        ie.RequestV2(messages, **fields).resolve()
    return str(caught.value)


def in_user(*blocks):
    """Give a user message of these blocks."""
    return ie.MessageV2("user", blocks)


# --- what is taken -------------------------------------------------------------------------------


def test_resolve_fills_nothing():
    """Sampling defaults belong to the backend: what is unset stays unset."""
    assert ie.RequestV2([HELLO]).resolve() == ie.ResolvedV2(messages=(HELLO,))


FIELDS = {
    "id": "r1",
    "attachments": (IMAGE, AUDIO, VIDEO),
    "tools": (ie.Tool("f", "does f", {"type": "object"}), ie.Tool("g")),
    "temperature": 0,
    "top_p": 1.0,
    "top_k": 0,
    "max_tokens": 1,
    "stream": False,
    "stop": ("\n\n", "END"),
    "seed": -7,
    "response_format": {"type": "json_object"},
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "thinking": "low",
    "model": "another",
    "extra_body": {"min_p": 0.1},
}


@pytest.mark.parametrize("field", FIELDS)
def test_resolve_keeps_what_is_set(field):
    """Every field that the caller set is the same after resolve()."""
    resolved = ie.RequestV2([HELLO], **FIELDS).resolve()
    assert getattr(resolved, field) == FIELDS[field]


def test_request_and_resolved_have_the_same_fields():
    """Nothing gets lost between a request and what a backend is given."""
    names = [field.name for field in attrs.fields(ie.RequestV2)]
    assert names == [field.name for field in attrs.fields(ie.ResolvedV2)]
    assert set(names) == {"messages", *FIELDS}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.type)
def test_every_known_block_resolves(block):
    """Each of the seven block types is taken, alone and inside a tool result."""
    message = in_user(block, ie.ToolResultBlock("c0", [block]))
    request = ie.RequestV2([message], attachments=[IMAGE, AUDIO, VIDEO])
    assert request.resolve().messages[0].content[0] == block


@pytest.mark.parametrize("thinking", [None, True, False, "low", "medium", "high"])
def test_thinking_values(thinking):
    """Thinking is a bool or one of three words."""
    assert ie.RequestV2([HELLO], thinking=thinking).resolve().thinking is thinking


def test_a_str_is_one_stop_sequence():
    """A bare str as stop is one sequence, not its characters."""
    assert ie.RequestV2([HELLO], stop="END").stop == ("END",)


def test_empty_text_is_content():
    """A text block may be empty."""
    assert ie.RequestV2([ie.user("")]).resolve().messages == (ie.user(""),)


# --- shorthands ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "role"),
    [
        (ie.system, ie.Role.SYSTEM),
        (ie.user, ie.Role.USER),
        (ie.assistant, ie.Role.ASSISTANT),
    ],
)
def test_shorthand_of_each_role(make, role):
    """A shorthand makes a message of its role with one text block."""
    assert make("a") == ie.MessageV2(role, (ie.TextBlock("a"),))


def test_shorthand_of_a_tool_result():
    """tool_result() makes a user message with one tool result that holds the text."""
    block = ie.ToolResultBlock("c1", (ie.TextBlock("42"),))
    assert ie.tool_result("c1", "42") == ie.MessageV2(ie.Role.USER, (block,))


def test_a_str_as_content_is_one_text_block():
    """Content given as a str is one text block, in messages and in tool results."""
    assert ie.MessageV2("user", "ab").content == (ie.TextBlock("ab"),)
    assert ie.ToolResultBlock("c", "ab").content == (ie.TextBlock("ab"),)


def test_blocks_may_come_from_any_iterable():
    """Content is a tuple afterwards, so that nobody can change it behind our back."""
    blocks = [ie.TextBlock("a")]
    message = ie.MessageV2("user", blocks)
    blocks.append(ie.TextBlock("b"))
    assert message.content == (ie.TextBlock("a"),)


@pytest.mark.parametrize("value", [*BLOCKS, HELLO, IMAGE, AUDIO, VIDEO, ie.Tool("f")])
def test_values_are_frozen_and_have_slots(value):
    """Blocks, messages, attachments and tools can neither be changed nor extended."""
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, None)
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("attachment", [IMAGE, AUDIO, VIDEO], ids=lambda one: one.kind)
def test_repr_of_an_attachment_is_short(attachment):
    """A repr tells how many bytes an attachment has and shows none of them."""
    assert f"data=<{len(attachment.data)} bytes>" in repr(attachment)


# --- messages and blocks that are refused --------------------------------------------------------


def test_no_messages():
    """A request without messages is refused."""
    assert refusal() == "messages is empty: give at least one message"


def test_empty_content():
    """A message without blocks is refused with its place."""
    message = "messages[1].content is empty: give at least one block"
    assert refusal(HELLO, ie.MessageV2("user", [])) == message


@pytest.mark.parametrize("role", ["tool", "developer", "USER", None, []])
def test_unknown_role(role):
    """A role that is none of the three is kept by the message and refused with its place."""
    message = ie.MessageV2(role, "a")
    expected = f"messages[1].role is {role!r}: take system, user or assistant"
    assert refusal(HELLO, message) == expected


@pytest.mark.parametrize("message", ["hello", None, ie.Message("user", "a"), {"role": "user"}])
def test_a_message_that_is_none(message):
    """What is not a MessageV2 is refused with its place."""
    assert refusal(HELLO, message).startswith("messages[1] is not a MessageV2")


@pytest.mark.parametrize("place", ["[1]", "[1].content[0]"])
@pytest.mark.parametrize(
    ("block", "what"),
    [
        (ie.UnknownBlock("hologram"), "has the unknown block type 'hologram'"),
        ("text", "is not a block, but of type str: give a str, or TextBlock(…)"),
        (ie.TextBlock(None), "has a text that is not a str"),
        (ie.ThinkingBlock(5), "has a text that is not a str"),
        (ie.ImageBlock("no"), "refers to no attachment: there is no id 'no'"),
        (ie.AudioBlock(""), "refers to no attachment: there is no id ''"),
        (ie.VideoBlock(["vid"]), "refers to no attachment: there is no id ['vid']"),
        (ie.ImageBlock("snd"), "wants image, but attachment 'snd' is audio"),
        (ie.AudioBlock("vid"), "wants audio, but attachment 'vid' is video"),
        (ie.VideoBlock("img"), "wants video, but attachment 'img' is image"),
        (ie.ToolUseBlock("", "f", {}), "has no tool_call_id: it pairs the call with its result"),
        (ie.ToolUseBlock("c", "", {}), "has no name: say which tool was called"),
        (ie.ToolUseBlock("c", None, {}), "has no name: say which tool was called"),
        (ie.ToolResultBlock("", "a"), "has no tool_call_id: it pairs the call with its result"),
        (ie.ToolResultBlock(5, "a"), "has no tool_call_id: it pairs the call with its result"),
    ],
)
def test_blocks_that_are_refused(block, what, place):
    """A block that cannot be sent is refused with its place, also inside a tool result."""
    inner = block if place == "[1]" else ie.ToolResultBlock("c", [block])
    message = in_user(ie.TextBlock("a"), inner)
    expected = f"messages[1].content{place} {what}"
    assert refusal(HELLO, message, attachments=[IMAGE, AUDIO, VIDEO]) == expected


def test_the_first_fault_is_named():
    """Of several faults the one that comes first in the conversation is named."""
    message = in_user(ie.TextBlock("a"), ie.UnknownBlock("x"), ie.UnknownBlock("y"))
    assert refusal(message).startswith("messages[0].content[1] ")


# --- attachments and tools -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attachment", "what"),
    [
        (attrs.evolve(IMAGE, id=""), " has no id: "),
        (attrs.evolve(AUDIO, id=None), " has no id: "),
        (attrs.evolve(IMAGE, id="vid"), " repeats the id 'vid': "),
        (attrs.evolve(VIDEO), " repeats the id 'vid': "),
        ({"id": "a"}, " is not an attachment: "),
        (attrs.evolve(IMAGE, data=b"rgb"), " has 3 bytes: RGB of 2 x 1 pixels has 6"),
        (attrs.evolve(IMAGE, data=b"rgbargba"), " has 8 bytes: RGB of 2 x 1 pixels has 6"),
        (attrs.evolve(IMAGE, data="rgbrgb"), " has a str as data that is not a URL"),
        (ie.ImageAttachment.at("i", "file:///etc/passwd"), " has a str as data that is not a URL"),
        (ie.ImageAttachment.at("i", "https://a b"), " has a str as data that is not a URL"),
        (ie.ImageAttachment.at("i", "https://a\n"), " has a str as data that is not a URL"),
        (ie.ImageAttachment.encoded("i", b"BM, a bitmap"), ".width is 0: "),
        (ie.AudioAttachment.encoded("i", b"OggS"), ".sample_rate is 0: "),
        (attrs.evolve(AUDIO, id="x", data="text"), " has data that is not bytes"),
        (attrs.evolve(VIDEO, id="v2", data=5), " has data that is not bytes"),
        (attrs.evolve(VIDEO, id="v2", data=None), " has no data: give its bytes"),
        (attrs.evolve(IMAGE, data=None), " has no data: give its bytes, or a URL"),
        (
            UnknownAttachment("pdf"),
            " has the unknown kind 'pdf': take image, audio, video or document",
        ),
        (attrs.evolve(IMAGE, width=0, data=b""), ".width is 0: "),
        (attrs.evolve(IMAGE, width=-2, height=-1), ".width is -2: "),
        (attrs.evolve(IMAGE, height=None), ".height is None: "),
        (attrs.evolve(IMAGE, height=True), ".height is True: "),
        (attrs.evolve(AUDIO, sample_rate=0), ".sample_rate is 0: "),
        (attrs.evolve(AUDIO, sample_rate=math.nan), ".sample_rate is nan: "),
        (attrs.evolve(AUDIO, sample_rate="8000"), ".sample_rate is '8000': "),
        (attrs.evolve(AUDIO, data=b"123"), " has 3 bytes: float32 samples have 4 bytes each"),
    ],
)
def test_attachments_that_are_refused(attachment, what):
    """An attachment without a name of its own, or of the wrong size, is refused with its place."""
    message = refusal(HELLO, attachments=[VIDEO, attachment])
    assert message.startswith(f"attachments[1]{what}")


@pytest.mark.parametrize(
    ("tool", "what"),
    [
        (ie.Tool("f"), "repeats the name 'f': names are unique in a request"),
        (ie.Tool(""), "has no name: use Tool(name, description, input_schema)"),
        (ie.Tool(None), "has no name: use Tool(name, description, input_schema)"),
        ({"type": "function"}, "has no name: use Tool(name, description, input_schema)"),
        (
            {"type": "custom", "custom": {"name": "c"}},
            "has no name: use Tool(name, description, input_schema)",
        ),
        (5, "has no name: use Tool(name, description, input_schema)"),
    ],
)
def test_tools_that_are_refused(tool, what):
    """A tool without a name of its own is refused with its place."""
    assert refusal(HELLO, tools=[ie.Tool("f"), tool]) == f"tools[1] {what}"


# --- numbers and words ---------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k", "max_tokens"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1, True, False, "1", [1]])
def test_numbers_out_of_range_are_refused(field, value):
    """A sampling number that is negative, not finite or no number is refused by its name."""
    assert refusal(HELLO, **{field: value}).startswith(f"{field} is {value!r}: it has to be ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 10.0),
        ("top_k", 1.5),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("seed", 1.5),
        ("seed", True),
        ("seed", math.nan),
        ("seed", "7"),
    ],
)
def test_numbers_just_outside_are_refused(field, value):
    """A number just outside its range, or a fraction where whole ones count, is refused."""
    assert refusal(HELLO, **{field: value}).startswith(f"{field} is {value!r}: it has to be ")


@pytest.mark.parametrize("stop", [[""], ["a", None], [5], ""])
def test_stop_sequences_that_are_refused(stop):
    """A stop sequence that is empty or no str is refused."""
    assert refusal(HELLO, stop=stop).startswith("stop is [")


@pytest.mark.parametrize("thinking", ["", "max", 1, 0.5, ["low"]])
def test_other_thinking_is_refused(thinking):
    """Thinking that is neither a bool nor one of the three words is refused."""
    assert refusal(HELLO, thinking=thinking).startswith(f"thinking is {thinking!r}: ")


# --- JSON ----------------------------------------------------------------------------------------

_texts = st.text(max_size=8)
_names = st.text(min_size=1, max_size=8)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_objects = st.dictionaries(_texts, _json, max_size=3)
_leaves = st.one_of(
    st.builds(ie.TextBlock, _texts),
    st.builds(ie.ImageBlock, _names),
    st.builds(ie.AudioBlock, _names),
    st.builds(ie.VideoBlock, _names),
    st.builds(ie.ThinkingBlock, _texts),
    st.builds(ie.ToolUseBlock, _names, _names, _json, _objects),
    st.builds(ie.UnknownBlock, _names.map("new_{}".format)),
)
_blocks = st.recursive(
    _leaves,
    lambda inner: st.builds(ie.ToolResultBlock, _names, st.lists(inner, max_size=2)),
    max_leaves=4,
)
_numbers = st.none() | st.floats(0, 2)
_counts = st.none() | st.integers(0, 10**9)
_requests = st.builds(
    ie.RequestV2,
    st.lists(
        st.builds(ie.MessageV2, st.sampled_from(ie.Role), st.lists(_blocks, max_size=3)),
        max_size=3,
    ),
    id=_texts,
    attachments=st.lists(
        st.builds(ie.ImageAttachment, _names, st.integers(), st.integers(), st.binary(max_size=9))
        | st.builds(ie.AudioAttachment, _names, st.integers(), st.binary(max_size=9))
        | st.builds(ie.VideoAttachment, _names, st.binary(max_size=9)),
        max_size=3,
    ),
    tools=st.lists(
        st.builds(ie.Tool, _names, _texts, _objects, st.none() | st.booleans()), max_size=2
    ),
    temperature=_numbers,
    top_p=_numbers,
    top_k=_counts,
    max_tokens=_counts,
    stream=st.none() | st.booleans(),
    stop=st.lists(_names, max_size=2),
    seed=st.none() | st.integers(),
    response_format=st.none() | _objects,
    tool_choice=st.none() | _names | _objects,
    parallel_tool_calls=st.none() | st.booleans(),
    thinking=st.none() | st.booleans() | st.sampled_from(["low", "medium", "high"]),
)


@given(_requests)
def test_round_trip(request_):
    """from_dict() gives back what to_dict() was asked for, also after a way through JSON."""
    assert ie.RequestV2.from_dict(json.loads(json.dumps(request_.to_dict()))) == request_


def test_to_dict_leaves_out_what_is_unset():
    """The JSON of a request that sets nothing has its messages alone."""
    block = {"type": "text", "text": "hello"}
    expected = {"messages": [{"role": "user", "content": [block]}]}
    assert ie.RequestV2([HELLO]).to_dict() == expected


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (BLOCKS[0], {"type": "text", "text": "a"}),
        (BLOCKS[1], {"type": "image", "attachment_id": "img"}),
        (BLOCKS[2], {"type": "audio", "attachment_id": "snd"}),
        (BLOCKS[3], {"type": "video", "attachment_id": "vid"}),
        (BLOCKS[4], {"type": "thinking", "text": "hm"}),
        (BLOCKS[5], {"type": "tool_use", "tool_call_id": "c1", "name": "f", "input": {"x": 1}}),
        (
            BLOCKS[6],
            {
                "type": "tool_result",
                "tool_call_id": "c1",
                "content": [{"type": "text", "text": "42"}],
            },
        ),
        (ie.UnknownBlock("new"), {"type": "new"}),
    ],
)
def test_json_of_each_block(block, data):
    """A block's JSON is its type and its fields."""
    request = ie.RequestV2([in_user(block)])
    assert request.to_dict()["messages"][0]["content"] == [data]


@pytest.mark.parametrize(
    ("attachment", "data"),
    [
        (IMAGE, {"kind": "image", "id": "img", "width": 2, "height": 1, "bytes": "cmdicmdi"}),
        (AUDIO, {"kind": "audio", "id": "snd", "sample_rate": 16000, "bytes": "AAAAAAAAAAA="}),
        (VIDEO, {"kind": "video", "id": "vid", "bytes": "bXA0"}),
    ],
)
def test_json_of_each_attachment(attachment, data):
    """An attachment's JSON is its kind and its fields, with the bytes as base64."""
    assert ie.RequestV2([HELLO], attachments=[attachment]).to_dict()["attachments"] == [data]


def test_unknown_fields_are_ignored():
    """Fields that this version does not know do not matter, at any level."""
    data = {
        "messages": [
            {"role": "user", "x": 1, "content": [{"type": "text", "text": "hello", "x": 1}]}
        ],
        "tools": [{"name": "f", "x": True}],
        "attachments": [{"kind": "video", "id": "vid", "bytes": "bXA0", "x": 1}],
        "grammar": "",
    }
    expected = ie.RequestV2([HELLO], tools=[ie.Tool("f")], attachments=[VIDEO])
    assert ie.RequestV2.from_dict(data) == expected


STRICT = ie.Tool("f", "does f", {"type": "object"}, strict=True)


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "f", "description": "does f", "input_schema": {"type": "object"}, "strict": True},
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "does f",
                "parameters": {"type": "object"},
                "strict": True,
            },
        },
        {
            "type": "function",
            "name": "f",
            "description": "does f",
            "parameters": {"type": "object"},
            "strict": True,
        },
    ],
    ids=["inferd", "openai", "responses"],
)
def test_tools_in_other_shapes(shape):
    """A tool may be a dict in inferd's shape or OpenAI's, in the request and in its JSON."""
    assert ie.RequestV2([HELLO], tools=[shape]).resolve().tools == (STRICT,)
    data = {"messages": [{"role": "user", "content": "hello"}], "tools": [shape]}
    assert ie.RequestV2.from_dict(data).tools == (STRICT,)


@pytest.mark.parametrize("nothing", [{}, {"description": None, "parameters": None}])
def test_a_tool_with_nothing_but_a_name(nothing):
    """What a dict does not say of a tool is what ``Tool`` has without it."""
    shape = {"type": "function", "function": {"name": "f", **nothing}}
    assert ie.RequestV2([HELLO], tools=[shape]).tools == (ie.Tool("f"),)


@pytest.mark.parametrize("strict", ["yes", 2, []])
def test_strict_is_a_bool(strict):
    """``strict`` is true, false or not said."""
    said = refusal(HELLO, tools=[ie.Tool("f", strict=strict)])
    assert said == f"tools[0].strict is {strict!r}: take a bool"


def test_strict_is_in_the_json_only_where_it_is_set():
    """A tool that says nothing of ``strict`` has no such field."""
    tools = ie.RequestV2([HELLO], tools=[ie.Tool("f"), STRICT]).to_dict()["tools"]
    assert [tool.get("strict", "unset") for tool in tools] == ["unset", True]


KEPT = [
    {"kind": "image", "id": "a", "width": 2, "height": 1},
    {"kind": "image", "id": "a"},
    {"kind": "audio", "id": "a", "sample_rate": 8000},
    {"kind": "video", "id": "a"},
    {"kind": "video", "id": "a", "bytes": None},
    {"kind": "video"},
    {"kind": "hologram", "id": "a", "depth": 3, "bytes": "bm90IGJhc2U2NCE=", "inner": {"x": [1]}},
    {"kind": "pdf"},
    {"kind": ["image"], "id": "a"},
]


@pytest.mark.parametrize("data", KEPT)
def test_attachments_are_kept_and_then_refused(data):
    """An attachment without bytes, or of an unknown kind, comes back as it was, and is not sent."""
    whole = {"messages": [{"role": "user", "content": "hello"}], "attachments": [data]}
    request = ie.RequestV2.from_dict(whole)
    said = {name: value for name, value in data.items() if value is not None}
    assert request.to_dict()["attachments"] == [said]
    assert ie.RequestV2.from_dict(request.to_dict()) == request
    with pytest.raises(ie.InvalidRequestError, match=r"^attachments\[0\] has "):
        request.resolve()


def test_an_attachment_with_bytes_says_what_they_are():
    """Where there are bytes, the fields that tell how to read them have to be there."""
    data = {"messages": [], "attachments": [{"kind": "image", "id": "v", "bytes": "AAAA"}]}
    with pytest.raises(ie.InvalidRequestError, match=r"^attachments\[0\] has no field 'width'"):
        ie.RequestV2.from_dict(data)


def test_unknown_blocks_are_kept_and_then_refused():
    """A block type that this version does not know is read, and refused only by resolve()."""
    data = {"messages": [{"role": "user", "content": [{"type": "hologram", "depth": 3}]}]}
    request = ie.RequestV2.from_dict(data)
    assert request.messages[0].content == (ie.UnknownBlock("hologram", {"depth": 3}),)
    assert request.to_dict() == data
    with pytest.raises(ie.InvalidRequestError, match=r"messages\[0\]\.content\[0\] .*'hologram'"):
        request.resolve()


def test_content_as_text_is_read():
    """A str as content in JSON is one text block, also in a tool result."""
    result = {"type": "tool_result", "tool_call_id": "c", "content": "42"}
    data = {"messages": [{"role": "user", "content": c} for c in ("hello", [result])]}
    assert ie.RequestV2.from_dict(data).messages == (HELLO, ie.tool_result("c", "42"))


@pytest.mark.parametrize("field", ["attachments", "tools", "stop", "temperature", "thinking"])
def test_null_is_unset(field):
    """A field that is null in JSON is as if it were not there."""
    data = {"messages": [{"role": "user", "content": "hello"}], field: None}
    assert ie.RequestV2.from_dict(data) == ie.RequestV2([HELLO])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "the request has no field 'messages'"),
        ([], "the request has no field 'messages'"),
        ({"messages": None}, "messages of the request is not a list"),
        ({"messages": [5]}, "messages[0] has no field 'role'"),
        ({"messages": [{"role": "user"}]}, "messages[0] has no field 'content'"),
        (
            {"messages": [{"role": "user", "content": {}}]},
            "messages[0].content is neither text nor a list of blocks",
        ),
        (
            {"messages": [{"role": "user", "content": ["a"]}]},
            "messages[0].content[0] has no field 'type'",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0] has no field 'text'",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "tool_result", "tool_call_id": "c", "content": 5}],
                    }
                ]
            },
            "messages[0].content[0].content is neither text nor a list of blocks",
        ),
        ({"messages": [], "tools": 5}, "tools of the request is not a list"),
        ({"messages": [], "tools": [5]}, "tools[0] has no field 'name'"),
        ({"messages": [], "stop": 5}, "stop of the request is not a list"),
        ({"messages": [], "attachments": {}}, "attachments of the request is not a list"),
        ({"messages": [], "attachments": [{}]}, "attachments[0] has no field 'kind'"),
        (
            {"messages": [], "attachments": [{"kind": "video", "id": "v", "bytes": "bXA0!"}]},
            "attachments[0] has bytes that are not base64",
        ),
        (
            {"messages": [], "attachments": [{"kind": "image", "id": "v", "bytes": ""}]},
            "attachments[0] has no field 'width'",
        ),
    ],
)
def test_json_of_another_shape(data, message):
    """JSON that is no request is refused with the place."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        ie.RequestV2.from_dict(data)
    assert str(caught.value) == message


def test_a_block_type_that_is_no_word():
    """A block whose type is no str is an unknown block, not a crash."""
    data = {"messages": [{"role": "user", "content": [{"type": ["text"]}]}]}
    assert ie.RequestV2.from_dict(data).messages[0].content == (ie.UnknownBlock("['text']"),)

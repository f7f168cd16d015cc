"""Version 1 of the protocol: flat text, defaults filled in by ``resolve()``."""

import math

import attrs
import pytest

import inferd_engine as ie

HELLO = (ie.Message(ie.Role.USER, "hello"),)


def refusal(request):
    """Give the message with which a request is refused."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        request.resolve()
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 1.0),
        ("top_p", 0.95),
        ("top_k", 64),
        ("max_tokens", 1000),
        ("stream", True),
        ("image_token_budget", None),
        ("grammar", ""),
        ("id", ""),
    ],
)
def test_resolve_fills_each_default(field, value):
    """What the caller left open has inferd's default after resolve()."""
    assert getattr(ie.Request(HELLO).resolve(), field) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0),
        ("temperature", 2.5),
        ("top_p", 1),
        ("top_p", 0.01),
        ("top_k", 0),
        ("max_tokens", 1),
        ("stream", False),
        ("grammar", 'root ::= "a"'),
        ("id", "mine"),
    ],
)
def test_resolve_keeps_what_is_set(field, value):
    """What the caller set stays, also where it is falsy or on the edge of its range."""
    resolved = ie.Request(HELLO, **{field: value}).resolve()
    assert getattr(resolved, field) == value
    assert type(getattr(resolved, field)) is type(value)


@pytest.mark.parametrize("budget", [70, 140, 280, 560, 1120])
def test_image_token_budget_words(budget):
    """Each of inferd's five budgets is taken."""
    assert ie.Request(HELLO, image_token_budget=budget).resolve().image_token_budget == budget


@pytest.mark.parametrize("budget", [0, 71, -70, True, "70", math.nan])
def test_other_image_token_budgets_are_refused(budget):
    """A budget that is none of the five is refused with the list of them."""
    message = refusal(ie.Request(HELLO, image_token_budget=budget))
    assert message == f"image_token_budget is {budget!r}: take one of 70, 140, 280, 560, 1120"


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k", "max_tokens"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, True, False, "1", [1]])
def test_numbers_out_of_range_are_refused(field, value):
    """A sampling number that is negative, not finite or no number is refused by its name."""
    message = refusal(ie.Request(HELLO, **{field: value}))
    assert message.startswith(f"{field} is {value!r}: it has to be ")


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_tokens", 0), ("max_tokens", 1.5), ("top_k", 2.0), ("top_p", 0), ("top_p", 1.0001)],
)
def test_numbers_just_outside_are_refused(field, value):
    """A number just outside its range, or a fraction where whole ones count, is refused."""
    assert refusal(ie.Request(HELLO, **{field: value})).startswith(f"{field} is {value!r}: ")


def test_a_number_beyond_floats_is_refused():
    """An int that no float can hold is refused as any other, not with an OverflowError."""
    assert refusal(ie.Request(HELLO, temperature=10**400)).startswith("temperature is 1000")


def test_no_messages():
    """A request without messages is refused."""
    assert refusal(ie.Request([])) == "messages is empty: give at least one message"


@pytest.mark.parametrize("role", ["tool", "User", "", None, 1, []])
def test_unknown_role_is_named_with_its_place(role):
    """A role that is none of the three is kept by the message and refused with its place."""
    message = ie.Message(role, "hello")
    assert message.role == role
    expected = f"messages[1].role is {role!r}: take system, user or assistant"
    assert refusal(ie.Request([*HELLO, message])) == expected


@pytest.mark.parametrize("content", [None, b"bytes", ["a"], 5])
def test_content_that_is_no_text(content):
    """Content that is no str is refused with its place."""
    request = ie.Request([*HELLO, ie.Message("user", content)])
    assert refusal(request).startswith("messages[1].content is not a str")


def test_a_message_that_is_none():
    """What is no Message is refused with its place."""
    assert refusal(ie.Request([*HELLO, "hello"])).startswith("messages[1] is not a Message")


@pytest.mark.parametrize("word", ["system", "user", "assistant"])
def test_role_words(word):
    """A role's word becomes the Role, which is its word again as text."""
    role = ie.Message(word, "").role
    assert isinstance(role, ie.Role)
    assert str(role) == role == word


@pytest.mark.parametrize("value", [HELLO[0], ie.Request(HELLO), ie.Request(HELLO).resolve()])
def test_values_are_frozen_and_have_slots(value):
    """Messages and requests can neither be changed nor given other attributes."""
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, None)
    assert not hasattr(value, "__dict__")


def test_messages_of_an_iterator_are_kept():
    """Messages may come from any iterable and are a tuple afterwards."""
    assert ie.Request(iter(HELLO)).messages == HELLO


def test_to_dict_leaves_out_what_is_unset():
    """The JSON of a request that sets nothing has its messages alone."""
    expected = {"messages": [{"role": "user", "content": "hello"}]}
    assert ie.Request(HELLO).to_dict() == expected


FULL = ie.Request(
    [ie.Message("system", "be brief"), ie.Message("user", "")],
    id="r1",
    temperature=0,
    top_p=0.5,
    top_k=0,
    max_tokens=5,
    stream=False,
    image_token_budget=70,
    grammar="root ::= x",
)


@pytest.mark.parametrize("request_", [ie.Request(HELLO), FULL])
def test_round_trip(request_):
    """from_dict() gives the request back that to_dict() was asked for."""
    assert ie.Request.from_dict(request_.to_dict()) == request_


def test_unknown_fields_are_ignored():
    """Fields that this version does not know do not matter, at any level."""
    data = {"messages": [{"role": "user", "content": "hello", "x": 1}], "y": {"z": []}}
    assert ie.Request.from_dict(data) == ie.Request(HELLO)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "the request has no field 'messages'"),
        (None, "the request has no field 'messages'"),
        ({"messages": None}, "messages of the request is not a list"),
        ({"messages": 5}, "messages of the request is not a list"),
        ({"messages": [{"content": "a"}]}, "messages[0] has no field 'role'"),
        ({"messages": [{"role": "user"}]}, "messages[0] has no field 'content'"),
        ({"messages": ["a"]}, "messages[0] has no field 'role'"),
    ],
)
def test_json_of_another_shape(data, message):
    """JSON that is no request is refused with the place."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        ie.Request.from_dict(data)
    assert str(caught.value) == message

"""What a stranger gives at first: it does what was meant, or says where and what to give."""

from __future__ import annotations

import copy
import dataclasses
import fractions
import numbers
import pickle

import pytest

import inferd_engine as ie

NOBODY = ie.OpenAiCompat("http://127.0.0.1:1", model="m", api_key="")
SOMETHING = (5, 1.5, None, object(), b"Hi")


@dataclasses.dataclass
class OtherInteger:
    """An integer that is not Python's own, as numpy's are."""

    value: int

    def __int__(self):
        return self.value


@dataclasses.dataclass
class OtherReal:
    value: float

    def __float__(self):
        return self.value


numbers.Integral.register(OtherInteger)
numbers.Real.register(OtherReal)


def refusal(ask, *args, **fields):
    with pytest.raises((ie.InvalidRequestError, TypeError)) as caught:
        ask(*args, **fields)
    return str(caught.value)


def sent(**fields):
    config = ie.OpenAiCompatConfig(base_url="http://localhost", api_key="")
    return ie.request_from_resolved(ie.RequestV2([ie.user("Hi")], **fields).resolve(), config)


@pytest.mark.parametrize("what", SOMETHING, ids=lambda what: type(what).__name__)
def test_content_that_is_none(what):
    """Content that is neither text nor blocks is refused with its place, wherever it was given."""
    for message in (ie.user(what), ie.MessageV2("user", what), ie.MessageV2("user", [what])):
        said = refusal(NOBODY.complete, [ie.user("a"), message])
        assert said.startswith("messages[1].content[0] is not a block, but ")
    said = refusal(NOBODY.complete, [ie.tool_result("c", what)])
    assert said.startswith("messages[0].content[0].content[0] is not a block, but ")
    if what is not None:
        said = refusal(NOBODY.complete, "Hi", system=what)
        assert said.startswith("messages[0].content[0] is not a block, but ")


@pytest.mark.parametrize(
    "what", [*SOMETHING, "Hi", ("user", "Hi")], ids=lambda what: type(what).__name__
)
def test_messages_that_are_none(what):
    """What is no message is refused by its place and its type."""
    assert refusal(ie.RequestV2([ie.user("a"), what]).resolve).startswith(
        "messages[1] is not a MessageV2, but "
    )
    assert refusal(NOBODY.complete, [what]).startswith("messages[0] is not a MessageV2, but ")


@pytest.mark.parametrize("what", [*SOMETHING, "Hi"], ids=lambda what: type(what).__name__)
def test_one_thing_in_the_place_of_several(what):
    """One thing where several are taken is one of them, and is refused as that."""
    assert refusal(ie.RequestV2(what).resolve).startswith("messages[0] is not a MessageV2")
    assert refusal(ie.Request(what).resolve).startswith("messages[0] is not a Message")
    if what is not None:
        assert refusal(NOBODY.complete, "Hi", tools=what).startswith("tools[0] ")
        assert refusal(NOBODY.complete, "Hi", attachments=what).startswith("attachments[0] ")
    if not isinstance(what, (str, type(None))):
        assert refusal(NOBODY.complete, "Hi", stop=what).startswith("stop is [")


def test_one_thing_that_fits():
    """One message, tool, attachment or stop sequence need not be in a list."""
    one = ie.RequestV2(ie.user("Hi"), tools=ie.Tool("f"), stop="\n")
    assert one == ie.RequestV2([ie.user("Hi")], tools=[ie.Tool("f")], stop=["\n"])
    one.resolve()
    assert sent(tools={"type": "function", "function": {"name": "f"}})["tools"][0]["type"]
    image = ie.ImageAttachment.at("sky", "https://example.com/sky.png")
    assert ie.RequestV2([ie.user("Hi")], attachments=image).resolve().attachments == (image,)


def test_what_was_meant_by_a_message():
    """An answer, or a model of pydantic's, has a method that makes the message."""

    class Model:
        def model_dump(self):
            return {"role": "user", "content": "Hi"}

    assert refusal(NOBODY.complete, [ie.Completion("Hi")]).endswith(": take its to_message()")
    assert refusal(NOBODY.complete, [Model()]).endswith(": take its model_dump()")


@pytest.mark.parametrize(
    "prompt", [5, None, object(), b"Hi", bytearray(b"Hi")], ids=lambda what: type(what).__name__
)
def test_prompts_that_are_none(prompt):
    """A prompt that is no text and no messages says so."""
    assert refusal(NOBODY.complete, prompt).startswith("prompt is ")


@pytest.mark.parametrize(
    "what", [True, 30, 1.5, "token", object()], ids=lambda what: type(what).__name__
)
def test_a_token_that_is_none(what):
    """A number of seconds, or a bool, is no token."""
    for ask in (NOBODY.stream, NOBODY.complete, ie.Mock().stream):
        said = refusal(ask, "Hi", cancel=what)
        assert said.startswith(f"cancel is of type {type(what).__name__}: give a CancelToken")


def test_numbers_of_others():
    """Numbers that are not Python's own, as numpy's, are sent as numbers."""
    body = sent(
        max_tokens=OtherInteger(5), seed=OtherInteger(6), temperature=fractions.Fraction(1, 2)
    )
    assert (body["max_tokens"], body["seed"], body["temperature"]) == (5, 6, 0.5)
    assert type(body["max_tokens"]) is int
    assert type(sent(temperature=OtherReal(1.0))["temperature"]) is float
    request = ie.Request([ie.Message("user", "Hi")], top_k=OtherInteger(3), top_p=OtherReal(1.0))
    assert (request.resolve().top_k, request.resolve().top_p) == (3, 1.0)
    for wrong in (True, "5", 5.5, 5j):
        assert refusal(sent, max_tokens=wrong).startswith(f"max_tokens is {wrong!r}: ")


@pytest.mark.parametrize(
    "request_", ["Hi", None, ie.RequestV2([ie.user("Hi")])], ids=lambda what: type(what).__name__
)
def test_a_request_that_was_not_resolved(request_):
    """What was not checked is not sent, and the way to have it checked is told."""
    assert "give what RequestV2.resolve() returns" in refusal(NOBODY.generate_v2, request_)


def test_a_setting_that_is_a_way_to_make_one():
    """A preset is asked for by a method, not by a field."""
    said = refusal(ie.OpenAiCompat, preset="ollama")
    assert said == "OpenAiCompatConfig has no field 'preset': use OpenAiCompatConfig.preset(…)"


def test_an_address_without_a_scheme():
    """An address without a scheme is told how it is written."""
    said = refusal(ie.OpenAiCompat, "localhost:8080", api_key="")
    assert said.endswith("begin with http:// or https://, as in http://localhost:8080")


@pytest.mark.parametrize("away", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_stream_stays(away):
    """A stream cannot go to another process, and says what to send instead."""
    with ie.Mock("a").stream("Hi") as stream:
        with pytest.raises(TypeError, match=r"collect\(\) it"):
            away(stream)

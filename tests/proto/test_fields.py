"""What a call may be given beside its prompt, and what it says of the rest."""

from __future__ import annotations

import json
from typing import get_args

import attrs
import pytest

import inferd_engine as ie
from inferd_engine.backends.openai_compat.fields import (
    OpenAiCompatFields,
    PresetName,
    UpstreamFields,
)
from inferd_engine.backends.openai_compat.presets import PRESETS
from inferd_engine.proto.fields import RequestFields

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


class Recording(ie.Mock):
    """A backend that keeps what it was asked."""

    def generate_v2(self, request, **options):
        self.asked = request
        return super().generate_v2(request, **options)


@pytest.fixture
def backend():
    return Recording()


def test_the_fields_are_those_of_a_request():
    """What editors complete is what RequestV2 has, without the messages."""
    names = {field.name for field in attrs.fields(ie.RequestV2)}
    assert set(RequestFields.__annotations__) == names - {"messages"}


def test_the_fields_of_a_configuration():
    """What editors complete for a backend is what its configuration has; likewise its presets."""
    names = {field.name for field in attrs.fields(ie.OpenAiCompatConfig)}
    known = UpstreamFields.__annotations__ | OpenAiCompatFields.__annotations__
    assert set(known) == names
    assert get_args(PresetName) == tuple(PRESETS)


def test_a_base_url_in_front():
    """A str in front is the base URL."""
    backend = ie.OpenAiCompat("http://localhost:8080", model="m", api_key="")
    assert (backend.config.base_url, backend.config.model) == ("http://localhost:8080", "m")


@pytest.mark.parametrize("call", ["stream", "complete"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("temprature", "did you mean temperature?"),
        ("max_token", "did you mean max_tokens?"),
        ("timeout", r"a setting of the backend, as in backend\.with_options\(timeout=…\)"),
        (
            "idle_timout",
            r"did you mean idle_timeout, as in backend\.with_options\(idle_timeout=…\)",
        ),
        ("nonsense", "it takes attachments, cancel, extra_body"),
    ],
)
def test_an_unknown_name(call, name, says):
    """A name that is not there is a TypeError that says where, and what may have been meant."""
    backend = ie.OpenAiCompat(base_url="http://localhost:1", api_key="")
    with pytest.raises(TypeError, match=rf"{call}\(\) has no argument '{name}'.*{says}"):
        getattr(backend, call)("Hi", **{name: 1})


def test_system(backend):
    """system= puts a system message in front, whatever the prompt is."""
    backend.complete("Hi", system="Be brief.")
    assert backend.asked.messages == (ie.system("Be brief."), ie.user("Hi"))
    backend.complete([{"role": "user", "content": "Hi"}], system="")
    assert backend.asked.messages == (ie.system(""), ie.user("Hi"))


def test_model_and_body(backend):
    """model= and extra_body= are the request's own, and checked."""
    backend.complete("Hi", model="other", extra_body={"a": 1})
    assert (backend.asked.model, backend.asked.extra_body) == ("other", {"a": 1})
    for wrong in ({"model": 3}, {"extra_body": [1]}):
        with pytest.raises(ie.InvalidRequestError, match=next(iter(wrong))):
            backend.complete("Hi", **wrong)


def test_attachments_are_shown(backend):
    """Attachments that no message shows come after the last text of the user."""
    image, sound = ie.ImageAttachment.encoded("i", PNG), ie.AudioAttachment("s", 8000, b"\0" * 4)
    backend.complete("What is this?", attachments=[image, sound])
    assert backend.asked.messages == (
        ie.MessageV2(
            "user", [ie.TextBlock("What is this?"), ie.ImageBlock("i"), ie.AudioBlock("s")]
        ),
    )
    history = [ie.user("a"), ie.assistant("b"), ie.user("c"), ie.assistant("d")]
    backend.complete(history, attachments=[image])
    assert backend.asked.messages[2].content == (ie.TextBlock("c"), ie.ImageBlock("i"))


def test_attachments_that_are_shown_already(backend):
    """What a message refers to is not shown twice, in a tool's result neither."""
    image, other = (ie.ImageAttachment.encoded(name, PNG) for name in "ij")
    messages = [
        ie.MessageV2("user", [ie.ImageBlock("i"), ie.TextBlock("see"), ie.TextBlock("this")]),
        ie.tool_result("c", [ie.ImageBlock("j")]),
    ]
    backend.complete(messages, attachments=[image, other])
    assert backend.asked.messages == tuple(messages)


def test_attachments_without_a_text(backend):
    """Where the user said nothing, what they show is a message of its own."""
    image = ie.ImageAttachment.encoded("i", PNG)
    backend.complete([ie.system("x")], attachments=[image])
    assert backend.asked.messages[1] == ie.MessageV2("user", [ie.ImageBlock("i")])


def test_what_is_no_attachment(backend):
    """What cannot be shown is named by resolve(), as ever."""
    with pytest.raises(ie.InvalidRequestError, match=r"attachments\[0\]"):
        backend.complete("x", attachments=[b"png"])


def test_a_message_goes_to_json_and_back():
    """A conversation can be kept: what to_dict() gives is JSON, and from_dict() reads it."""
    history = [
        ie.system("Be brief."),
        ie.MessageV2("user", [ie.TextBlock("see"), ie.ImageBlock("i")]),
        ie.Completion("ok", "hm", (ie.ToolUse("c", "f", {"x": 1}, {"s": "t"}),)).to_message(),
        ie.tool_result("c", "sunny"),
    ]
    kept = json.loads(json.dumps([message.to_dict() for message in history]))
    assert [ie.MessageV2.from_dict(message) for message in kept] == history
    for wrong in ({}, {"role": "user"}, {"content": "x"}, {"role": "user", "content": 5}, []):
        with pytest.raises(ie.InvalidRequestError, match="the message"):
            ie.MessageV2.from_dict(wrong)

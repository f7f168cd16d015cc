"""Every setting of every backend, and every field of a call, is checked: by its type, and by name.

The types are those that editors see, so that a new field is tested by being there.
"""

from __future__ import annotations

import collections.abc
import os
import types
import typing
from typing import Literal, Union, get_args, get_origin

import attrs
import pytest

import inferd_engine as ie
from inferd_engine.backends.anthropic.fields import AnthropicFields
from inferd_engine.backends.bedrock.fields import BedrockFields
from inferd_engine.backends.llamacpp.config import LlamaCppFields
from inferd_engine.backends.mock import MockAnswer, MockFields
from inferd_engine.backends.openai_compat.fields import OpenAiCompatFields
from inferd_engine.events import TokenEventV2
from inferd_engine.proto.embed import EmbedTask
from inferd_engine.proto.fields import RequestFields

NAMES = {
    **{name: getattr(collections.abc, name) for name in collections.abc.__all__},
    "os": os,
    "Attachment": ie.ImageAttachment,
    "EmbedTask": EmbedTask,
    "GenerateError": ie.GenerateError,
    "MockAnswer": MockAnswer,
    "TokenEventV2": TokenEventV2,
    "Tool": ie.Tool,
}
MODEL = {"model_path": "m.gguf"}
UNIONS = (Union, types.UnionType)
CONFIGS = {
    "OpenAiCompatConfig": (ie.OpenAiCompatConfig, OpenAiCompatFields, {"api_key": "k"}),
    "AnthropicConfig": (ie.AnthropicConfig, AnthropicFields, {"api_key": "k"}),
    "BedrockConfig": (ie.BedrockConfig, BedrockFields, {"api_key": "k", "region": "us-east-1"}),
    "LlamaCppConfig": (ie.LlamaCppConfig, LlamaCppFields, MODEL),
    "MockConfig": (ie.MockConfig, MockFields, {}),
}
# One of each kind, and what is taken for a bool, a number or nothing by those who do not look.
VALUES = (
    *(None, True, False, 0, 1, -1, 7, 1.5, float("nan"), "", "no", "true", b"no", 2j),
    *((), (1,), [], {}, {"no": 1}, {1}, object(), int),
)


def fits(value, hint):
    """Whether a value is of a type, as type checkers see it, but for what is inside of it."""
    origin = get_origin(hint)
    if origin in UNIONS:
        return any(fits(value, kind) for kind in get_args(hint))
    if origin is Literal:
        return any(type(value) is type(known) and value == known for known in get_args(hint))
    kind = origin or hint
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def hints_of(fields):
    return typing.get_type_hints(fields, localns=NAMES)


def refused(call, hint, name, skip=()):
    """Check that a call refuses each value of another type by the name of the field."""
    wrong = [value for value in VALUES if not fits(value, hint) and not isinstance(value, skip)]
    assert wrong
    for value in wrong:
        with pytest.raises((ie.InvalidRequestError, TypeError)) as caught:
            call(value)
            pytest.fail(f"{name} was taken: {value!r}")
        assert name in str(caught.value)
        assert "unexpected" not in str(caught.value)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_field_has_a_type(name):
    """What editors see of a configuration is all of it."""
    config, fields, _ = CONFIGS[name]
    assert set(hints_of(fields)) == {field.name for field in attrs.fields(config)}


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name in CONFIGS for field in hints_of(CONFIGS[name][1])]
)
def test_a_wrong_type(name, field):
    """A value of another type is refused, and the message names the field."""
    config, fields, given = CONFIGS[name]
    refused(lambda value: config(**{**given, field: value}), hints_of(fields)[field], field)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_switch_and_word(name):
    """Every bool and every word that a field's type lists is taken, and kept as it is."""
    config, fields, given = CONFIGS[name]
    for field, hint in hints_of(fields).items():
        for kind in (hint, *get_args(hint)):
            listed = (True, False) if kind is bool else ()
            for value in get_args(kind) if get_origin(kind) is Literal else listed:
                assert getattr(config(**{**given, field: value}), field) is value


@pytest.mark.parametrize("change", ["evolve", "with_options"])
def test_a_change_is_checked(change):
    """A setting that is changed is checked as one that is given."""
    config = ie.AnthropicConfig(api_key="k")
    with pytest.raises(ie.InvalidRequestError, match="vision is 'no'"):
        if change == "evolve":
            attrs.evolve(config, vision="no")
        else:
            ie.Anthropic(config).with_options(vision="no")


def test_the_messages():
    """They say what is taken."""
    with pytest.raises(ie.InvalidRequestError, match=r"^vision is 'no': take True or False$"):
        ie.BedrockConfig(region="us-east-1", vision="no")
    with pytest.raises(
        ie.InvalidRequestError, match=r"^cache is 1: take one of False, True, '5m', '1h'$"
    ):
        ie.AnthropicConfig(cache=1)
    with pytest.raises(ie.InvalidRequestError, match=r"^extra_body is of type str: give"):
        ie.OpenAiCompatConfig(extra_body="")


# --- calls ---------------------------------------------------------------------------------------

CALL = {
    **hints_of(RequestFields),
    "response_format": Union[str, collections.abc.Mapping, None],  # a word is sent as it is
    "system": Union[str, None],
    "cancel": Union[ie.CancelToken, None],
    "include_raw": bool,
}
# What stands alone where several are wanted is the one; None says that a field is not given.
ALONE = {
    "attachments": (ie.ImageAttachment, type(None)),
    "tools": (dict, ie.Tool, type(None)),
    "stop": (type(None),),
    "extra_body": (type(None),),
}


@pytest.mark.parametrize("asked", ["stream", "complete"])
@pytest.mark.parametrize("field", CALL)
def test_a_call(asked, field):
    """A field of a call of another type is refused before anything is sent, by its name."""
    mock = ie.Mock("hello")
    call = getattr(mock, asked)
    name = "messages[0].content" if field == "system" else field  # the first message is its
    refused(lambda value: call("x", **{field: value}), CALL[field], name, ALONE.get(field, ()))
    assert mock.requests == []


@pytest.mark.parametrize("value", [1, 0, "no", "", 1.0])
def test_a_tool_and_a_result(value):
    """Switches inside of a request are bools too."""
    with pytest.raises(ie.InvalidRequestError, match=r"tools\[0\]\.strict"):
        ie.RequestV2([ie.user("x")], tools=[ie.Tool("f", "", {}, strict=value)]).resolve()
    result = ie.ToolResultBlock("c", "x", is_error=value)
    with pytest.raises(ie.InvalidRequestError, match=r"content\[0\]\.is_error"):
        ie.RequestV2([ie.MessageV2("user", [result])]).resolve()


EMBED = {"model": str, "dimensions": Union[int, None], "task": Union[EmbedTask, None]}


@pytest.mark.parametrize("field", EMBED)
def test_a_call_for_vectors(field):
    """The same where vectors are asked for."""
    mock = ie.Mock()
    refused(lambda value: mock.embeddings("x", **{field: value}), EMBED[field], field)
    assert mock.requests == []


@pytest.mark.parametrize("field", ["plain", "trust"])
@pytest.mark.parametrize("value", ["no", 0, 1, None])
def test_how_an_answer_is_shown(field, value):
    """A notebook trusts an answer if it is told to, and not by a word that happens to be true."""
    with pytest.raises(TypeError, match=f"^{field} is True or False"):
        ie.Mock("hello").display("x", **{field: value})

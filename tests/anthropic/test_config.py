"""What an ``Anthropic`` is told: keys, addresses, presets, and what it refuses."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import get_args

import attrs
import pytest
from anthropic_messages import KEY

import inferd_engine as ie
from inferd_engine.backends.anthropic.fields import AnthropicFields, PresetName
from inferd_engine.backends.anthropic.presets import PRESETS
from inferd_engine.backends.over_http.upstream import UpstreamFields
from inferd_engine.wire.anthropic.endpoints import MODELS, endpoint_url

BOTH = "ANTHROPIC_API_KEY`, else `ANTHROPIC_AUTH_TOKEN"
MANUAL = (Path(__file__).parents[2] / "docs" / "anthropic.md").read_text("utf-8")


def made(name, **fields):
    return ie.AnthropicConfig.preset(name, **fields)


def test_the_fields_are_typed():
    """What editors complete is what the configuration has; likewise its presets."""
    names = {field.name for field in attrs.fields(ie.AnthropicConfig)}
    assert set(UpstreamFields.__annotations__ | AnthropicFields.__annotations__) == names
    assert get_args(PresetName) == tuple(PRESETS)


def test_defaults():
    """Without a word it is Anthropic, in the version that every compatible server takes."""
    config = ie.AnthropicConfig()
    assert config.base_url == "https://api.anthropic.com"
    assert (config.api_key, config.api_key_header) == ("", "x-api-key")
    assert (config.version, config.betas, config.max_tokens) == ("2023-06-01", (), 1024)
    assert (config.thinking_style, config.cache) == ("adaptive", False)
    assert (config.vision, config.documents) == (True, True)


@pytest.mark.parametrize(
    ("base_url", "messages", "models"),
    [
        ("http://h", "http://h/v1/messages", "http://h/v1/models"),
        ("http://h/", "http://h/v1/messages", "http://h/v1/models"),
        ("http://h/v1", "http://h/v1/messages", "http://h/v1/models"),
        ("http://h/v1/", "http://h/v1/messages", "http://h/v1/models"),
        ("http://h/anthropic", "http://h/anthropic/v1/messages", "http://h/anthropic/v1/models"),
        ("http://h/x/v1", "http://h/x/v1/messages", "http://h/x/v1/models"),
        ("http://h/x/messages", "http://h/x/messages", "http://h/x/models"),
        ("http://h/v1/messages", "http://h/v1/messages", "http://h/v1/models"),
        (
            "http://h/a?beta=true",
            "http://h/a/v1/messages?beta=true",
            "http://h/a/v1/models?beta=true",
        ),
    ],
)
def test_where_it_asks(base_url, messages, models):
    """The path is that of the protocol, below whatever path there is; the query stays."""
    assert endpoint_url(base_url) == messages
    assert endpoint_url(base_url, MODELS) == models


def test_the_address_of_the_environment(monkeypatch):
    """ANTHROPIC_BASE_URL is where to if nobody says; OpenAI's is somebody else's."""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://openai.example")
    assert ie.AnthropicConfig().base_url == "https://api.anthropic.com"
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://gateway.example")
    assert ie.AnthropicConfig().base_url == "https://gateway.example"


def test_the_key_of_the_environment(monkeypatch):
    """ANTHROPIC_API_KEY, else ANTHROPIC_AUTH_TOKEN; OpenAI's key goes nowhere."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    assert ie.AnthropicConfig().api_key == ""
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    config = ie.AnthropicConfig()
    assert (config.api_key, config.api_key_variable) == ("token", "ANTHROPIC_AUTH_TOKEN")
    assert made("anthropic").api_key == "token"
    assert made("deepseek").api_key == ""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    config = ie.AnthropicConfig()
    assert (config.api_key, config.api_key_variable) == ("key", "ANTHROPIC_API_KEY")
    assert made("anthropic").api_key == "key"
    with pytest.raises(ie.InvalidRequestError, match="ANTHROPIC_API_KEY is not sent"):
        ie.AnthropicConfig(base_url="http://h.example")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": ""}, "version is ''"),
        ({"version": None}, "version is None"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": True}, "max_tokens is True"),
        ({"thinking_style": "reasoning"}, "thinking_style is 'reasoning': take one of 'adaptive'"),
        ({"cache": "2h"}, "cache is '2h': take one of False, True, '5m', '1h'"),
        ({"betas": ["a\r\nX-Evil: 1"]}, "betas holds"),
        ({"betas": [""]}, "betas holds ''"),
        ({"betas": [5]}, "betas holds 5"),
        ({"betas": 5}, "betas holds 5"),
        ({"betas": None}, "betas holds None"),
        ({"model": ""}, "model is ''"),
        ({"headers": {"Anthropic-Version": "x"}}, "headers['Anthropic-Version'] cannot be set"),
        (
            {"headers": {"anthropic-beta": "x"}},
            "headers['anthropic-beta'] cannot be set: give betas",
        ),
    ],
)
def test_what_is_refused(fields, words):
    """A field that cannot be used is named, with what can."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        ie.AnthropicConfig(**fields)
    assert str(caught.value).startswith(words)


def test_one_beta():
    """A name alone is one name."""
    assert ie.AnthropicConfig(betas="a").betas == ("a",)
    assert ie.AnthropicConfig(betas=["a", "b"]).betas == ("a", "b")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_used(monkeypatch, name):
    """Every preset makes a configuration, and its key is its own."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-anthropic")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://gateway.example")
    known = PRESETS[name]
    variable = known.get("api_key_variable", "ANTHROPIC_API_KEY")
    if variable:
        monkeypatch.setenv(variable, "sk-own")
    config = made(name)
    for field, value in known.items():
        wanted = value.format(region="eu-central-1") if field == "base_url" else value
        assert getattr(config, field) == wanted
    assert config.api_key == known.get("api_key", "sk-own" if variable else "")
    assert endpoint_url(config.base_url).endswith("/v1/messages")
    assert (config.version == "2026-10-21") == (name == "anthropic")


def test_the_region_of_bedrock(monkeypatch):
    """Bedrock's address has the region of the environment, unless one is given."""
    for kind in (ie.AnthropicConfig, ie.OpenAiCompatConfig):
        monkeypatch.delenv("AWS_REGION", raising=False)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        with pytest.raises(ie.InvalidRequestError, match="AWS_REGION"):
            kind.preset("bedrock")
        assert kind.preset("bedrock", base_url="https://vpce.example").base_url == (
            "https://vpce.example"
        )
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        assert ".eu-west-1." in kind.preset("bedrock").base_url
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        assert ".us-east-1." in kind.preset("bedrock").base_url
        monkeypatch.setenv("AWS_REGION", "evil.example/")
        with pytest.raises(ie.InvalidRequestError, match="is not a region"):
            kind.preset("bedrock")
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        assert kind.preset("bedrock").api_key == "token"


def test_it_goes_through_a_pickle():
    """No secret goes with it; everything else does."""
    pickled = pickle.dumps(ie.Anthropic(api_key=KEY, betas=["a"], cache="1h"))
    assert KEY.encode() not in pickled
    found = pickle.loads(pickled)
    assert type(found) is ie.Anthropic
    assert (found.config.betas, found.config.cache) == (("a",), "1h")
    with pytest.raises(ie.InvalidRequestError, match="give it again"):
        found.complete("x")
    assert found.with_options(api_key=KEY).config == ie.Anthropic(found.config, api_key=KEY).config


def test_it_shows_no_key():
    """Neither a repr nor a hash tells anything of it."""
    backend = ie.Anthropic("https://h.example/?k=secret-5", api_key=KEY)
    assert KEY not in repr(backend)
    assert "secret-5" not in repr(backend)
    assert isinstance(hash(backend.config), int)


def test_the_table_in_the_manual():
    """docs/anthropic.md says of every preset what the data says."""
    rows = dict(re.findall(r"^`(\w+)` \| (.*)$", MANUAL, re.MULTILINE))
    assert list(rows) == list(PRESETS)
    for name, known in PRESETS.items():
        others = known.keys() - {"base_url", "api_key_variable", "api_key"}
        cells = [cell.strip(" `") for cell in rows[name].split("|")]
        assert cells[0] == known["base_url"]
        assert cells[1] == (known.get("api_key_variable", BOTH) or "none")
        assert set(re.findall(r"`(\w+)=", rows[name])) == others

"""Presets are data: a URL, a variable for the key, and the few fields that differ."""

import pickle
import re
from pathlib import Path

import attrs
import pytest

import inferd_engine as ie
from inferd_engine.backends.openai_compat.presets import PRESETS
from inferd_engine.wire.http.urls import keeps_secrets
from inferd_engine.wire.openai.endpoints import endpoint_url

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
AZURE = "https://me.openai.azure.com/openai/deployments/d?api-version=2024-10-21"
REGION = "eu-central-1"
FIELDS = {field.name for field in attrs.fields(ie.OpenAiCompatConfig)}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for known in PRESETS.values():
        monkeypatch.delenv(known["api_key_variable"] or "NONE", raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def made(name, **fields):
    """Make a preset; Azure's needs an address."""
    return (
        ie.OpenAiCompatConfig.preset(name, **{"base_url": AZURE, **fields})
        if (name == "azure")
        else ie.OpenAiCompatConfig.preset(name, **fields)
    )


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_used(name):
    """Every preset makes a configuration, from fields that there are."""
    assert PRESETS[name].keys() <= FIELDS
    config = made(name)
    for field, value in PRESETS[name].items():
        wanted = value.format(region=REGION) if field == "base_url" else value
        assert getattr(config, field) == wanted
    assert endpoint_url(config.base_url).partition("?")[0].endswith("/chat/completions")


@pytest.mark.parametrize("name", PRESETS)
def test_keys_come_from_the_variable_of_their_own(monkeypatch, name):
    """A provider's key is its own; a server on this machine gets none from the environment."""
    variable = PRESETS[name]["api_key_variable"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    if variable:
        monkeypatch.setenv(variable, "sk-own")
    config = made(name)
    assert config.api_key == ("sk-own" if variable else "")
    assert keeps_secrets(config.base_url)


def test_moonshot_is_given_its_thoughts_back():
    """Kimi's thinking models refuse a tool loop that has lost what they thought (Q09)."""
    assert made("moonshot").replay_thinking_as == "reasoning_content"


@pytest.mark.parametrize("name", ["groq", "ollama"])
def test_unpickling_reads_the_same_variable(monkeypatch, name):
    """A pickle holds no key; whoever unpickles reads the preset's own variable."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("GROQ_API_KEY", "sk-here")
    pickled = pickle.dumps(ie.OpenAiCompatConfig.preset(name))
    monkeypatch.setenv("GROQ_API_KEY", "sk-groq")
    assert b"sk-here" not in pickled
    assert pickle.loads(pickled).api_key == ("sk-groq" if name == "groq" else "")


def test_given_fields_win():
    """What is given replaces what the preset says."""
    config = ie.OpenAiCompatConfig.preset("ollama", base_url="http://10.0.0.5:11434/v1", model="q")
    assert (config.base_url, config.model) == ("http://10.0.0.5:11434/v1", "q")


def test_the_environments_address_is_not_a_presets(monkeypatch):
    """OPENAI_BASE_URL is for those who name no provider."""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert ie.OpenAiCompatConfig.preset("groq").base_url == "https://api.groq.com/openai/v1"


def test_azure():
    """Q13: the deployment's path and query are kept, and the key goes into its own header."""
    config = made("azure", api_key="k")
    assert endpoint_url(config.base_url) == (
        "https://me.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"
    )
    assert config.api_key_header == "api-key"
    with pytest.raises(ie.InvalidRequestError, match="'azure' needs a base_url"):
        ie.OpenAiCompatConfig.preset("azure")


def test_a_preset_that_is_nearly_there():
    """A near miss is told what it may have meant."""
    with pytest.raises(ie.InvalidRequestError, match=r"'olama' \(did you mean 'ollama'\?\)"):
        ie.OpenAiCompatConfig.preset("olama")


@pytest.mark.parametrize("name", ["nobody", "", None, ["groq"]])
def test_unknown_presets(name):
    """A preset that is not there is refused, and those that are there are named."""
    with pytest.raises(ie.InvalidRequestError, match=r"take one of ollama, lmstudio, "):
        ie.OpenAiCompatConfig.preset(name)


def test_the_table_in_the_readme():
    """README's table says of every preset what the data says."""
    rows = dict(re.findall(r"^`(\w+)` \| (.*)$", README, re.MULTILINE))
    assert list(rows) == list(PRESETS)
    for name, known in PRESETS.items():
        others = known.keys() - {"base_url", "api_key_variable"}
        cells = [cell.strip(" `") for cell in rows[name].split("|")]
        assert cells[0] == known.get("base_url", "yours")
        assert cells[1] == (known["api_key_variable"] or "none")
        assert set(re.findall(r"`(\w+)=", rows[name])) == others

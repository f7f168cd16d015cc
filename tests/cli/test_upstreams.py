"""Which upstream is meant: addresses as people write them, presets, the environment, or none."""

from __future__ import annotations

import pytest

from inferd_engine import cli
from inferd_engine.backends.openai_compat.presets import PRESETS
from inferd_engine.cli import upstream as upstreams
from inferd_engine.testing import Upstream


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:11434", "http://localhost:11434"),
        ("LOCALHOST:11434/v1", "http://LOCALHOST:11434/v1"),
        (":11434", "http://localhost:11434"),
        ("11434", "http://localhost:11434"),
        ("11434/v1", "http://localhost:11434/v1"),
        ("localhost", "http://localhost"),
        ("box.localhost/v1", "http://box.localhost/v1"),
        ("127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("[::1]", "http://[::1]"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("[2001:db8::1]", "https://[2001:db8::1]"),
        ("gpu-box:8000", "http://gpu-box:8000"),
        ("192.168.1.5:8000/v1", "http://192.168.1.5:8000/v1"),
        ("api.example.com/v1", "https://api.example.com/v1"),
        ("api.example.com", "https://api.example.com"),
        ("api.example.com:443/v1", "https://api.example.com:443/v1"),
        ("api.example.com/v1?version=a:b/c", "https://api.example.com/v1?version=a:b/c"),
        ("http://a:1/b", "http://a:1/b"),
        ("https://a", "https://a"),
        ("ftp://a", "ftp://a"),
        ("", "https://"),
    ],
)
def test_short_forms(text, address):
    """A scheme is added: https, but for this machine and for ports of one's own."""
    assert upstreams.address_of(text) == address


@pytest.mark.parametrize("form", ["{host}:{port}", "{port}", ":{port}", "http://{host}:{port}/v1"])
@pytest.mark.parametrize("by", ["option", "variable"])
def test_short_forms_reach_an_upstream(here, monkeypatch, form, by):
    """Each form is understood on the command line and in the environment."""
    with Upstream() as upstream:
        address = form.format(host="127.0.0.1", port=upstream.port)
        if by == "variable":
            monkeypatch.setenv("OPENAI_BASE_URL", address)
        given = ["--base-url", address] if by == "option" else []
        ran = here("chat", "hi", *given)
    assert (ran.returncode, ran.stdout) == (0, "You said: hi\n"), ran.stderr


@pytest.mark.parametrize("command", [["chat", "hi"], ["models"], ["chat", "hi", "--key-from", "K"]])
def test_no_upstream_at_all(here, monkeypatch, command):
    """Where nothing says which upstream is meant, one sentence names the ways."""
    monkeypatch.setenv("K", "sk-1")
    ran = here(*command)
    assert (ran.returncode, ran.stdout) == (cli.EXIT_USAGE, "")
    for way in ("--base-url", "--preset", "OPENAI_BASE_URL", "OPENAI_API_KEY", "localhost:11434"):
        assert way in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_key_alone_means_openai(monkeypatch):
    """Who has OpenAI's key and says no more asks OpenAI, in the words that it takes."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with made("-m", "m") as backend:
        assert backend.config.base_url == "https://api.openai.com/v1"
        assert backend.config.max_tokens_field == "max_completion_tokens"


def made(*arguments):
    from inferd_engine.cli.options import Parser, add_upstream

    parser = Parser("chat", "x", "")
    add_upstream(parser)
    return upstreams.backend_from(parser.parse_words([*arguments]))


def test_presets(monkeypatch):
    """A preset fills in what is known; its key comes from its own variable; an address wins."""
    monkeypatch.setenv("GROQ_API_KEY", "sk-groq")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1")
    with made("--preset", "groq") as backend:
        assert backend.config.base_url == "https://api.groq.com/openai/v1"
        assert backend.config.api_key == "sk-groq"
    with made("--preset", "ollama", "--base-url", ":9") as backend:
        assert backend.config.base_url == "http://localhost:9"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("olama", "there is no preset 'olama': did you mean ollama?"),
        ("Ollama", "did you mean ollama?"),
        ("open-router", "did you mean openrouter?"),
        ("nothing-like-it", f"there are {', '.join(PRESETS)}"),
        ("azure", "needs a base_url"),
    ],
)
def test_near_misses_of_presets(here, name, words):
    """A preset that is not there is told with the one that is close, or with all."""
    ran = here("chat", "hi", "--preset", name)
    assert ran.returncode == cli.EXIT_USAGE
    assert words in ran.stderr


@pytest.mark.parametrize(
    "address", ["ftp://localhost", "http://", "localhost:99999", "a b:80", "http://u:p@localhost"]
)
def test_a_wrong_address(here, address):
    """An address that cannot be used is refused without a word of it: it may hold a password."""
    ran = here("chat", "hi", "--base-url", address)
    assert ran.returncode == cli.EXIT_USAGE
    assert "base_url" in ran.stderr
    assert "u:p" not in ran.stderr


def test_the_list_of_models(here):
    """``models`` prints them, one a line, as the upstream gives them."""
    with Upstream(models=["b", "a/c:7b"]) as upstream:
        ran = here("models", "--base-url", upstream.url)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "b\na/c:7b\n", "")


def test_a_list_of_no_models(here):
    """An empty list is an empty output, and no failure."""
    with Upstream(models=[]) as upstream:
        ran = here("models", "--base-url", upstream.url)
    assert (ran.returncode, ran.stdout) == (0, "")

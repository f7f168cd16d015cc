"""A secret reads as a mask, however it is looked at, cut or encoded; one method gives it."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import pprint
import reprlib
import string

import attrs
import pytest

import inferd_engine as ie

KEY = "sk-canary-0123456789-abcdefghijklmnop"
PIECE = 4  # characters: nobody is to see more of it, in a row

LOOKS = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "f-string": lambda key: f"{key}",
    "f-string of its repr": lambda key: f"{key!r}",
    "format": lambda key: format(key, ".20"),
    "percent": "%s".__mod__,
    "percent, cut": "%.10s".__mod__,
    "template": lambda key: string.Template("$key").substitute(key=key),
    "slice": lambda key: repr(key[:20]),
    "slice, as text": lambda key: key[0:5],
    "slice backwards": lambda key: key[::-1],
    "item": lambda key: key[0],
    "items": " ".join,
    "upper": str.upper,
    "replace": lambda key: key.replace("sk", ""),
    "split": lambda key: repr(key.split("-")),
    "plus": lambda key: "Bearer " + key,
    "plus, in front": lambda key: key + "!",
    "times": lambda key: key * 2,
    "join": lambda key: ",".join([key] * 3),
    "bytes": lambda key: key.encode().decode(),
    "json": lambda key: json.dumps({"key": key}),
    "pprint": lambda key: pprint.pformat({"key": key}, width=10),
    "reprlib": lambda key: reprlib.repr([key]),
    "pickle": lambda key: pickle.dumps(key).decode("latin-1"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_key_reads_as_a_mask(look):
    """No look at a key shows a piece of it."""
    shown = LOOKS[look](ie.OpenAiCompatConfig(api_key=KEY).api_key)
    pieces = {KEY[at : at + PIECE] for at in range(len(KEY) - PIECE)}
    assert not any(piece.lower() in shown.lower() for piece in pieces)


@pytest.mark.parametrize("look", LOOKS)
def test_what_else_is_secret_reads_as_a_mask(look):
    """Values of headers, a proxy's password and an address's query read so too."""
    config = ie.OpenAiCompatConfig(
        base_url=f"https://upstream.example/v1?key={KEY}",
        headers={"X-Team": KEY},
        proxies={"https": f"http://me:{KEY}@proxy.example:3128"},
    )
    for secret in (config.base_url, config.headers["X-Team"], config.proxies["https"]):
        assert KEY[:PIECE] not in LOOKS[look](secret)
    assert KEY[:PIECE] not in repr(attrs.asdict(config))


@pytest.mark.parametrize("cut", [5, 20, 1000])
def test_rich_shows_no_part(cut):
    """Rich cuts a str before it prints it, in its tracebacks and elsewhere."""
    pretty = pytest.importorskip("rich.pretty")
    config = ie.OpenAiCompatConfig(api_key=KEY, headers={"X-Team": KEY})
    held = {"key": config.api_key, "config": config, "headers": config.headers}
    assert KEY[:PIECE] not in pretty.pretty_repr(held, max_string=cut)


def test_structlog_shows_no_part():
    """Structlog renders values as JSON, as text, and cut in its tracebacks."""
    structlog = pytest.importorskip("structlog")
    config = ie.OpenAiCompatConfig(api_key=KEY)
    for render in (
        structlog.processors.JSONRenderer(),
        structlog.processors.KeyValueRenderer(),
        structlog.processors.LogfmtRenderer(),
        structlog.dev.ConsoleRenderer(),
    ):
        assert KEY[:PIECE] not in render(None, "info", {"event": "x", "key": config.api_key})
    transform = structlog.tracebacks.ExceptionDictTransformer(
        show_locals=True, locals_max_string=10
    )
    key = config.api_key
    try:
        int(key)
    except ValueError as error:
        told = transform((ValueError, error, error.__traceback__))
    assert "key" in told[0]["frames"][0]["locals"]
    assert KEY[:PIECE] not in repr(told)


def test_logging_shows_no_part():
    """As a message and as an argument of one."""
    text = io.StringIO()
    log = logging.getLogger("test.secret")
    log.addHandler(handler := logging.StreamHandler(text))
    config = ie.OpenAiCompatConfig(api_key=KEY)
    log.warning(config.api_key)
    log.warning("%s %r %.10s %s", config.api_key, config.api_key, config.api_key, config)
    log.removeHandler(handler)
    assert "***" in text.getvalue()
    assert KEY[:PIECE] not in text.getvalue()


def test_a_key_equals_what_it_stands_for():
    """It can be compared, counted and put into a set as if it were the key."""
    key = ie.OpenAiCompatConfig(api_key=KEY).api_key
    assert key == KEY
    assert KEY == key  # noqa: SIM300 - from the other side
    assert (key != KEY) is False
    assert key != "***"
    assert {KEY: 1}[key] == 1
    assert key.reveal() == KEY
    assert key == ie.OpenAiCompatConfig(api_key=KEY).api_key
    assert ie.OpenAiCompatConfig(api_key="").api_key == ""
    assert not ie.OpenAiCompatConfig(api_key="").api_key


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_are_the_same(copied):
    """A copy in the process is the secret itself."""
    key = ie.OpenAiCompatConfig(api_key=KEY).api_key
    assert copied(key) is key


def test_a_key_of_another_backend():
    """A hidden key can be given to another backend, as a key or in a header."""
    key = ie.OpenAiCompatConfig(api_key=KEY).api_key
    other = ie.OpenAiCompatConfig(api_key=key, headers={"X-Key": key})
    assert other.api_key == KEY
    assert other.headers["X-Key"] == KEY


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://host.example/v1", "https://host.example/v1"),
        ("https://host.example/v1?api-version=2024-10-21", None),
        ("https://host.example/v1?key=k1", "https://host.example/v1?***"),
        ("https://host.example/v1?k1", "https://host.example/v1?***"),
        ("https://host.example/v1?api-version=1&sig=k1", "https://host.example/v1?***"),
        ("https://host.example/@cf/v1?", "https://host.example/@cf/v1?"),
    ],
)
def test_what_an_address_shows(given, shown):
    """A query is shown if it is known to be harmless; the address is usable as it is."""
    config = ie.OpenAiCompatConfig(base_url=given)
    assert str(config.base_url) == (shown or given)
    assert config.base_url == given


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128"),
        ("http://me:passw0rd@proxy.example:3128", "http://***@proxy.example:3128"),
        ("http://me:pa@ss%2Fw0rd@proxy.example", "http://***@proxy.example"),
        ("me:passw0rd@proxy.example:3128", "***@proxy.example:3128"),
        ("socks5h://me:passw0rd@[::1]:1080", "socks5h://***@[::1]:1080"),
    ],
)
def test_what_a_proxy_shows(given, shown):
    """Of a proxy everything is shown but user and password."""
    proxies = ie.OpenAiCompatConfig(proxies={"https": given}).proxies
    assert str(proxies["https"]) == shown
    assert proxies == {"https": given}

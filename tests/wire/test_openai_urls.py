"""Base URLs, endpoints, and which addresses keep a secret."""

import pytest

from inferd_engine.errors import InvalidRequestError
from inferd_engine.wire.http.urls import keeps_secrets, split_base_url
from inferd_engine.wire.openai.endpoints import CHAT, MODELS, endpoint_url

H = "https://host.example"


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        (H, "/v1/chat/completions"),
        (H + "/", "/v1/chat/completions"),
        (H + "/v1", "/v1/chat/completions"),
        (H + "/v1/", "/v1/chat/completions"),
        (H + "/api/v1", "/api/v1/chat/completions"),
        (H + "/openai/v1", "/openai/v1/chat/completions"),
        (H + "/v1beta/openai/", "/v1beta/openai/chat/completions"),
        (H + "/api/coding/paas/v4", "/api/coding/paas/v4/chat/completions"),
        (H + "/chat", "/chat/chat/completions"),
        (H + "/x/chat/completions", "/x/chat/completions"),
        (H + "/x/chat/completions/", "/x/chat/completions"),
        (H + "/chat/completions", "/chat/completions"),
        (H + "?a=b", "/v1/chat/completions?a=b"),
        (H + "/openai/deployments/d?api-version=1&x=%20", None),
        (H + "/d/chat/completions?api-version=1", "/d/chat/completions?api-version=1"),
    ],
)
def test_chat_endpoint(base_url, path):
    """Q12 to Q14: the endpoint is appended to the path as it is given, and the query survives."""
    path = path or "/openai/deployments/d/chat/completions?api-version=1&x=%20"
    assert endpoint_url(base_url) == endpoint_url(base_url, CHAT) == H + path


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        (H, "/v1/models"),
        (H + "/v1", "/v1/models"),
        (H + "/x/chat/completions", "/x/models"),
        (H + "/chat/completions", "/models"),
        (H + "/x?a=b", "/x/models?a=b"),
    ],
)
def test_models_endpoint(base_url, path):
    """The list of models is found beside the chat endpoint."""
    assert endpoint_url(base_url, MODELS) == H + path


@pytest.mark.parametrize(
    "base_url",
    ["http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:8080", "HTTPS://HOST.example"],
)
def test_host_and_port_are_kept(base_url):
    """Host and port of the address stay as they are."""
    parts = split_base_url(base_url)
    assert split_base_url(endpoint_url(base_url)).netloc == parts.netloc
    assert parts.path == ""


@pytest.mark.parametrize(
    ("base_url", "why"),
    [
        ("http://host/a b", "holds a blank, a control character, a backslash"),
        (" http://host", "holds a blank, a control character, a backslash"),
        ("http://host\n", "holds a blank, a control character, a backslash"),
        ("http://ho\tst", "holds a blank, a control character, a backslash"),
        ("http://host\\@evil", "holds a blank, a control character, a backslash"),
        ("http://host/\x7f", "holds a blank, a control character, a backslash"),
        ("http://h\xf6st", "holds a blank, a control character, a backslash"),
        ("http://host:port", "has a host or a port that cannot be read"),
        ("http://host:99999", "has a host or a port that cannot be read"),
        ("http://[::1", "has a host or a port that cannot be read"),
        ("localhost:8080", "does not begin with http:// or https://"),
        ("//host", "does not begin with http:// or https://"),
        ("ftp://host", "does not begin with http:// or https://"),
        ("file:///etc", "does not begin with http:// or https://"),
        ("http://", "names no host"),
        ("http:///v1", "names no host"),
        ("http://:8080", "names no host"),
        ("http://user:passw0rd@host", "holds user info: give the key as api_key"),
        ("http://@host", "holds user info: give the key as api_key"),
        ("http://host/#passw0rd", "holds a fragment (#…), which is never sent"),
    ],
)
@pytest.mark.parametrize("function", [split_base_url, endpoint_url, keeps_secrets])
def test_addresses_that_are_refused(function, base_url, why):
    """An address that two parsers would read differently is refused and never quoted."""
    with pytest.raises(InvalidRequestError) as caught:
        function(base_url)
    assert str(caught.value).startswith(f"base_url {why}")
    assert "passw0rd" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        H,
        "HTTPS://host",
        "http://localhost",
        "http://LOCALHOST:1",
        "http://app.localhost",
        "http://127.0.0.1",
        "http://127.8.9.10:1/v1",
        "http://[::1]:8080",
    ],
)
def test_addresses_that_keep_a_secret(base_url):
    """What is sent over https or to this machine stays secret."""
    assert keeps_secrets(base_url) is True


@pytest.mark.parametrize(
    "base_url",
    [
        "http://host.example",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[::]",
        "http://[fe80::1]",
        "http://localhost.example",
        "http://notlocalhost",
        "http://127.0.0.1.example",
        "http://128.0.0.1",
        "http://host/?https://",
    ],
)
def test_addresses_that_keep_no_secret(base_url):
    """What goes to another machine without https does not stay secret."""
    assert keeps_secrets(base_url) is False

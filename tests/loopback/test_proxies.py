"""Which proxy is asked, and that the environment's key and prompts stay on this machine."""

from __future__ import annotations

import pickle

import pytest
from http_proxy import Proxy
from loopback.test_secrets import everything_about

import inferd_engine as ie
from inferd_engine.masking import Mask
from inferd_engine.proxies import proxies_for

KEY = "sk-of-the-environment-0123"
PASSWORD = "canary-password"
VARIABLES = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]


def elsewhere(backend):
    """Ask the same upstream by an address that is not known to be this machine."""
    url = backend.config.base_url.replace("127.0.0.1", "0.0.0.0")
    return backend.with_options(base_url=url)


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_environment_names_a_proxy(ask, monkeypatch, variable):
    """Unset, proxies follow the environment and NO_PROXY; set, they win over it."""
    with Proxy() as proxy:
        monkeypatch.setenv(variable, proxy.url)
        backend = elsewhere(ask())
        assert backend.complete("x").text
        assert len(proxy.heads) == 1
        assert backend.with_options(proxies={}).complete("x").text
        monkeypatch.setenv("NO_PROXY", "0.0.0.0")
        monkeypatch.setenv("no_proxy", "0.0.0.0")
        assert backend.complete("x").text
        assert len(proxy.heads) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", [*VARIABLES, "HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("has_tls", [False, True])
def test_not_on_the_way_to_this_machine(ask, authority, monkeypatch, host, variable, has_tls):
    """Key and prompt of the environment's user do not leave the machine for a local server."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    context, trusted = authority
    tls = {"ssl_context": context, "verify": trusted} if has_tls else {}
    with Proxy() as proxy:
        monkeypatch.setenv(variable, proxy.url)
        upstream = ask(api_key=None, **tls).upstream
        url = upstream.url.replace("127.0.0.1", host)
        with ie.OpenAiCompat(base_url=url, verify=trusted) as backend:
            assert backend.complete("x").text
        assert proxy.heads == []
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/v1",
        "http://LOCALHOST:1",
        "http://localhost.:1",
        "http://app.localhost:1",
        "https://127.1.2.3",
        "http://[::1]:1",
        "http://[::ffff:127.0.0.1]:1",
    ],
)
@pytest.mark.parametrize("variable", VARIABLES)
def test_every_name_of_this_machine(monkeypatch, url, variable):
    """All of 127/8, ::1 and what ends in localhost is this machine."""
    monkeypatch.setenv(variable, "http://proxy.example:3128")
    assert proxies_for(url, None, Mask()) == {}
    given = {"all": "http://proxy.example:3128"}
    assert proxies_for(url, given, Mask()) == {url.partition(":")[0]: given["all"]}


def test_explicit_proxies_apply_everywhere(ask):
    """What is configured is asked on the way to this machine, too."""
    with Proxy() as proxy:
        assert ask(proxies={"http": proxy.url}).complete("x").text
        assert len(proxy.heads) == 1


def test_an_explicit_key_goes_through_a_proxy(ask, monkeypatch):
    """A key that is given explicitly goes where the caller sends it."""
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert elsewhere(ask(api_key=KEY)).complete("x").text
        assert f"Authorization: Bearer {KEY}" in proxy.heads[0]


def test_a_key_of_the_environment_after_a_pickle(monkeypatch):
    """What may not go there does not break unpickling: the first call says it."""
    pickled = pickle.dumps(ie.OpenAiCompat(base_url="http://upstream.invalid"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pickle.loads(pickled) as backend:
        for call in (backend.models, lambda: backend.stream("x")):
            with pytest.raises(ie.InvalidRequestError, match="without https: pass api_key"):
                call()


@pytest.mark.parametrize(
    "address",
    [
        "http://me:{}@ho st",
        "me:{}@host:port",
        "ftp://me:{}@host.example",
        "http://{}@",
        "http://me:x@{}#@proxy.example:3128",
    ],
)
def test_a_proxy_of_the_environment_that_cannot_be_used(monkeypatch, address):
    """It is named, and never quoted."""
    monkeypatch.setenv("https_proxy", address.format(PASSWORD))
    with ie.OpenAiCompat(base_url="https://upstream.invalid", api_key="") as backend:
        with pytest.raises(ie.InvalidRequestError, match=r"^https_proxy, a variable") as caught:
            backend.stream("x")
    del address
    assert PASSWORD not in everything_about(caught.value)


def test_a_password_of_the_environment(monkeypatch):
    """The password for a proxy that the environment names is sent, and shown nowhere."""
    with Proxy(refuses=f"407 bad {PASSWORD}") as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", f"//me:{PASSWORD}@"))
        with ie.OpenAiCompat(base_url="https://upstream.invalid", api_key="") as backend:
            with pytest.raises(ie.TransportError, match=r"407 bad \*\*\*") as caught:
                backend.stream("x")
        assert "Proxy-Authorization: Basic" in proxy.heads[0]
    assert PASSWORD not in everything_about(caught.value)

"""What an upstream is like: defaults, checks, and where the key may go."""

import copy
import functools
import math
import pickle

import attrs
import pytest

import inferd_engine as ie

KEY = "sk-0123456789"
OTHER_KEY = "sk-other-9876"
LOCAL = "http://localhost:8080"
PLAIN = "http://upstream.example"
VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Take the variables that a configuration reads out of the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def refusal(**fields):
    """Give the message with which a configuration is refused."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        ie.OpenAiCompatConfig(**fields)
    assert caught.value.__cause__ is None
    return str(caught.value)


def through_pickle(config):
    """Give a configuration as it comes out of a pickle."""
    return pickle.loads(pickle.dumps(config))


# --- fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "https://api.openai.com"),
        ("api_key", ""),
        ("model", "gpt-4o-mini"),
        ("timeout", 300.0),
        ("connect_timeout", 10.0),
        ("first_token_timeout", None),
        ("idle_timeout", None),
        ("buffer", 512),
        ("max_event_bytes", 64 * 1024 * 1024),
        ("max_tokens_field", "max_tokens"),
        ("headers", {}),
        ("extra_body", {}),
        ("verify", None),
        ("cert", None),
        ("proxies", None),
        ("max_connections", 256),
    ],
)
def test_defaults(field, value):
    """Every field that is not given has the contract's default."""
    assert getattr(ie.OpenAiCompatConfig(), field) == value


def test_is_frozen_and_has_slots():
    """A configuration can neither be changed nor given other attributes."""
    config = ie.OpenAiCompatConfig()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.model = "other"
    assert not hasattr(config, "__dict__")


def test_fields_have_to_be_named():
    """No field can be given by position, so that a key cannot land in a URL."""
    with pytest.raises(TypeError):
        ie.OpenAiCompatConfig(KEY)


@pytest.mark.parametrize("field", ["headers", "extra_body"])
def test_mappings_are_copied(field):
    """What the caller changes after the configuration was made does not change it."""
    given = {"a": "1"}
    config = ie.OpenAiCompatConfig(**{field: given})
    given["a"] = "2"
    assert getattr(config, field) == {"a": "1"}


@pytest.mark.parametrize(
    "field", ["timeout", "connect_timeout", "first_token_timeout", "idle_timeout"]
)
@pytest.mark.parametrize("value", [0, -1, math.nan, "5"])
def test_seconds_that_are_refused(field, value):
    """A limit that is no number above 0 is refused by name."""
    expected = f"{field} is {value!r}: it has to be seconds above 0, or None for no limit"
    assert refusal(**{field: value}) == expected


@pytest.mark.parametrize(
    "field", ["timeout", "connect_timeout", "first_token_timeout", "idle_timeout"]
)
@pytest.mark.parametrize("value", [None, 0.001, 1])
def test_seconds_that_are_taken(field, value):
    """A limit may be any number above 0, or None for no limit."""
    assert getattr(ie.OpenAiCompatConfig(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "low"), [("buffer", 0), ("max_event_bytes", 1), ("max_connections", 1)]
)
def test_counts(field, low):
    """A count is a whole number from its lowest value on; anything else is refused by name."""
    assert getattr(ie.OpenAiCompatConfig(**{field: low}), field) == low
    for value in (low - 1, True, 1.5, None, "9"):
        expected = f"{field} is {value!r}: it has to be a whole number, {low} or more"
        assert refusal(**{field: value}) == expected


def test_base_url_of_the_environment(monkeypatch):
    """An address that is not given comes from the environment; one that is given wins."""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert ie.OpenAiCompatConfig().base_url == "https://gateway.example/v1"
    assert ie.OpenAiCompatConfig(base_url=LOCAL).base_url == LOCAL


def test_malformed_base_url_is_refused_without_quoting_it():
    """An address that cannot be used is refused when the configuration is made, unquoted."""
    message = refusal(base_url="https://user:passw0rd@upstream.example")
    assert "base_url holds user info" in message
    assert "passw0rd" not in message


# --- where the key comes from and goes -----------------------------------------------------------


def test_key_of_the_environment(monkeypatch):
    """A key that is not given comes from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ie.OpenAiCompatConfig().api_key == KEY


@pytest.mark.parametrize("given", ["", OTHER_KEY])
def test_a_given_key_wins(monkeypatch, given):
    """A key that is given, also an empty one, is taken and the environment is not."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ie.OpenAiCompatConfig(api_key=given).api_key == given


@pytest.mark.parametrize(
    "base_url",
    ["https://upstream.example", LOCAL, "http://127.0.0.1/v1", "http://[::1]:8080", None],
)
def test_environment_key_goes_to_https_and_loopback(monkeypatch, base_url):
    """A key of the environment may go where it stays secret."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ie.OpenAiCompatConfig(base_url=base_url).api_key == KEY


@pytest.mark.parametrize(
    "base_url",
    [PLAIN, "http://10.0.0.5:8000/v1", "http://localhost.evil.example", "http://[::2]", "HTTP://a"],
)
def test_environment_key_goes_nowhere_else(monkeypatch, base_url):
    """A key of the environment is refused without https, and the message says what to do."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    message = refusal(base_url=base_url)
    assert "OPENAI_API_KEY" in message
    assert "pass api_key explicitly" in message
    assert KEY not in message


@pytest.mark.parametrize("given", ["", OTHER_KEY])
def test_a_given_key_goes_where_the_caller_wants(monkeypatch, given):
    """A key that is given, or none at all, may go to an upstream without https."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ie.OpenAiCompatConfig(base_url=PLAIN, api_key=given).api_key == given


def test_without_a_key_any_upstream_will_do():
    """Where there is no key in the environment, an upstream without https is fine."""
    assert ie.OpenAiCompatConfig(base_url=PLAIN).base_url == PLAIN


def test_environment_key_is_still_one_after_a_change(monkeypatch):
    """A key of the environment does not become an explicit one when another field is changed."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    config = ie.OpenAiCompatConfig(base_url=LOCAL)
    with pytest.raises(ie.InvalidRequestError, match="pass api_key explicitly"):
        attrs.evolve(config, base_url=PLAIN)


@pytest.mark.parametrize("mangled", [f"{KEY}\n", f" {KEY}", f"{KEY}\r\nX-A: b", f"{KEY}é", "\x00"])
@pytest.mark.parametrize("place", ["api_key", "OPENAI_API_KEY"])
def test_malformed_keys_are_refused_without_quoting_them(monkeypatch, mangled, place):
    """A key with a blank, a line end or a letter beyond ASCII is refused and not shown."""
    if place == "OPENAI_API_KEY":
        monkeypatch.setenv(place, mangled.replace("\x00", "\x01"))
        message = refusal()
    else:
        message = refusal(api_key=mangled)
    assert message.startswith(f"{place} holds a blank, a line end or a character beyond ASCII")
    assert KEY not in message


# --- what is never shown -------------------------------------------------------------------------


@pytest.mark.parametrize("shown", [repr, str, "{0!r}".format, "%r".__mod__])
def test_secrets_are_masked(shown):
    """The key and the values of headers and proxies are in no repr of a configuration."""
    config = ie.OpenAiCompatConfig(
        api_key=KEY,
        headers={"api-key": OTHER_KEY},
        proxies={"https": "http://me:passw0rd@proxy.example"},
    )
    text = shown(config)
    assert "api_key='***'" in text
    assert "headers={'api-key': '***'}" in text
    for secret in (KEY, OTHER_KEY, "passw0rd"):
        assert secret not in text


def test_repr_of_the_key_is_masked():
    """The key itself shows nothing either, also inside other values; an empty one is empty."""
    config = ie.OpenAiCompatConfig(api_key=KEY)
    assert repr([config.api_key]) == "['***']"
    assert repr(ie.OpenAiCompatConfig().api_key) == "''"


# --- pickles and copies --------------------------------------------------------------------------

SECRETS = {
    "api_key": {"api_key": KEY},
    "a function": {"api_key": lambda: KEY},
    "headers": {"headers": {"X-Team": KEY, "Authorization": f"Bearer {KEY}"}},
    "proxies": {"proxies": {"https": f"http://me:{KEY}@proxy.example"}},
    "base_url": {"base_url": f"{LOCAL}/v1?key={KEY}"},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_in_a_pickle(name, protocol):
    """A pickled configuration holds nothing that was given as a secret."""
    config = ie.OpenAiCompatConfig(**{"api_key": "", **SECRETS[name]})
    pickled = pickle.dumps(config, protocol)
    assert KEY.encode() not in pickled
    assert pickle.dumps(pickle.loads(pickled), protocol) == pickled


def test_what_is_no_secret_is_in_a_pickle():
    """All else comes out of it as it was, headers too that are known to be harmless."""
    config = ie.OpenAiCompatConfig(
        base_url=f"{LOCAL}/v1?api-version=2024-10-21",
        api_key="",
        headers={"X-Title": "An application", "User-Agent": "me/1.0"},
        proxies={"http": "http://proxy.example:3128"},
        extra_body={"a": {"b": [1]}},
        timeout=3.0,
    )
    assert through_pickle(config) == config
    assert repr(through_pickle(config)) == repr(config)


@pytest.mark.parametrize("environment", [KEY, OTHER_KEY, f"{KEY}\n", ""])
def test_a_key_of_the_environment_is_read_again(monkeypatch, environment):
    """Who unpickles has the key of that same variable there, and unpickling never raises."""
    monkeypatch.setenv("MY_KEY", OTHER_KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    pickled = pickle.dumps(ie.OpenAiCompatConfig(api_key_variable="MY_KEY"))
    assert OTHER_KEY.encode() not in pickled
    monkeypatch.setenv("MY_KEY", environment)
    found = pickle.loads(pickled)
    assert found.api_key.source == "MY_KEY"
    assert found.api_key == (environment or None)  # None: it is missing


def test_a_variable_that_was_not_set(monkeypatch):
    """Where there was no key, there need not be one elsewhere, and may be."""
    pickled = pickle.dumps(ie.OpenAiCompatConfig())
    assert pickle.loads(pickled).api_key == ""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert pickle.loads(pickled).api_key == KEY


@pytest.mark.parametrize("given", ["", KEY])
def test_a_given_key_never_becomes_another(monkeypatch, given):
    """A key that was given, none too, is not replaced by that of the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", OTHER_KEY)
    found = through_pickle(ie.OpenAiCompatConfig(api_key=given))
    assert found.api_key == ("" if given == "" else None)
    assert found.api_key != OTHER_KEY
    assert attrs.evolve(found, api_key=given) == ie.OpenAiCompatConfig(api_key=given)


def test_unpickling_does_not_look_where_a_key_goes(monkeypatch):
    """A key of the environment that may not go there does not break whoever unpickles."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    pickled = pickle.dumps(ie.OpenAiCompatConfig(base_url=PLAIN))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    found = pickle.loads(pickled)
    with pytest.raises(ie.InvalidRequestError, match="pass api_key explicitly"):
        attrs.evolve(found, model="m")
    assert attrs.evolve(found, api_key=OTHER_KEY).api_key == OTHER_KEY


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_keep_the_key(monkeypatch, copied):
    """A copy in the same process has the same key, whatever the environment says."""
    config = ie.OpenAiCompatConfig(api_key=KEY)
    monkeypatch.setenv("OPENAI_API_KEY", OTHER_KEY)
    assert copied(config) == config
    assert copied(config).api_key == KEY


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_keep_all_secrets(copied, name):
    """A copy in the same process has what the original has."""
    config = ie.OpenAiCompatConfig(**{"api_key": "", **SECRETS[name]})
    assert copied(config) == config


# --- hashes --------------------------------------------------------------------------------------


def test_equal_configurations_hash_equal():
    """A configuration can be a key, mappings and secrets inside or not."""
    fields = {
        "base_url": f"{LOCAL}/v1?key={KEY}",
        "api_key": KEY,
        "headers": {"X-A": "b"},
        "extra_body": {"a": {"b": [1, {}]}},
        "proxies": {"http": f"http://me:{KEY}@proxy.example"},
        "cert": ["a.pem", "b.pem"],
    }
    one, other = ie.OpenAiCompatConfig(**fields), ie.OpenAiCompatConfig(**fields)
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other, attrs.evolve(one, model="m")}) == 2
    cached = functools.lru_cache(lambda config: config.model)
    assert [cached(one), cached(other)] == ["gpt-4o-mini"] * 2
    assert cached.cache_info().hits == 1


def test_a_hash_tells_nothing_of_a_secret():
    """What differs in its secrets alone hashes equal, and is not equal."""
    made = [
        ie.OpenAiCompatConfig(
            base_url=f"{LOCAL}?key={key}",
            api_key=key,
            headers={"X-A": key},
            proxies={"http": f"http://me:{key}@proxy.example"},
        )
        for key in (KEY, OTHER_KEY)
    ]
    assert hash(made[0]) == hash(made[1])
    assert made[0] != made[1]


# --- keys that a function gives ------------------------------------------------------------------


def test_a_function_as_a_key():
    """It is not called when a configuration is made, compared, shown or pickled."""

    def give():
        raise AssertionError

    config = ie.OpenAiCompatConfig(api_key=give)
    assert config == ie.OpenAiCompatConfig(api_key=give)
    assert config != ie.OpenAiCompatConfig(api_key=lambda: KEY)
    assert hash(config) == hash(ie.OpenAiCompatConfig(api_key=give))
    assert "api_key='***'" in repr(config)
    assert attrs.evolve(config, model="m").api_key == give
    assert through_pickle(config).api_key.is_left_out


@pytest.mark.parametrize("key", [5, b"sk", object(), ["sk"]])
def test_keys_that_are_none(key):
    """A key is a str or a function."""
    assert "api_key is a " in refusal(api_key=key)
    assert "or a function that gives one" in refusal(api_key=key)


# --- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "Transfer-Encoding",
        "Content-Length",
        "Connection",
        "keep-alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "CONTENT-ENCODING",
    ],
)
def test_headers_that_set_the_framing(name):
    """Where a request ends is not a caller's to say, in whatever letters."""
    assert refusal(headers={name: "1"}).startswith(f"headers[{name!r}] cannot be set")
    assert refusal(api_key_header=name).startswith(f"api_key_header is {name!r}")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "a\n", "é", None, b"a"])
def test_header_names_that_are_refused(name):
    """A header name that is not a token of RFC 9110 is refused."""
    assert refusal(headers={name: "v"}).startswith("headers holds a name that no header can have")


@pytest.mark.parametrize(
    "value", ["a\r\nX-Injected: b", "a\n", "\ra", "a\x00", " a", "a ", "\u20ac", None, 5, b"a"]
)
def test_header_values_that_are_refused(value):
    """A header value that could end the line, or that no header can hold, is refused unquoted."""
    message = refusal(headers={"X-A": value})
    assert message == "headers['X-A'] is not a str that a header can hold (RFC 9110, 5.5)"


@pytest.mark.parametrize("value", ["", "a", "a b\tc", "caf\xe9", "x" * 1000])
def test_header_values_that_are_taken(value):
    """A header value may be empty, hold blanks inside, and letters of Latin-1."""
    assert ie.OpenAiCompatConfig(headers={"X-A": value}).headers == {"X-A": value}


# --- proxies and TLS -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http://me:passw0rd@",
        "ftp://me:passw0rd@host.example",
        "http://me:passw0rd@ho st",
        "http://me:passw0rd@host:port",
        "http://me:passw0rd@host:99999",
        "http://me:passw0rd@[::1",
        "http://me:passw0rd@a..b",
        "http://me:pass@w0rd@ho^st",
        5,
    ],
)
def test_proxies_that_are_refused(address):
    """A proxy's address that cannot be used is refused without being quoted."""
    message = refusal(proxies={"https": address})
    assert message.startswith("proxies['https'] ")
    assert message.endswith(" (it is not shown here)")
    assert not any(part in message for part in ("me:", "passw0rd", "w0rd@"))


@pytest.mark.parametrize(
    "address",
    [
        "http://me:testp@ssw0rd#@proxy.example:8080",
        "http://me:passw0rd#123@proxy.example:8080",
        "http://me:pass?w0rd@proxy.example",
        "http://me:pass/w0rd@proxy.example",
        "me:testp@ssw0rd#@proxy.example:8080",
    ],
)
def test_passwords_that_look_like_hosts(address):
    """A password that others would take for the end of a host is not looked up as one."""
    message = refusal(proxies={"https": address})
    assert message == "proxies['https'] holds a user or a password that has to be percent-encoded"


@pytest.mark.parametrize(
    "address", [None, "", "http://proxy", "https://p.example:1", "p.example:1"]
)
def test_proxies_that_are_taken(address):
    """With or without a scheme; None and an empty one are none, as in requests."""
    assert ie.OpenAiCompatConfig(proxies={"https": address}).proxies == {"https": address}


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
def test_socks_proxies(scheme):
    """SOCKS proxies are addresses of proxies."""
    assert ie.OpenAiCompatConfig(proxies={"all": f"{scheme}://me:passw0rd@proxy.example:1080"})


@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "socks5h://10.0.0.1", "proxy:1"])
@pytest.mark.parametrize("name", ["http", "all", "http://localhost", "all://localhost"])
def test_environment_key_goes_through_no_proxy_in_clear(monkeypatch, name, proxy):
    """On the way to this machine, too, another machine would read it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    message = refusal(base_url=LOCAL, proxies={name: proxy})
    assert f"OPENAI_API_KEY is not sent in clear through proxies[{name!r}]" in message
    assert "pass api_key explicitly" in message
    fields = {"base_url": LOCAL, "proxies": {name: proxy}}
    assert ie.OpenAiCompatConfig(**fields, api_key=OTHER_KEY).api_key == OTHER_KEY
    assert ie.OpenAiCompatConfig(**fields, api_key="").api_key == ""


@pytest.mark.parametrize(
    ("base_url", "proxies"),
    [
        ("https://upstream.example", {"https": "http://proxy.example:3128"}),  # a tunnel
        ("https://upstream.example", {"all": "socks5://proxy.example:1080"}),
        (LOCAL, {"http": "http://127.0.0.1:3128"}),
        (LOCAL, {"http": "http://[::1]:3128"}),
        (LOCAL, {"https": "http://proxy.example:3128"}),
        (LOCAL, {"http://localhost": "", "http": "http://proxy.example:3128"}),
        (LOCAL, {}),
    ],
)
def test_environment_key_goes_through_a_tunnel(monkeypatch, base_url, proxies):
    """Through a proxy that sees nothing of it, or is this machine, or is not asked, it may go."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ie.OpenAiCompatConfig(base_url=base_url, proxies=proxies).api_key == KEY


@pytest.mark.parametrize("verify", ["", 0, 1, 5, b"x", ["x"]])
def test_verify_that_is_refused(verify):
    """It is True, False or a path: an empty str would switch verification off."""
    assert refusal(verify=verify).startswith(f"verify is {verify!r}: ")


@pytest.mark.parametrize("cert", ["", 5, b"x", (), ("a",), ("a", "b", "c"), ("a", None), ("a", "")])
def test_cert_that_is_refused(cert):
    """It is one path or two."""
    assert refusal(cert=cert).startswith("cert is ")


def test_paths_may_be_paths(tmp_path):
    """What is an ``os.PathLike`` is taken as its path."""
    config = ie.OpenAiCompatConfig(verify=tmp_path, cert=[tmp_path, str(tmp_path)])
    assert config.verify == str(tmp_path)
    assert config.cert == (str(tmp_path), str(tmp_path))

"""What may be a credential in a configuration, where it comes from, and where it may go.

The rules, which hold when a configuration is made and, for what has changed since, at each call:

* a key of the environment goes only where it stays secret (``keeps_secrets``): it was set for
  somebody, and a ``base_url`` or a proxy that is wrong must not get it;
* no header sets how a request is framed: two sides that disagree on its end answer each other's
  questions (request smuggling);
* what a pickle left out is asked for anew, by name, and nothing is sent without it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.errors import GenerateError, InvalidRequestError
from inferd_engine.secrets.proxy_address import check_proxy, proxy_secrets
from inferd_engine.secrets.secret import Secret, is_harmless, revealed
from inferd_engine.wire.http.urls import (
    keeps_secrets,
    proxy_for,
    split_base_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inferd_engine.backends.over_http.upstream import Upstream

_NOT_A_KEY = re.compile(r"[^\x21-\x7e]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2 "token"
_HEADER_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|")
# RFC 9110, 7.6.1 and 10.1.1, RFC 9112, 6: of the connection, not of the request's meaning.  The
# body is JSON as it is, so that Content-Encoding would not be true.
_FRAMING = frozenset(
    {
        *("connection", "content-encoding", "content-length", "expect", "keep-alive"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)


# --- when a configuration is made ----------------------------------------------------------------


def key_from_environment(config: Upstream) -> Secret:
    """Read the key from its variable."""
    variable = config.api_key_variable
    return Secret(os.environ.get(variable, "") if variable else "", source=variable)


def check_key(_: Any, __: Any, value: Secret) -> None:
    """Refuse a key that no header can hold; one that is not known yet is checked at the call."""
    if not value.is_function and not value.is_left_out and _NOT_A_KEY.search(value.reveal()):
        place = value.source or "api_key"
        raise InvalidRequestError(
            f"{place} holds a blank, a line end or a character beyond ASCII: "
            "check whether it was copied whole (it is not shown here)"
        )


def check_base_url(_: Any, __: Any, value: str) -> None:
    """Refuse an address that cannot be used."""
    if not isinstance(value, str):
        raise InvalidRequestError(f"base_url is a {type(value).__name__}: it has to be a str")
    split_base_url(value)


def check_way(config: Upstream) -> None:
    """Refuse to send a key of the environment where it does not stay secret."""
    key = config.api_key
    if not key or not key.source or key.is_left_out:
        return
    place = ""
    if not keeps_secrets(config.base_url):
        place = "to an upstream without https"
    name, proxy = proxy_for(config.base_url, config.proxies or {})
    if proxy and not place and not keeps_secrets(config.base_url, proxy):
        place = f"in clear through proxies[{name!r}]"
    if place:
        raise InvalidRequestError(
            f"the key in {key.source} is not sent {place}: "
            "pass api_key explicitly if that is what you want, or api_key='' to send none"
        )


def check_headers(_: Any, __: Any, value: Mapping[str, str]) -> None:
    """Refuse headers that cannot be sent, or that are not the caller's to set."""
    for name, content in value.items():
        if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
            raise InvalidRequestError(
                "headers holds a name that no header can have (RFC 9110, 5.6.2)"
            )
        if name.lower() in _FRAMING:
            raise InvalidRequestError(
                f"headers[{name!r}] cannot be set: how a request is framed is not its caller's"
            )
        if isinstance(content, Secret) and content.is_left_out:
            continue
        if not (isinstance(content, str) and _HEADER_VALUE.fullmatch(revealed(content))):
            raise InvalidRequestError(
                f"headers[{name!r}] is not a str that a header can hold (RFC 9110, 5.5)"
            )


def check_header_name(_: Any, field: Any, value: str) -> None:
    """Refuse a name that no header has, or that a key must not go into."""
    if not (isinstance(value, str) and _HEADER_NAME.fullmatch(value)):
        raise InvalidRequestError(
            f"{field.name} is {value!r}: that is not the name of a header (RFC 9110, 5.6.2)"
        )
    if value.lower() in _FRAMING:
        raise InvalidRequestError(
            f"{field.name} is {value!r}: how a request is framed is not its caller's"
        )


def check_proxies(_: Any, __: Any, value: Mapping[str, str] | None) -> None:
    """Refuse proxies whose address cannot be used."""
    for scheme, address in (value or {}).items():
        if scheme != "no_proxy" and address:  # an empty one, or None, is none, as in requests
            check_proxy(f"proxies[{scheme!r}]", address)


# --- at a call -----------------------------------------------------------------------------------


def key_for_call(config: Upstream) -> Secret:
    """Return the key that a call is made with.

    Raises:
        InvalidRequestError: A pickle left something out, or the key cannot be used.
    """
    _check_complete(config)
    key = _called(config.api_key) if config.api_key.is_function else config.api_key
    check_key(None, None, key)
    check_way(config)
    return key


def _called(key: Secret) -> Secret:
    """Ask the function for the key of this call."""
    try:
        given = key.reveal()
    except GenerateError:
        raise
    except Exception as error:  # noqa: BLE001 - somebody else's function
        failure = InvalidRequestError(
            f"the function that was given as api_key raised {type(error).__name__}",
            retryable=isinstance(error, OSError),
        )
        failure.__cause__ = error
    else:
        if isinstance(given, str):
            return Secret(given)
        failure = InvalidRequestError(
            f"the function that was given as api_key gave a {type(given).__name__}, not a str"
        )
    raise failure


def _check_complete(config: Upstream) -> None:
    """Refuse to do without what a pickle left out."""
    key = config.api_key
    if key.is_left_out and key.source:
        raise InvalidRequestError(
            f"{key.source} is not set in this process: the api_key of the backend that was "
            "pickled came from it; set it, or give a key as with_options(api_key=…)"
        )
    missing = [(field, place) for field, place, value in _secrets(config) if value.is_left_out]
    if missing:
        places = " and ".join(place for _, place in missing)
        fields = ", ".join(dict.fromkeys(f"{field}=…" for field, _ in missing))
        variable = config.api_key_variable
        msg = (
            f"{places}: given explicitly, and therefore not in the pickle that this backend came "
            f"from, which holds no secrets; give it again, as with_options({fields})"
        )
        if key.is_left_out and variable:
            msg += f", or read {variable} here, as with_options(api_key=None)"
        raise InvalidRequestError(msg)


# What a field's secret is called, where its name alone would not say it.
_PLACES = {"base_url": "the query of base_url", "proxies": "the password in proxies"}


def _secrets(config: Upstream) -> Iterator[tuple[str, str, Secret]]:
    """Yield what a configuration hides: the field, the place in words, the secret."""
    for field in attrs.fields(type(config)):
        value = getattr(config, field.name)
        place = _PLACES.get(field.name, field.name)
        if isinstance(value, Secret):
            yield field.name, place, value
        elif isinstance(value, dict):
            for name, item in value.items():
                if isinstance(item, Secret):
                    yield field.name, f"{place}[{name!r}]", item


def secrets_in(config: Upstream) -> Iterator[str]:
    """Yield all secrets but the key, in the forms in which they are sent."""
    for field, _, secret in _secrets(config):
        if field not in ("api_key", "base_url", "headers", "proxies"):
            yield secret.reveal()
    for name, value in config.headers.items():
        if not is_harmless(name):
            yield revealed(value)
            yield revealed(value).rpartition(" ")[2]  # "Basic …", "Bearer …"
    for part in revealed(config.base_url).partition("?")[2].split("&"):
        name, _, value = part.partition("=")
        if not is_harmless(name):
            yield value or name
    for address in (config.proxies or {}).values():
        yield from proxy_secrets(address)

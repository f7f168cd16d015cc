"""The address of a proxy: whether it can be used, and what in it is never shown."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from inferd_engine.errors import InvalidRequestError
from inferd_engine.secrets.secret import Secret, revealed
from inferd_engine.wire.http.urls import host_of_proxy, is_host

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def check_proxy(place: str, address: object) -> None:
    """Refuse a proxy whose address cannot be used; it is not quoted, for it may hold a password."""
    shown = str(address) if isinstance(address, str) else ""
    host = host_of_proxy(shown)
    scheme = shown.partition("://")[0].lower() if "://" in shown else "http"
    if scheme not in _PROXY_SCHEMES:
        known = ", ".join(_PROXY_SCHEMES)
        raise InvalidRequestError(
            f"{place} names an unknown kind of proxy: take one of {known} (it is not shown here)"
        )
    if not is_host(host):
        raise InvalidRequestError(f"{place} is not the address of a proxy (it is not shown here)")
    if isinstance(address, Secret) and not address.is_left_out:
        _check_user_info(place, address, host)


def _check_user_info(place: str, address: Secret, host: str) -> None:
    """Refuse a password that ends the host for others: a part of it would be looked up as one."""
    if host_of_proxy(address.reveal()) != host:
        raise InvalidRequestError(
            f"{place} holds a user or a password that has to be percent-encoded"
        )


def proxy_secrets(address: str) -> Iterator[str]:
    """Yield the secrets in a proxy's address, in the forms in which they are sent."""
    if not address or "@" not in address:
        return
    whole = revealed(address)
    parts = urlsplit(whole if "://" in whole else f"http://{whole}")
    if parts.password:
        user, password = unquote(parts.username or ""), unquote(parts.password)
        yield password
        yield base64.b64encode(f"{user}:{password}".encode("latin-1", "replace")).decode()

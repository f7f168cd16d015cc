"""Join a base URL with an endpoint, and refuse addresses that two parsers would read differently.

    no path                  http://localhost:8080            → /v1/chat/completions
    a path                   https://host/openai/v1           → /openai/v1/chat/completions
    the endpoint's own path  https://host/x/chat/completions  → as it is
    a query                  …/deployments/d?api-version=1    → kept

``urllib.parse`` and urllib3 disagree on backslashes, blanks and user info (one connects where the
other does not look), so these are refused instead of interpreted.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit, urlunsplit

from inferd_engine.errors import InvalidRequestError

CHAT = "/chat/completions"
MODELS = "/models"
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")


def _refuse(why: str) -> NoReturn:
    msg = f"base_url {why}"
    raise InvalidRequestError(msg)


def split_base_url(base_url: str) -> SplitResult:
    """Check a base URL and take it apart.

    Raises:
        InvalidRequestError: It cannot be used; the message says why and never quotes it, because
            it may hold a password.
    """
    if _FORBIDDEN.search(base_url) or not base_url.isascii():
        _refuse("holds a blank, a control character, a backslash or a letter beyond ASCII")
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        _refuse("has a host or a port that cannot be read")
    if parts.scheme.lower() not in ("http", "https"):
        _refuse("does not begin with http:// or https://")
    if not host:
        _refuse("names no host")
    if "@" in parts.netloc:
        _refuse("holds user info: give the key as api_key")
    if parts.fragment:
        _refuse("holds a fragment (#…), which is never sent")
    return parts


def endpoint_url(base_url: str, endpoint: str = CHAT) -> str:
    """Give the URL of an endpoint.

    Args:
        base_url: The upstream's address, with or without ``/v1``.
        endpoint: ``CHAT`` or ``MODELS``.

    Raises:
        InvalidRequestError: The address cannot be used.
    """
    parts = split_base_url(base_url)
    path = parts.path.rstrip("/")
    root = path.removesuffix(CHAT) if path.endswith(CHAT) else path or "/v1"
    return urlunsplit(parts._replace(path=root + endpoint))


def without_query(url: str) -> str:
    """Give an address as it may be shown: its query may hold a key."""
    return url.partition("?")[0]


def keeps_secrets(base_url: str) -> bool:
    """Whether what is sent there stays secret: over https, or on this machine."""
    parts = split_base_url(base_url)
    host = parts.hostname or ""
    if parts.scheme.lower() == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

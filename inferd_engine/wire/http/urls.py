"""Take addresses apart, and refuse those that two parsers would read differently.

``urllib.parse`` and urllib3 disagree on backslashes, blanks and user info (one connects where the
other does not look), so these are refused instead of interpreted.

Which path below its address an upstream is asked at is its protocol's rule (``at_path``).
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, urlsplit, urlunsplit

from inferd_engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")  # RFC 1123, 2.1, and the underscore of Docker's names


def _refuse(why: str) -> NoReturn:
    raise InvalidRequestError(f"base_url {why}")


def split_base_url(base_url: str) -> SplitResult:
    """Check a base URL and take it apart.

    Raises:
        InvalidRequestError: It cannot be used; the message says why and never quotes it, because
            it may hold a password.
    """
    if _FORBIDDEN.search(base_url) or not base_url.isascii():
        _refuse("holds a blank, a control character, a backslash or a letter beyond ASCII")
    try:
        parts = urlsplit(str(base_url))
        host, _ = parts.hostname, parts.port
    except ValueError:
        _refuse("has a host or a port that cannot be read")
    if parts.scheme.lower() not in ("http", "https"):
        _refuse("does not begin with http:// or https://, as in http://localhost:8080")
    if not host:
        _refuse("names no host")
    if not is_host(host):
        _refuse("has a host that is neither a name nor an address")
    if "@" in parts.netloc:
        _refuse("holds user info: give the key as api_key")
    if parts.fragment:
        _refuse("holds a fragment (#…), which is never sent")
    return parts


def at_path(base_url: str, rule: Callable[[str], str]) -> str:
    """Return an address with another path; its query stays.

    Args:
        base_url: The upstream's address.
        rule: Gives the path to ask at, of that of the address without slashes at its end.

    Raises:
        InvalidRequestError: The address cannot be used.
    """
    parts = split_base_url(base_url)
    return urlunsplit(parts._replace(path=rule(parts.path.rstrip("/"))))


def without_query(url: str) -> str:
    """Return an address as it may be shown: its query may hold a key."""
    return url.partition("?")[0]


def is_host(host: str) -> bool:
    """Whether it is a name that can be looked up, or an address without a zone."""
    if ":" in host:
        return "%" not in host and _is_address(host)
    return all(map(_LABEL.fullmatch, host.removesuffix(".").split(".")))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name (RFC 6761, 6.3) or by its address."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if not _is_address(name):
        return False
    address = ipaddress.ip_address(name)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def proxy_for(url: str, proxies: Mapping[str, str]) -> tuple[str, str]:
    """Choose a proxy as requests does; give the name that it stands under, and its address.

    Both are empty if there is none.  Names are, best first: scheme and host, the scheme, ``all://``
    and the host, ``all``.
    """
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    for name in (f"{scheme}://{host}", scheme, f"all://{host}", "all"):
        if name in proxies:
            return (name, proxies[name]) if proxies[name] else ("", "")
    return "", ""


def host_of_proxy(address: str) -> str:
    """Return the host of a proxy's address, which may lack a scheme; empty if there is none."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        return (parts.hostname or "") if parts.port is None or parts.port else ""
    except ValueError:
        return ""


def keeps_secrets(base_url: str, proxy: str = "") -> bool:
    """Whether what is sent there stays secret: over https, or on this machine all the way.

    Over https a proxy is asked for a tunnel (CONNECT) and sees nothing of what goes through it.

    Args:
        base_url: Where to.
        proxy: The address of the proxy that is asked, if there is one.
    """
    parts = split_base_url(base_url)
    if parts.scheme.lower() == "https":
        return True
    return is_loopback(parts.hostname or "") and (not proxy or is_loopback(host_of_proxy(proxy)))

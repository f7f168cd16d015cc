"""Which proxy a request goes through: the configured one, else the environment's.

On the way to this machine the environment's never counts: a proxy is another machine, for which
``localhost`` is somebody else, and prompt and key would go there in clear.  What is configured
explicitly counts everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests.utils

from inferd_engine.secrets.proxy_address import check_proxy, proxy_secrets
from inferd_engine.secrets.secret import to_proxies
from inferd_engine.wire.http.urls import is_loopback, proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.secrets.masking import Mask


def proxies_for(url: str, given: Mapping[str, str] | None, mask: Mask) -> dict[str, str]:
    """Return the proxy of an address as requests takes it, or an empty mapping.

    Args:
        url: Where to.
        given: What is configured; None follows the environment.
        mask: Is told the password of a proxy that the environment names.

    Raises:
        InvalidRequestError: The environment's proxy cannot be used.
    """
    parts = urlsplit(url)
    if given is not None:
        proxy = proxy_for(url, given)[1]
    elif is_loopback(parts.hostname or ""):
        proxy = ""
    else:
        found = to_proxies(requests.utils.get_environ_proxies(url)) or {}
        name, proxy = proxy_for(url, found)
        mask.add(proxy_secrets(proxy))
        if proxy:
            check_proxy(f"{name}_proxy, a variable of the environment,", proxy)
    return {parts.scheme: proxy} if proxy else {}

"""Somebody stands in requests' place: a mock, a recorder, a patched method.  Go through him.

We do not need most of requests: a prepared request and an adapter are all that is used
(``transport.py``).  Whoever replaces what we pass by would see nothing of our calls, and a test
that takes itself for mocked would send a real key to a real server.  So before each call the places
where people put themselves are looked at; if one of them holds something that requests or urllib3
has not put there, the call goes the public way, through a ``Session``: without instant cancelling,
over a connection of its own, but seen.

A wrapper that passes for what it wraps (``functools.wraps``: tracing does that) mocks nothing and
is left alone.  Those who replace ``HTTPAdapter.send`` or ``urlopen`` (responses, pook) need nothing
of this: our adapter and our pools inherit that.

Our own classes are made of what requests and urllib3 hold: by the first import of ``pool.py``, and
only while nobody stands there, or they would be made of a recorder's classes for good.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import requests
import urllib3.connectionpool

from inferd_engine.secrets.secret import HeaderValue


def is_intercepted() -> bool:
    """Whether somebody has put himself where a request of requests' would pass."""
    session, pools = requests.Session, urllib3.connectionpool
    places = (
        (requests, "post", "requests.api"),
        (requests, "get", "requests.api"),
        (requests, "request", "requests.api"),
        (requests, "Session", "requests.sessions"),
        (session, "request", "requests.sessions"),
        (session, "send", "requests.sessions"),
        (session, "get_adapter", "requests.sessions"),
        (pools.HTTPConnectionPool, "ConnectionCls", "urllib3.connection"),
        (pools.HTTPSConnectionPool, "ConnectionCls", "urllib3.connection"),
    )
    if any(_is_replaced(*place) for place in places):
        return True
    return not hasattr(socket.socket, "dup")  # no socket of any kind: HTTPretty's


def _is_replaced(owner: Any, name: str, home: str) -> bool:  # a module or a class
    """Whether what has a name in it does not come from where it should."""
    return getattr(getattr(owner, name, None), "__module__", None) != home


def _let_be_written() -> None:
    """Let PyYAML, if a recorder has it, write a hidden header as what it reads: ``***``."""
    yaml = sys.modules.get("yaml")
    for name in ("Dumper", "CDumper"):
        dumper = getattr(yaml, name, None)
        if dumper is not None and HeaderValue not in dumper.yaml_representers:
            dumper.add_representer(HeaderValue, lambda to, value: to.represent_str(str(value)))


def send_publicly(
    request: requests.PreparedRequest, **settings: Any
) -> requests.Response:  # those of an adapter's send()
    """Send a request as a program that uses requests would, through what was replaced.

    Args:
        request: With its credentials.
        settings: As for an adapter of requests.
    """
    _let_be_written()
    method, url = str(request.method), str(request.url)
    settings["allow_redirects"] = False
    parts = {"data": request.body, "headers": dict(request.headers), **settings}
    verb = method.lower()
    if any(_is_replaced(requests, name, "requests.api") for name in (verb, "request")):
        # A spy lets it through to a session that asks the environment for proxies: not here.
        parts["proxies"] = {"no_proxy": "*", **settings["proxies"]}
        if _is_replaced(requests, verb, "requests.api"):
            answer: requests.Response = getattr(requests, verb)(url, **parts)
            return answer
        return requests.request(method, url, **parts)  # noqa: S113 - it is in the parts
    session = requests.Session()
    session.trust_env = False
    session.headers.clear()  # those of the request are all
    if _is_replaced(requests.Session, "request", "requests.sessions"):
        return session.request(method, url, **parts)
    return session.send(request, **settings)

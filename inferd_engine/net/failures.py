"""Everything that can fail below the transport, mapped to our errors in one place.

After a failure the exchange is asked first: was it cancelled, has a deadline passed?  Only then
does the exception tell something; a killed connection fails in every way there is, success
included.  The root cause is kept, without the exceptions of ``requests`` and urllib3 around it and
without the frames that it came through: they hold the request, and the request holds the key.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError, LocationParseError, ProxyError

from inferd_engine.errors import (
    DeadlineError,
    GenerateError,
    InvalidRequestError,
    RequestCancelledError,
    TransportError,
)
from inferd_engine.frames import is_from_below, users_frames
from inferd_engine.net.tls_settings import refusal_of
from inferd_engine.wire.http.local_servers import LOCAL_SERVERS
from inferd_engine.wire.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inferd_engine.net.exchange import Exchange

FAILURES = (requests.RequestException, HTTPError, OSError, http.client.HTTPException, ValueError)


def mapped(error: BaseException, exchange: Exchange, place: str) -> GenerateError:
    """Turn any failure into ours: by what the exchange knows, then by the root cause."""
    if exchange.cancelled:
        return RequestCancelledError(f"the request to {place} was cancelled")
    chain = list(_chain(error))
    root = chain[-1]
    for link in chain:
        link.__traceback__ = None  # urllib3's frames hold their own exceptions: a cycle
    passed = exchange.deadlines.passed()
    if passed is not None or any(map(_is_out_of_time, chain)):
        phase = exchange.deadlines.phase if passed is None or passed == "linger" else passed
        said = exchange.deadlines.describe(phase)
        return DeadlineError(f"{said}: {place}", phase=phase)
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        # Not what could not be parsed: it may be a proxy's address, with its password.
        said = "" if isinstance(root, LocationParseError) else f": {printable(str(root))}"
        return InvalidRequestError(f"{place} cannot be asked, check base_url and proxies{said}")
    if isinstance(root, OSError) and root.filename is not None:  # of sockets none has a name
        return refusal_of(root)
    distrusted = isinstance(root, ssl.SSLCertVerificationError)
    mapped = TransportError(_describe(root, chain, place), retryable=not distrusted)
    mapped.__cause__ = bare(root) if _is_ours_to_keep(root) else None
    return mapped


def _is_out_of_time(error: BaseException) -> bool:
    """Whether a clock of ours ended a call; the kernel's own, which has a number, is a failure."""
    return isinstance(error, TimeoutError) and error.errno is None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an exception and what lies under it: causes, reasons, wrapped arguments, contexts.

    What our caller is handling is the context of whatever is raised here, and no reason for it.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        context = link.__context__
        if context is not None and not is_from_below(context):
            context = None
        inner = (link.__cause__, getattr(link, "reason", None), *link.args, context)
        link = next((item for item in inner if isinstance(item, BaseException)), None)


def bare(error: BaseException) -> BaseException:
    """Take off what an exception has picked up on its way: frames and contexts hold the key.

    What a signal handler of the user's has raised keeps what is the user's.
    """
    theirs = users_frames(error.__traceback__)
    if theirs is None:
        error.__cause__ = error.__context__ = None
    return error.with_traceback(theirs)


def _is_ours_to_keep(root: BaseException) -> bool:
    """Whether a root cause holds nothing but itself; one of urllib3's holds connections."""
    return type(root).__module__.partition(".")[0] not in ("urllib3", "requests")


def _describe(root: BaseException, chain: list[BaseException], place: str) -> str:
    """Say what happened, where, and what to do next."""
    said = printable(str(getattr(root, "strerror", None) or root) or type(root).__name__)
    if any(isinstance(link, ProxyError) for link in chain):
        place += " through the proxy"
    for kind, sentence in _SENTENCES:
        if isinstance(root, kind):
            return sentence.format(place=place, said=said, hint=_server_hint(place))
    return f"the connection to {place} failed: {said}"


# The first that fits: special ones before their bases.
_SENTENCES: list[tuple[type[BaseException], str]] = [
    (socket.gaierror, "cannot find the host of {place}: {said} (check base_url)"),
    (ConnectionRefusedError, "nothing listens at {place}: {said}{hint}"),
    (
        ssl.SSLCertVerificationError,
        "the certificate of {place} is not trusted: {said} (verify takes a CA file)",
    ),
    (ssl.SSLError, "no TLS with {place}: {said} (is it https that is spoken there?)"),
    (http.client.IncompleteRead, "{place} closed the connection in the middle of the answer"),
    (http.client.RemoteDisconnected, "{place} closed the connection without an answer"),
    (ConnectionResetError, "{place} reset the connection"),
]


def _server_hint(place: str) -> str:
    meant = (server.name for server in LOCAL_SERVERS if f":{server.port}/" in place)
    return f" (is {next(meant, 'the server')} running?)"

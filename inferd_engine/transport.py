"""Send a request with ``requests`` and give the answer's body in blocks, as they come.

Goal: bytes stop here.  What is above sees a status, headers and blocks of bytes; what is below
(``requests``, urllib3, sockets, TLS) fails in two dozen ways, which ``failures.py`` maps to ours.

Rules:

* No ``Session``: a prepared request and an adapter are all that is needed, and so there are no
  cookies, no ``.netrc``, no redirects (and no reading of a redirect's endless body) to switch off.
* Blocks are what one read of the connection gives (``receiving.py``): at once what is there,
  whatever the framing.  ``iter_content`` holds a body without chunks back until it is complete.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import zlib
from typing import TYPE_CHECKING, Any

import requests
import requests.adapters
import urllib3.util.ssl_
from requests.utils import requote_uri
from urllib3.util import Timeout

from inferd_engine.connection import OwningAdapter, is_supported
from inferd_engine.errors import GenerateError, InternalError
from inferd_engine.failures import FAILURES, bare, mapped
from inferd_engine.proxies import proxies_for
from inferd_engine.receiving import serving
from inferd_engine.secret import MASK, Secret, revealed
from inferd_engine.socket_reader import BLOCK
from inferd_engine.tls_settings import check_cert, verify_of
from inferd_engine.wire.gunzip import Gunzip
from inferd_engine.wire.openai_urls import without_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from inferd_engine.exchange import Exchange

_DRAIN_BYTES = 65536  # of a body whose answer is over: the rest of its framing and little more


class Body:
    """The body of an answer: ``read()`` until it gives nothing.  For one thread at a time."""

    def __init__(self, response: requests.Response, exchange: Exchange, place: str) -> None:
        self._raw: Any = response.raw
        self._exchange = exchange
        self._place = place
        # The way round urllib3, which would only decompress.
        self._receiver = None if "content-encoding" in response.headers else exchange.receiver
        self._receive = self._receiver.receive if self._receiver else self._read_through_urllib3
        self.can_wait = self._receiver is not None
        """Whether ``wait()`` waits, and ``read()`` gives up in time."""
        self._gunzip = Gunzip()
        self._is_plain = False  # known not to be gzip
        self._pieces: Iterator[bytes] = iter(())
        self.bytes = 0
        """How many bytes were given, after decompression."""

    def wait(self) -> None:
        """Wait until ``read()`` need not wait, where that can be told from outside.

        What a signal handler raises in here goes through no parser and leaves the body as it was.
        """
        if self.can_wait and self._receiver is not None:
            with contextlib.suppress(ConnectionAbortedError):  # cancelled: read() says so
                self._receiver.wait()

    def read(self, give_up: float | None = None) -> bytes | None:
        """Give the next block, as soon as there is one; empty at the end of the body.

        Args:
            give_up: The moment from which on None is given, where ``can_wait`` is true.

        Raises:
            TransportError: The connection broke.
            DeadlineError: A deadline passed.
            RequestCancelledError: The exchange was ended.
        """
        try:
            block = self._receive(give_up) if self._is_plain else self._gunzipped(give_up)
            if self._exchange.cancelled:
                self._exchange.check()
            if block:
                self.bytes += len(block)
            elif block is not None:
                self._raw.release_conn()  # urllib3 does not see the end when it is gone round
            return block
        except (*FAILURES, zlib.error) as error:
            failure: BaseException = mapped(error, self._exchange, self._place)
        except BaseException as error:  # noqa: BLE001 - it goes on up
            failure = bare(error)
        raise failure

    def _read_through_urllib3(self, _: float | None) -> bytes:
        block: bytes = self._raw.read1(BLOCK, decode_content=True)
        return block

    def _gunzipped(self, give_up: float | None) -> bytes | None:
        """Do the same for a body that may be gzip, or is."""
        while True:
            for piece in self._pieces:
                if piece:
                    return piece
            block = self._receive(give_up)
            if not block:
                return block
            self._pieces = self._gunzip.feed(block)
            self._is_plain = self._gunzip.is_passive
            self.can_wait = not self._gunzip.is_active and self.can_wait

    def drain(self, seconds: float) -> bool:
        """Read the end of a body whose answer is over, so that its connection can be used again.

        Returns whether the end was reached within that time and 64 KiB.
        """
        self._exchange.deadlines.limit_total(seconds)
        read = 0
        with contextlib.suppress(GenerateError):
            while read <= _DRAIN_BYTES:
                block = self.read()
                if not block:
                    return True
                read += len(block)
        return False

    def close(self) -> None:
        """Close the connection, unless the body was read to its end; no answer is waited for."""
        try:
            with contextlib.suppress(*FAILURES):
                self._raw.close()
        finally:
            self._exchange.end()


class Reply:
    """What came before the body."""

    def __init__(self, response: requests.Response, exchange: Exchange, place: str) -> None:
        self.status: int = response.status_code
        headers = {name.lower(): value for name, value in response.headers.items()}
        self.is_event_stream = headers.get("content-type", "").startswith("text/event-stream")
        # Masked at once: what is said back in them would come into ids and reprs.
        self.headers = exchange.mask.headers(headers)
        self.body = Body(response, exchange, place)


class Transport:
    """The connections of a backend, for many threads; a forked child gets its own.

    Args:
        max_connections: How many idle connections are kept; more than that still work.
    """

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._adapters: dict[int, requests.adapters.HTTPAdapter] = {}  # by process

    def _own_adapter(self) -> requests.adapters.HTTPAdapter:
        """Give this process's adapter; a parent's is left alone, its sockets are the parent's."""
        pid = os.getpid()
        adapter = self._adapters.get(pid)
        if adapter is None:
            _check_patched_early()
            kind = OwningAdapter if is_supported() else requests.adapters.HTTPAdapter
            made = kind(pool_maxsize=self._max_connections)
            adapter = self._adapters.setdefault(pid, made)
        return adapter

    def send(
        self,
        exchange: Exchange,
        method: str,
        url: str,
        *,
        query: Secret | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str],
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest],
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request; return when the status line and the headers are in.

        Args:
            exchange: Ends the call from outside and keeps its deadlines.
            method: ``"POST"`` or ``"GET"``.
            url: Where to.
            query: What ``***`` stands for, if that is the query of ``url``.
            body: What to post.
            headers: Without credentials.
            auth: Adds the credentials to the prepared request, out of sight.
            verify: As in requests; None follows the environment.
            cert: As in requests.
            proxies: As in requests; None follows the environment, except to this machine.

        Raises:
            TransportError: There is no connection, or it broke before the headers.
            DeadlineError: A deadline passed.
            RequestCancelledError: The exchange was ended.
            InvalidRequestError: The address, a proxy or a setting of TLS cannot be used.
        """
        place = without_query(url)
        verify = verify_of(verify, url)
        check_cert(cert)
        proxies = proxies_for(url, proxies, exchange.mask)
        try:
            exchange.check()
            adapter = self._own_adapter()
            request = requests.Request(method, url, dict(headers), data=body, auth=auth).prepare()
            if isinstance(adapter, OwningAdapter):
                exchange.query = query and Secret(requote_uri(query.reveal()))
            else:  # somebody else's connections: they are told all
                proxies = {scheme: revealed(proxy) for scheme, proxy in proxies.items()}
                if query is not None:
                    request.prepare_url(url.replace(f"?{MASK}", f"?{query.reveal()}"), None)
            with serving(exchange):
                response = adapter.send(
                    request,
                    stream=True,
                    timeout=_coarse_timeout(exchange),  # type: ignore[arg-type]  # taken, not typed
                    verify=verify,
                    cert=cert,
                    proxies=proxies,
                )
            exchange.check()  # a header that a cancel cut short parses as a header
            return Reply(response, exchange, place)
        except FAILURES as error:
            failure: BaseException = mapped(error, exchange, place)
        except BaseException as error:  # noqa: BLE001 - it goes on up
            failure = bare(error)
        raise failure

    def close(self) -> None:
        """Close the idle connections."""
        adapter = self._adapters.pop(os.getpid(), None)
        if adapter is not None:
            adapter.close()


def _coarse_timeout(exchange: Exchange) -> Timeout:
    """Give urllib3 a timeout too: it is all there is where its connections are not ours."""
    return Timeout(connect=exchange.deadlines.limits["connect"], read=exchange.deadlines.left())


def _check_patched_early() -> None:
    """Refuse to work half patched: TLS would end in a RecursionError that explains nothing."""
    if getattr(urllib3.util.ssl_, "SSLContext", ssl.SSLContext) is not ssl.SSLContext:
        msg = (
            "ssl was replaced after requests had been imported (by gevent's monkey patching?): "
            "call monkey.patch_all() before anything else"
        )
        raise InternalError(msg)

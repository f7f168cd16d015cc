"""Send a request with ``requests`` and give the answer's body in blocks, as they come.

Goal: bytes stop here.  What is above sees a status, headers and blocks of bytes; what is below
(``requests``, urllib3, sockets, TLS) fails in two dozen ways, which ``failures.py`` maps to ours.

Rules:

* No ``Session``: a prepared request and an adapter are all that is needed, and so there are no
  cookies, no ``.netrc``, no redirects (and no reading of a redirect's endless body) to switch off.
* Blocks are what one read of the connection gives (``response.py``): at once what is there,
  whatever the framing.  ``iter_content`` holds a body without chunks back until it is complete.
* A connection is used again only if whoever read the answer says that it was whole (``drain``), and
  if those below have nothing against it.
* Where somebody stands in requests' place, or urllib3 is not the one that we know, a request goes
  the public way, over a connection of its own (``interception.py``).
"""

from __future__ import annotations

import contextlib
import os
import weakref
import zlib
from typing import TYPE_CHECKING, Any

import requests
import requests.adapters
import urllib3.response
from requests.utils import requote_uri
from urllib3.util import Timeout

from inferd_engine.errors import GenerateError, InvalidRequestError
from inferd_engine.net.failures import FAILURES, bare, mapped
from inferd_engine.net.interception import is_intercepted, send_publicly
from inferd_engine.net.proxies import proxies_for
from inferd_engine.net.response import serving
from inferd_engine.net.socket_reader import BLOCK
from inferd_engine.net.tls_settings import check_cert, verify_of
from inferd_engine.secrets.secret import MASK, Secret, revealed
from inferd_engine.wire.http.content_codings import undoing
from inferd_engine.wire.http.urls import without_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from inferd_engine.net.exchange import Exchange
    from inferd_engine.net.socket_reader import Plain, ShortWay

_DRAIN_BYTES = 65536  # of a body whose answer is over: the rest of its framing and little more


class Body:
    """The body of an answer: ``read()`` until it gives nothing.  For one thread at a time."""

    def __init__(self, response: requests.Response, exchange: Exchange, place: str) -> None:
        self._raw: Any = response.raw
        self._response = response
        self._exchange = exchange
        self._place = place
        self._is_owned = exchange.receiver is not None
        self._receiver = exchange.receiver  # the way round urllib3
        self._receive = self._receiver.receive if self._receiver else self._read_through_urllib3
        self._content: Iterator[bytes] | None = None
        if not isinstance(self._raw, urllib3.response.HTTPResponse):
            self._content = response.iter_content(BLOCK)  # somebody's own idea of an answer
        self.has_more: Callable[[], bool] = self._has_pieces_or_more
        """Say whether ``read()`` has something though the connection may be silent."""
        self.can_wait = self._receiver is not None
        """Whether ``wait()`` waits, and ``read()`` gives up in time."""
        coding = "" if self._content else response.headers.get("content-encoding", "")
        self._codings = undoing(coding)
        self._is_plain = False  # known to have no coding
        self._pieces: Iterator[bytes] = iter(())
        self._has_pieces = False  # as far as is known
        self.bytes = 0
        """How many bytes were given, after decompression."""

    def wait(self) -> None:
        """Wait until ``read()`` need not wait, where that can be told from outside.

        What a signal handler raises in here goes through no parser and leaves the body as it was.
        """
        if self.can_wait and self._receiver is not None:
            with contextlib.suppress(ConnectionAbortedError):  # cancelled: read() says so
                self._receiver.wait()

    def fileno(self) -> int | None:
        """Return the descriptor that tells when ``read()`` has something; None if none does."""
        return self._receiver.descriptor() if self.can_wait and self._receiver else None

    def short_way(self, plain: Plain) -> ShortWay | None:
        """Return the way past all of this, while nothing but such events may be to come."""
        return self._receiver.short_way(plain) if self._is_plain and self._receiver else None

    def read(self, give_up: float | None = None) -> bytes | None:
        """Return the next block, as soon as there is one; empty at the end of the body.

        Args:
            give_up: The moment from which on None is given, where ``can_wait`` is true.

        Raises:
            TransportError: The connection broke.
            UpstreamError: The body is compressed in a way that cannot be undone here.
            DeadlineError: A deadline passed.
            RequestCancelledError: The exchange was ended.
        """
        try:
            block = self._receive(give_up) if self._is_plain else self._decoded(give_up)
            if self._exchange.cancelled:
                self._exchange.check()
            if block:
                self.bytes += len(block)
            return block
        except (*FAILURES, zlib.error) as error:
            failure: BaseException = mapped(error, self._exchange, self._place)
        except BaseException as error:  # noqa: BLE001 - it goes on up
            failure = bare(error)
        raise failure

    def _read_through_urllib3(self, _: float | None) -> bytes:
        if not self._is_owned:
            self._exchange.deadlines.left_or_raise()  # nobody below looks at it
        if self._content is not None:
            return next(self._content, b"")
        block: bytes = self._raw.read1(BLOCK, decode_content=False)
        return block

    def _decoded(self, give_up: float | None) -> bytes | None:
        """Return the next block of a body that may be compressed, or is."""
        while True:
            for piece in self._pieces:
                if piece:
                    self._look()
                    return piece
            self._has_pieces = False
            block = self._receive(give_up)
            if not block:
                return block
            self._pieces, self._has_pieces = self._codings.feed(block), True

    def _look(self) -> None:
        """See what the body has turned out to be; if it has no coding, a block is one piece."""
        self.can_wait = not self._codings.is_active and self.can_wait
        if self._codings.is_passive:
            self._is_plain, self._has_pieces, self._pieces = True, False, iter(())
            if self._receiver:
                self.has_more = self._receiver.has_more

    def _has_pieces_or_more(self) -> bool:
        return self._has_pieces or self._receiver is None or self._receiver.has_more()

    def drain(self, seconds: float) -> bool:
        """Read the end of a body whose answer was whole, so that its connection can be used again.

        Returns whether the end was reached within that time and 64 KiB.
        """
        self._exchange.keep()
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
        """Let the connection go: back to its pool, or closed; nothing is waited for."""
        try:
            with contextlib.suppress(*FAILURES):
                if self._is_owned and self._exchange.is_whole:
                    self._raw.release_conn()
                self._raw.close()
                if not self._is_owned:
                    self._response.close()
        finally:
            self._exchange.end()


class Reply:
    """What came before the body."""

    def __init__(self, response: requests.Response, exchange: Exchange, place: str) -> None:
        self.status: int = response.status_code
        headers = {name.lower(): value for name, value in response.headers.items()}
        self.content_type = headers.get("content-type", "")
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
        self._users = weakref.WeakSet([self])  # one that is dropped uses them no more

    def share(self) -> Transport:
        """Return another user of the same connections."""
        other = Transport(self._max_connections)
        other._adapters, other._users = self._adapters, self._users
        self._users.add(other)
        return other

    def _own_adapter(self) -> requests.adapters.HTTPAdapter:
        """Return this process's adapter; a parent's is left alone, its sockets are the parent's."""
        pid = os.getpid()
        adapter = self._adapters.get(pid)
        if adapter is None:
            # Not before: nobody stands in between now, of whose classes ours would be made.
            from inferd_engine.net.footing import is_supported  # noqa: PLC0415
            from inferd_engine.net.pool import LoneAdapter, OwningAdapter  # noqa: PLC0415
            from inferd_engine.net.tls import check_patched_early  # noqa: PLC0415

            check_patched_early()
            kind = OwningAdapter if is_supported() else LoneAdapter
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
            request = requests.Request(method, url, dict(headers), data=body, auth=auth).prepare()
            adapter = None if is_intercepted() else self._own_adapter()
            if getattr(adapter, "keeps_secrets", False):
                exchange.query = query and Secret(requote_uri(query.reveal()))
            else:  # somebody else's connections: they are told all
                proxies = {scheme: revealed(proxy) for scheme, proxy in proxies.items()}
                if query is not None:
                    request.prepare_url(url.replace(f"?{MASK}", f"?{query.reveal()}"), None)
            with serving(exchange):
                response = (send_publicly if adapter is None else adapter.send)(
                    request,
                    stream=True,
                    timeout=_coarse_timeout(exchange),  # type: ignore[arg-type]  # taken, not typed
                    verify=verify,
                    cert=cert,
                    proxies=proxies,
                )
            exchange.check()  # a header that a cancel cut short parses as a header
            return Reply(response, exchange, place)
        except InvalidRequestError as error:  # of who signs; it is a ValueError too
            failure: BaseException = bare(error)
        except FAILURES as error:
            failure = mapped(error, exchange, place)
        except BaseException as error:  # noqa: BLE001 - it goes on up
            failure = bare(error)
        raise failure

    def close(self) -> None:
        """Let go of the connections; the last of their users closes those that are idle."""
        self._users.discard(self)
        if self._users:
            return
        adapter = self._adapters.pop(os.getpid(), None)
        if adapter is not None:
            adapter.close()


def _coarse_timeout(exchange: Exchange) -> Timeout:
    """Give urllib3 a timeout too: it is all there is where its connections are not ours."""
    return Timeout(connect=exchange.deadlines.limits["connect"], read=exchange.deadlines.left())

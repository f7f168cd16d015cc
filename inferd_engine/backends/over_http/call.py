"""One call over HTTP: begun, sent, read, and ended whatever happens.

Goal: a backend that asks over HTTP says what it sends and how it reads what comes, and nothing
else.  A whole one (``HttpBackend`` is what all of them are, ``Upstream`` their configuration):

    class Talk(HttpBackend[TalkConfig]):
        config_class = TalkConfig

        def __init__(
            self, config: TalkConfig | str | None = None, **fields: Unpack[TalkFields]
        ) -> None:
            config = to_address(config)  # a traceback shows it
            super().__init__(config, fields)

        def with_options(self, **fields: Unpack[TalkFields]) -> Self:
            return self._with(fields)

        @property
        def name(self) -> str:
            return "talk"

        def capabilities(self) -> BackendCapabilities:
            return BackendCapabilities(v2=True)

        def _headers(self) -> dict[str, str]:
            return {"talk-version": self.config.version}

        @without_frames
        def generate_v2(self, request, *, cancel=None, include_raw=False) -> TokenStream:
            body = body_from(request, self.config)
            url = at_path(self.config.base_url, lambda path: f"{path}/talk")
            with self._call(cancel, request.id) as call:
                reply = call.post(url, body)
                return call.stream(reply, TalkAnswer(mask=call.mask.text))

        @without_frames
        def models(self, *, cancel=None) -> list[str]:
            with self._call(cancel) as call:
                return names_in(call.whole(call.get(self.models_url)))

Beside ``_headers`` a backend may say anew how a request is authorized (``_authorize``: it is given
the prepared request, with the address and the bytes that will be sent, and so it can sign them),
how a refusal is told (``_hint``, ``_error_type``), and what Content-Type its answers have when they
are streams (``stream_type``).  An answer is whatever ``AnswerSource`` can ask (``answer.py``); it
takes the body apart, be that an event stream or a binary one.

Rules:

* A call joins the set of live ones and the caller's token *before* it looks whether the backend is
  stopped: either ``stop()`` sees the call, or the call sees that it is stopped.
* It is cancelled on every way out but that of a value: nothing stays open behind an error.
* An error leaves without what the call knows of secrets: key, headers, query, proxies.
* A status that is known is told, however slowly its body comes, and however much of it there is.
* Status 200 and no event stream by its Content-Type: the body is read until it is clear what it is.
* One call is one request: the clocks are its own.
"""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any

from inferd_engine._version import __version__
from inferd_engine.backends.over_http.answer import DRAIN_SECONDS, AnswerSource
from inferd_engine.backends.over_http.credentials import key_for_call, secrets_in
from inferd_engine.errors import GenerateError, InvalidRequestError
from inferd_engine.net.deadlines import Deadlines
from inferd_engine.net.exchange import Exchange
from inferd_engine.secrets.secret import HeaderValue, query_of
from inferd_engine.stream.token_stream import TokenStream
from inferd_engine.wire.answer.errors import READ_BODY_BYTES, too_large
from inferd_engine.wire.http.headers import request_id_of
from inferd_engine.wire.http.urls import without_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from requests import PreparedRequest

    from inferd_engine.backends.over_http.answer import Answer
    from inferd_engine.backends.over_http.upstream import Upstream
    from inferd_engine.cancel import Cancellable, CancelToken, LiveSet
    from inferd_engine.net.transport import Body, Reply, Transport
    from inferd_engine.secrets.masking import Mask
    from inferd_engine.secrets.secret import Secret

_ERROR_BODY_SECONDS = 5.0  # a status that is known is told, however slowly its body comes
_USER_AGENT = f"inferd-engine/{__version__}"


class Call:
    """One call, for as long as it is made: send with it, and read what comes.

    Args:
        config: The upstream.
        transport: The connections.
        live: The calls and streams that ``stop()`` ends.
        cancel: The caller's token.
        own_id: The caller's id of the request.
        headers: What the protocol wants, without credentials.
        authorize: Adds the credentials to the prepared request.
        refusal: Makes the error for a status other than 2xx, as ``HttpBackend._refusal``.
        stream_type: The Content-Type of an answer that is a stream.
    """

    def __init__(
        self,
        config: Upstream,
        transport: Transport,
        *,
        live: LiveSet[Cancellable],
        cancel: CancelToken | None,
        own_id: str,
        headers: Mapping[str, str],
        authorize: Callable[[Secret, PreparedRequest], PreparedRequest],
        refusal: Callable[..., GenerateError],
        stream_type: str,
    ) -> None:
        self._config = config
        self._transport = transport
        self._live = live
        self._cancel = cancel
        self._own_id = own_id
        self._headers = headers
        self._authorize = authorize
        self._refusal = refusal
        self._stream_type = stream_type
        self._exchange = Exchange(
            Deadlines(
                connect=config.connect_timeout,
                first_token=config.first_token_timeout,
                idle=config.idle_timeout,
                total=config.timeout,
            ),
            keepalive_expiry=config.keepalive_expiry,
            tcp_keepalive=config.tcp_keepalive,
        )
        self.request_id: str | None = own_id or None
        """The upstream's id of the request, once there is an answer; the caller's until then."""

    @property
    def mask(self) -> Mask:
        """Takes what the call knows and nobody is shown out of texts."""
        return self._exchange.mask

    @contextlib.contextmanager
    def underway(self, check_ready: Callable[[], None]) -> Iterator[Call]:
        """Be a call that ``stop()`` and a token can end; whatever ends it leaves nothing open.

        Args:
            check_ready: Raises if the backend cannot be asked.
        """
        exchange = self._exchange
        self._live.add(exchange)
        if self._cancel is not None:
            self._cancel.join(exchange)
        try:
            check_ready()  # after joining: either stop() sees the call, or the call sees it
            key = key_for_call(self._config)
            exchange.mask.add([key.reveal(), *secrets_in(self._config)])
            self._sign = functools.partial(self._authorized, key)
            yield self
        except BaseException as error:
            exchange.cancel()
            if isinstance(error, GenerateError):
                error.request_id = error.request_id or self._own_id or None
                exchange.mask.error(error)
            raise
        finally:
            self._live.discard(exchange)
            if self._cancel is not None:
                self._cancel.leave(exchange)

    def get(self, url: str) -> Reply:
        """Ask for what is there; return when the status line and the headers are in.

        Raises:
            GenerateError: As from ``post()``.
        """
        return self._send("GET", url, None, {})

    def post(self, url: str, body: Mapping[str, Any]) -> Reply:
        """Post a JSON object; return when the status line and the headers are in.

        Args:
            url: Where to; a query that is hidden in ``base_url`` is sent for its ``***``.
            body: What to send.

        Raises:
            InvalidRequestError: The body cannot be sent.
            HttpStatusError: The upstream refused it.
            TransportError: There is no connection, or it broke.
            DeadlineError: A deadline passed.
            RequestCancelledError: The token or ``stop()`` ended the call.
        """
        return self._send("POST", url, encoded(body), {"Content-Type": "application/json"})

    def stream(self, reply: Reply, answer: Answer) -> TokenStream:
        """Return the stream of an answer; one that is not a stream by its type is judged first.

        Args:
            reply: What came before the body.
            answer: Takes the body apart.

        Raises:
            UpstreamError: The upstream answered with an error or a page.
            GenerateError: It could not be read.
        """
        source = AnswerSource(reply.body, answer, self._exchange)
        if not reply.content_type.startswith(self._stream_type):
            try:
                source.judge()
            except BaseException:
                source.close()
                raise
        return TokenStream(
            source,
            buffer=self._config.buffer,
            live=self._live,
            cancel=self._cancel,
            request_id=self.request_id,
            response_headers=reply.headers,
        )

    def whole(self, reply: Reply) -> bytes:
        """Return a body whole, in the call's time, and no larger than an event may be.

        Raises:
            UpstreamError: It is larger than that.
            GenerateError: It could not be read.
        """
        try:
            text = _read_all(reply.body, self._config.max_event_bytes)
            reply.body.drain(DRAIN_SECONDS)
        finally:
            reply.body.close()
        return text

    def _authorized(self, key: Secret, request: PreparedRequest) -> PreparedRequest:
        """Add the credentials; hide those too that were found only now, as in AWS's files."""
        request = self._authorize(key, request)
        hidden = (item for item in request.headers.values() if isinstance(item, HeaderValue))
        self._exchange.mask.add(item.reveal().rpartition(" ")[2] for item in hidden)
        return request

    def _send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Send a request and refuse every status but 2xx."""
        config = self._config
        reply = self._transport.send(
            self._exchange,
            method,
            url,
            query=query_of(config.base_url),
            body=body,
            headers={
                "Accept": f"{self._stream_type}, application/json",
                "Accept-Encoding": "identity",
                "User-Agent": _USER_AGENT,
                **headers,
                **self._headers,
            },
            auth=self._sign,
            verify=config.verify,
            cert=config.cert,
            proxies=config.proxies,
        )
        if 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP
            self.request_id = request_id_of(reply.headers, self._own_id)
            return reply
        self._exchange.deadlines.limit_total(_ERROR_BODY_SECONDS)
        text = _read_error(reply.body)
        reply.body.drain(DRAIN_SECONDS)
        reply.body.close()
        raise self._refusal(reply, text, place=without_query(url), own_id=self._own_id)


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return a JSON object as it is posted.

    Raises:
        InvalidRequestError: It holds something that JSON cannot hold.
    """
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"the request holds something that JSON cannot hold: {error}"
        ) from None


def _read_all(body: Body, limit: int) -> bytes:
    """Read a body to its end.

    Raises:
        UpstreamError: It is larger than allowed.
    """
    blocks: list[bytes] = []
    while block := body.read():
        blocks.append(block)
        if body.bytes > limit:
            raise too_large("the body has", body.bytes, limit)
    return b"".join(blocks)


def _read_error(body: Body) -> bytes:
    """Read as much of an error body as is wanted and comes in time."""
    blocks: list[bytes] = []
    with contextlib.suppress(GenerateError):
        while body.bytes < READ_BODY_BYTES and (block := body.read()):
            blocks.append(block)
    return b"".join(blocks)[:READ_BODY_BYTES]

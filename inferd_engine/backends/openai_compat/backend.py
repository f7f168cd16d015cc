"""The adapter for every upstream that speaks OpenAI's Chat Completions.

The life of a call: map the request (pure), send it in the caller's thread, judge the status and,
where the Content-Type promises no event stream, the body; then hand a source to a stream.  All
that fails before that is raised from the call.
"""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine._version import __version__
from inferd_engine.backends.base import Backend, BackendCapabilities
from inferd_engine.backends.openai_compat.config import OpenAiCompatConfig
from inferd_engine.backends.over_http.answer import DRAIN_SECONDS, AnswerSource
from inferd_engine.backends.over_http.credentials import key_for_call, secrets_in
from inferd_engine.errors import GenerateError, InvalidRequestError, UpstreamError
from inferd_engine.frames import without_frames
from inferd_engine.net.deadlines import Deadlines
from inferd_engine.net.exchange import Exchange
from inferd_engine.secrets.secret import HeaderValue, hide_secrets, is_harmless, query_of, revealed
from inferd_engine.stream.token_stream import TokenStream
from inferd_engine.wire.http.headers import request_id_of
from inferd_engine.wire.http.urls import CHAT, MODELS, endpoint_url, without_query
from inferd_engine.wire.openai.answer import Answer
from inferd_engine.wire.openai.errors import READ_BODY_BYTES, http_error
from inferd_engine.wire.openai.hints import hint_of
from inferd_engine.wire.openai.models import names_of_models
from inferd_engine.wire.openai.request import request_from_resolved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest
    from typing_extensions import Unpack

    from inferd_engine.backends.openai_compat.fields import OpenAiCompatFields
    from inferd_engine.cancel import CancelToken
    from inferd_engine.net.transport import Body, Reply, Transport
    from inferd_engine.proto.v1 import Resolved
    from inferd_engine.proto.v2 import ResolvedV2
    from inferd_engine.secrets.secret import Secret

_ERROR_BODY_SECONDS = 5.0  # a status that is known is told, however slowly its body comes
_USER_AGENT = f"inferd-engine/{__version__}"


class OpenAiCompat(Backend):
    """Ask any OpenAI-compatible upstream, as ``OpenAiCompat("http://localhost:8080", model=…)``.

    Args:
        config: The upstream: its base URL as a str, or a configuration.
        fields: Those of ``OpenAiCompatConfig``, one by one; they win over the configuration's.
    """

    @without_frames
    def __init__(
        self,
        config: OpenAiCompatConfig | str | None = None,
        **changed: Unpack[OpenAiCompatFields],
    ) -> None:
        super().__init__()
        fields: dict[str, Any] = {**changed}
        del changed  # a traceback shows it
        if isinstance(config, str):
            config, fields = None, {"base_url": config, **fields}
        hide_secrets(fields)
        if config is None:
            self.config = OpenAiCompatConfig(**fields)
        else:  # as it is if nothing is changed: one from a pickle is checked at its first call
            self.config = attrs.evolve(config, **fields) if fields else config
        self._transport = _new_transport(self.config)

    def __repr__(self) -> str:
        config = getattr(self, "config", "")  # a constructor that failed has none yet
        return f"OpenAiCompat({config!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenAiCompat, (self.config,)

    @property
    def name(self) -> str:
        """``"openai-compat"``."""
        return "openai-compat"

    def ready(self) -> bool:
        """True until ``stop()``."""
        return not self._stopped

    def capabilities(self) -> BackendCapabilities:
        """Version 2 and tools; images and sounds if they are configured."""
        config = self.config
        return BackendCapabilities(v2=True, tools=True, vision=config.vision, audio=config.audio)

    @without_frames
    def with_options(self, **fields: Unpack[OpenAiCompatFields]) -> OpenAiCompat:
        """Give a backend of its own with other settings, over the same connections.

        ``stop()`` on one ends its own streams; it leaves those of the other alone.
        """
        other = OpenAiCompat.__new__(OpenAiCompat)
        Backend.__init__(other)
        changed: dict[str, Any] = {**fields}
        del fields  # a traceback shows it
        hide_secrets(changed)
        other.config = attrs.evolve(self.config, **changed)
        other._transport = self._transport.share()  # noqa: SLF001 - one of us
        return other

    @without_frames
    def generate(self, request: Resolved) -> TokenStream:  # noqa: ARG002 - Backend's signature
        """Raise: flat text is not spoken here.

        Raises:
            InternalError: Always.
        """
        raise self._speaks_v2_only()

    @without_frames
    def generate_v2(
        self,
        request: ResolvedV2,
        *,
        cancel: CancelToken | None = None,
        include_raw: bool = False,
    ) -> TokenStream:
        """Ask the upstream; return when its status line and headers are in.

        Raises:
            InvalidRequestError: The request cannot be sent.
            HttpStatusError: The upstream refused it.
            UpstreamError: The upstream answered 200 with an error or a page.
            TransportError: There is no connection, or it broke.
            DeadlineError: A deadline passed.
            RequestCancelledError: ``cancel`` or ``stop()`` ended the call.
        """
        config = self.config
        asked = request_from_resolved(request, config)
        body = _encoded(asked)
        with self._exchange(cancel, request.id) as (exchange, key):
            reply = self._send(exchange, key, "POST", self.chat_url, body, own_id=request.id)
            request_id = request_id_of(reply.headers, request.id)
            answer = Answer(
                max_event_bytes=config.max_event_bytes,
                include_raw=include_raw,
                split_think_tags=config.split_think_tags,
                choices=asked.get("n") or 1,
                request_id=request_id,
                mask=exchange.mask.text,
            )
            source = AnswerSource(reply.body, answer, exchange)
            if not reply.is_event_stream:
                try:
                    source.judge()
                except BaseException:
                    source.close()
                    raise
            return TokenStream(
                source,
                buffer=config.buffer,
                live=self._live,
                cancel=cancel,
                request_id=request_id,
                response_headers=reply.headers,
            )

    @property
    def chat_url(self) -> str:
        """Where requests are posted, as it may be shown."""
        return endpoint_url(self.config.base_url, CHAT)

    @property
    def models_url(self) -> str:
        """Where the models are listed, as it may be shown."""
        return endpoint_url(self.config.base_url, MODELS)

    @without_frames
    def models(self, *, cancel: CancelToken | None = None) -> list[str]:
        """Ask the upstream which models it has.

        Raises:
            GenerateError: As from ``generate_v2``.
        """
        with self._exchange(cancel, "") as (exchange, key):
            reply = self._send(exchange, key, "GET", self.models_url, None, own_id="")
            try:
                text = _read_all(reply.body, self.config.max_event_bytes)
                reply.body.drain(DRAIN_SECONDS)
            finally:
                reply.body.close()
            return names_of_models(text, request_id_of(reply.headers, ""))

    @contextlib.contextmanager
    def _exchange(
        self, cancel: CancelToken | None, own_id: str
    ) -> Iterator[tuple[Exchange, Secret]]:
        """Make a call that ``stop()`` and a token can end; whatever ends it leaves nothing open.

        Gives the key too.  What it knows of the call's secrets leaves with no error.
        """
        config = self.config
        exchange = Exchange(
            Deadlines(
                connect=config.connect_timeout,
                first_token=config.first_token_timeout,
                idle=config.idle_timeout,
                total=config.timeout,
            ),
            keepalive_expiry=config.keepalive_expiry,
            tcp_keepalive=config.tcp_keepalive,
        )
        self._live.add(exchange)
        if cancel is not None:
            cancel.join(exchange)
        try:
            self._check_ready()  # after joining: either stop() sees the call, or the call sees it
            key = key_for_call(config)
            exchange.mask.add([key.reveal(), *secrets_in(config)])
            yield exchange, key
        except BaseException as error:
            exchange.cancel()
            if isinstance(error, GenerateError):
                error.request_id = error.request_id or own_id or None
                exchange.mask.error(error)
            raise
        finally:
            self._live.discard(exchange)
            if cancel is not None:
                cancel.leave(exchange)

    def _send(
        self,
        exchange: Exchange,
        key: Secret,
        method: str,
        url: str,
        body: bytes | None,
        *,
        own_id: str,
    ) -> Reply:
        """Send a request and refuse every status but 2xx."""
        config = self.config
        reply = self._transport.send(
            exchange,
            method,
            url,
            query=query_of(config.base_url),
            body=body,
            headers={
                "Accept": "text/event-stream, application/json",
                "Accept-Encoding": "identity",
                "User-Agent": _USER_AGENT,
                **({"Content-Type": "application/json"} if body is not None else {}),
            },
            auth=functools.partial(self._authorize, key),
            verify=config.verify,
            cert=config.cert,
            proxies=config.proxies,
        )
        if 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP
            return reply
        exchange.deadlines.limit_total(_ERROR_BODY_SECONDS)
        text = _read_error(reply.body)
        reply.body.drain(DRAIN_SECONDS)
        reply.body.close()
        place = without_query(url)
        raise http_error(
            reply.status,
            reply.headers,
            text,
            place=place,
            hint=hint_of(reply.status, text, place, config),
            own_id=own_id,
        )

    def _authorize(self, key: Secret, request: PreparedRequest) -> PreparedRequest:
        """Add the key and the configured headers, in no frame's sight."""
        name = self.config.api_key_header
        if key:
            scheme = "Bearer " if name.lower() == "authorization" else ""
            request.headers[name] = HeaderValue(scheme + key.reveal())
        for name, value in self.config.headers.items():
            is_known = is_harmless(name)
            request.headers[name] = revealed(value) if is_known else HeaderValue(revealed(value))
        return request

    def _release(self) -> None:
        self._transport.close()


def _new_transport(config: OpenAiCompatConfig) -> Transport:
    """Make the connections; ``requests`` is imported here, when a backend needs it."""
    from inferd_engine.net.transport import Transport  # noqa: PLC0415

    return Transport(config.max_connections)


def _encoded(body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        msg = f"the request holds something that JSON cannot hold: {error}"
        raise InvalidRequestError(msg) from None


def _read_all(body: Body, limit: int) -> bytes:
    """Read a body to its end.

    Raises:
        UpstreamError: It is larger than allowed.
    """
    blocks: list[bytes] = []
    while block := body.read():
        blocks.append(block)
        if body.bytes > limit:
            msg = f"the body has more than {body.bytes} bytes, the limit is {limit}"
            raise UpstreamError(msg, code="event_too_large", retryable=False)
    return b"".join(blocks)


def _read_error(body: Body) -> bytes:
    """Read as much of an error body as is wanted and comes in time."""
    blocks: list[bytes] = []
    with contextlib.suppress(GenerateError):
        while body.bytes < READ_BODY_BYTES and (block := body.read()):
            blocks.append(block)
    return b"".join(blocks)[:READ_BODY_BYTES]

"""The adapter for every upstream that speaks OpenAI's Chat Completions.

The life of a call: map the request (pure), send it in the caller's thread, judge the status and,
where the Content-Type promises no event stream, the body; then hand a source to a stream.  All
that fails before that is raised from the call.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine._version import __version__
from inferd_engine.answer import AnswerSource
from inferd_engine.backend import Backend, BackendCapabilities
from inferd_engine.config import OpenAiCompatConfig
from inferd_engine.deadlines import Deadlines
from inferd_engine.errors import GenerateError, InvalidRequestError, UpstreamError
from inferd_engine.exchange import Exchange
from inferd_engine.secret import hide_secrets
from inferd_engine.stream import TokenStream
from inferd_engine.wire.error_hints import hint_of
from inferd_engine.wire.json_documents import parse_json
from inferd_engine.wire.openai_answer import Answer
from inferd_engine.wire.openai_errors import (
    READ_BODY_BYTES,
    http_error,
    request_id_of,
    upstream_error,
)
from inferd_engine.wire.openai_request import request_from_resolved
from inferd_engine.wire.openai_urls import CHAT, MODELS, endpoint_url, without_query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import PreparedRequest

    from inferd_engine.cancel import CancelToken
    from inferd_engine.proto.v1 import Resolved
    from inferd_engine.proto.v2 import ResolvedV2
    from inferd_engine.transport import Body, Reply, Transport

_SHORTEST_KEY = 8  # characters; a shorter one is a dummy, and its letters are in every text
_ERROR_BODY_SECONDS = 5.0  # a status that is known is told, however slowly its body comes
_USER_AGENT = f"inferd-engine/{__version__}"


class OpenAiCompat(Backend):
    """Ask any OpenAI-compatible upstream, as ``OpenAiCompat(base_url=…, model=…)``.

    Args:
        config: The upstream; or give the fields of ``OpenAiCompatConfig`` one by one.
    """

    def __init__(self, config: OpenAiCompatConfig | None = None, **fields: Any) -> None:  # noqa: ANN401
        super().__init__()
        hide_secrets(fields)
        self.config = attrs.evolve(config, **fields) if config else OpenAiCompatConfig(**fields)
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

    def with_options(self, **changed: Any) -> OpenAiCompat:  # noqa: ANN401 - fields of the config
        """Give a backend of its own with other settings, over the same connections.

        ``stop()`` on one ends its own streams; it leaves those of the other alone.
        """
        other = OpenAiCompat.__new__(OpenAiCompat)
        Backend.__init__(other)
        hide_secrets(changed)
        other.config = attrs.evolve(self.config, **changed)
        other._transport = self._transport  # noqa: SLF001 - one of us
        return other

    def generate(self, request: Resolved) -> TokenStream:  # noqa: ARG002 - Backend's signature
        """Raise: flat text is not spoken here.

        Raises:
            InternalError: Always.
        """
        raise self._speaks_v2_only()

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
        with self._exchange(cancel, request.id) as exchange:
            reply = self._send(exchange, "POST", self.chat_url, body, own_id=request.id)
            request_id = request_id_of(reply.headers, request.id)
            answer = Answer(
                max_event_bytes=config.max_event_bytes,
                include_raw=include_raw,
                split_think_tags=config.split_think_tags,
                choices=asked.get("n") or 1,
                request_id=request_id,
            )
            source = AnswerSource(reply.body, answer, exchange)
            if reply.headers.get("content-type", "").startswith("text/event-stream"):
                # A server that cuts a stream off with a proper end of the body closes the
                # connection next: the pool gets it back only once the answer is whole.
                exchange.reusable = False
            else:
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
        """Where requests are posted."""
        return endpoint_url(self.config.base_url, CHAT)

    @property
    def models_url(self) -> str:
        """Where the models are listed."""
        return endpoint_url(self.config.base_url, MODELS)

    def models(self, *, cancel: CancelToken | None = None) -> list[str]:
        """Ask the upstream which models it has.

        Raises:
            GenerateError: As from ``generate_v2``.
        """
        with self._exchange(cancel, "") as exchange:
            reply = self._send(exchange, "GET", self.models_url, None, own_id="")
            try:
                text = _read_all(reply.body, self.config.max_event_bytes)
            finally:
                reply.body.close()
        try:
            listed = parse_json(text.decode("utf-8", "replace"))
        except ValueError:
            listed = None
        if isinstance(listed, dict) and listed.get("error"):
            raise upstream_error(listed, request_id=request_id_of(reply.headers, ""))
        try:
            items = listed if isinstance(listed, list) else listed.get("data", listed.get("models"))
            return [str(item.get("id") or item["name"]) for item in items]
        except (AttributeError, KeyError, TypeError):
            msg = "the upstream's list of models has another shape than OpenAI's"
            raise UpstreamError(msg, code="malformed", retryable=False) from None

    @contextlib.contextmanager
    def _exchange(self, cancel: CancelToken | None, own_id: str) -> Iterator[Exchange]:
        """Make a call that ``stop()`` and a token can end; whatever ends it leaves nothing open."""
        config = self.config
        exchange = Exchange(
            Deadlines(
                connect=config.connect_timeout,
                first_token=config.first_token_timeout,
                idle=config.idle_timeout,
                total=config.timeout,
            )
        )
        self._live.add(exchange)
        if cancel is not None:
            cancel.join(exchange)
        try:
            self._check_ready()  # after joining: either stop() sees the call, or the call sees it
            yield exchange
        except BaseException as error:
            exchange.cancel()
            if isinstance(error, GenerateError) and error.request_id is None:
                error.request_id = own_id or None
            raise
        finally:
            self._live.discard(exchange)
            if cancel is not None:
                cancel.leave(exchange)

    def _send(
        self, exchange: Exchange, method: str, url: str, body: bytes | None, *, own_id: str
    ) -> Reply:
        """Send a request and refuse every status but 2xx."""
        config = self.config
        reply = self._transport.send(
            exchange,
            method,
            url,
            body=body,
            headers={
                "Accept": "text/event-stream, application/json",
                "Accept-Encoding": "identity",
                "User-Agent": _USER_AGENT,
                **({"Content-Type": "application/json"} if body is not None else {}),
            },
            auth=self._authorize,
            verify=config.verify,
            cert=config.cert,
            proxies=config.proxies,
        )
        if 200 <= reply.status < 300:  # noqa: PLR2004 - HTTP
            return reply
        exchange.deadlines.limit_total(_ERROR_BODY_SECONDS)
        text = _read_error(reply.body)
        reply.body.close()
        place = without_query(url)
        headers, key = reply.headers, config.api_key
        if len(key) >= _SHORTEST_KEY:  # some upstreams say it back, and errors are logged
            text = text.replace(key.encode(), b"***")
            headers = {name: value.replace(key, "***") for name, value in headers.items()}
        raise http_error(
            reply.status,
            headers,
            text,
            place=place,
            hint=hint_of(reply.status, text, place, config),
            own_id=own_id,
        )

    def _authorize(self, request: PreparedRequest) -> PreparedRequest:
        """Add the key and the configured headers, out of sight of every frame but this one."""
        header, key = self.config.api_key_header, self.config.api_key
        if key:
            is_bearer = header.lower() == "authorization"
            request.headers[header] = "Bearer " + key if is_bearer else str(key)
        request.headers.update(self.config.headers)
        return request

    def _release(self) -> None:
        self._transport.close()


def _new_transport(config: OpenAiCompatConfig) -> Transport:
    """Make the connections; ``requests`` is imported here, when a backend needs it."""
    from inferd_engine.transport import Transport  # noqa: PLC0415

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

"""The adapter for every upstream that speaks OpenAI's Chat Completions.

A call over HTTP is ``over_http``'s; here is what is OpenAI's about it: where it goes, what is
posted, and who reads the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine.backends.base import BackendCapabilities
from inferd_engine.backends.openai_compat.config import OpenAiCompatConfig
from inferd_engine.backends.over_http.backend import HttpBackend
from inferd_engine.frames import without_frames
from inferd_engine.secrets.secret import to_address
from inferd_engine.wire.answer.models import names_of_models
from inferd_engine.wire.openai.answer import Answer
from inferd_engine.wire.openai.embeddings import embeddings_body, joined, read_embeddings
from inferd_engine.wire.openai.endpoints import CHAT, EMBEDDINGS, MODELS, endpoint_url
from inferd_engine.wire.openai.errors import UNKNOWN_PATH
from inferd_engine.wire.openai.hints import hint_of_words
from inferd_engine.wire.openai.request import body_from

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from inferd_engine.backends.openai_compat.fields import OpenAiCompatFields
    from inferd_engine.cancel import CancelToken
    from inferd_engine.proto.embed import EmbedResolved
    from inferd_engine.proto.v2 import ResolvedV2
    from inferd_engine.stream.token_stream import TokenStream
    from inferd_engine.vectors import EmbedResult


_REFUSED = (400, 422)  # HTTP, as those answer that do not want what was sent
_NO_BASE64 = (
    "if that says nothing of what you sent, configure encoding_format='float': some gateways "
    "refuse base64 in other words"
)


class OpenAiCompat(HttpBackend[OpenAiCompatConfig]):
    """Ask any OpenAI-compatible upstream, as ``OpenAiCompat("http://localhost:8080", model=…)``.

    Args:
        config: The upstream: its base URL as a str, or a configuration.
        fields: Those of ``OpenAiCompatConfig``, one by one; they win over the configuration's.
    """

    config_class = OpenAiCompatConfig

    @without_frames
    def __init__(
        self,
        config: OpenAiCompatConfig | str | None = None,
        **fields: Unpack[OpenAiCompatFields],
    ) -> None:
        config = to_address(config)  # a traceback shows it
        super().__init__(config, fields)

    @property
    def name(self) -> str:
        """``"openai-compat"``."""
        return "openai-compat"

    def capabilities(self) -> BackendCapabilities:
        """Return what it can do: version 2, tools, vectors; images and sounds as configured."""
        config = self.config
        return BackendCapabilities(
            v2=True, tools=True, embed=True, vision=config.vision, audio=config.audio
        )

    @without_frames
    def with_options(self, **fields: Unpack[OpenAiCompatFields]) -> Self:
        """Return a backend of its own with other settings, over the same connections.

        ``stop()`` on one ends its own streams; it leaves those of the other alone.
        """
        return self._with(fields)

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
        body = body_from(request, config.dialect)
        with self._call(cancel, request.id) as call:
            reply = call.post(self.chat_url, body)
            answer = Answer(
                max_event_bytes=config.max_event_bytes,
                include_raw=include_raw,
                split_think_tags=config.split_think_tags,
                choices=body.get("n") or 1,
                request_id=call.request_id,
                mask=call.mask.text,
            )
            return call.stream(reply, answer)

    @without_frames
    def models(self, *, cancel: CancelToken | None = None) -> list[str]:
        """Ask the upstream which models it has.

        Raises:
            GenerateError: As from ``generate_v2``.
        """
        with self._call(cancel) as call:
            listed = call.whole(call.get(self.models_url))
            return names_of_models(listed, call.request_id, unknown_path=UNKNOWN_PATH)

    @without_frames
    def embed(self, request: EmbedResolved, *, cancel: CancelToken | None = None) -> EmbedResult:
        """Ask the upstream for vectors, in batches; each batch is a call with clocks of its own.

        Raises:
            UpstreamError: What it gave are not as many good vectors as there are texts.
            GenerateError: As from ``generate_v2``.
        """
        config = self.config
        prefix = config.task_prefixes.get(request.task or "", "")
        parts: list[EmbedResult] = []
        for at in range(0, len(request.input), config.embed_batch_size):
            texts = request.input[at : at + config.embed_batch_size]
            body = embeddings_body(
                [prefix + text for text in texts],
                model=request.model or config.model,
                dimensions=request.dimensions,
                encoding_format=config.encoding_format,
                extra_body=config.extra_body,
            )
            with self._call(cancel, request.id) as call:
                answer = call.whole(call.post(endpoint_url(config.base_url, EMBEDDINGS), body))
                parts.append(
                    read_embeddings(
                        answer,
                        len(texts),
                        dimensions=request.dimensions,
                        request_id=call.request_id,
                    )
                )
        return joined(parts)

    @property
    def chat_url(self) -> str:
        """Where requests are posted, as it may be shown."""
        return endpoint_url(self.config.base_url, CHAT)

    @property
    def models_url(self) -> str:
        """Where the models are listed, as it may be shown."""
        return endpoint_url(self.config.base_url, MODELS)

    def _hint(self, status: int, body: bytes, place: str) -> str:
        of_vectors = place.endswith(EMBEDDINGS)
        hint = hint_of_words(status, body, of_vectors=of_vectors, is_list=place.endswith(MODELS))
        if not hint and of_vectors and self.config.encoding_format == "base64":
            return _NO_BASE64 if status in _REFUSED else ""
        return hint

"""The adapter for every upstream that speaks Anthropic's Messages.

A call over HTTP is ``over_http``'s; here is what is Anthropic's about it: where it goes, what is
posted, and who reads the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from inferd_engine.backends.anthropic.config import TOKEN_VARIABLE, AnthropicConfig
from inferd_engine.backends.base import BackendCapabilities
from inferd_engine.backends.over_http.backend import HttpBackend
from inferd_engine.frames import without_frames
from inferd_engine.secrets.secret import to_address
from inferd_engine.wire.anthropic.answer import Answer
from inferd_engine.wire.anthropic.endpoints import MESSAGES, MODELS, endpoint_url
from inferd_engine.wire.anthropic.errors import type_of
from inferd_engine.wire.anthropic.hints import hint_of_words
from inferd_engine.wire.anthropic.models import page_of_models
from inferd_engine.wire.anthropic.request import body_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self, Unpack

    from inferd_engine.backends.anthropic.fields import AnthropicFields
    from inferd_engine.cancel import CancelToken
    from inferd_engine.proto.v2 import ResolvedV2
    from inferd_engine.secrets.secret import Secret
    from inferd_engine.stream.token_stream import TokenStream

_PAGE = 1000  # models: the most that Anthropic lists at once


class Anthropic(HttpBackend[AnthropicConfig]):
    """Ask any upstream of Anthropic's Messages, as ``Anthropic(model="claude-sonnet-5")``.

    Args:
        config: The upstream: its base URL as a str, or a configuration.
        fields: Those of ``AnthropicConfig``, one by one; they win over the configuration's.
    """

    config_class = AnthropicConfig

    @without_frames
    def __init__(
        self,
        config: AnthropicConfig | str | None = None,
        **fields: Unpack[AnthropicFields],
    ) -> None:
        config = to_address(config)  # a traceback shows it
        super().__init__(config, fields)

    @property
    def name(self) -> str:
        """``"anthropic"``."""
        return "anthropic"

    def capabilities(self) -> BackendCapabilities:
        """Return what it can do: version 2, tools and thinking; images unless switched off."""
        return BackendCapabilities(v2=True, tools=True, thinking=True, vision=self.config.vision)

    @without_frames
    def with_options(self, **fields: Unpack[AnthropicFields]) -> Self:
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
                request_id=call.request_id,
                mask=call.mask.text,
            )
            return call.stream(reply, answer)

    @without_frames
    def models(self, *, cancel: CancelToken | None = None) -> list[str]:
        """Ask the upstream which models it has, page by page; each page is a call of its own.

        Raises:
            GenerateError: As from ``generate_v2``.
        """
        names: dict[str, None] = {}  # in their order, each once
        url, joint = self.models_url, "&" if "?" in self.models_url else "?"
        while True:
            with self._call(cancel) as call:
                page, last = page_of_models(call.whole(call.get(url)), call.request_id)
            known = len(names)
            names.update(dict.fromkeys(page))
            if not last or len(names) == known:  # pages that come round again bring nothing new
                return list(names)
            url = f"{self.models_url}{joint}limit={_PAGE}&after_id={quote(last, safe='')}"

    @property
    def chat_url(self) -> str:
        """Where requests are posted, as it may be shown."""
        return endpoint_url(self.config.base_url, MESSAGES)

    @property
    def models_url(self) -> str:
        """Where the models are listed, as it may be shown."""
        return endpoint_url(self.config.base_url, MODELS)

    def _headers(self) -> dict[str, str]:
        betas = {"anthropic-beta": ",".join(self.config.betas)} if self.config.betas else {}
        return {"anthropic-version": self.config.version, **betas}

    def _key_header(self, key: Secret) -> str:
        return "Authorization" if key.source == TOKEN_VARIABLE else self.config.api_key_header

    def _error_type(self, headers: Mapping[str, str], value: Any) -> str | None:
        return type_of(headers, value)

    def _hint(self, status: int, body: bytes, place: str) -> str:
        return hint_of_words(status, body, is_list=place.endswith(MODELS))

"""The adapter for Amazon Bedrock by its own protocol, which every model there speaks.

A call over HTTP is ``over_http``'s; here is what is Bedrock's about it: the model is in the
address, a request without a token is signed, and an answer is a stream of frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from inferd_engine.backends.base import BackendCapabilities
from inferd_engine.backends.bedrock.config import BedrockConfig, guardrail_of
from inferd_engine.backends.bedrock.signing import forget_credentials, sign
from inferd_engine.backends.over_http.backend import HttpBackend
from inferd_engine.errors import InvalidRequestError, UnsupportedError
from inferd_engine.frames import without_frames
from inferd_engine.secrets.secret import to_address
from inferd_engine.wire.bedrock.answer import Answer
from inferd_engine.wire.bedrock.errors import type_of
from inferd_engine.wire.bedrock.hints import hint_of_words
from inferd_engine.wire.bedrock.request import body_from
from inferd_engine.wire.http.urls import at_path
from inferd_engine.wire.request.merging import merged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest
    from typing_extensions import Self, Unpack

    from inferd_engine.backends.bedrock.fields import BedrockFields
    from inferd_engine.cancel import CancelToken
    from inferd_engine.proto.v2 import ResolvedV2
    from inferd_engine.secrets.secret import Secret
    from inferd_engine.stream.token_stream import TokenStream

_KEY_REFUSED = (401, 403)  # HTTP
_NO_LIST = (
    "Bedrock lists its models elsewhere: aws bedrock list-foundation-models and "
    "aws bedrock list-inference-profiles name those of a region"
)


class Bedrock(HttpBackend[BedrockConfig]):
    """Ask a model on Amazon Bedrock, as ``Bedrock(region="eu-central-1", model="…")``.

    Args:
        config: The upstream: its base URL as a str, or a configuration.
        fields: Those of ``BedrockConfig``, one by one; they win over the configuration's.
    """

    config_class = BedrockConfig
    stream_type = "application/vnd.amazon.eventstream"

    @without_frames
    def __init__(
        self,
        config: BedrockConfig | str | None = None,
        **fields: Unpack[BedrockFields],
    ) -> None:
        config = to_address(config)  # a traceback shows it
        super().__init__(config, fields)

    @property
    def name(self) -> str:
        """``"bedrock"``."""
        return "bedrock"

    def capabilities(self) -> BackendCapabilities:
        """Return what it can do: version 2, tools and thinking; images unless switched off."""
        return BackendCapabilities(v2=True, tools=True, thinking=True, vision=self.config.vision)

    @without_frames
    def with_options(self, **fields: Unpack[BedrockFields]) -> Self:
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
            InvalidRequestError: The request cannot be sent, or not signed.
            HttpStatusError: The upstream refused it.
            UpstreamError: The upstream answered 200 with an error or a page.
            TransportError: There is no connection, or it broke.
            DeadlineError: A deadline passed.
            RequestCancelledError: ``cancel`` or ``stop()`` ended the call.
        """
        config = self.config
        body = merged(guardrail_of(config), body_from(request, config.dialect))
        url = self._url(request.model or config.model, streams=request.stream is not False)
        with self._call(cancel, request.id) as call:
            reply = call.post(url, body)
            answer = Answer(
                max_event_bytes=config.max_event_bytes,
                include_raw=include_raw,
                request_id=call.request_id,
            )
            return call.stream(reply, answer)

    def models(self, *, cancel: CancelToken | None = None) -> list[str]:  # noqa: ARG002 - none is asked
        """Raise: models are listed by another service, with rights of its own.

        Raises:
            UnsupportedError: Always; it says where they are.
        """
        raise UnsupportedError(_NO_LIST)

    @property
    def chat_url(self) -> str:
        """Where requests are posted, as it may be shown."""
        return self._url(self.config.model, streams=True)

    def _url(self, model: str, *, streams: bool) -> str:
        if not model:
            raise InvalidRequestError("model is empty: give a model's id, a profile's, or an ARN")
        end = f"/model/{quote(model, safe=':')}/{'converse-stream' if streams else 'converse'}"
        return at_path(self.config.base_url, lambda path: path + end)

    def _authorize(self, key: Secret, request: PreparedRequest) -> PreparedRequest:
        super()._authorize(key, request)
        if not key and "authorization" not in map(str.lower, self.config.headers):
            sign(request, self.config)
        return request

    def _hint(self, status: int, body: bytes, place: str) -> str:  # noqa: ARG002 - wherever
        if status not in _KEY_REFUSED or self.config.api_key:
            return hint_of_words(status, body)
        if b"expired" in body.lower():
            forget_credentials()
            return "the credentials have expired: get new ones"
        return (
            f"it was signed for {self.config.region}: check the credentials, this machine's clock, "
            "and whether the account may use the model"
        )

    def _error_type(self, headers: Mapping[str, str], value: Any) -> str | None:
        return type_of(headers, value)

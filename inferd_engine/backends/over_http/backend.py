"""What every backend over HTTP is: a configuration, connections, and calls (``call.py``).

One that extends it shares its connections with what ``with_options()`` makes of it, goes through
pickles by its configuration, and shows no secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import attrs

from inferd_engine.backends.base import Backend
from inferd_engine.backends.over_http.call import Call
from inferd_engine.backends.over_http.construction import hide
from inferd_engine.backends.over_http.hints import hint_of
from inferd_engine.backends.over_http.upstream import Upstream
from inferd_engine.errors import InvalidRequestError
from inferd_engine.reprs import changed_fields, named
from inferd_engine.secrets.secret import HeaderValue, Secret, is_harmless, revealed
from inferd_engine.wire.answer.errors import http_error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from requests import PreparedRequest
    from typing_extensions import Self

    from inferd_engine.cancel import CancelToken
    from inferd_engine.errors import GenerateError
    from inferd_engine.net.transport import Reply, Transport

_Config = TypeVar("_Config", bound=Upstream)


class HttpBackend(Backend, Generic[_Config]):
    """Ask an upstream over HTTP.

    Args:
        config: The upstream: its base URL as a str, or a configuration.
        fields: Those of the configuration, one by one; they win over it.  A dict that is the
            caller's own: it is changed, so that a traceback shows no secret in it.
    """

    config: _Config
    config_class: type[_Config]
    """What the backend is configured by."""
    stream_type: ClassVar[str] = "text/event-stream"
    """The Content-Type of an answer that is a stream."""

    def __init__(self, config: _Config | str | None, fields: Any) -> None:
        kind = self.config_class
        hide(kind, fields)
        if isinstance(config, str):
            fields.setdefault("base_url", config)
            config = None
        if config is None:
            config = kind(**fields)
        elif not isinstance(config, kind):
            raise InvalidRequestError(
                f"config is a {type(config).__name__}: it has to be a base URL, as a str, "
                f"or {kind.__name__}"
            )
        elif fields:  # as it is if nothing is changed: one from a pickle is checked at its call
            config = attrs.evolve(config, **fields)
        self._set_up(config, _new_transport(config))

    def _set_up(self, config: _Config, transport: Transport) -> None:
        """Begin with a configuration and connections.

        What else depends on the configuration is made here: ``with_options()`` comes by here too,
        and copies the rest.
        """
        Backend.__init__(self)
        self.config = config
        self.buffer = config.buffer
        self._transport = transport

    def _with(self, fields: Any) -> Self:
        """Do what ``with_options()`` promises; the fields are as those of the constructor."""
        hide(self.config_class, fields)
        other = type(self).__new__(type(self))
        for name, value in vars(self).items():  # those of whoever extends it too
            vars(other).setdefault(name, value)
        other._set_up(attrs.evolve(self.config, **fields), self._transport.share())  # noqa: SLF001 - one of us
        return other

    def __repr__(self) -> str:
        config = getattr(self, "config", None)  # a constructor that failed has none yet
        return named(type(self).__name__, changed_fields(config) if config else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.config,)

    # --- for those who extend it ------------------------------------------------------------------

    def _call(
        self, cancel: CancelToken | None = None, own_id: str = ""
    ) -> AbstractContextManager[Call]:
        """Begin a call.

        Args:
            cancel: The caller's token.
            own_id: The caller's id of the request.
        """
        call = Call(
            self.config,
            self._transport,
            live=self._live,
            cancel=cancel,
            own_id=own_id,
            headers=self._headers(),
            authorize=self._authorize,
            refusal=self._refusal,
            stream_type=self.stream_type,
        )
        return call.underway(self._check_ready)

    def _headers(self) -> dict[str, str]:
        """Return the headers that the protocol wants, without credentials."""
        return {}

    def _authorize(self, key: Secret, request: PreparedRequest) -> PreparedRequest:
        """Add the key and the configured headers, in no frame's sight.

        Args:
            key: That of this call; empty for none.
            request: As it will be sent, address and bytes: they may be signed here.
        """
        name = self._key_header(key)
        if key:
            scheme = "Bearer " if name.lower() == "authorization" else ""
            request.headers[name] = HeaderValue(scheme + key.reveal())
        for name, value in self.config.headers.items():
            is_known = is_harmless(name)
            request.headers[name] = revealed(value) if is_known else HeaderValue(revealed(value))
        return request

    def _key_header(self, key: Secret) -> str:  # noqa: ARG002 - for those whose keys differ
        """Return the header that a key goes into."""
        return self.config.api_key_header

    def _hint(self, status: int, body: bytes, place: str) -> str:  # noqa: ARG002 - for those who know
        """Return the next step after a refusal in words that the protocol's servers use."""
        return ""

    def _error_type(self, headers: Mapping[str, str], value: Any) -> str | None:  # noqa: ARG002 - for those who have words
        """Return the protocol's own word for a refusal; None if it has none.

        Args:
            headers: The answer's headers, names in lower case.
            value: The decoded body.
        """
        return None

    def _refusal(self, reply: Reply, body: bytes, *, place: str, own_id: str) -> GenerateError:
        """Return the error for a status other than 2xx.

        Args:
            reply: The status and the headers.
            body: As much of the body as was read.
            place: The address that was asked, as it may be shown.
            own_id: The caller's id of the request.
        """
        status = reply.status
        hint = self._hint(status, body, place) or hint_of(status, body, place, self.config)
        return http_error(
            status,
            reply.headers,
            body,
            place=place,
            hint=hint,
            own_id=own_id,
            type_of=self._error_type,
        )

    def _release(self) -> None:
        self._transport.close()


def _new_transport(config: Upstream) -> Transport:
    """Make the connections; ``requests`` is imported here, when a backend needs it."""
    from inferd_engine.net.transport import Transport  # noqa: PLC0415

    return Transport(config.max_connections)

"""What an upstream of Anthropic's Messages is like: an ``Upstream`` with the ways of such servers.

What is known of a provider is data (``presets.py``): a preset is this value with some fields filled
in, and nothing else asks who the provider is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from inferd_engine.backends.anthropic.presets import PRESETS
from inferd_engine.backends.over_http.credentials import check_header_name
from inferd_engine.backends.over_http.upstream import Upstream
from inferd_engine.backends.settings import check_count, check_name, check_one_of, switch
from inferd_engine.errors import InvalidRequestError
from inferd_engine.frames import without_frames
from inferd_engine.proto.values import several
from inferd_engine.wire.anthropic.dialect import Dialect
from inferd_engine.wire.anthropic.request import THINKING_STYLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self, Unpack

    from inferd_engine.backends.anthropic.fields import AnthropicFields, PresetName

TOKEN_VARIABLE = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105 - its name
"""The variable whose key is a bearer token."""
_CACHES = (False, True, "5m", "1h")
_DIALECT = [field.name for field in attrs.fields(Dialect) if field.default is attrs.NOTHING]


def _to_betas(value: Sequence[str]) -> Any:  # what is none is left for the check
    return several(value)


def _check_betas(_: Any, field: Any, value: tuple[str, ...]) -> None:
    for beta in value:
        if not isinstance(beta, str) or not beta.isascii() or not beta.isprintable() or not beta:
            raise InvalidRequestError(
                f"{field.name} holds {beta!r}: take names such as 'context-1m-2025-08-07'"
            )


# Headers that fields say: what is mapped depends on them.
_FIELDS = {"anthropic-version": "version", "anthropic-beta": "betas"}


@attrs.frozen(kw_only=True)
class AnthropicConfig(Upstream):
    """Say where the upstream is and what it is like.

    Args:
        base_url: With or without ``/v1``; ``ANTHROPIC_BASE_URL`` or Anthropic if None.
            ``/v1/messages`` is asked below it.
        api_key: ``ANTHROPIC_API_KEY`` if None, else ``ANTHROPIC_AUTH_TOKEN``, which is sent as
            ``Authorization: Bearer …``; empty: no header.
        api_key_header: Where the key goes; ``"Authorization"`` makes it a bearer token.
        model: The upstream's name of the model.
        version: Of the API, sent as ``anthropic-version``; from 2026-10-21 on sampling fields are
            refused.
        betas: Sent as ``anthropic-beta``.
        max_tokens: Of a request that has no limit of its own: the protocol wants one.
        thinking_style: How models are told to think: ``"adaptive"`` (Claude 4.6 and later),
            ``"effort"`` (models that always think), ``"enabled"`` (models with a switch) or
            ``"budget"`` (Claude before 4.6).
        cache: Mark what the upstream is to keep in its prompt cache; ``"5m"`` or ``"1h"`` says for
            how long.
        vision: Send images.
        documents: Send documents.

    Raises:
        InvalidRequestError: A field cannot be used; the message names it.
    """

    BASE_URL = "https://api.anthropic.com"
    BASE_URL_VARIABLE = "ANTHROPIC_BASE_URL"
    API_KEY_VARIABLES = ("ANTHROPIC_API_KEY", TOKEN_VARIABLE)
    PRESETS = PRESETS

    api_key_header: str = attrs.field(default="x-api-key", validator=check_header_name)
    model: str = attrs.field(default="claude-sonnet-5", validator=check_name)
    version: str = attrs.field(default="2023-06-01", validator=check_name)
    betas: tuple[str, ...] = attrs.field(default=(), converter=_to_betas, validator=_check_betas)
    max_tokens: int = attrs.field(default=1024, validator=check_count(1))
    thinking_style: str = attrs.field(default="adaptive", validator=check_one_of(*THINKING_STYLES))
    cache: bool | Literal["5m", "1h"] = attrs.field(default=False, validator=check_one_of(*_CACHES))
    vision: bool = switch(default=True)
    documents: bool = switch(default=True)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for name in self.headers:
            if field := _FIELDS.get(name.lower()):
                raise InvalidRequestError(f"headers[{name!r}] cannot be set: give {field}")

    @property
    def dialect(self) -> Dialect:
        """What a request is mapped by."""
        return Dialect(**{name: getattr(self, name) for name in _DIALECT})

    @classmethod
    @without_frames
    def preset(cls, name: PresetName, **given: Unpack[AnthropicFields]) -> Self:
        """Fill in what is known of a provider or a server; the fields given win.

        Args:
            name: ``"anthropic"``, ``"ollama"``, ``"openrouter"``, …: see ``presets.PRESETS``.
            given: Fields of this class; ``model`` at the least, in most cases.

        Raises:
            InvalidRequestError: There is no such preset, or it needs a region or a ``base_url``.
        """
        return cls._of_preset(name, given)

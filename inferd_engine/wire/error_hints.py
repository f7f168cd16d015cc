"""The next step after a refusal, where experience knows it, beside the upstream's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from inferd_engine.wire.openai_urls import without_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.secret import Secret


class HintSettings(Protocol):
    """What has to be known of a configuration."""

    @property
    def base_url(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def api_key(self) -> Secret: ...  # noqa: D102
    @property
    def api_key_variable(self) -> str: ...  # noqa: D102
    @property
    def api_key_header(self) -> str: ...  # noqa: D102
    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102


def hint_of(status: int, body: bytes, place: str, settings: HintSettings) -> str:
    """Say what the next step is; empty where there is no experience.

    Args:
        status: The HTTP status.
        body: What the upstream said.
        place: The address that was asked.
        settings: How it was asked.
    """
    said = body.lower()
    if status in (401, 403):
        return _key_hint(settings)
    if status in (404, 405):
        return (
            f"{place} was asked, because base_url is {without_query(settings.base_url)}; "
            f"if that is right, the model {settings.model!r} may be unknown there"
        )
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP
        return "a redirect, which is not followed: set base_url to where it leads"
    if status in (400, 422) and (b"stream_options" in said or b"include_usage" in said):
        return "configure include_usage=False: this upstream does not want to be asked"
    if status == 503 and b"loading" in said:  # noqa: PLR2004 - HTTP
        return "the model is being loaded: ask again in a moment"
    return ""


def _key_hint(settings: HintSettings) -> str:
    key, variable = settings.api_key, settings.api_key_variable
    names = {"authorization", settings.api_key_header.lower()}
    if names & set(map(str.lower, settings.headers)):
        return "the credentials came from headers"
    if not key:
        return f"no key was sent: set api_key or {variable}" if variable else "no key was sent"
    return f"the key came from {key.source or 'api_key'}"

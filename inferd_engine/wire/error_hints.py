"""The next step after a refusal, where experience knows it, beside the upstream's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from inferd_engine.wire.openai_urls import without_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.secret import Secret

_PAGE = re.compile(rb"\s*<")
_MODEL = re.compile(rb"(?<![/\w])(?:model|deployment)(?:_?not_?found|\b)", re.IGNORECASE)
# What is said, in lower case, with which statuses, and what helps.
_SAID = (
    (
        (400, 422),
        re.compile(rb"stream_options|include_usage"),
        "configure include_usage=False: this upstream does not want to be asked",
    ),
    (
        # Chat templates, as vLLM, SGLang, llama.cpp and LM Studio pass on what they raise.
        (400, 422, 500),
        re.compile(
            rb"system (?:message|prompt|role)s?.{0,60}(?:beginning|first|start|only|one|once|"
            rb"multiple|position|order)|"
            rb"(?:multiple|several|second|one|single|more than one) system (?:message|prompt|role)",
            re.DOTALL,
        ),
        (
            "the model's template takes one system message, as the first: join them, "
            "or configure strict_turns=True, which joins those that follow each other"
        ),
    ),
    (
        (400, 422, 500),
        re.compile(rb"roles must alternate"),
        "configure strict_turns=True: the model's template wants the speakers to take turns",
    ),
    ((503,), re.compile(rb"loading"), "the model is being loaded: ask again in a moment"),
)


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
    if status in (401, 403):
        return _key_hint(settings)
    if status == 404 and _names_model(body, settings.model):  # noqa: PLR2004 - HTTP
        return f"the model {settings.model!r} is not known there: models() lists those that are"
    if status in (404, 405):
        return (
            f"{place} was asked, because base_url is {without_query(settings.base_url)}; "
            f"if that is right, the model {settings.model!r} may be unknown there"
        )
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP
        return "a redirect, which is not followed: set base_url to where it leads"
    said = body.lower()
    hints = (hint for known, words, hint in _SAID if status in known and words.search(said))
    return next(hints, "")


def _names_model(body: bytes, model: str) -> bool:
    """Whether an upstream says that it is the model which it cannot find, and not the address."""
    return not _PAGE.match(body) and bool(
        _MODEL.search(body) or re.search(rb"[\"'`\s]%b[\"'`\s,.]" % re.escape(model.encode()), body)
    )


def _key_hint(settings: HintSettings) -> str:
    key, variable = settings.api_key, settings.api_key_variable
    names = {"authorization", settings.api_key_header.lower()}
    if names & set(map(str.lower, settings.headers)):
        return "the credentials came from headers"
    if not key:
        return f"no key was sent: set api_key or {variable}" if variable else "no key was sent"
    return f"the key came from {key.source or 'api_key'}"

"""The next step after a refusal that every upstream over HTTP may give, beside its own words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inferd_engine.wire.http.urls import without_query

if TYPE_CHECKING:
    from inferd_engine.backends.over_http.upstream import Upstream

_PAGE = re.compile(rb"\s*<")
_MODEL = re.compile(rb"(?<![/\w])(?:model|deployment)(?:_?not_?found|\b)", re.IGNORECASE)


def hint_of(status: int, body: bytes, place: str, upstream: Upstream) -> str:
    """Return what the next step is; empty where there is no experience.

    Args:
        status: The HTTP status.
        body: What the upstream said.
        place: The address that was asked.
        upstream: How it was asked.
    """
    if status in (401, 403):
        return _key_hint(upstream)
    model = upstream.model
    is_list = place.endswith("/models")  # which not every upstream has
    if status == 404 and not is_list and _names_model(body, model):  # noqa: PLR2004 - HTTP
        return f"the model {model!r} is not known there: models() lists those that are"
    if status in (404, 405):
        asked = f"{place} was asked, because base_url is {without_query(upstream.base_url)}"
        if is_list:
            return f"{asked}; if that is right, it lists no models"
        return asked + (
            f"; if that is right, the model {model!r} may be unknown there" if model else ""
        )
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP
        return "a redirect, which is not followed: set base_url to where it leads"
    return ""


def _names_model(body: bytes, model: str) -> bool:
    """Whether an upstream says that it is the model which it cannot find, and not the address."""
    if not model or _PAGE.match(body):
        return False
    named = rb"[\"'`\s]%b[\"'`\s,.]" % re.escape(model.encode())
    return bool(_MODEL.search(body) or re.search(named, body))


def _key_hint(upstream: Upstream) -> str:
    key, variable = upstream.api_key, upstream.api_key_variable
    names = {"authorization", upstream.api_key_header.lower()}
    if names & set(map(str.lower, upstream.headers)):
        return "the credentials came from headers"
    if not key:
        return f"no key was sent: set api_key or {variable}" if variable else "no key was sent"
    return f"the key came from {key.source or 'api_key'}"

"""Read a list of models, which comes in pages.

Anthropic API reference, "List Models".
"""

from __future__ import annotations

import contextlib
from typing import Any

from inferd_engine.wire.answer.models import names_of_models
from inferd_engine.wire.text.json_documents import parse_json


def page_of_models(body: bytes, request_id: str | None) -> tuple[list[str], str]:
    """Return the names on a page, and the last one's if there are more pages, else "".

    Raises:
        UpstreamError: It is no list of models.
    """
    names = names_of_models(body, request_id)
    page: Any = None
    with contextlib.suppress(ValueError):
        page = parse_json(body.decode("utf-8", "replace"))
    if not isinstance(page, dict) or page.get("has_more") is not True or not names:
        return names, ""
    last = page.get("last_id")
    return names, last if isinstance(last, str) else names[-1]

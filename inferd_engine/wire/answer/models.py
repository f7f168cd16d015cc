"""Read a list of models: in ``data`` (OpenAI), in ``models`` (Ollama), or a bare list."""

from __future__ import annotations

from inferd_engine.errors import UpstreamError
from inferd_engine.wire.answer.errors import upstream_error
from inferd_engine.wire.text.json_documents import parse_json


def names_of_models(body: bytes, request_id: str | None, *, unknown_path: str = "") -> list[str]:
    """Return the names in a list of models, in whatever shape it comes.

    Args:
        body: The list.
        request_id: The upstream's id of the request, for errors.
        unknown_path: As of ``upstream_error``.

    Raises:
        UpstreamError: It is none.
    """
    try:
        listed = parse_json(body.decode("utf-8", "replace"))
    except ValueError:
        listed = None
    if isinstance(listed, dict) and listed.get("error"):
        raise upstream_error(listed, request_id=request_id, unknown_path=unknown_path)
    try:
        items = listed if isinstance(listed, list) else listed.get("data", listed.get("models"))
        return [str(item.get("id") or item["name"]) for item in items]
    except (AttributeError, KeyError, TypeError):
        raise UpstreamError(
            "the upstream's list of models has another shape than any that is known",
            code="malformed",
            retryable=False,
        ) from None

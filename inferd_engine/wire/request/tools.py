"""Tools and calls as every protocol wants them: schemas that list properties, input as JSON."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from inferd_engine.errors import InvalidRequestError
from inferd_engine.wire.text.json_documents import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping


def parameters_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool's schema; some upstreams refuse an object that does not list its properties."""
    schema = dict(schema) or {"type": "object"}
    if schema.get("type") == "object" and schema.get("properties") is None:
        schema["properties"] = {}
    return schema


def input_of(value: Any, place: str) -> tuple[Any, str]:
    """Return a call's input, and its JSON: an object, where it is one at all.

    Raises:
        InvalidRequestError: JSON cannot hold it.
    """
    if isinstance(value, str):
        with contextlib.suppress(ValueError):  # a tool may take a plain string
            decoded = parse_json(value or "{}")
            value = decoded if isinstance(decoded, dict) else value
    value = {} if value is None else value
    try:
        return value, json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"{place}.input is something that JSON cannot hold: {error}"
        ) from None

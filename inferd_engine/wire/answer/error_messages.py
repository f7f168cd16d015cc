"""Find what an error body says, in whatever shape it says it.

Goal: one function finds the message in every error body that compatible servers, the frameworks
under them and the gateways before them are known to send.  The rule: look into the fields that hold
messages, best first and in any spelling, until there is text.  Beside that:

* ``error`` may be a label (``"Bad Request"``, ``"model_not_found"``) with the sentence beside it:
  NestJS, Spring, OAuth;
* a list is told item by item, each with its place: FastAPI's ``loc``, ASP.NET's fields;
* the words of the provider behind a gateway are told too (OpenRouter's ``metadata.raw``).

A code is found the same way.  RFC 9457 (problem details); GraphQL specification, 7.1.2 "Errors".
"""

from __future__ import annotations

import contextlib
import http
import json
from typing import TYPE_CHECKING, Any

from inferd_engine.wire.text.json_shapes import object_in, spelled_alike

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Where messages are kept, best first, as ``spelled_alike`` spells them.
_FIELDS = (
    "error", "title", "message", "detail", "msg", "errormessage", "errormsg", "errmsg", "statusmsg",
    "errordescription", "fault", "faultstring", "reason", "errors", "description", "exception",
    "baseresp",
)  # fmt: skip
_CODES = (
    "code",
    "statuscode",
    "httpstatuscode",
    "errorcode",
    "errcode",
    "type",
    "errortype",
    "status",
)
_INNER = ("error", "baseresp", "extensions", "errors", "detail", "fault")  # where a code is kept
_NO_CODES = ("none", "error", "about:blank", "fail", "failed")
_NO_MESSAGES = ("no message available",)  # Spring's
_LABELS = frozenset(status.phrase.lower() for status in http.HTTPStatus)
_MOST = 5  # items of a list that are told
_DEPTH = 8  # an error nested deeper than this has no message for people


def find_message(value: Any, depth: int = _DEPTH) -> str:
    """Find the message in a decoded error body; empty if there is none."""
    if isinstance(value, str):
        return _words_of(value.strip(), depth)
    if depth == 0:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (find_message(item, depth - 1) for item in value[:_MOST])))
    if not isinstance(value, dict):
        return ""
    found = _sentence(value, depth)
    raw = _provider_words(value)
    return _followed(found, raw) if found else raw


def _words_of(text: str, depth: int) -> str:
    """Return text, or what it says if it is itself an error body: gateways wrap what they get."""
    if text.startswith("{") and depth:
        with contextlib.suppress(ValueError, RecursionError):
            return find_message(json.loads(text, strict=False), depth - 1) or text
    return "" if text.lower() in _NO_MESSAGES else text


def _sentence(value: Mapping[str, Any], depth: int) -> str:
    fields = spelled_alike(value)
    label = ""
    for name in _FIELDS:
        item = fields.get(name)
        found = _by_field(item, depth) if name == "errors" else find_message(item, depth - 1)
        if not found:
            continue
        if name in ("error", "title") and isinstance(item, str) and not label:
            label = found  # the sentence may be beside it
            continue
        if name in ("message", "detail", "msg"):
            found = _followed(found, _by_field(fields.get("errors"), depth))
        return _placed(fields, _with_label(label, found))
    return label


def _followed(sentence: str, more: str) -> str:
    return f"{sentence}: {more}" if more and more not in sentence else sentence


def _with_label(label: str, sentence: str) -> str:
    is_empty = not label or label in sentence or " " not in label or label.lower() in _LABELS
    if sentence in label:
        return label
    return sentence if is_empty else f"{label}: {sentence}"


def _placed(fields: Mapping[str, Any], sentence: str) -> str:
    """Put the place before a sentence that has one (FastAPI)."""
    place = fields.get("loc")
    where = ".".join(map(str, place)) if isinstance(place, (list, tuple)) else ""
    return f"{where}: {sentence}" if where else sentence


def _by_field(errors: Any, depth: int) -> str:
    """Tell errors; an object whose names are none of ours holds them by the field (ASP.NET)."""
    found = find_message(errors, depth - 1)
    if found or not isinstance(errors, dict):
        return found
    told = ((name, find_message(item, depth - 1)) for name, item in list(errors.items())[:_MOST])
    return "; ".join(f"{name}: {said}" for name, said in told if said)


def _provider_words(value: Mapping[str, Any]) -> str:
    """Return what OpenRouter passes on of the provider behind it, or Groq of the failed answer."""
    metadata = value.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else value.get("failed_generation")
    if isinstance(raw, str):
        return raw.strip()
    with contextlib.suppress(RecursionError):
        return find_message(raw, 2) or json.dumps(raw) if raw else ""
    return ""


def find_codes(value: Any, depth: int = _DEPTH) -> list[str]:
    """Return all words and numbers that name an error, the innermost first."""
    if not isinstance(value, (dict, list)) or depth == 0:
        return []
    fields = spelled_alike(object_in(value))
    codes = [code for name in _INNER for code in find_codes(fields.get(name), depth - 1)]
    return codes + list(_own_codes(fields))


def _own_codes(fields: Mapping[str, Any]) -> Iterator[str]:
    for name in _CODES:
        found = fields.get(name)
        if isinstance(found, (str, int)) and not isinstance(found, bool) and found:
            word = str(found)
            if word.lower() not in _NO_CODES:
                yield word

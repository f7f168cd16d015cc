"""Know an answer in another protocol than was asked for, and say which backend would read it.

A ``base_url`` that leads to another kind of server is a common mistake, and such a server may well
answer 200.  What it says then is no cut answer, and no answer without text: it is an error that
names what was spoken and the way out, the same for every protocol.

An answer is known by its beginning: before a token has come, an object that is nothing of the
protocol asked for is looked at once more.  What another protocol says is wrong is left to whoever
finds errors: it is an error in any of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from inferd_engine.errors import UpstreamError
from inferd_engine.wire.text.json_documents import parse_payload
from inferd_engine.wire.text.json_shapes import object_in

if TYPE_CHECKING:
    from collections.abc import Callable


class Spoken(NamedTuple):
    """A protocol: how it is called, which backend asks it, what only its own payloads hold."""

    name: str
    backend: str
    mark: re.Pattern[str] | None = None


CHAT = Spoken("OpenAI's protocol, Chat Completions", "OpenAiCompat", re.compile(r'"choices"'))
MESSAGES = Spoken(
    "Anthropic's protocol, Messages",
    "Anthropic",
    re.compile(r'"type"\s*:\s*"(?:message|content_block|ping)'),
)
CONVERSE = Spoken(
    "Bedrock's protocol, Converse", "Bedrock", re.compile(r'"(?:stopReason|contentBlockIndex)"')
)
RESPONSES = Spoken("OpenAI's Responses", "")
EVENTS = Spoken(
    "server-sent events, as of OpenAI's or Anthropic's protocol", "OpenAiCompat or Anthropic"
)

ERROR_OF_MESSAGES = re.compile(rb'"type"\s*:\s*"error"')
"""What the refusals of servers of Messages hold, and no others."""


def _is_messages(chunk: dict[str, Any], kind: str) -> bool:
    is_whole = kind == "message" and chunk.get("role") == "assistant"
    return is_whole or (kind == "message_start" and isinstance(chunk.get("message"), dict))


def _is_chat(chunk: dict[str, Any], _: str) -> bool:
    return "choices" in chunk or str(chunk.get("object", "")).startswith("chat.completion")


def _is_responses(chunk: dict[str, Any], kind: str) -> bool:
    return kind.startswith("response.") or chunk.get("object") == "response"


def _is_converse(chunk: dict[str, Any], _: str) -> bool:
    return "stopReason" in chunk and bool(object_in(chunk.get("output")).get("message"))


_KNOWN: tuple[tuple[Spoken, Callable[[dict[str, Any], str], bool]], ...] = (
    (MESSAGES, _is_messages),
    (CHAT, _is_chat),
    (RESPONSES, _is_responses),
    (CONVERSE, _is_converse),
)


def spoken_instead(own: Spoken, payload: str) -> Spoken | None:
    """Return the other protocol in which a payload begins an answer, or is all of it.

    Args:
        own: The one that was asked for.
        payload: A payload that came before any token.
    """
    if own.mark is not None and own.mark.search(payload):
        return None
    try:
        chunk = object_in(parse_payload(payload))
    except (ValueError, RecursionError):
        return None
    return None if chunk.get("error") else spoken_in(own, chunk, chunk.get("type"))


def spoken_in(own: Spoken, chunk: dict[str, Any], kind: object) -> Spoken | None:
    """Return the other protocol in which an object begins an answer, or is all of it.

    Args:
        own: The one that was asked for.
        chunk: The object.
        kind: Its ``type``, or what stands for it.
    """
    kind = kind if isinstance(kind, str) else ""
    found = next((spoken for spoken, is_one in _KNOWN if is_one(chunk, kind)), own)
    return None if found is own else found


def in_words(other: Spoken, own: Spoken) -> str:
    """Say that an answer is in another protocol, and what to do about it."""
    way = f"ask it with {other.backend}, or " if other.backend else ""
    return f"the upstream answered in {other.name}, not in {own.name}: {way}check base_url"


def other_protocol(other: Spoken, own: Spoken, *, request_id: str | None = None) -> UpstreamError:
    """Make the error for an answer in another protocol.

    Args:
        other: The one that was spoken.
        own: The one that was asked for.
        request_id: The upstream's id of the request.
    """
    told = in_words(other, own)
    return UpstreamError(told, code="other_protocol", retryable=False, request_id=request_id)

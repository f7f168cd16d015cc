"""What an OpenAI-compatible server answers: chunks, and the replies that are wanted most.

Whatever these functions do not make is written in bytes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from inferd_engine.testing.replies import Reply, event, json_reply
from inferd_engine.testing.steps import Pause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inferd_engine.testing.received import Received
    from inferd_engine.testing.steps import Step

DONE = b"data: [DONE]\n\n"


# --- payloads ------------------------------------------------------------------------------------


def chunk(
    content: str | None = None,
    *,
    finish_reason: str | None = None,
    usage: tuple[int, int] | None = None,
    **delta: Any,
) -> bytes:
    """Return one ``chat.completion.chunk`` as a server-sent event.

    Args:
        content: The next piece of text.
        finish_reason: Why the answer ends.
        usage: Tokens of the prompt and of the answer.
        delta: Further fields of the delta, e.g. ``reasoning_content="…"``, ``tool_calls=[…]``.
    """
    if content is not None:
        delta["content"] = content
    body: dict[str, Any] = {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "test-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    if usage is not None:
        body["usage"] = _usage(usage)
        if not delta and finish_reason is None:
            body["choices"] = []
    return event(body)


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    return {
        "prompt_tokens": usage[0],
        "completion_tokens": usage[1],
        "total_tokens": sum(usage),
    }


def pieces_of(text: str) -> list[str]:
    """Cut a text as a model would: words with the blank before them."""
    return re.findall(r"\s*\S+|\s+$", text)


# --- replies -------------------------------------------------------------------------------------


def text_reply(
    text: str | Iterable[str],
    *,
    delay: float = 0.0,
    finish_reason: str = "stop",
    usage: tuple[int, int] | None = None,
    **reply: Any,  # fields of Reply
) -> Reply:
    """Stream a text.

    Args:
        text: The text, which is cut into words, or its pieces.
        delay: Seconds before each piece.
        finish_reason: Why the answer ends.
        usage: Tokens of the prompt and of the answer.
        reply: Further fields of ``Reply``.
    """
    pieces = pieces_of(text) if isinstance(text, str) else list(text)
    return stream_reply((chunk(p) for p in pieces), delay, finish_reason, usage, **reply)


def stream_reply(
    chunks: Iterable[bytes],
    delay: float = 0.0,
    finish_reason: str = "stop",
    usage: tuple[int, int] | None = None,
    **reply: Any,  # fields of Reply
) -> Reply:
    """Stream what ``chunk()`` made, then the finish reason, usage and ``[DONE]``."""
    steps: list[Step] = []
    for piece in chunks:
        steps += [Pause(delay), piece] if delay else [piece]
    steps.append(chunk(finish_reason=finish_reason))
    if usage is not None:
        steps.append(chunk(usage=usage))
    return Reply([*steps, DONE], **reply)


def tool_call_reply(
    name: str,
    arguments: Any,
    *,
    tool_call_id: str = "call_1",
    **reply: Any,  # fields of Reply
) -> Reply:
    """Stream one tool call, its arguments in small pieces."""
    return stream_reply(
        tool_call_chunks(name, arguments, tool_call_id), finish_reason="tool_calls", **reply
    )


def tool_call_chunks(name: str, arguments: Any, tool_call_id: str) -> list[bytes]:
    """Return the chunks of one tool call, as OpenAI cuts it."""
    text = json.dumps(arguments, ensure_ascii=False)
    function: dict[str, Any] = {"name": name, "arguments": ""}
    calls: list[dict[str, Any]] = [
        {"index": 0, "id": tool_call_id, "type": "function", "function": function}
    ]
    size = 8  # characters: a token or two
    calls += [
        {"index": 0, "function": {"arguments": text[at : at + size]}}
        for at in range(0, len(text), size)
    ]
    return [chunk(tool_calls=[call]) for call in calls]


def error_reply(status: int, message: str, **reply: Any) -> Reply:  # of Reply
    """Refuse the request as OpenAI does."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return json_reply({"error": error}, status, **reply)


def _text_of(content: Any) -> str:
    """Return the text of a message's content, which may be a list of parts."""
    if isinstance(content, list):
        return "".join(_text_of(part.get("text")) for part in content)
    return content if isinstance(content, str) else ""


def echo(received: Received) -> Reply:
    """Say what the user said, as far as ``max_tokens`` allows; streamed, or in one document."""
    asked = received.json
    said = ""
    for message in asked["messages"]:
        if message.get("role") == "user":
            said = _text_of(message.get("content"))
    pieces = pieces_of(f"You said: {said}")
    limit = asked.get("max_tokens") or asked.get("max_completion_tokens") or len(pieces)
    reason = "length" if limit < len(pieces) else "stop"
    usage = (len(pieces_of(said)), min(limit, len(pieces)))
    if asked.get("stream"):
        wanted = (asked.get("stream_options") or {}).get("include_usage")
        return text_reply(pieces[:limit], finish_reason=reason, usage=usage if wanted else None)
    message = {"role": "assistant", "content": "".join(pieces[:limit])}
    return json_reply(
        {
            "id": "chatcmpl-test",
            "object": "chat.completion",
            "created": 0,
            "model": asked.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": _usage(usage),
        }
    )

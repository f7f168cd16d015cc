"""What the test upstream answers: a status, headers, and steps that are taken one after the other.

A step is either bytes, which are sent as they are (one HTTP chunk each), or something that happens
in between: a pause, a gate that the test opens, a stall, a cut.  The functions below make the
replies that are wanted most; whatever they do not make is written in bytes.
"""

from __future__ import annotations

import dataclasses
import json
import re
import socket
from typing import TYPE_CHECKING, Any, Literal, Union

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inferd_engine.testing.upstream import Received

DONE = b"data: [DONE]\n\n"


# --- steps ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Pause:
    """Wait for so many seconds, or until the client goes."""

    seconds: float


class Gate:
    """Wait until the test calls ``open()``, or until the client goes."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()

    def open(self) -> None:
        """Let the reply go on; from any thread."""
        self._writer.close()

    def __del__(self) -> None:
        self.reader.close()
        self._writer.close()


@dataclasses.dataclass(frozen=True)
class Stall:
    """Say nothing until the client goes."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """Close the connection here, in the middle of whatever it is."""


@dataclasses.dataclass(frozen=True)
class Reset:
    """Reset the connection here (RST): what the client has not read yet may be lost."""


@dataclasses.dataclass(frozen=True)
class Trickle:
    """Send bytes one at a time, so many seconds apart; over and over if ``forever``."""

    data: bytes
    seconds: float
    forever: bool = False


Step = Union[bytes, Pause, Gate, Stall, Cut, Reset, Trickle]
Framing = Literal["chunked", "close", "length", "raw"]


@dataclasses.dataclass(frozen=True)
class Reply:
    """One answer.

    Args:
        steps: The body, and what happens in between.
        status: The HTTP status.
        headers: Headers of the answer; Content-Type is an event stream's if none is given.
        framing: ``"chunked"``, ``"close"`` (no length: the end of the connection is the end),
            ``"length"`` (Content-Length), or ``"raw"`` (the steps are the whole answer, with its
            status line and headers).
        before: Steps to take before the status line.
    """

    steps: Sequence[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    framing: Framing = "chunked"
    before: Sequence[Step] = ()


# --- payloads ------------------------------------------------------------------------------------


def event(data: Any, event: str | None = None) -> bytes:  # noqa: ANN401 - JSON, or text as it is
    """Return one server-sent event; what is not a str is sent as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    name = f"event: {event}\n" if event else ""
    return (name + "".join(f"data: {line}\n" for line in text.split("\n")) + "\n").encode()


def chunk(
    content: str | None = None,
    *,
    finish_reason: str | None = None,
    usage: tuple[int, int] | None = None,
    **delta: Any,  # noqa: ANN401 - JSON
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
    **reply: Any,  # noqa: ANN401 - fields of Reply
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
    **reply: Any,  # noqa: ANN401 - fields of Reply
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
    arguments: Any,  # noqa: ANN401 - JSON
    *,
    tool_call_id: str = "call_1",
    **reply: Any,  # noqa: ANN401 - fields of Reply
) -> Reply:
    """Stream one tool call, its arguments in small pieces."""
    return stream_reply(
        tool_call_chunks(name, arguments, tool_call_id), finish_reason="tool_calls", **reply
    )


def tool_call_chunks(name: str, arguments: Any, tool_call_id: str) -> list[bytes]:  # noqa: ANN401
    """Give the chunks of one tool call, as OpenAI cuts it."""
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


def json_reply(value: Any, status: int = 200, **reply: Any) -> Reply:  # noqa: ANN401 - JSON
    """Answer with one JSON document."""
    headers = {"Content-Type": "application/json", **reply.pop("headers", {})}
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply([body], status, headers, **{"framing": "length", **reply})


def error_reply(status: int, message: str, **reply: Any) -> Reply:  # noqa: ANN401 - of Reply
    """Refuse the request as OpenAI does."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return json_reply({"error": error}, status, **reply)


def raw_reply(*steps: Step) -> Reply:
    """Answer with these very bytes, status line and headers included; then close."""
    return Reply(steps, framing="raw")


def _text_of(content: Any) -> str:  # noqa: ANN401 - JSON
    """Give the text of a message's content, which may be a list of parts."""
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

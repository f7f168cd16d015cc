"""OpenAI's ``chat.completion.chunk`` and ``[DONE]`` (API reference, "Chat Completions, streaming").

Thoughts are ``reasoning_content``, as DeepSeek began and most servers do.  ``[DONE]`` comes after a
whole answer alone; one that failed or was closed ends with an error object, which openai-python and
openai-node raise.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import inferd_engine as ie
from inferd_engine.web.errors import openai_error, verdict_on
from inferd_engine.web.protocols.frames import sse_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.web.protocols.protocol import Ending

DONE = b"data: [DONE]\n\n"
_FINISH_REASONS = {
    ie.StopReason.MAX_TOKENS: "length",
    ie.StopReason.TOOL_USE: "tool_calls",
    ie.StopReason.CONTENT_FILTER: "content_filter",
}


def finish_reason_of(done: ie.Done) -> str:
    """Return why an answer ended, in OpenAI's words."""
    return _FINISH_REASONS.get(done.stop_reason, "stop")


def usage_of(usage: ie.Usage | None) -> dict[str, Any] | None:
    """Return what an answer cost in OpenAI's shape; None if it is not known."""
    if usage is None:
        return None
    told, made = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "prompt_tokens": told,
        "completion_tokens": made,
        "total_tokens": told + made,
        **{name: usage.details[name] for name in _DETAILS if usage.details.get(name)},
    }


_DETAILS = ("prompt_tokens_details", "completion_tokens_details")


def tool_call_of(call: ie.ToolUse) -> dict[str, Any]:
    """Return a tool call in OpenAI's shape, with what its upstream wants back unchanged."""
    arguments = json.dumps(call.input, ensure_ascii=False)
    return {
        **call.extra,
        "id": call.tool_call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


class OpenAI:
    """Speak OpenAI's chunks.

    Args:
        id: Of the answer, in every chunk.
        model: Its name, in every chunk.
        created: Seconds since 1970.
        include_usage: True: usage, if it is known, comes in a chunk of its own, without choices,
            as OpenAI sends it when asked; False: never; None: with the chunk that says why the
            answer ended, where pages that always read ``choices[0]`` do not stumble.
    """

    headers: Sequence[tuple[str, str]] = ()

    def __init__(
        self,
        id: str,  # noqa: A002 - OpenAI's word
        model: str = "",
        created: int = 0,
        *,
        include_usage: bool | None = None,
    ) -> None:
        self._common = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._include_usage = include_usage
        self._calls = 0

    def start(self) -> bytes:
        """Return the chunk that says who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def event(self, event: ie.TokenEventV2 | ie.Token) -> bytes:
        """Return a chunk with one delta."""
        if isinstance(event, ie.TextDelta):
            return self._chunk({"content": event.delta})
        if isinstance(event, ie.Token):
            return self._chunk({"content": event.text})
        if isinstance(event, ie.ThinkingDelta):
            return self._chunk({"reasoning_content": event.delta})
        if isinstance(event, ie.ToolUse):
            self._calls += 1
            call = {**tool_call_of(event), "index": self._calls - 1}
            return self._chunk({"tool_calls": [call]})
        return b""

    def end(self, ending: Ending) -> bytes:
        """Return the reason, what was asked for of usage, and ``[DONE]``; or the error."""
        if ending is None:
            stopped = openai_error("The answer was stopped.", "cancelled", "cancelled")
            return sse_frame({"error": stopped})
        if isinstance(ending, ie.GenerateError):
            return sse_frame({"error": verdict_on(ending).openai_error()})
        usage = usage_of(ending.usage)
        with_it = {"usage": usage} if self._include_usage is None and usage else {}
        last = self._chunk({}, finish_reason_of(ending), **with_it)
        if self._include_usage and usage:
            last += sse_frame({**self._common, "choices": [], "usage": usage})
        return last + DONE

    def _chunk(
        self,
        delta: dict[str, Any],
        finish_reason: str | None = None,
        **more: Any,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        if self._include_usage:
            more = {"usage": None, **more}
        return sse_frame({**self._common, "choices": [choice], **more})

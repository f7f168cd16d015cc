"""What a request means to a model: messages and words for its template, a grammar for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.wire.openai.dialect import Dialect
from inferd_engine.wire.openai.history import history_from
from inferd_engine.wire.openai.request import THINKING_STYLES

if TYPE_CHECKING:
    from inferd_engine.proto.v2 import ResolvedV2

_DIALECT = Dialect(
    model="",
    max_tokens_field="max_tokens",
    include_usage=False,
    thinking_style="chat_template_kwargs",
    replay_thinking_as="reasoning_content",
    short_tool_call_ids=False,
    strict_turns=False,
    tool_name_pattern="",
    vision=False,
    audio=False,
    extra_body={},
)


def messages_of(request: ResolvedV2) -> list[dict[str, Any]]:
    """Return the messages of a request, in OpenAI's shape.

    Raises:
        InvalidRequestError: Something cannot be said to a model; the message names the place.
    """
    return history_from(request.messages, request.attachments, _DIALECT)


def words_of(request: ResolvedV2) -> dict[str, Any]:
    """Return what a template is told beside the messages."""
    if request.thinking is None:
        return {}
    words: dict[str, Any] = THINKING_STYLES[_DIALECT.thinking_style](request.thinking)
    return {**words["chat_template_kwargs"]}


def grammar_of(request: ResolvedV2, *, is_inside: bool) -> tuple[str, str]:
    """Return the grammar of an answer, and from where on it holds; empty if it is free."""
    return "", ""

"""What upstreams of OpenAI's protocol differ in: all that a request is mapped by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen(kw_only=True)
class Dialect:
    """How one upstream wants to be asked; ``OpenAiCompatConfig`` explains and checks the fields."""

    model: str
    max_tokens_field: str
    include_usage: bool
    thinking_style: str
    replay_thinking_as: str
    short_tool_call_ids: bool
    strict_turns: bool
    tool_name_pattern: str
    vision: bool
    audio: bool
    documents: bool
    extra_body: Mapping[str, Any]

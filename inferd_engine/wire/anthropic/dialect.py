"""What upstreams of Anthropic's protocol differ in: all that a request is mapped by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen(kw_only=True)
class Dialect:
    """How one upstream wants to be asked; ``AnthropicConfig`` explains and checks the fields."""

    model: str
    max_tokens: int
    version: str
    thinking_style: str
    cache: bool | Literal["5m", "1h"]
    vision: bool
    documents: bool
    extra_body: Mapping[str, Any]

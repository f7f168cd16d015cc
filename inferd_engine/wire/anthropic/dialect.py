"""What upstreams of Anthropic's protocol differ in: all that a request is mapped by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping


STRICT_VERSION = "2026-10-21"
"""The first version of the API that takes no sampling fields, and no documents of the assistant.
Versions are dates; Amazon and Google write their name before it."""


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
    spoken: str = "Anthropic's Messages"
    """The protocol, for errors: others are mapped by way of this one."""

    @property
    def is_strict(self) -> bool:
        """Whether the API is asked in its version of 2026-10-21, or a later one."""
        return self.version[-len(STRICT_VERSION) :] >= STRICT_VERSION

"""The fields of a configuration as keyword arguments, for editors and type checkers.

A test holds them to the fields of ``AnthropicConfig``, where they are explained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from inferd_engine.backends.over_http.upstream import UpstreamFields

if TYPE_CHECKING:
    from collections.abc import Sequence

PresetName = Literal[
    "anthropic",
    "deepseek",
    "moonshot",
    "zai",
    "minimax",
    "openrouter",
    "bedrock",
    "lmstudio",
    "ollama",
    "llamacpp",
    "vllm",
    "sglang",
    "litellm",
]


class AnthropicFields(UpstreamFields, total=False):
    """What ``Anthropic`` is told beside what every upstream is."""

    version: str
    betas: Sequence[str]
    max_tokens: int
    thinking_style: Literal["adaptive", "effort", "enabled", "budget"]
    cache: bool | Literal["5m", "1h"]
    vision: bool
    documents: bool

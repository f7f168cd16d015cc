"""The fields of a configuration as keyword arguments, for editors and type checkers.

A test holds them to the fields of ``OpenAiCompatConfig``, where they are explained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from inferd_engine.backends.over_http.upstream import UpstreamFields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.proto.embed import EmbedTask

PresetName = Literal[
    "ollama",
    "lmstudio",
    "llamacpp",
    "localai",
    "vllm",
    "sglang",
    "litellm",
    "openai",
    "azure",
    "openrouter",
    "groq",
    "mistral",
    "deepseek",
    "gemini",
    "xai",
    "cerebras",
    "together",
    "fireworks",
    "perplexity",
    "moonshot",
    "zai",
    "dashscope",
    "huggingface",
    "bedrock",
    "nvidia",
]


class OpenAiCompatFields(UpstreamFields, total=False):
    """What ``OpenAiCompat`` is told beside what every upstream is."""

    max_tokens_field: str
    include_usage: bool
    thinking_style: Literal[
        "reasoning_effort", "reasoning", "thinking", "enable_thinking", "chat_template_kwargs"
    ]
    replay_thinking_as: str
    split_think_tags: bool | Literal["inside"]
    short_tool_call_ids: bool
    strict_turns: bool
    tool_name_pattern: str
    vision: bool
    audio: bool
    documents: bool
    encoding_format: Literal["float", "base64"] | None
    embed_batch_size: int
    task_prefixes: Mapping[EmbedTask, str] | None

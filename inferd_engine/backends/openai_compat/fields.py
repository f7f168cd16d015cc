"""The fields of a configuration as keyword arguments, for editors and type checkers.

A test holds them to the fields of ``OpenAiCompatConfig``, where they are explained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

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
    "nvidia",
]


class UpstreamFields(TypedDict, total=False):
    """What every backend over HTTP is told of its upstream."""

    base_url: str | None
    api_key: str | Callable[[], str] | None
    api_key_variable: str
    api_key_header: str
    model: str
    timeout: float | None
    connect_timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None
    buffer: int
    max_event_bytes: int
    headers: Mapping[str, str] | None
    extra_body: Mapping[str, Any] | None
    verify: bool | str | os.PathLike[str] | None
    cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None
    proxies: Mapping[str, str] | None
    max_connections: int
    keepalive_expiry: float | None
    tcp_keepalive: float | None


class OpenAiCompatFields(UpstreamFields, total=False):
    """What ``OpenAiCompat`` is told beside that."""

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

"""What is known of those who speak Anthropic's Messages: the fields of ``AnthropicConfig``.

A preset is data.  To add one, add a line; to correct one in your program, give the field.  Servers
on this machine get no key of the environment; a provider's key comes from its own variable.

Sources: the providers' API references ("Anthropic-compatible API", "Claude Code"), and for servers
their own code (``tests/vectors/anthropic.md`` has the rows).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.wire.http.local_servers import (
    LITELLM,
    LLAMA_CPP,
    LM_STUDIO,
    OLLAMA,
    SGLANG,
    VLLM,
)

if TYPE_CHECKING:
    from inferd_engine.wire.http.local_servers import LocalServer

_BEARER: dict[str, Any] = {"api_key_header": "Authorization"}
_TEXT_ALONE: dict[str, Any] = {"vision": False, "documents": False}
_SWITCH: dict[str, Any] = {"thinking_style": "enabled"}


def _local(server: LocalServer, **fields: Any) -> dict[str, Any]:
    return {"base_url": server.url, "api_key_variable": "", "documents": False, **fields}


def _provider(variable: str, base_url: str, **fields: Any) -> dict[str, Any]:
    return {"base_url": base_url, "api_key_variable": variable, **fields}


PRESETS: dict[str, dict[str, Any]] = {
    # providers
    # Its key is that of a configuration without a preset: from either of two variables.
    "anthropic": {"base_url": "https://api.anthropic.com", "version": "2026-10-21"},
    # A name that begins with claude is mapped to a model of DeepSeek's: a wrong name is no error.
    "deepseek": _provider(
        "DEEPSEEK_API_KEY", "https://api.deepseek.com/anthropic", **_SWITCH, **_TEXT_ALONE
    ),
    # kimi-k3 always thinks; its elders have a switch: thinking_style="enabled".
    "moonshot": _provider(
        "MOONSHOT_API_KEY", "https://api.moonshot.ai/anthropic", thinking_style="effort"
    ),
    "zai": _provider("ZAI_API_KEY", "https://api.z.ai/api/anthropic", **_BEARER, **_SWITCH),
    "minimax": _provider(
        "MINIMAX_API_KEY", "https://api.minimax.io/anthropic", **_SWITCH, **_TEXT_ALONE
    ),
    "openrouter": _provider("OPENROUTER_API_KEY", "https://openrouter.ai/api", **_BEARER),
    "bedrock": _provider(
        "AWS_BEARER_TOKEN_BEDROCK", "https://bedrock-mantle.{region}.api.aws/anthropic"
    ),
    # on this machine
    "lmstudio": _local(LM_STUDIO, api_key="lm-studio"),  # any, but not none
    "ollama": _local(OLLAMA, **_SWITCH),
    "llamacpp": _local(LLAMA_CPP, **_SWITCH),
    "vllm": _local(VLLM),
    "sglang": _local(SGLANG),
    "litellm": _local(LITELLM, documents=True),
}

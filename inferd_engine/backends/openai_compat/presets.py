"""What is known of providers and servers: the fields of ``OpenAiCompatConfig`` that differ.

A preset is data.  To add one, add a line; to correct one in your program, give the field.  Servers
on this machine get no key of the environment; a provider's key comes from its own variable.

Sources: the providers' API references, and the rows of ``tests/vectors/quirks.md`` named beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.wire.http.local_servers import (
    LITELLM,
    LLAMA_CPP,
    LM_STUDIO,
    LOCAL_AI,
    OLLAMA,
    SGLANG,
    VLLM,
)

if TYPE_CHECKING:
    from inferd_engine.wire.http.local_servers import LocalServer

_LIMIT: dict[str, Any] = {"max_tokens_field": "max_completion_tokens"}  # Q01
_TEMPLATE: dict[str, Any] = {"thinking_style": "chat_template_kwargs"}
_BASE64: dict[str, Any] = {"encoding_format": "base64"}  # of vectors: they are known to take it
_NAMES: dict[str, Any] = {"tool_name_pattern": "[A-Za-z0-9_-]{1,64}"}


def _local(server: LocalServer, **fields: Any) -> dict[str, Any]:
    return {"base_url": f"{server.url}/v1", "api_key_variable": "", **fields}


def _provider(variable: str, base_url: str, **fields: Any) -> dict[str, Any]:
    return {"base_url": base_url, "api_key_variable": variable, **fields}


PRESETS: dict[str, dict[str, Any]] = {
    # on this machine
    "ollama": _local(OLLAMA, **_BASE64),
    "lmstudio": _local(LM_STUDIO),
    "llamacpp": _local(LLAMA_CPP, **_TEMPLATE, **_BASE64),
    "localai": _local(LOCAL_AI),
    "vllm": _local(VLLM, **_TEMPLATE, **_BASE64),
    "sglang": _local(SGLANG, **_TEMPLATE),
    "litellm": _local(LITELLM),
    # providers
    "openai": _provider(
        "OPENAI_API_KEY", "https://api.openai.com/v1", **_LIMIT, **_NAMES, **_BASE64
    ),
    "azure": {  # Q13: https://NAME.openai.azure.com/openai/v1, or …/openai/deployments/MODEL?…
        "api_key_variable": "AZURE_OPENAI_API_KEY",
        "api_key_header": "api-key",
        **_LIMIT,
        **_NAMES,
        **_BASE64,
    },
    "openrouter": _provider(
        "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1", thinking_style="reasoning"
    ),
    "groq": _provider("GROQ_API_KEY", "https://api.groq.com/openai/v1", **_LIMIT),
    "mistral": _provider(
        "MISTRAL_API_KEY",
        "https://api.mistral.ai/v1",
        include_usage=False,  # Q02; it comes unasked
        short_tool_call_ids=True,  # Q07
        strict_turns=True,  # Q21
    ),
    "deepseek": _provider(
        "DEEPSEEK_API_KEY",
        "https://api.deepseek.com/v1",
        thinking_style="thinking",
        replay_thinking_as="reasoning_content",  # Q09: a tool loop without it is refused
    ),
    "gemini": _provider(
        "GEMINI_API_KEY",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        tool_name_pattern="[A-Za-z_][A-Za-z0-9_.:-]{0,63}",  # Q18
    ),
    "xai": _provider("XAI_API_KEY", "https://api.x.ai/v1"),
    "cerebras": _provider(
        "CEREBRAS_API_KEY",
        "https://api.cerebras.ai/v1",
        replay_thinking_as="reasoning",  # Q09
        **_LIMIT,
    ),
    "together": _provider("TOGETHER_API_KEY", "https://api.together.xyz/v1"),
    "fireworks": _provider("FIREWORKS_API_KEY", "https://api.fireworks.ai/inference/v1"),
    "perplexity": _provider("PERPLEXITY_API_KEY", "https://api.perplexity.ai/chat/completions"),
    "moonshot": _provider(
        "MOONSHOT_API_KEY",
        "https://api.moonshot.ai/v1",
        replay_thinking_as="reasoning_content",  # kimi-k2-thinking, in tool loops
    ),
    "zai": _provider("ZAI_API_KEY", "https://api.z.ai/api/paas/v4", thinking_style="thinking"),
    "dashscope": _provider(
        "DASHSCOPE_API_KEY",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        thinking_style="enable_thinking",
        embed_batch_size=10,  # of text-embedding-v3 and v4
    ),
    "huggingface": _provider("HF_TOKEN", "https://router.huggingface.co/v1"),
    "bedrock": _provider(
        "AWS_BEARER_TOKEN_BEDROCK",
        "https://bedrock-runtime.{region}.amazonaws.com/openai/v1",
    ),
    "nvidia": _provider("NVIDIA_API_KEY", "https://integrate.api.nvidia.com/v1"),
}

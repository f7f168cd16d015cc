"""Servers that people run on their own machine: what they are called, and where they listen."""

from __future__ import annotations

import attrs


@attrs.frozen
class LocalServer:
    """A server on this machine, as it is if nobody has configured it."""

    name: str
    port: int

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://localhost:{self.port}"


OLLAMA = LocalServer("Ollama", 11434)
LM_STUDIO = LocalServer("LM Studio", 1234)
LLAMA_CPP = LocalServer("llama.cpp's server", 8080)
LOCAL_AI = LocalServer("LocalAI", 8080)
VLLM = LocalServer("vLLM", 8000)
SGLANG = LocalServer("SGLang", 30000)
LITELLM = LocalServer("LiteLLM", 4000)
# Of two with one port the first is meant more often.
LOCAL_SERVERS = (OLLAMA, LM_STUDIO, LLAMA_CPP, LOCAL_AI, VLLM, SGLANG, LITELLM)

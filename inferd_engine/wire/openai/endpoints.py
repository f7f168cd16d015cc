"""Join a base URL with an endpoint, by the rule of OpenAI's protocol.

This is what is asked for each kind of address:

    no path                  http://localhost:8080            → /v1/chat/completions
    a path                   https://host/openai/v1           → /openai/v1/chat/completions
    the endpoint's own path  https://host/x/chat/completions  → as it is
    a query                  …/deployments/d?api-version=1    → kept
"""

from __future__ import annotations

from inferd_engine.wire.http.urls import at_path

CHAT = "/chat/completions"
MODELS = "/models"
EMBEDDINGS = "/embeddings"


def endpoint_url(base_url: str, endpoint: str = CHAT) -> str:
    """Return the URL of an endpoint.

    Args:
        base_url: The upstream's address, with or without ``/v1``.
        endpoint: ``CHAT``, ``MODELS`` or ``EMBEDDINGS``.

    Raises:
        InvalidRequestError: The address cannot be used.
    """

    def rule(path: str) -> str:
        root = path.removesuffix(CHAT) if path.endswith(CHAT) else path or "/v1"
        return root + endpoint

    return at_path(base_url, rule)

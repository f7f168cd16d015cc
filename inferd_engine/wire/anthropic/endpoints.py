"""Join a base URL with an endpoint, by the rule of Anthropic's protocol.

This is what is asked for each kind of address:

    no path                  http://localhost:8080             → /v1/messages
    a path                   https://host/anthropic            → /anthropic/v1/messages
    a path that ends in /v1  https://host/x/v1                 → /x/v1/messages
    the endpoint's own path  https://host/x/messages           → as it is
    a query                  …?key=1                           → kept

OpenAI's rule differs: there a path is the whole of what stands before the endpoint.
"""

from __future__ import annotations

from inferd_engine.wire.http.urls import at_path

MESSAGES = "/messages"
MODELS = "/models"


def endpoint_url(base_url: str, endpoint: str = MESSAGES) -> str:
    """Return the URL of an endpoint.

    Args:
        base_url: The upstream's address, with or without ``/v1``.
        endpoint: ``MESSAGES`` or ``MODELS``.

    Raises:
        InvalidRequestError: The address cannot be used.
    """

    def rule(path: str) -> str:
        if path.endswith(MESSAGES):
            return path.removesuffix(MESSAGES) + endpoint
        return (path if path.endswith("/v1") else f"{path}/v1") + endpoint

    return at_path(base_url, rule)

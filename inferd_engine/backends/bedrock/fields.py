"""The fields of a configuration as keyword arguments, for editors and type checkers.

A test holds them to the fields of ``BedrockConfig``, where they are explained.
"""

from __future__ import annotations

from typing import Literal

from inferd_engine.backends.over_http.upstream import UpstreamFields


class BedrockFields(UpstreamFields, total=False):
    """What ``Bedrock`` is told beside what every upstream is."""

    region: str | None
    access_key_id: str
    secret_access_key: str
    session_token: str
    profile: str
    guardrail_id: str
    guardrail_version: str
    thinking_style: Literal["adaptive", "effort", "enabled", "budget"]
    cache: bool | Literal["5m", "1h"]
    vision: bool
    documents: bool

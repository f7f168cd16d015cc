"""The next step after a refusal that shows that nothing there speaks Bedrock's Converse."""

from __future__ import annotations

import re

from inferd_engine.wire.answer.other_protocols import ERROR_OF_MESSAGES

_NOT_FOUND = (404, 405, 501)  # HTTP
# What Amazon's errors never hold: they have ``message`` alone, and their type in a header.
_ELSEWHERE = re.compile(rb'^\s*[^\s{]|"(?:error|detail)"\s*:')


def hint_of_words(status: int, body: bytes) -> str:
    """Return what the next step is; empty where there is no experience.

    Args:
        status: The HTTP status.
        body: What the upstream said.
    """
    if status not in _NOT_FOUND:
        return ""
    if ERROR_OF_MESSAGES.search(body):
        return "a server of Anthropic's Messages answered: ask it with Anthropic, or check base_url"
    if _ELSEWHERE.search(body):
        return "nothing there speaks Bedrock's Converse: check base_url"
    return ""

"""Mark what the upstream is to keep in its prompt cache.

A mark says that all up to it may be read from the cache the next time; four are allowed.  What
changes least comes first in a prompt: tools, system, messages.  So the marks are at the last tool
(system prompts may hold today's date), at the end of the system prompt, at the end of the user's
turn before, which is where the last request ended, and at the end of all, for the next one.

Thoughts carry no mark: it goes to the block before.  A prompt below a model's least length (1024
tokens and more) is not cached, whatever is marked.

Anthropic documentation, "Prompt caching".
"""

from __future__ import annotations

from typing import Any

_UNMARKED = ("thinking", "redacted_thinking")


def mark(body: dict[str, Any], cache: bool | str) -> None:  # noqa: FBT001 - the contract's type
    """Put the marks into a body that was just made.

    Args:
        body: The JSON to post; its lists and blocks are nobody else's.
        cache: True, or for how long: ``"5m"`` or ``"1h"``.
    """
    control = {"type": "ephemeral", **({"ttl": cache} if isinstance(cache, str) else {})}
    if body.get("tools"):
        body["tools"][-1]["cache_control"] = dict(control)
    if body.get("system"):
        body["system"] = [{"type": "text", "text": body["system"], "cache_control": dict(control)}]
    *before, last = body["messages"]
    turns = [message for message in before if message["role"] == "user"]
    for message in (*turns[-1:], last):
        for block in reversed(message["content"]):
            if block["type"] not in _UNMARKED:
                block["cache_control"] = dict(control)
                break

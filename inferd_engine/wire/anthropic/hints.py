"""The next step after a refusal in words that servers of Anthropic's protocol are known for."""

from __future__ import annotations

import re

from inferd_engine.wire.answer.other_protocols import ERROR_OF_MESSAGES

# What is said, in lower case, with which statuses, and what helps.
_SAID = (
    (
        (400, 422),
        re.compile(rb"anthropic-version"),
        "configure version: this upstream knows another one",
    ),
    (
        (400, 422),
        re.compile(rb"temperature|top_p|top_k"),
        "leave sampling fields out: newer models and versions refuse them",
    ),
    (
        (400, 422),
        re.compile(rb"budget_tokens|thinking[.\w]*type|adaptive|output_config|effort"),
        (
            "configure thinking_style ('adaptive', 'effort', 'enabled' or 'budget'): "
            "models differ in how they are told to think"
        ),
    ),
    (
        (400, 422),
        re.compile(rb"tool_use.{0,80}without.{0,20}tool_result|unexpected .{0,8}tool_use_id"),
        "give a tool_result() for each tool call, in the message right after it",
    ),
    (
        (400, 422),
        re.compile(rb"prefill|conversation must end with a user"),
        "end with a message of the user: this model does not go on with one of the assistant",
    ),
    ((529,), re.compile(rb""), "the upstream is overloaded: ask again later"),
)
NOT_SPOKEN = (
    "nothing there speaks Anthropic's Messages: check base_url, "
    "or ask a server of OpenAI's Chat Completions with OpenAiCompat"
)
_NOT_FOUND = (404, 405, 501)  # HTTP


def hint_of_words(status: int, body: bytes, *, is_list: bool = False) -> str:
    """Return what the next step is; empty where there is no experience.

    Args:
        status: The HTTP status.
        body: What the upstream said.
        is_list: A list of models was asked for, which not every server of Messages has.
    """
    if status in _NOT_FOUND and not is_list and not ERROR_OF_MESSAGES.search(body):
        return NOT_SPOKEN
    said = body.lower()
    hints = (hint for known, words, hint in _SAID if status in known and words.search(said))
    return next(hints, "")

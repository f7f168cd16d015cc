"""The next step after a refusal in words that servers of OpenAI's protocol are known for."""

from __future__ import annotations

import re

from inferd_engine.wire.answer.other_protocols import ERROR_OF_MESSAGES

# What is said, in lower case, with which statuses, and what helps.
_SAID = (
    (
        (400, 422),
        re.compile(rb"stream_options|include_usage"),
        "configure include_usage=False: this upstream does not want to be asked",
    ),
    (
        # Chat templates, as vLLM, SGLang, llama.cpp and LM Studio pass on what they raise.
        (400, 422, 500),
        re.compile(
            rb"system (?:message|prompt|role)s?.{0,60}(?:beginning|first|start|only|one|once|"
            rb"multiple|position|order)|"
            rb"(?:multiple|several|second|one|single|more than one) system (?:message|prompt|role)",
            re.DOTALL,
        ),
        (
            "the model's template takes one system message, as the first: join them, "
            "or configure strict_turns=True, which joins those that follow each other"
        ),
    ),
    (
        (400, 422, 500),
        re.compile(rb"roles must alternate"),
        "configure strict_turns=True: the model's template wants the speakers to take turns",
    ),
    ((503,), re.compile(rb"loading"), "the model is being loaded: ask again in a moment"),
)
_NOT_FOUND = (404, 405, 501)  # HTTP
# The same where vectors are asked for.
_SAID_OF_VECTORS = (
    (
        (400, 422),
        re.compile(rb"encoding_format|base64"),
        "configure encoding_format='float', or None: this upstream makes no base64",
    ),
    *_SAID,
)


def hint_of_words(
    status: int, body: bytes, *, of_vectors: bool = False, is_list: bool = False
) -> str:
    """Return what the next step is; empty where there is no experience.

    Args:
        status: The HTTP status.
        body: What the upstream said.
        of_vectors: Vectors were asked for.
        is_list: A list of models was asked for, which not every server has.
    """
    said, table = body.lower(), _SAID_OF_VECTORS if of_vectors else _SAID
    is_missing = status in _NOT_FOUND and not is_list
    if is_missing and ERROR_OF_MESSAGES.search(body) and b"model" not in said:
        return "a server of Anthropic's Messages answered: ask it with Anthropic, or check base_url"
    hints = (hint for known, words, hint in table if status in known and words.search(said))
    return next(hints, "")

"""Write answers as OpenAI's documents: a completion, vectors, a list of models.

OpenAI API reference, "The chat completion object", "The embedding object", "The model object".
"""

from __future__ import annotations

import array
import base64
import sys
from typing import TYPE_CHECKING, Any

import inferd_engine as ie
from inferd_engine.web.protocols.openai import finish_reason_of, tool_call_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def completion_document(
    completion: ie.Completion, done: ie.Done, *, answer_id: str, model: str, created: int
) -> dict[str, Any]:
    """Return a whole answer."""
    calls = [tool_call_of(call) for call in completion.tool_uses]
    message = {
        "role": "assistant",
        "content": completion.text if completion.text or not calls else None,
        "refusal": None,
        **({"reasoning_content": completion.thinking} if completion.thinking else {}),
        **({"tool_calls": calls} if calls else {}),
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason_of(done),
    }
    return {
        "id": answer_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        # Clients rely on there being one; nobody can tell a count that is not known from none.
        "usage": usage_of(done.usage) or usage_of(ie.Usage(0, 0)),
    }


def embeddings_document(result: ie.EmbedResult, *, model: str, is_base64: bool) -> dict[str, Any]:
    """Return vectors."""
    tokens = result.input_tokens or 0
    return {
        "object": "list",
        "model": model or result.model,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _base64(vector) if is_base64 else list(vector),
            }
            for index, vector in enumerate(result.embeddings)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _base64(vector: Sequence[float]) -> str:
    floats = array.array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode("ascii")


def model_document(name: str, owner: str) -> dict[str, Any]:
    """Return one model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def models_document(names: Iterable[str], owner: str) -> dict[str, Any]:
    """Return a list of models."""
    return {"object": "list", "data": [model_document(name, owner) for name in names]}

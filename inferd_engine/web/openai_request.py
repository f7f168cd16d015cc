"""Read what a client of OpenAI's asks, as the arguments of ``Backend.stream()``.

What is wrong is refused with its place, as ``resolve()`` does it for what it knows.  Fields that
``RequestV2`` does not have (``presence_penalty``, ``user``, …) go on as they came, in
``extra_body``.  OpenAI API reference, "Create chat completion" and "Create embeddings".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

import inferd_engine as ie

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT, _NUMBER, _WHOLE = (str,), (int, float), (int,)
_SHAPES: Mapping[str, tuple[type, ...]] = {
    "messages": (list,),
    "model": _TEXT,
    "n": _WHOLE,
    "stream": (bool,),
    "stream_options": (dict,),
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "top_k": _WHOLE,
    "max_tokens": _WHOLE,
    "max_completion_tokens": _WHOLE,
    "seed": _WHOLE,
    "stop": (str, list),
    "tools": (list,),
    "tool_choice": (str, dict),
    "parallel_tool_calls": (bool,),
    "response_format": (dict,),
    "reasoning_effort": _TEXT,
    "logprobs": (bool,),
}
_WORDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
}
_SAME = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "seed",
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
)
_EFFORTS: Mapping[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
}


@attrs.frozen(slots=True)
class Asked:
    """What a chat completion was asked for.

    Args:
        messages: Dicts in OpenAI's shape.
        model: As the client names it; empty if it does not.
        fields: Of the request, by name.
        is_streamed: Whether the answer is to come in chunks.
        include_usage: Whether the chunks are to end with one that tells usage.
    """

    messages: list[Any]
    model: str
    fields: dict[str, Any]
    is_streamed: bool
    include_usage: bool


def _refuse(place: str, what: str) -> NoReturn:
    raise ie.InvalidRequestError(f"{place} {what}")


def _no_constant(word: str) -> NoReturn:
    _refuse("the body", f"holds {word}, which is not JSON")


def object_from(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds, without the fields that are null.

    Raises:
        InvalidRequestError: It holds something else.
    """
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except ie.InvalidRequestError:
        raise
    except (ValueError, RecursionError):  # no UTF-8, no JSON, a number of 5000 digits, too deep
        _refuse("the body", "is not JSON in UTF-8")
    if not isinstance(data, dict):
        _refuse("the body", "is not a JSON object")
    return {name: value for name, value in data.items() if value is not None}


def _check_shapes(data: dict[str, Any]) -> None:
    for name, kinds in _SHAPES.items():
        value = data.get(name)
        if value is None:
            continue
        is_boolean_only = isinstance(value, bool) and bool not in kinds  # which is an int to Python
        if is_boolean_only or not isinstance(value, kinds):
            _refuse(name, f"is not {' or '.join(_WORDS[kind] for kind in kinds)}")
    for name in ("messages", "tools"):
        for index, item in enumerate(data.get(name, ())):
            if not isinstance(item, dict):
                _refuse(f"{name}[{index}]", "is not an object")


def chat_from(body: bytes) -> Asked:
    """Return what a chat completion is asked for.

    Raises:
        InvalidRequestError: It cannot be answered; the message names the place.
    """
    data = object_from(body)
    _check_shapes(data)
    if "messages" not in data:
        _refuse("messages", "is missing")
    if data.pop("n", 1) != 1:
        _refuse("n", "is not 1: ask again for another answer")
    if data.pop("logprobs", False):
        _refuse("logprobs", "is true: this server does not give them")
    for name in ("functions", "function_call"):
        if name in data:
            _refuse(name, "was replaced by tools and tool_choice")
    options = data.pop("stream_options", {})
    fields = {name: data.pop(name) for name in _SAME if name in data}
    if "max_completion_tokens" in data:
        fields["max_tokens"] = data.pop("max_completion_tokens")
    if data.get("reasoning_effort") in _EFFORTS:
        fields["thinking"] = _EFFORTS[data.pop("reasoning_effort")]
    return Asked(
        messages=data.pop("messages"),
        model=data.pop("model", ""),
        is_streamed=data.pop("stream", False),
        include_usage=options.get("include_usage") is True,
        fields={**fields, **({"extra_body": data} if data else {})},
    )


@attrs.frozen(slots=True)
class EmbeddingsAsked:
    """What embeddings are asked for.

    Args:
        request: Checked.
        model: As the client names it; empty if it does not.
        is_base64: Whether the vectors are wanted as base64 of little-endian float32.
    """

    request: ie.EmbedResolved
    model: str
    is_base64: bool


def embeddings_from(body: bytes, models: Mapping[str, str]) -> EmbeddingsAsked:
    """Return what embeddings are asked for.

    Args:
        body: JSON.
        models: What some names of models are to the backend.

    Raises:
        InvalidRequestError: They cannot be given; the message names the place.
    """
    data = object_from(body)
    _check_shapes({name: data[name] for name in ("model",) if name in data})
    texts = data.get("input")
    if not isinstance(texts, (str, list)):
        _refuse("input", "is neither a string nor a list of strings")
    form = data.get("encoding_format", "float")
    if form not in ("float", "base64"):
        _refuse("encoding_format", "is neither float nor base64")
    named = data.get("model", "")
    model = models.get(named, named)
    request = ie.EmbedRequest(texts, dimensions=data.get("dimensions"), model=model).resolve()
    return EmbeddingsAsked(request, named, form == "base64")

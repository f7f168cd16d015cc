"""Ask for vectors in OpenAI's protocol, and read whatever comes for them.

Goal: the right vectors in the right order, or an error, from every server that calls itself
compatible.  What came is told by its type, never by what was asked: servers ignore
``encoding_format``, or oblige only one of the two.

* A str is base64 of little-endian float32, a list is numbers, an object (Cohere's ``{"float": …}``)
  holds one of these.
* They stand in ``data``, each in an item, in ``embeddings`` (Cohere, Ollama's own), or alone.
* Items are ordered by ``index`` if those are 0 to n - 1, else as they stand.
* As many vectors as texts, all of one length, that which was asked for, and every number finite:
  null and NaN, which llama.cpp and servers in Python write, would spoil an index for good.

The answer that is as it should be, in base64, has a way of its own (``packed_vectors.py``).  All
others go the general way.

OpenAI API reference, "Create embeddings".
"""

from __future__ import annotations

import base64
from array import array
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from inferd_engine.errors import UpstreamError
from inferd_engine.events import Usage
from inferd_engine.vectors import EmbedResult
from inferd_engine.wire.openai.errors import upstream_error
from inferd_engine.wire.openai.packed_vectors import finite, of_bytes, unpacked
from inferd_engine.wire.request.merging import merged
from inferd_engine.wire.text.json_shapes import count_in, object_in, whole_number, word_in
from inferd_engine.wire.text.surrogates import join_surrogates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_Item = TypeVar("_Item")

_FORMS = ("float", "base64")  # what an object holds numbers as, best first


def embeddings_body(
    texts: Sequence[str],
    *,
    model: str,
    dimensions: int | None,
    encoding_format: str | None,
    extra_body: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the JSON object to post."""
    body: dict[str, Any] = {"model": model, "input": [join_surrogates(text) for text in texts]}
    if dimensions is not None:
        body["dimensions"] = dimensions
    if encoding_format is not None:
        body["encoding_format"] = encoding_format
    return merged(body, extra_body)


def read_embeddings(
    body: bytes, count: int, *, dimensions: int | None = None, request_id: str | None = None
) -> EmbedResult:
    """Return the vectors in an answer.

    Args:
        body: The whole body.
        count: How many texts were sent.
        dimensions: How long the vectors have to be; None if nobody asked.
        request_id: The upstream's id of the request, for errors.

    Raises:
        UpstreamError: It is an error, or not as many good vectors as there were texts.
    """
    try:
        vectors, told = _unpacked(body) or _read(body, request_id)
        _check(vectors, count, dimensions)
    except ValueError as error:
        raise UpstreamError(
            f"the upstream's answer holds no good vectors: {error}",
            code="malformed",
            retryable=isinstance(error, _CutError),
            request_id=request_id,
        ) from None
    return EmbedResult(vectors, join_surrogates(word_in(told.get("model"))), _usage(told))


def joined(parts: Sequence[EmbedResult]) -> EmbedResult:
    """Return the vectors of several answers as one; what it cost is added up if all say it."""
    if len(parts) == 1:
        return parts[0]
    vectors = [vector for part in parts for vector in part.arrays]
    if len({len(vector) for vector in vectors}) > 1:
        raise UpstreamError(
            "the upstream gave vectors of different lengths to the batches of one request",
            code="malformed",
            retryable=False,
        )
    counts = [part.input_tokens for part in parts]
    known = [tokens for tokens in counts if tokens is not None]
    usage = Usage(sum(known), None) if known and len(known) == len(counts) else None
    return EmbedResult(vectors, parts[0].model, usage)


_Read = tuple[list["array[float]"], "Mapping[str, Any]"]


def _unpacked(body: bytes) -> _Read | None:
    """Return the vectors of an answer in base64, and what else it tells; None if it is another."""
    found = unpacked(body)
    if found is None:
        return None
    vectors, answer = found
    in_order = _in_order(vectors, [item.index for item in answer.data])
    return in_order, {"model": answer.model, "usage": answer.usage}


def _read(body: bytes, request_id: str | None) -> _Read:
    """Do the same with any answer."""
    answer = _decoded(body)
    if isinstance(answer, dict) and answer.get("error"):
        raise upstream_error(answer, request_id=request_id)
    vectors = [_vector(item, at) for at, item in enumerate(_items(answer))]
    return vectors, answer if isinstance(answer, dict) else {}


class _CutError(ValueError):
    """A body that began as JSON, or did not begin: where nothing tells its length, it was cut."""


def _not_json(body: bytes) -> ValueError:
    is_begun = body.lstrip()[:1] in (b"", b"{", b"[")
    return (_CutError if is_begun else ValueError)("it is not JSON")


def _decoded(body: bytes) -> Any:
    """Decode a body; numbers stay numbers, however many there are."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        # NaN is what servers in Python write; it is told by its place.
        words = (b"-Infinity", b"Infinity", b"NaN")
        if not any(word in body for word in words):
            raise _not_json(body) from None
    for word in words:
        body = body.replace(word, b"null")
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise _not_json(body) from None


def _items(answer: Any) -> list[Any]:
    """Return what holds a vector each, in the order of the texts."""
    found = answer
    if isinstance(answer, dict):
        found = answer.get("data") or answer.get("embeddings") or answer.get("embedding")
        if isinstance(found, dict):
            found = next((found[form] for form in _FORMS if found.get(form)), None)
        elif found and found is answer.get("embedding"):
            found = [found]
    if not isinstance(found, list) or not found:
        raise ValueError("there is none in it")
    indexes = [
        whole_number(item.get("index")) if isinstance(item, dict) else None for item in found
    ]
    return _in_order(found, indexes)


def _in_order(found: list[_Item], indexes: list[int | None]) -> list[_Item]:
    """Return items by their indexes, if these are 0 to n - 1, else as they stand."""
    by_index = dict(zip(indexes, found, strict=True))
    try:
        return [by_index[at] for at in range(len(found))]
    except KeyError:
        return found


def _vector(item: Any, at: int) -> array[float]:
    value = item.get("embedding") if isinstance(item, dict) else item
    if isinstance(value, dict):
        value = next((value[form] for form in _FORMS if value.get(form)), None)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]  # of a model that gives one for each token, and pooled them
    if not value:
        raise ValueError(f"number {at} is missing")
    try:
        return _numbers(value)
    except ValueError as error:
        raise ValueError(f"number {at} {error}") from None


def _numbers(value: Any) -> array[float]:
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:  # beyond ASCII it is not one of binascii's
            raise ValueError("is a str that is not base64") from None
        return of_bytes(data)
    try:
        vector = array("f", value)
    except (TypeError, OverflowError):
        raise ValueError("holds something that is not a number (NaN, null)") from None
    return finite(vector)


def _check(vectors: list[array[float]], count: int, dimensions: int | None) -> None:
    if len(vectors) != count:
        raise ValueError(f"there are {len(vectors)}, but {count} texts")
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1:
        raise ValueError(f"their lengths differ: {', '.join(map(str, sorted(lengths)))}")
    (length,) = lengths
    if not length:
        raise ValueError("they are empty")
    if dimensions is not None and length != dimensions:
        raise ValueError(
            f"they have {length} dimensions where {dimensions} were asked for: leave dimensions "
            "out, this upstream or this model does not change them"
        )


def _usage(answer: Mapping[str, Any]) -> Usage | None:
    usage = object_in(answer.get("usage"))
    names = ("prompt_tokens", "input_tokens", "total_tokens")
    counts = [count_in(usage.get(name)) for name in names]
    known = next((count for count in counts if count is not None), None)
    return None if known is None else Usage(known, None, usage)

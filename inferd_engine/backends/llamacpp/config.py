"""What a model in this process is like: the file, its context, and how answers are sampled."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import attrs

from inferd_engine.backends.settings import (
    check_count,
    check_one_of,
    check_word,
    prefixes,
    seconds,
    switch,
)
from inferd_engine.errors import InvalidRequestError
from inferd_engine.frames import made_without_frames
from inferd_engine.proto.v1 import DEFAULT_MAX_TOKENS
from inferd_engine.proto.values import check_integer
from inferd_engine.reprs import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CACHE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}  # ggml.h, enum ggml_type
POOLING = {"mean": 1, "cls": 2, "last": 3}  # llama.h, enum llama_pooling_type
_SPLITTING = (False, True, "inside")
_HEX_DIGITS = 64  # of a SHA-256


def _to_path(value: str | os.PathLike[str]) -> Any:  # what is no path is for the check
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _check_path(_: Any, field: Any, value: Any) -> None:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidRequestError(
            f"{field.name} is {value!r}: it has to be the path of a GGUF file"
        )


def _check_optional_path(_: Any, field: Any, value: Any) -> None:
    if value != "":
        _check_path(_, field, value)


def _check_sha256(_: Any, field: Any, value: object) -> None:
    digits = value.lower() if isinstance(value, str) else "?"
    if digits and (len(digits) != _HEX_DIGITS or set(digits) - set("0123456789abcdef")):
        raise InvalidRequestError(
            f"{field.name} is {value!r}: it has to be the 64 hexadecimal digits of a SHA-256"
        )


def _optional(check: Callable[[Any, Any, Any], None]) -> Any:
    return attrs.field(default=None, validator=attrs.validators.optional(check))


def _check_layers(_: Any, field: Any, value: object) -> None:
    check_integer(field.name, value, -1, "a whole number, or -1 for all", required=True)


class LlamaCppFields(TypedDict, total=False):
    """The fields of ``LlamaCppConfig``, as keyword arguments."""

    model_path: str | os.PathLike[str]
    model_sha256: str
    mmproj_path: str | os.PathLike[str]
    mmproj_sha256: str
    n_ctx: int
    n_gpu_layers: int
    seed: int | None
    n_threads: int | None
    n_batch: int
    cache_type: Literal["f32", "f16", "q4_0", "q8_0", "bf16"]
    n_parallel: int
    max_waiting: int | None
    embed: bool
    embed_pooling: Literal["mean", "cls", "last"]
    embed_n_ctx: int
    task_prefixes: Mapping[str, str] | None
    chat_format: str | None
    chat_template: str | None
    split_think_tags: bool | Literal["inside"]
    max_tokens: int
    timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None
    buffer: int


@made_without_frames
@attrs.frozen(kw_only=True, repr=False)
class LlamaCppConfig:
    """Say which model is run, and how.

    Args:
        model_path: The GGUF file; of a model in several files, the first.
        model_sha256: What the SHA-256 of that file has to be; empty: it is not looked at.
        mmproj_path: The GGUF file of the model's projector, with which it reads images; empty for
            none.
        mmproj_sha256: As ``model_sha256``, of that file.
        n_ctx: Tokens of prompt and answer together; 0 for as many as the model was trained with.
        n_gpu_layers: Layers that are computed on an accelerator; -1 for all.
        seed: Makes sampling repeatable where the request has no seed of its own.
        n_threads: Threads that compute; as many as there are cores if None.
        n_batch: Tokens of the prompt that are read in one go.  Where a build does not ask whether
            to go on, a stop comes after one of these: 64 is a good choice there.
        cache_type: How keys and values are kept: ``"f16"``, ``"q8_0"``, ``"q4_0"``, ``"bf16"``,
            ``"f32"``.
        n_parallel: Answers at a time, computed together; each has the memory of ``n_ctx`` tokens.
        max_waiting: Requests that may wait for a context; one more is a ``NotReadyError``.  None:
            as many as come.
        embed: Make vectors, too: in a context of their own.
        embed_pooling: How the vectors of a text's tokens become one: ``"mean"``, ``"cls"`` (that of
            the first), ``"last"``; the model's card says which.
        embed_n_ctx: Tokens that a text may have, to make a vector of it.
        task_prefixes: What is put in front of a text for a request's ``task``, such as
            ``{"retrieval_query": "query: "}``.
        chat_format: The name of one of llama.cpp's own formats, such as ``"chatml"``, in place of
            the model's template.
        chat_template: A template in Jinja, in place of the model's.
        split_think_tags: Take ``<think>…</think>`` out of the text, as thinking; ``"inside"`` if
            answers begin inside of a thought and the prompt does not show it.
        max_tokens: Tokens to generate where the request does not say.
        timeout: Seconds for the whole request, waiting included; None sets no limit, here and
            below.
        first_token_timeout: Seconds until the first token.
        idle_timeout: Seconds between two tokens.
        buffer: Undelivered events that a stream reads ahead.

    Raises:
        InvalidRequestError: A field cannot be used; the message names it.
    """

    __repr__ = short_repr

    model_path: str = attrs.field(converter=_to_path, validator=_check_path)
    model_sha256: str = attrs.field(default="", validator=_check_sha256)
    mmproj_path: str = attrs.field(default="", converter=_to_path, validator=_check_optional_path)
    mmproj_sha256: str = attrs.field(default="", validator=_check_sha256)
    n_ctx: int = attrs.field(default=8192, validator=check_count(0))
    n_gpu_layers: int = attrs.field(default=0, validator=_check_layers)
    seed: int | None = _optional(check_count(0))
    n_threads: int | None = _optional(check_count(1))
    n_batch: int = attrs.field(default=512, validator=check_count(1))
    cache_type: str = attrs.field(default="f16", validator=check_one_of(*CACHE_TYPES))
    n_parallel: int = attrs.field(default=1, validator=check_count(1))
    max_waiting: int | None = _optional(check_count(0))
    embed: bool = switch(default=False)
    embed_pooling: str = attrs.field(default="mean", validator=check_one_of(*POOLING))
    embed_n_ctx: int = attrs.field(default=2048, validator=check_count(1))
    task_prefixes: Mapping[str, str] = prefixes()
    chat_format: str | None = _optional(check_word)
    chat_template: str | None = _optional(check_word)
    split_think_tags: bool | Literal["inside"] = attrs.field(
        default=True, validator=check_one_of(*_SPLITTING)
    )
    max_tokens: int = attrs.field(default=DEFAULT_MAX_TOKENS, validator=check_count(1))
    timeout: float | None = seconds(300.0)
    first_token_timeout: float | None = seconds(None)
    idle_timeout: float | None = seconds(None)
    buffer: int = attrs.field(default=512, validator=check_count(0))


LOADING = (
    "model_path", "model_sha256", "mmproj_path", "mmproj_sha256", "n_ctx", "n_gpu_layers",
    "n_threads", "n_batch", "cache_type", "n_parallel", "max_waiting", "embed", "embed_pooling",
    "embed_n_ctx",
)  # fmt: skip
"""The fields that a loaded model depends on: where these differ, it is loaded anew."""

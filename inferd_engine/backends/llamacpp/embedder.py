"""Vectors of texts: in a context of their own, one text after the other, each read in one go.

A model that looks both ways has to see a text whole, so a text is never read in parts, and one that
is too long is refused.  Vectors have the length 1, also after they were cut to fewer dimensions
(Kusupati et al., "Matryoshka Representation Learning").
"""

from __future__ import annotations

import math
import os
import threading
from array import array
from typing import TYPE_CHECKING

from inferd_engine.backends.llamacpp.config import POOLING
from inferd_engine.backends.llamacpp.library import (
    Batch,
    Owner,
    abort_callback,
    complaints,
    computing,
    forget_complaints,
    library,
)
from inferd_engine.errors import (
    InternalError,
    InvalidRequestError,
    NotReadyError,
    RequestCancelledError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.backends.llamacpp.config import LlamaCppConfig
    from inferd_engine.backends.llamacpp.library import AbortFlag
    from inferd_engine.backends.llamacpp.model import Model

_SLICE = 0.05  # seconds between two looks at whether a request that waits for its turn is wanted


class Embedder(Owner):
    """Make vectors of texts, for one request at a time.

    Raises:
        NotReadyError: There is not the memory for its context.
    """

    def __init__(self, model: Model, config: LlamaCppConfig) -> None:
        self._llama = llama = library()
        self._model = model
        self._turn = threading.Lock()  # taken in threads of our own alone, which nothing strikes
        self.size = size = config.embed_n_ctx
        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = size
        params.n_threads = params.n_threads_batch = config.n_threads or os.cpu_count() or 1
        params.pooling_type = POOLING[config.embed_pooling]
        forget_complaints()
        made = llama.llama_init_from_model(model.handle, params)
        self.own(made, llama.llama_free, of=model)
        if not self.handle:
            raise NotReadyError(
                f"there is not the memory for embed_n_ctx={size} tokens{complaints()}",
                retryable=False,
            )
        llama.llama_set_embeddings(self.handle, True)  # noqa: FBT003 - C's
        self._memory = llama.llama_get_memory(self.handle)
        self._batch = Batch(size)
        self._width: int = llama.llama_model_n_embd_out(model.handle)

    def tokens_of(self, texts: Sequence[str], prefix: str) -> list[list[int]]:
        """Return the tokens of texts, each with what is put in front of it.

        Raises:
            InvalidRequestError: A text has too many; the message names it.
        """
        found = []
        for index, text in enumerate(texts):
            tokens = self._model.tokenize(prefix + text)
            if len(tokens) > self.size:
                raise InvalidRequestError(
                    f"input[{index}] has {len(tokens)} tokens, and embed_n_ctx is {self.size}: "
                    "shorten the text, or give a larger embed_n_ctx"
                )
            found.append(tokens)
        return found

    def vectors(
        self, texts: Sequence[Sequence[int]], dimensions: int | None, flag: AbortFlag
    ) -> list[array[float]]:
        """Return a vector of each text, given as tokens.

        Raises:
            UnsupportedError: The model makes no vectors of so many dimensions.
            RequestCancelledError: The flag was set.
            InternalError: llama.cpp cannot compute one.
        """
        count = dimensions or self._width
        if count > self._width:
            raise UnsupportedError(
                f"dimensions is {count}, and this model makes vectors of {self._width}"
            )
        while not self._turn.acquire(timeout=_SLICE):
            _check_wanted(flag)
        try:
            self._llama.llama_set_abort_callback(self.handle, abort_callback(), flag.address)
            return [_normed(self._vector(tokens, flag)[:count]) for tokens in texts]
        finally:
            nobody = self._llama.ggml_abort_callback()
            self._llama.llama_set_abort_callback(self.handle, nobody, 0)
            self._turn.release()

    def _vector(self, tokens: Sequence[int], flag: AbortFlag) -> list[float]:
        _check_wanted(flag)
        llama = self._llama
        if self._memory:
            llama.llama_memory_clear(self._memory, True)  # noqa: FBT003 - C's
        self._batch.clear()
        self._batch.put(tokens, 0, 0, wanted=True)
        with computing(flag):
            result = llama.llama_decode(self.handle, self._batch.handle)
        _check_wanted(flag)
        found = llama.llama_get_embeddings_seq(self.handle, 0) if result == 0 else None
        if not found:
            raise InternalError(
                f"llama.cpp made no vector (llama_decode returned {result}){complaints()}"
            )
        return list(found[: self._width])


def _check_wanted(flag: AbortFlag) -> None:
    if flag:
        raise RequestCancelledError("the call was cancelled while its vectors were made")


def _normed(vector: list[float]) -> array[float]:
    """Return a vector of the length 1 in the same direction."""
    length = math.sqrt(math.fsum(value * value for value in vector))
    if not math.isfinite(length) or length == 0:
        raise InternalError(
            "the model made a vector that has no direction: NaN, infinite, or all zeros"
        )
    return array("f", [value / length for value in vector])

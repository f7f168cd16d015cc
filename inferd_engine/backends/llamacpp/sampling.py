"""How the next token is chosen: llama.cpp's own samplers, in llama.cpp's own order.

Without a grammar llama.cpp samples in one call.  With one, what the grammar leaves is looked at
before it is told which token was taken: where it leaves none, llama.cpp would end the process.
"""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.backends.llamacpp.library import Owner, complaints, forget_complaints, library
from inferd_engine.errors import InternalError, InvalidRequestError

if TYPE_CHECKING:
    from inferd_engine.backends.llamacpp.model import Model

_SEEDS = 2**32  # llama.cpp's seeds are 32 bits wide
_RANDOM = _SEEDS - 1  # LLAMA_DEFAULT_SEED: one that is drawn anew


@attrs.frozen(kw_only=True)
class Sampling:
    """What a request says of sampling, with every default filled in."""

    temperature: float
    top_p: float
    top_k: int
    seed: int | None = None
    grammar: str = ""
    lazy_from: str = ""
    """A regular expression: the grammar holds from where it begins to match, and not before."""


class Sampler(Owner):
    """Choose tokens for one answer.

    Raises:
        InvalidRequestError: The grammar does not parse.
    """

    def __init__(self, model: Model, sampling: Sampling) -> None:
        self._llama = llama = library()
        self._model = model
        self._candidates: Any = None
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        self.own(chain, llama.llama_sampler_free, of=model)
        if sampling.grammar:
            self._add(self._grammar(sampling))
            self._candidates = _candidates(model.n_vocab)
        if sampling.temperature == 0:
            self._add(llama.llama_sampler_init_greedy())
            return
        self._add(llama.llama_sampler_init_top_k(sampling.top_k))
        self._add(llama.llama_sampler_init_top_p(sampling.top_p, 1))
        self._add(llama.llama_sampler_init_temp(sampling.temperature))
        seed = _RANDOM if sampling.seed is None else sampling.seed % _SEEDS
        self._add(llama.llama_sampler_init_dist(seed))

    def _add(self, sampler: Any) -> None:
        self._llama.llama_sampler_chain_add(self.handle, sampler)

    def _grammar(self, sampling: Sampling) -> Any:
        llama, vocab = self._llama, self._model.vocab
        if "\0" in sampling.grammar:
            raise InvalidRequestError(
                "grammar holds a NUL character: llama.cpp would read no further"
            )
        text = sampling.grammar.encode("utf-8", "replace")
        forget_complaints()
        if sampling.lazy_from:
            patterns = (ctypes.c_char_p * 1)(sampling.lazy_from.encode())
            made = llama.llama_sampler_init_grammar_lazy_patterns(
                vocab, text, b"root", patterns, 1, None, 0
            )
        else:
            made = llama.llama_sampler_init_grammar(vocab, text, b"root")
        if not made:
            raise InvalidRequestError(
                f"grammar is not one that llama.cpp can read (GBNF){complaints()}"
            )
        return made

    def next(self, context: Any, place: int) -> int:  # ctypes'
        """Return the token that follows one that was computed.

        Args:
            context: llama.cpp's.
            place: Of that token in its batch.

        Raises:
            InternalError: The grammar lets no token follow.
        """
        llama = self._llama
        if self._candidates is None:
            return int(llama.llama_sampler_sample(self.handle, context, place))
        import numpy as np  # noqa: PLC0415 - llama-cpp-python brings it

        values = self._candidates
        logits = llama.llama_get_logits_ith(context, place)
        values["id"] = np.arange(len(values), dtype=np.int32)
        values["logit"] = np.ctypeslib.as_array(logits, shape=(len(values),))
        values["p"] = 0.0
        data = values.ctypes.data_as(ctypes.POINTER(llama.llama_token_data))
        array = llama.llama_token_data_array(data, len(values), -1, False)  # noqa: FBT003
        llama.llama_sampler_apply(self.handle, ctypes.byref(array))
        chosen = array.data[array.selected] if array.selected >= 0 else None
        if chosen is None or math.isinf(chosen.logit):
            raise InternalError("the grammar lets none of the model's tokens follow")
        llama.llama_sampler_accept(self.handle, chosen.id)
        return int(chosen.id)


def _candidates(count: int) -> Any:  # an array of numpy's
    """Return room for llama.h's `llama_token_data` of each token."""
    import numpy as np  # noqa: PLC0415 - likewise

    return np.empty(count, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])

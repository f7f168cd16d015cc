"""A context: what a model has read so far, and the computing that can be stopped.

One request at a time has it (``slots.py``).  What was computed is kept when that is over: of the
next prompt only what differs is read, and so the second turn of a conversation costs its new words
alone.  ``known`` says which tokens, and pieces of images, are in the cache, and nothing else does:
after an abort, of which llama.cpp keeps whatever part was done, the next request cuts the cache
back to it.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING

from inferd_engine.backends.llamacpp.config import CACHE_TYPES
from inferd_engine.backends.llamacpp.library import (
    Owner,
    abort_callback,
    complaints,
    computing,
    forget_complaints,
    library,
)
from inferd_engine.backends.llamacpp.projector import Piece
from inferd_engine.errors import InternalError, NotReadyError, RequestCancelledError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferd_engine.backends.llamacpp.config import LlamaCppConfig
    from inferd_engine.backends.llamacpp.library import AbortFlag
    from inferd_engine.backends.llamacpp.model import Model
    from inferd_engine.backends.llamacpp.projector import Entry, Image, Projector

_ABORTED = 2  # llama.h, llama_decode()
_FULL = 1
_VALUE_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 1.0625, "q4_0": 0.5625}


class Context(Owner):
    """Make a context of a model; drop it to free its memory.

    Raises:
        NotReadyError: There is not the memory for it.
    """

    def __init__(
        self, model: Model, config: LlamaCppConfig, projector: Projector | None = None
    ) -> None:
        self._llama = llama = library()
        self._flag: AbortFlag | None = None
        self.model = model
        self.known: list[Entry] = []
        self._position = 0  # of what is read next: an image has more places than positions
        self._projector = projector
        n_ctx = config.n_ctx or model.n_ctx_train
        _check_memory(model.cache_bytes(n_ctx, 1) * _VALUE_BYTES[config.cache_type], n_ctx)
        params = llama.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = self._n_batch = min(config.n_batch, n_ctx)
        params.n_ubatch = self.one_go = min(params.n_batch, params.n_ubatch)
        params.n_threads = params.n_threads_batch = config.n_threads or os.cpu_count() or 1
        params.type_k = params.type_v = CACHE_TYPES[config.cache_type]
        forget_complaints()
        self.own(llama.llama_init_from_model(model.handle, params), llama.llama_free)
        if not self.handle:
            raise NotReadyError(
                f"there is not the memory for a context of n_ctx={n_ctx} tokens{complaints()}",
                retryable=False,
            )
        self._memory = llama.llama_get_memory(self.handle)
        self.size: int = llama.llama_n_ctx(self.handle)

    @property
    def has_memory(self) -> bool:
        """Whether it keeps what it has read, as it has to, to go on with it."""
        return bool(self._memory)

    def heed(self, flag: AbortFlag | None) -> None:
        """Look at this flag while computing, and at no earlier one."""
        self._flag = flag
        address = 0 if flag is None else flag.address
        callback = self._llama.ggml_abort_callback() if flag is None else abort_callback()
        self._llama.llama_set_abort_callback(self.handle, callback, address)

    def shared_with(self, tokens: Sequence[Entry]) -> int:
        """Return how many tokens of a prompt need not be read; the last always is."""
        count = 0
        for ours, theirs in zip(self.known, tokens[:-1], strict=False):
            if ours != theirs:
                break
            count += 1
        # An image is there as a whole, or not at all.
        piece = self.known[count] if count < len(self.known) else tokens[count]
        return count - piece.place if isinstance(piece, Piece) else count

    def begin(self, tokens: Sequence[Entry]) -> int:
        """Keep of what is known what a prompt begins with; return how many tokens that is."""
        del self.known[self.shared_with(tokens) :]
        self._cut()
        return len(self.known)

    def read(
        self, tokens: Sequence[Entry], images: Mapping[str, Image] = MappingProxyType({})
    ) -> int:
        """Compute the first of these, as many as are read in one go; return how many.

        Args:
            tokens: Tokens, and pieces of images.
            images: These images, by their names.

        Raises:
            RequestCancelledError: The flag was set.
            InternalError: llama.cpp cannot compute them.
        """
        first = tokens[0]
        if isinstance(first, Piece):
            part: Sequence[Entry] = images[first.image].pieces
            result = self._read_image(images[first.image])
        else:
            part = _text_of(tokens[: self._n_batch])
            result = self._read_text(part)
        if result == 0:
            self.known += part
            self._position += _positions(part)
            return len(part)
        if result == _ABORTED:
            raise RequestCancelledError("the answer was stopped")
        what = "the context is full" if result == _FULL else f"llama_decode returned {result}"
        raise InternalError(f"llama.cpp cannot go on: {what}{complaints()}")

    def _read_text(self, tokens: Sequence[Entry]) -> int:
        llama, count, position = self._llama, len(tokens), self._position
        data = (llama.llama_token * count)(*tokens)
        positions = (llama.llama_pos * count)(*range(position, position + count))
        batch = llama.llama_batch_get_one(data, count)
        batch.pos = positions
        with computing(self._flag):
            return int(llama.llama_decode(self.handle, batch))

    def _read_image(self, image: Image) -> int:
        if self._projector is None:
            raise InternalError("there is an image, and no projector")
        with computing(self._flag):
            return self._projector.read(
                self.handle, image, self._position, self._n_batch, self._flag
            )

    def _cut(self) -> None:
        """Take out of the cache what is not known, or all where llama.cpp cannot take a part."""
        self._position = _positions(self.known)
        if not self._llama.llama_memory_seq_rm(self._memory, 0, self._position, -1):
            self._llama.llama_memory_clear(self._memory, True)  # noqa: FBT003 - C's
            self.known.clear()
            self._position = 0


def _positions(entries: Sequence[Entry]) -> int:
    """Return how far what follows these is from what comes before them."""
    return sum(
        entry.positions * (entry.place == 0) if isinstance(entry, Piece) else 1 for entry in entries
    )


def _text_of(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return what comes in front of the first image."""
    end = next((n for n, entry in enumerate(entries) if isinstance(entry, Piece)), len(entries))
    return entries[:end]


def _check_memory(needed: float, n_ctx: int) -> None:
    """Refuse what cannot be: an allocation succeeds, and the kernel ends the process later."""
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return  # nobody can tell
    if needed > there:
        raise NotReadyError(
            f"a context of n_ctx={n_ctx} tokens takes {needed / 2**30:.1f} GiB, and this machine "
            f"has {there / 2**30:.1f}: give a smaller n_ctx or cache_type",
            retryable=False,
        )

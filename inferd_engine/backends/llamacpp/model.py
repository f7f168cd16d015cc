"""A model in memory: checked, loaded, and its vocabulary.

llama.cpp ends the process where it finds something that cannot be (GGML_ASSERT), and says why it
loads nothing in its log alone.  So what can be checked is checked before: that the file is GGUF,
and the one that was meant.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import os
import struct
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inferd_engine.backends.llamacpp.library import (
    Owner,
    brief,
    complaints,
    forget_complaints,
    library,
)
from inferd_engine.errors import InvalidRequestError, NotReadyError, RequestCancelledError

if TYPE_CHECKING:
    from inferd_engine.backends.llamacpp.config import LlamaCppConfig
    from inferd_engine.backends.llamacpp.library import AbortFlag

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)  # ggml's docs/gguf.md; llama.cpp reads no older ones
_BLOCK = 1 << 20  # bytes hashed between two looks at whether to go on: a millisecond
_PIECE = 64  # bytes of a token's text that are asked for at first; longer ones are asked for again
_WORD = 128  # bytes of a metadata value: all that are asked for are numbers


class Model(Owner):
    """Load a model; drop it to free its memory.

    Args:
        config: Which, and how.
        flag: Ends the loading when it is set.

    Raises:
        InvalidRequestError: The file is not what it has to be.
        NotReadyError: llama.cpp could not load it.
        RequestCancelledError: The flag was set.
    """

    def __init__(self, config: LlamaCppConfig, flag: AbortFlag) -> None:
        self._llama = llama = library()
        self.path = config.model_path
        check_file(config, "model", flag)
        params = llama.llama_model_default_params()
        params.n_gpu_layers = config.n_gpu_layers
        go_on = llama.llama_progress_callback(lambda _, __: not flag)
        params.progress_callback = go_on
        forget_complaints()
        handle = llama.llama_model_load_from_file(os.fsencode(self.path), params)
        self.own(handle, llama.llama_model_free)
        if not self.handle:
            check_wanted(flag)
            raise NotReadyError(
                f"model_path: {self.path!r} cannot be loaded{complaints()}", retryable=False
            )
        self.vocab = llama.llama_model_get_vocab(self.handle)
        self.n_vocab: int = llama.llama_vocab_n_tokens(self.vocab)
        template = llama.llama_model_chat_template(self.handle, None)
        self.template = None if template is None else template.decode("utf-8", "replace")
        """The chat template that is in the file."""
        self.begin = self._word_of(llama.llama_vocab_bos(self.vocab))
        """The special token that begins a text, as templates write it; empty if there is none."""
        self.end = self._word_of(llama.llama_vocab_eos(self.vocab))
        """The one that ends a text."""

    @property
    def n_ctx_train(self) -> int:
        """How many tokens of context the model was trained with."""
        return int(self._llama.llama_model_n_ctx_train(self.handle))

    def _word_of(self, token: int) -> str:
        return "" if token < 0 else self.piece(token, special=True).decode("utf-8", "replace")

    def cache_bytes(self, n_ctx: int, value_bytes: int) -> int:
        """Return about how much memory the keys and values of a context take."""
        llama, handle = self._llama, self.handle
        heads = llama.llama_model_n_head(handle) or 1
        width = llama.llama_model_n_embd(handle) // heads * llama.llama_model_n_head_kv(handle)
        return 2 * int(n_ctx * llama.llama_model_n_layer(handle) * width * value_bytes)

    def tokenize(self, text: str, *, add_special: bool = True) -> list[int]:
        """Return the tokens of a text, special ones that are written in it included."""
        data = text.encode("utf-8", "replace")
        size = len(data) + 2  # no token is shorter than a byte; two may be added around them
        tokens = array("i", bytes(4 * size))  # of ctypes' arrays each size is a type of its own
        count = self._llama.llama_tokenize(
            self.vocab,
            data,
            len(data),
            ctypes.cast(tokens.buffer_info()[0], self._llama.llama_token_p),
            size,
            add_special,
            True,  # noqa: FBT003 - C's order
        )
        return tokens[:count].tolist()

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return the bytes of a token, which may be no whole character."""
        size = _PIECE
        while True:
            text = ctypes.create_string_buffer(size)
            length = brief("llama_token_to_piece")(self.vocab, token, text, size, 0, special)
            if length >= 0:
                return text.raw[:length]
            size = -length

    def is_end(self, token: int) -> bool:
        """Whether a token ends the answer."""
        return bool(brief("llama_vocab_is_eog")(self.vocab, token))


def check_wanted(flag: AbortFlag) -> None:
    """End a loading that nobody waits for.

    Raises:
        RequestCancelledError: The flag was set.
    """
    if flag:
        raise RequestCancelledError("the model was not loaded: nobody waits for it any more")


def check_file(config: LlamaCppConfig, what: Literal["model", "mmproj"], flag: AbortFlag) -> None:
    """Refuse a file that is not GGUF, or not the one that was meant.

    Args:
        config: Which file, and its hash.
        what: ``"model"`` or ``"mmproj"``: as the fields begin.
        flag: Ends the reading when it is set.

    Raises:
        InvalidRequestError: It is refused; the message names the field.
        RequestCancelledError: The flag was set.
    """
    name, path = f"{what}_path", str(getattr(config, f"{what}_path"))
    wanted = str(getattr(config, f"{what}_sha256"))
    try:
        with Path(path).open("rb") as file:
            head = file.read(8)
            if head[:4] != _MAGIC:
                raise InvalidRequestError(
                    f"{name}: {path!r} is not a GGUF file: it does not begin with GGUF"
                )
            version = struct.unpack("<I", head[4:].ljust(4, b"\0"))[0]
            if version not in _VERSIONS:
                raise InvalidRequestError(
                    f"{name}: {path!r} is GGUF version {version}, which llama.cpp cannot read"
                )
            if not wanted:
                return
            file.seek(0)
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                check_wanted(flag)
                digest.update(block)
    except OSError as error:
        raise InvalidRequestError(
            f"{name}: {path!r} cannot be read: {error.strerror or error}"
        ) from None
    if not hmac.compare_digest(digest.hexdigest(), wanted.lower()):
        raise InvalidRequestError(
            f"{name}: {path!r} has the SHA-256 {digest.hexdigest()}, and {what}_sha256 is {wanted}"
        )

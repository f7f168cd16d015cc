"""A projector: what turns images into what the model reads in place of tokens (libmtmd).

libmtmd is llama.cpp's own library of it; llama-cpp-python brings its table of C functions.  A
prompt with images becomes a list of what is in the cache, one entry a token: a number, or a
``Piece`` of an image.  So what two prompts share is found as it is without images, and no image is
read twice.

A projector computes for one context at a time.  It knows no abort callback, but asks whether
somebody wants to see a node's result, and ends where it is told to go no further: so the flag is
looked at there, every few nodes (``Watch``).
"""

from __future__ import annotations

import ctypes
import functools
import os
import secrets
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from inferd_engine.backends.llamacpp.library import (
    Owner,
    complaints,
    forget_complaints,
    library,
    log_callback,
)
from inferd_engine.backends.llamacpp.model import check_file, check_wanted
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
    from inferd_engine.backends.llamacpp.images import Bitmap
    from inferd_engine.backends.llamacpp.library import AbortFlag
    from inferd_engine.backends.llamacpp.model import Model

MARKER = f"<__media_{secrets.token_hex(8)}__>"
"""Where an image stands in a prompt; nobody can write it who does not know this process."""
_NODES = 3  # of a graph between two looks at the flag; each look costs a start of the threads
_TURN = 0.05  # seconds of waiting for the projector at the most, before looking at the flag


class Piece(NamedTuple):
    """What one place of the cache holds of an image.

    Args:
        image: Which image, or part of one: what is in it decides.
        place: Which of its places.
        size: How many it has.
        positions: How far the text behind it is from the text before it.
    """

    image: str
    place: int
    size: int
    positions: int


Entry = Union[int, Piece]


class Image(Owner):
    """A part of a prompt that is an image, ready to be computed."""

    def __init__(self, mtmd: Any, chunk: Any, name: str) -> None:
        self.own(mtmd.mtmd_input_chunk_copy(chunk), mtmd.mtmd_input_chunk_free)
        size = mtmd.mtmd_input_chunk_get_n_tokens(self.handle)
        positions = mtmd.mtmd_input_chunk_get_n_pos(self.handle)
        self.pieces = [Piece(name, place, size, positions) for place in range(size)]


class Prompt(NamedTuple):
    """What a model is to read.

    Args:
        entries: Tokens, and pieces of images.
        images: These images, by the name in their pieces.
    """

    entries: list[Entry]
    images: dict[str, Image]


class Watch:
    """Answer libmtmd's question whether to go on, in the middle of an image."""

    def __init__(self) -> None:
        self.flag: AbortFlag | None = None
        self._nodes = 0

    def asked(self, _tensor: Any, is_question: bool, _data: Any) -> bool:  # noqa: FBT001 - C's
        """Say whether a node is to be shown, or, when it is, whether to go on."""
        if not is_question:
            return not self.flag
        self._nodes += 1
        return bool(self.flag) or self._nodes % _NODES == 0


@functools.cache
def mtmd_library() -> Any:  # a module without types
    """Return llama-cpp-python's module of libmtmd's functions, ready to be used.

    Raises:
        UnsupportedError: It is not there.
    """
    library()
    try:
        from llama_cpp import mtmd_cpp  # noqa: PLC0415 - an extra, and for images alone
    except (ImportError, OSError, RuntimeError) as error:
        raise UnsupportedError(
            f"mmproj_path needs llama-cpp-python with libmtmd, which cannot be loaded: {error}"
        ) from error
    mtmd_cpp.mtmd_helper_log_set(log_callback(), ctypes.c_void_p(0))
    return mtmd_cpp


class Projector(Owner):
    """Load a projector; drop it to free its memory.

    Args:
        config: Which, and how.
        model: Whose it is.
        flag: Ends the loading when it is set.

    Raises:
        InvalidRequestError: The file is not what it has to be.
        NotReadyError: libmtmd could not load it, or it belongs to another model.
        RequestCancelledError: The flag was set.
    """

    def __init__(self, config: LlamaCppConfig, model: Model, flag: AbortFlag) -> None:
        check_file(config, "mmproj", flag)
        self._mtmd = mtmd = mtmd_library()
        self._model = model
        self._watch = Watch()
        self._watch.flag = flag
        self._lock = threading.Lock()
        self._asked = library().ggml_backend_sched_eval_callback(self._watch.asked)
        self._go_on = mtmd.mtmd_progress_callback(lambda _, __: not flag)
        params = mtmd.mtmd_context_params_default()
        params.use_gpu = config.n_gpu_layers != 0
        params.print_timings = False
        params.n_threads = config.n_threads or os.cpu_count() or 1
        params.media_marker = MARKER.encode()
        params.cb_eval = self._asked
        params.progress_callback = self._go_on
        forget_complaints()
        path = config.mmproj_path
        made = mtmd.mtmd_init_from_file(os.fsencode(path), model.handle, params)
        self.own(made, mtmd.mtmd_free, of=model)
        check_wanted(flag)
        self._watch.flag = None
        if not self.handle:
            raise NotReadyError(
                f"mmproj_path: {path!r} cannot be loaded for this model{complaints()}",
                retryable=False,
            )
        if not mtmd.mtmd_support_vision(self.handle):
            raise InvalidRequestError(f"mmproj_path: {path!r} is for sounds, and not for images")

    def prompt(self, text: str, bitmaps: Sequence[Bitmap], *, has_begin: bool) -> Prompt:
        """Return a text as what the model reads, each marker in it an image.

        Args:
            text: Of the whole prompt.
            bitmaps: The images, in their order.
            has_begin: Whether the text has the token already that begins every prompt.

        Raises:
            InvalidRequestError: The template left out an image, or one cannot be prepared.
        """
        mtmd = self._mtmd
        data = text.encode("utf-8", "replace")
        if data.count(MARKER.encode()) != len(bitmaps):
            raise InvalidRequestError(
                "the chat template has left out an image: give another chat_template"
            )
        told = mtmd.mtmd_input_text(data, len(data), not has_begin, True)  # noqa: FBT003 - C's
        handles = (ctypes.c_void_p * len(bitmaps))(*(bitmap.handle for bitmap in bitmaps))
        chunks = Owner()
        chunks.own(mtmd.mtmd_input_chunks_init(), mtmd.mtmd_input_chunks_free)
        forget_complaints()
        told_at = ctypes.byref(told)
        if mtmd.mtmd_tokenize(self.handle, chunks.handle, told_at, handles, len(bitmaps)):
            raise InvalidRequestError(f"an image cannot be prepared for the model{complaints()}")
        return self._listed(chunks)

    def _listed(self, chunks: Owner) -> Prompt:
        mtmd = self._mtmd
        entries: list[Entry] = []
        images: dict[str, Image] = {}
        for number in range(mtmd.mtmd_input_chunks_size(chunks.handle)):
            chunk = mtmd.mtmd_input_chunks_get(chunks.handle, number)
            if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
                count = ctypes.c_size_t()
                tokens = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
                entries += tokens[: count.value]
                continue
            # Parts of one image have its name; which part it is, its number among all tells.
            name = f"{(mtmd.mtmd_input_chunk_get_id(chunk) or b'').decode()} {number}"
            image = images[name] = Image(mtmd, chunk, name)
            entries += image.pieces
        return Prompt(entries, images)

    def needs_one_go(self, image: Image) -> bool:
        """Whether the model has to read all of an image in one batch."""
        return bool(self._mtmd.mtmd_decode_use_non_causal(self.handle, image.handle))

    def read(
        self,
        context: Any,
        image: Image,
        position: int,
        number: int,
        n_batch: int,
        flag: AbortFlag | None,
    ) -> int:
        """Have a context read an image; return llama.cpp's result.

        Args:
            context: llama.cpp's.
            image: What is read.
            position: Of its first piece.
            number: Of the sequence that it belongs to.
            n_batch: How many pieces are read in one go.
            flag: Ends it when it is set.

        Raises:
            RequestCancelledError: The flag was set.
            InternalError: The image cannot be computed.
        """
        mtmd = self._mtmd
        while not self._lock.acquire(timeout=_TURN):
            _check_flag(flag)
        try:
            self._watch.flag = flag
            result = mtmd.mtmd_encode_chunk(self.handle, image.handle)
            _check_flag(flag)
            if result:
                raise InternalError(f"the image cannot be computed{complaints()}")
            after = library().llama_pos(position)
            return int(
                mtmd.mtmd_helper_decode_image_chunk(
                    *(self.handle, context, image.handle, mtmd.mtmd_get_output_embd(self.handle)),
                    *(position, number, n_batch, ctypes.byref(after)),
                    *(mtmd.mtmd_helper_post_decode_callback(), None),
                )
            )
        finally:
            self._watch.flag = None
            self._lock.release()


def _check_flag(flag: AbortFlag | None) -> None:
    if flag:
        raise RequestCancelledError("the answer was stopped")

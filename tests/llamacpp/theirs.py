"""llama-cpp-python's own way to a model."""

from __future__ import annotations

import contextlib

from inferd_engine.backends.llamacpp.library import library, redirect_log


@contextlib.contextmanager
def their_own(path):
    """Load a model as llama-cpp-python does, with the settings that the tests give ours."""
    import llama_cpp

    model = llama_cpp.Llama(
        str(path), n_ctx=512, n_threads=1, type_k=0, type_v=0, flash_attn=True, verbose=False
    )
    redirect_log(library())  # it has set its own
    yield model
    model.close()

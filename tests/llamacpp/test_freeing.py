"""Freeing: what is made of a model goes before it, in whatever order Python lets go of them."""

from __future__ import annotations

import gc

import pytest
from llamacpp.conftest import SETTINGS

import inferd_engine as ie
from inferd_engine.backends.llamacpp.library import Owner, library


@pytest.fixture
def freed(monkeypatch):
    """The names of llama.cpp's functions that have freed something, in their order."""
    names = []

    def note(name):
        free = getattr(library(), name)

        def noted(handle):
            names.append(name)
            free(handle)

        monkeypatch.setattr(library(), name, noted)

    note("llama_free")
    note("llama_model_free")
    return names


@pytest.mark.parametrize("is_ring", [False, True], ids=["counted", "collected"])
def test_a_model_goes_after_its_contexts(tiny, freed, is_ring):
    """llama.cpp looks at the model while it frees a context."""
    holder = [ie.LlamaCpp(model_path=tiny, embed=True, embed_n_ctx=64, **SETTINGS)]
    holder[0].load()
    if is_ring:
        holder.append(holder)
    del holder
    gc.collect()
    assert freed == ["llama_free", "llama_free", "llama_model_free"]


@pytest.mark.parametrize("is_first", [False, True], ids=["model last", "model first"])
def test_the_last_who_leaves_frees_what_it_was_made_of(is_first):
    """Finalizers of what is collected together run in any order."""
    freed = []
    model, contexts = Owner(), [Owner(), Owner()]
    model.own("model", freed.append)
    for name, context in zip("ab", contexts, strict=True):
        context.own(name, freed.append, of=model)
    owners = [model, *contexts] if is_first else [*contexts, model]
    for owner in owners:
        owner.__del__()
    for owner in owners:
        owner.handle = None  # Python calls it once
    assert freed == ["a", "b", "model"]

"""Run models in this process, each made on the spot.

Without the module ``llama_cpp`` only those in ``without_it`` are collected; with
``INFERD_ENGINE_LLAMACPP=1`` that is an error instead.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import threading
import time

import pytest

import inferd_engine as ie

if importlib.util.find_spec("llama_cpp") is None:
    if os.environ.get("INFERD_ENGINE_LLAMACPP") == "1":
        raise ModuleNotFoundError(
            "INFERD_ENGINE_LLAMACPP=1, but llama_cpp is not there: install llama-cpp-python",
            name="llama_cpp",
        )
    collect_ignore_glob = ["test_*.py"]
else:
    faulthandler.enable()  # llama.cpp ends the process where something cannot be

# Two threads wait for each other by spinning: ten times slower beside other processes.
# With values of full width, what was read in other pieces gives the same words.
SETTINGS = {"n_ctx": 512, "n_threads": 1, "cache_type": "f32"}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Where the models are."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tiny(folder):
    """The path of a model of a few hundred kilobytes, which says nonsense in many scripts."""
    from llama.tiny_model import write_tiny_model

    write_tiny_model(folder / "tiny.gguf")
    return folder / "tiny.gguf"


@pytest.fixture(scope="session")
def slow(folder):
    """The path of a model that takes many seconds to read a long prompt."""
    from llamacpp.models import write_slow_model

    write_slow_model(folder / "slow.gguf")
    return folder / "slow.gguf"


@pytest.fixture
def backend(tiny):
    """A backend for the tiny model, newly loaded."""
    with ie.LlamaCpp(model_path=tiny, **SETTINGS) as backend:
        backend.load()
        yield backend


def until(condition, seconds=20.0):
    """Wait until something is so; return whether it came to be."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.001)
    return True


def is_idle(backend):
    """Whether nobody has a context of a backend, or waits for one."""
    loaded = backend._engine.loaded
    slots = loaded.slots
    return len(slots._free) == backend.config.n_parallel and not slots._waiting


def forget(backend):
    """Let the contexts of an idle backend read the next prompt from its beginning."""
    for context in backend._engine.loaded.slots._free:
        context.known.clear()

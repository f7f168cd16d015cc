"""Loading: what cannot be is said before llama.cpp sees it, and nobody has to wait for it."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from forking import needs_fork
from llamacpp.conftest import SETTINGS, until

import inferd_engine as ie
from inferd_engine.backends.llamacpp import engine
from inferd_engine.backends.llamacpp.accelerator import Device, accelerator_of, devices
from inferd_engine.backends.llamacpp.library import AbortFlag, library
from inferd_engine.backends.llamacpp.model import Model

SLOW_TO_HASH = 40 << 30  # bytes, of which none is on the disk: half a minute


def make(path, **fields):
    return ie.LlamaCpp(model_path=path, **{**SETTINGS, **fields})


def loaders():
    return [thread for thread in threading.enumerate() if thread.name.endswith("llamacpp-loading")]


@pytest.fixture
def endless(tmp_path):
    """A file that begins as a model does, and takes long to hash."""
    path = tmp_path / "endless.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF\x03\0\0\0")
        file.truncate(SLOW_TO_HASH)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is not a GGUF file"),
        (b"<html>", "is not a GGUF file"),
        (b"GGUF\x01\0\0\0", "GGUF version 1"),
        (b"GGUF\x63\0\0\0", "GGUF version 99"),
    ],
    ids=["missing", "empty", "page", "old", "new"],
)
def test_what_is_no_model_is_refused_by_name(tmp_path, content, said):
    """The error names the field, the file, and what is wrong with it."""
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with make(path) as backend, pytest.raises(ie.InvalidRequestError, match=said) as caught:
        backend.complete("Hi")
    assert "model_path" in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_model(tmp_path):
    """Neither is anything else that cannot be read."""
    with make(tmp_path) as backend, pytest.raises(ie.InvalidRequestError, match="cannot be read"):
        backend.load()


def test_a_file_that_was_cut_says_what_llama_cpp_said(tiny, tmp_path):
    """What llama.cpp finds wrong is in the error, and not on stderr."""
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:200_000])
    with (
        make(path) as backend,
        pytest.raises(ie.NotReadyError, match=r"llama\.cpp says: ") as caught,
    ):
        backend.load()
    assert not caught.value.retryable


def test_the_hash_decides(tiny):
    """A file that is not the one that was meant is not loaded."""
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    with make(tiny, model_sha256=digest.upper()) as backend:
        backend.load()
    other = "0" * 64
    with make(tiny, model_sha256=other) as backend:
        with pytest.raises(ie.InvalidRequestError, match="model_sha256 is 0000") as caught:
            backend.load()
    assert digest in str(caught.value)


def test_too_little_memory_is_told_before_it_is_taken(tiny):
    """A context that this machine cannot hold is refused, with both numbers."""
    with make(tiny, n_ctx=2**31) as backend:
        with pytest.raises(ie.NotReadyError, match=r"n_ctx=2147483648 tokens takes \d+\.\d GiB"):
            backend.load()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"model_path": ""}, "model_path"),
        ({"model_path": 3}, "model_path"),
        ({"model_sha256": "abc"}, "model_sha256"),
        ({"n_ctx": -1}, "n_ctx"),
        ({"n_ctx": 1.5}, "n_ctx"),
        ({"n_gpu_layers": -2}, "n_gpu_layers"),
        ({"n_threads": 0}, "n_threads"),
        ({"n_batch": 0}, "n_batch"),
        ({"cache_type": "f15"}, "cache_type"),
        ({"n_parallel": 0}, "n_parallel"),
        ({"max_waiting": -1}, "max_waiting"),
        ({"seed": -1}, "seed"),
        ({"chat_template": 3}, "chat_template"),
        ({"split_think_tags": "outside"}, "split_think_tags"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"timeout": 0}, "timeout"),
        ({"buffer": -1}, "buffer"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_setting_that_cannot_be_used_is_named(fields, name):
    """Before anything is loaded."""
    with pytest.raises(ie.InvalidRequestError, match=name):
        ie.LlamaCpp(**{"model_path": "model.gguf", **fields})


def test_it_is_loaded_once_for_all_who_ask(tiny, caplog):
    """Ten threads that ask at once wait for one loading."""
    caplog.set_level(logging.DEBUG, "inferd_engine.llamacpp")
    with make(tiny) as backend, ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: backend.load(), range(10)))
    assert caplog.text.count("loaded meta data with") == 1


def test_settings_share_the_model_unless_it_is_loaded_by_them(backend):
    """with_options() is cheap, and stop() on one leaves the other alone."""
    loaded = backend._engine.loaded
    other = backend.with_options(max_tokens=3, buffer=0)
    assert other._engine.loaded is loaded
    assert backend.with_options(n_ctx=256)._engine.loaded is None
    backend.stop()
    assert other.complete("Hi").usage.output_tokens == 3
    with pytest.raises(ie.NotReadyError, match="was stopped"):
        backend.complete("Hi")
    other.stop()


@pytest.mark.parametrize("way", ["token", "stop", "cancelled before"])
def test_loading_ends_with_the_call(endless, way):
    """Whoever waits for it leaves at once, and the loading ends when nobody waits."""
    backend, token = make(endless, model_sha256="0" * 64), ie.CancelToken()
    stopped = []

    def stop():
        until(loaders)
        stopped.append(time.monotonic())
        token.cancel() if way == "token" else backend.stop()

    if way == "cancelled before":
        token.cancel()
        stopped.append(time.monotonic())
    else:
        threading.Thread(target=stop).start()
    with pytest.raises((ie.RequestCancelledError, ie.NotReadyError)):
        backend.complete("Hi", cancel=token)
    assert time.monotonic() - stopped[0] < 1.0
    assert until(lambda: not loaders(), 1.0)
    backend.stop()


@pytest.mark.parametrize(
    ("call", "clock", "phase"),
    [
        *((call, "timeout", "total") for call in ("complete", "stream", "generate", "embeddings")),
        *((call, "first_token_timeout", "first_token") for call in ("complete", "generate")),
    ],
)
def test_loading_has_the_time_of_the_call(endless, clock, phase, call):
    """A deadline ends it as it ends all the rest, and nobody loads any more."""
    request = ie.Request([ie.Message("user", "Hi")]).resolve()
    with make(endless, model_sha256="0" * 64, embed=True, **{clock: 0.3}) as backend:
        asked = {"generate": request, "embeddings": ["Hi"]}.get(call, "Hi")
        began = time.monotonic()
        with pytest.raises(ie.DeadlineError, match=r"loading took longer than 0\.3 s") as caught:
            getattr(backend, call)(asked)
        assert 0.3 <= time.monotonic() - began < 2.0
        assert caught.value.phase == phase
        assert until(lambda: not loaders(), 2.0)


CTRL_C = """
import os, signal, sys, threading
import inferd_engine as ie

backend = ie.LlamaCpp(model_path=sys.argv[1], model_sha256="0" * 64)
if sys.argv[2] == "interrupt":
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
else:
    threading.Timer(0.5, lambda: print("leaving", flush=True)).start()
    threading.Thread(target=backend.load, daemon=True).start()
    threading.Event().wait(0.7)
    sys.exit(0)
try:
    backend.complete("Hi")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(("way", "said"), [("interrupt", "interrupted"), ("exit", "leaving")])
def test_a_program_may_end_while_it_loads(endless, way, said):
    """By Ctrl-C or by itself: at once, without a crash, and without a word."""
    program = [sys.executable, "-X", "faulthandler", "-c", CTRL_C, str(endless), way]
    began = time.monotonic()
    run = subprocess.run(program, capture_output=True, text=True, check=False, timeout=50)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{said}\n", "")
    assert time.monotonic() - began < 15  # to hash the file takes half a minute and more


def test_who_still_waits_is_served(endless, tiny):
    """The loading goes on while anybody waits for it; one who left does not end it."""
    backend, token = make(endless, model_sha256="0" * 64), ie.CancelToken()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(backend.complete, "Hi", cancel=token)
        second = pool.submit(backend.complete, "Hi")
        assert until(lambda: backend._engine._loading)
        assert until(lambda: len(backend._engine._loading[os.getpid()]._waiters) == 2)
        token.cancel()
        with pytest.raises(ie.RequestCancelledError):
            first.result(5)
        assert loaders()
        assert not second.done()
        endless.write_bytes(b"")  # it is read to its new end, at once
        with pytest.raises(ie.InvalidRequestError, match="model_sha256"):
            second.result(5)
        endless.write_bytes(tiny.read_bytes())
        with pytest.raises(ie.InvalidRequestError, match="model_sha256"):
            backend.load()  # begins anew
    backend.stop()


def test_llama_cpp_stops_loading_when_it_is_told(tiny):
    """Inside of llama.cpp the flag is looked at, too."""
    flag = AbortFlag()
    config = ie.LlamaCppConfig(model_path=tiny, **SETTINGS)
    flag.set()
    with pytest.raises(ie.RequestCancelledError):
        Model(config, flag)


def test_without_llama_cpp_it_says_what_to_install(tiny):
    """The module is imported by the first call, and by nothing before."""
    program = f"""
import sys
sys.modules["llama_cpp"] = None
import inferd_engine as ie
backend = ie.LlamaCpp(model_path={str(tiny)!r})
try:
    backend.complete("Hi")
except ie.UnsupportedError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip().endswith("pip install 'inferd-engine[llamacpp]'")


def test_nothing_is_written_to_stderr(tiny):
    """llama.cpp's own log lines go to a logger, whatever is loaded, run or dropped."""
    program = f"""
import inferd_engine as ie
with ie.LlamaCpp(model_path={str(tiny)!r}, n_ctx=512, n_threads=1) as backend:
    backend.complete("Hi", max_tokens=5)
stream = ie.LlamaCpp(model_path={str(tiny)!r}, n_ctx=512, n_threads=1).stream("Hi", max_tokens=400)
next(stream)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("", "")


def in_a_child(call):
    """Return what a call gives in a forked process, as text; its error's, if it raises."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(call()).encode())
        except ie.GenerateError as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


@needs_fork
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_loads_its_own(tiny, threads):
    """What computes did not come along; the parent keeps what it has, and goes on."""
    with make(tiny, n_threads=threads) as backend:
        right = backend.complete("Hi", max_tokens=8, temperature=0).text
        busy = backend.stream("Hi", max_tokens=400)
        next(busy)

        def ask():
            text = backend.complete("Hi", max_tokens=8, temperature=0).text
            backend.stop()  # frees nothing of the parent's
            return text

        assert in_a_child(ask) == right
        assert len(list(busy)) > 100
        assert backend.complete("Hi", max_tokens=8, temperature=0).text == right


@needs_fork
def test_a_forked_process_beside_a_card_is_told(backend, monkeypatch):
    """Its driver does not survive that: an error instead of a crash."""
    monkeypatch.setattr(engine, "devices", lambda: (Device("CUDA", 1),))
    said = in_a_child(lambda: backend.complete("Hi", max_tokens=2).text)
    assert said.startswith("NotReadyError: ")
    assert "in each process" in said
    assert backend.complete("Hi", max_tokens=2).usage.output_tokens == 2


def test_a_pickle_loads_its_own(backend):
    """What is loaded stays here; the settings go."""
    other = pickle.loads(pickle.dumps(backend))
    assert other.config == backend.config
    assert other._engine.loaded is None
    assert hash(copy.copy(backend.config)) == hash(backend.config)


def test_it_says_what_it_computes_on(backend):
    """As llama.cpp's own list of devices tells: here that is the processor, by its name."""
    found = backend.capabilities().accelerator
    assert devices()
    assert {device.backend for device in devices()} >= {"CPU"}
    assert found == accelerator_of(devices(), 0)
    if not library().llama_supports_gpu_offload():
        assert found.kind == "cpu"
        assert found.device_name

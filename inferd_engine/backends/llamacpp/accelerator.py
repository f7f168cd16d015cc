"""What llama.cpp computes on, as its own list of devices tells.

A build has the devices that it was compiled for and that the machine has: the processor always, a
library beside it (BLAS) perhaps, graphics cards perhaps.  Layers go to all cards, or, where there
are none, to one that is built in; with ``n_gpu_layers=0`` large batches are computed there still.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.backends.base import AcceleratorInfo
from inferd_engine.backends.llamacpp.library import library
from inferd_engine.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

CPU, CARD, BUILT_IN = 0, 1, 2  # ggml-backend.h, enum ggml_backend_dev_type
# What a backend calls itself (its ggml_backend_reg_name), where that is not the word in lower case.
_KINDS = {"mtl": "metal", "": "gpu"}


@attrs.frozen
class Device:
    """A device, as ggml tells of it.

    Args:
        backend: What computes on it: ``"CUDA"``, ``"CPU"``, ….
        kind: One of ``enum ggml_backend_dev_type``.
        name: Its maker's.
        memory: Bytes that it has.
    """

    backend: str
    kind: int
    name: str = ""
    memory: int = 0


def accelerator(gpu_layers: int) -> AcceleratorInfo:
    """Return what is computed on here; ``"cpu"`` where llama-cpp-python is not installed.

    Args:
        gpu_layers: How many layers are to be computed on an accelerator.
    """
    try:
        return accelerator_of(devices(), gpu_layers)
    except UnsupportedError:  # whoever asks the model is told
        return AcceleratorInfo(gpu_layers=gpu_layers)


def accelerator_of(devices: Sequence[Device], gpu_layers: int) -> AcceleratorInfo:
    """Return what is computed on, of these devices.

    Args:
        devices: All that there are.
        gpu_layers: How many layers are to be computed on an accelerator.
    """
    cards = [device for device in devices if device.kind == CARD]
    used = cards or [device for device in devices if device.kind == BUILT_IN][:1]
    if not used:
        names = [device.name for device in devices if device.kind == CPU]
        return AcceleratorInfo("cpu", gpu_layers, names[0] or None if names else None)
    word = used[0].backend.lower()
    memory = sum(device.memory for device in used)
    return AcceleratorInfo(
        _KINDS.get(word, word), gpu_layers, used[0].name or None, vram_total_bytes=memory or None
    )


def has_cards(devices: Sequence[Device]) -> bool:
    """Whether there is more than the processor: a driver, which does not survive a fork."""
    return any(device.kind in (CARD, BUILT_IN) for device in devices)


@functools.cache
def devices() -> tuple[Device, ...]:
    """Return the devices of this build and this machine.

    Raises:
        UnsupportedError: llama-cpp-python is not installed.
    """
    llama = library()
    try:
        ggml = _Ggml(llama)
        return tuple(ggml.device(index) for index in range(ggml.count()))
    except (AttributeError, OSError, RuntimeError):  # a build that shows no such functions
        return (Device("", CARD),) if llama.llama_supports_gpu_offload() else ()


class _Ggml:
    """The functions of ggml that tell of devices: llama-cpp-python's table has none of them."""

    def __init__(self, llama: Any) -> None:  # a module without types
        # What libllama needs is found by way of it; on Windows by its own name alone.
        folder = Path(str(llama.__file__)).parent / "lib"
        own = [ctypes.CDLL(str(path)) for path in sorted(folder.glob("ggml*.dll"))]
        self._libraries = [llama._lib, *own]  # noqa: SLF001 - there is no other name for it
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        self.count = self._function("count", size)
        self._get = self._function("get", pointer, size)
        self._type = self._function("type", ctypes.c_int, pointer)
        self._description = self._function("description", ctypes.c_char_p, pointer)
        sizes = ctypes.POINTER(size)
        self._memory = self._function("memory", None, pointer, sizes, sizes)
        self._registry = self._function("backend_reg", pointer, pointer)
        self._backend = self._function("name", ctypes.c_char_p, pointer, of="reg")

    def _function(self, name: str, result: Any, *arguments: Any, of: str = "dev") -> Any:  # ctypes'
        full = f"ggml_backend_{of}_{name}"
        for one in self._libraries:
            if hasattr(one, full):
                function = getattr(one, full)
                function.restype, function.argtypes = result, arguments
                return function
        raise AttributeError(full)

    def device(self, index: int) -> Device:
        """Return what is known of a device."""
        device = self._get(index)
        kind = self._type(device)
        free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
        if kind in (CARD, BUILT_IN):
            self._memory(device, ctypes.byref(free), ctypes.byref(total))
        return Device(
            _text(self._backend(self._registry(device))),
            kind,
            _text(self._description(device)),
            total.value,
        )


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "replace").strip()

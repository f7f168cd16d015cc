"""What is computed on, by what ggml tells of its devices."""

from __future__ import annotations

import pytest

import inferd_engine as ie
from inferd_engine.backends.llamacpp import accelerator
from inferd_engine.backends.llamacpp.accelerator import Device, accelerator_of

GIB = 2**30
XEON = Device("CPU", 0, "Intel(R) Xeon(R) Processor @ 2.10GHz", 24 * GIB)
BLAS = Device("BLAS", 3, "OpenBLAS")


# What each build of llama.cpp told of such a machine in its log.
@pytest.mark.parametrize(
    ("told", "kind", "name", "gib"),
    [
        ([XEON], "cpu", XEON.name, None),
        ([BLAS, XEON], "cpu", XEON.name, None),
        ([Device("MTL", 1, "Apple M2 Max", 48 * GIB), BLAS, XEON], "metal", "Apple M2 Max", 48),
        ([Device("Metal", 1, "Apple M1", 10 * GIB), XEON], "metal", "Apple M1", 10),
        (
            [Device("CUDA", 1, "NVIDIA GeForce RTX 4090", 24 * GIB), XEON],
            "cuda",
            "NVIDIA GeForce RTX 4090",
            24,
        ),
        ([Device("CUDA", 1, "A", 24 * GIB), Device("CUDA", 1, "B", 8 * GIB)], "cuda", "A", 32),
        (
            [Device("ROCm", 1, "AMD Radeon RX 7900 XTX", 24 * GIB), XEON],
            "rocm",
            "AMD Radeon RX 7900 XTX",
            24,
        ),
        (
            [Device("Vulkan", 2, "Intel(R) Iris(R) Xe Graphics (TGL GT2)", 8 * GIB), XEON],
            "vulkan",
            "Intel(R) Iris(R) Xe Graphics (TGL GT2)",
            8,
        ),
        (
            [Device("Vulkan", 2, "built in", 8 * GIB), Device("Vulkan", 1, "card")],
            "vulkan",
            "card",
            None,
        ),
        ([Device("SYCL", 1, "Intel Arc", 16 * GIB)], "sycl", "Intel Arc", 16),
        ([Device("", 1)], "gpu", None, None),
        ([], "cpu", None, None),
    ],
)
def test_what_ggml_tells(told, kind, name, gib):
    """Cards first, then the one that is built in, else the processor."""
    found = accelerator_of(told, 7)
    assert (found.kind, found.gpu_layers, found.device_name) == (kind, 7, name)
    assert found.vram_total_bytes == (None if gib is None else gib * GIB)


def test_without_llama_cpp_nothing_is_known(monkeypatch):
    """What a backend can do may be asked before anything is installed."""

    def refuse():
        raise ie.UnsupportedError("not installed")

    monkeypatch.setattr(accelerator, "devices", refuse)
    can = ie.LlamaCpp(model_path="x.gguf", n_gpu_layers=3).capabilities()
    assert can.accelerator == ie.AcceleratorInfo(gpu_layers=3)

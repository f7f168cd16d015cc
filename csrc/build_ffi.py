"""Describe the C part to cffi; ``setup.py`` builds it: API mode, limited API."""

from pathlib import Path

from cffi import FFI

PARTS = ("sse_lines", "http_chunks")

ffibuilder = FFI()
for part in PARTS:
    ffibuilder.cdef((Path(__file__).parent / f"{part}.cdef").read_text(encoding="ascii"))
ffibuilder.set_source(
    "inferd_engine.wire._native",
    "".join(f'#include "{part}.h"\n' for part in PARTS),
    sources=[f"csrc/{part}.c" for part in PARTS],
    depends=[f"csrc/{part}.h" for part in PARTS],
    include_dirs=["csrc"],
    py_limited_api=True,
)

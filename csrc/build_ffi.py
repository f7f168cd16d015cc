"""Describe the C part to cffi; ``setup.py`` builds it: API mode, limited API."""

from pathlib import Path

from cffi import FFI

PARTS = (
    "sse_lines",
    "alike_events",
    "utf8",
    "http_chunks",
    "socket_read",
    "socket_texts",
    "abort_flag",
    "base64_floats",
)

ffibuilder = FFI()
for part in PARTS:
    ffibuilder.cdef((Path(__file__).parent / f"{part}.cdef").read_text(encoding="ascii"))
ffibuilder.set_source(
    "inferd_engine._native._compiled",
    "".join(f'#include "{header}.h"\n' for header in (*PARTS, "python_lock")),
    sources=[f"csrc/{part}.c" for part in PARTS],
    depends=[f"csrc/{header}.h" for header in (*PARTS, "python_lock")],
    include_dirs=["csrc"],
    py_limited_api=True,
)

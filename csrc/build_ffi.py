"""Describe the C part to cffi; ``setup.py`` builds it: API mode, limited API."""

from pathlib import Path

from cffi import FFI

ffibuilder = FFI()
ffibuilder.cdef((Path(__file__).parent / "sse_lines.cdef").read_text(encoding="ascii"))
ffibuilder.set_source(
    "inferd_engine.wire._sse_lines",
    '#include "sse_lines.h"',
    sources=["csrc/sse_lines.c"],
    depends=["csrc/sse_lines.h"],
    include_dirs=["csrc"],
    py_limited_api=True,
)

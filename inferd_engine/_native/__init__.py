"""The C part, and the one switch that says whether it is the default.

``INFERD_ENGINE_NATIVE`` is read once, at import: ``1`` = the C part must load, ``0`` = what is pure
Python is the default, unset = the best there is.  Whoever has a part in C asks here; what is made
with an explicit ``implementation=`` may differ from the default.
"""

from __future__ import annotations

import os
from typing import Any, Literal

Implementation = Literal["native", "pure"]

_switch = os.environ.get("INFERD_ENGINE_NATIVE", "")
ffi: Any
lib: Any
CHARS: Any
new_chars: Any  # as new_chars(CHARS, size): not cleared, it is written over
try:
    import _cffi_backend  # noqa: F401 - the C part imports it from C, where no packer looks

    from inferd_engine._native._compiled import ffi as _ffi, lib as _lib
except ImportError as error:
    ffi = lib = CHARS = new_chars = None
    if _switch == "1":
        raise ImportError(
            "INFERD_ENGINE_NATIVE=1, but the C part is not there: install inferd_engine on a "
            "machine with a C compiler, for a Python with the GIL, or unset the variable"
        ) from error
else:
    ffi, lib = _ffi, _lib
    CHARS = ffi.typeof("char[]")
    new_chars = ffi.new_allocator(should_clear_after_alloc=False)

IS_THERE = lib is not None
"""Whether the C part is installed."""
IMPLEMENTATION: Implementation = "native" if IS_THERE and _switch != "0" else "pure"
"""The default."""

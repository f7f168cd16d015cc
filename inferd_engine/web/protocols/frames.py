"""JSON as it may leave: on one line, in ASCII, and harmless wherever a page puts it.

Escaped are the line ends (as JSON does), U+2028 and U+2029 (which older scripts take for line
ends), halves of characters (which UTF-8 cannot hold), and ``<``, so that no text closes a
``<script>`` around it.  No text can therefore end its frame or forge another.
"""

from __future__ import annotations

import json
from typing import Any

_compact = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def json_text(value: Any) -> str:
    r"""Return JSON on one line of ASCII; ``<``, which only stands in texts, is ``\u003c``."""
    return _compact(value).replace("<", "\\u003c")


def sse_frame(value: Any) -> bytes:
    """Return a server-sent event with JSON as its data (WHATWG HTML, section 9.2)."""
    return f"data: {json_text(value)}\n\n".encode("ascii")


def json_line(value: Any) -> bytes:
    """Return a line of NDJSON."""
    return f"{json_text(value)}\n".encode("ascii")

"""An answer as it goes over the wire, where it has to be exactly what was recorded.

The connection is used for one answer: so a cut is a cut, and what has no length may end.
"""

from __future__ import annotations

import http.client
import json

from inferd_engine.testing.tape import Response

LAST_CHUNK = b"0\r\n\r\n"
_REFUSED = 422  # a status after which no client tries again, or looks for another model


def head_bytes(response: Response) -> bytes:
    """Return a status line and headers."""
    reason = http.client.responses.get(response.status, "Unknown")
    lines = [f"HTTP/1.1 {response.status} {reason}", "Connection: close"]
    lines += [f"{name.title()}: {value}" for name, value in response.headers.items()]
    if response.framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    elif response.length is not None:
        lines.append(f"Content-Length: {response.length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def refusal(message: str) -> bytes:
    """Return a whole answer that refuses, in OpenAI's shape."""
    error = {"message": message, "type": "cassette_error", "param": None, "code": "cassette"}
    body = json.dumps({"error": error}, ensure_ascii=False).encode()
    headers = {"content-type": "application/json"}
    return head_bytes(Response(0.0, _REFUSED, headers, "length", len(body))) + body

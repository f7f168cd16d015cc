"""One request as the upstream received it, and what became of its reply."""

from __future__ import annotations

import functools
import json
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Received:
    """One request that the upstream received, and what became of its reply.

    Attributes:
        method: ``"POST"`` or ``"GET"``.
        path: With its query.
        headers: Names in lower case.
        body: The bytes that were posted.
        arrived_at: When it was read, as a moment of ``time.monotonic()``.
        sent: How many bytes of the reply the client's side has taken.
        finished: Set when the reply was sent whole.
        gone: Set when the client went before that.
        gone_at: When the client went, as a moment of ``time.monotonic()``; None: it did not.
    """

    def __init__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.arrived_at = time.monotonic()
        self.sent = 0
        self.finished = threading.Event()
        self.gone = threading.Event()
        self.gone_at: float | None = None

    @functools.cached_property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    def mark_gone(self) -> None:
        """Note that the client has gone, now."""
        self.gone_at = time.monotonic()
        self.gone.set()

    def __repr__(self) -> str:
        return f"<Received {self.method} {self.path}>"

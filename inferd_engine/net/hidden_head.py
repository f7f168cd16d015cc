"""The secret parts of a request's head, kept out of every frame and buffer until they are sent.

A call may wait for minutes, and whoever looks at its frames meanwhile (a crash reporter, a
profiler, a debugger) sees the locals of http.client: the joined head among them, in clear.  So
http.client is given a head without what is secret, and ``filled()`` adds it as the bytes go to the
socket, in a ``memoryview``, which shows nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inferd_engine.secrets.secret import MASK, HeaderValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inferd_engine.secrets.secret import Secret

_END = b"\r\n"  # the blank line that ends a head


class HiddenHead:
    """What is left out of one head.

    Args:
        query: What stands behind the question mark of the request's target, if that is ``?***``.
    """

    def __init__(self, query: Secret | None = None) -> None:
        self._query = query
        self._headers: list[tuple[str, HeaderValue]] = []

    def take(self, name: str, *values: Any) -> bool:  # http.client's own
        """Keep a header if it is secret; say whether it was."""
        if len(values) == 1 and isinstance(values[0], HeaderValue):
            self._headers.append((name, values[0]))
            return True
        return False

    def without(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        """Keep the secret ones among some headers; give the others."""
        given = (headers or {}).items()
        return {name: value for name, value in given if not self.take(name, value)}

    def filled(self, head: bytes) -> memoryview:
        """Return a head as it is sent.  No local here holds what is put together."""
        lines = (b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in self._headers)
        return memoryview(b"".join((self._with_query(head)[: -len(_END)], *lines, _END)))

    def _with_query(self, head: bytes) -> bytes:
        if self._query is None:
            return head
        # The first question mark of a head is that of its target: methods and paths hold none.
        return head.replace(b"?" + MASK.encode(), b"?" + self._query.reveal().encode(), 1)

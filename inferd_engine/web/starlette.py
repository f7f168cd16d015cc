"""Starlette and FastAPI: ``return stream_response(backend, prompt)`` in a plain ``def`` endpoint.

Such an endpoint runs in a thread, where it may wait for the upstream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from inferd_engine.web.body import HEARTBEAT, Body
from inferd_engine.web.opening import answer_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send
    from typing_extensions import Unpack

    import inferd_engine as ie
    from inferd_engine.web.opening import CallFields, Source
    from inferd_engine.web.protocols import Protocol


class _Streaming(StreamingResponse):
    """Close the body whatever ends the answer: Starlette leaves that to the garbage collector."""

    def __init__(self, body: Body) -> None:
        super().__init__(body, headers=dict(body.headers))
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._body.close()


def stream_response(
    backend: Source,
    prompt: ie.Prompt | None = None,
    *,
    heartbeat: float | None = HEARTBEAT,
    protocol: str | Protocol = "inferd",
    **fields: Unpack[CallFields],
) -> Response:
    """Return an answer as a response that streams; what fails before it is its HTTP status.

    Args:
        backend: Who is asked; or a ``TokenStream``, alone.
        prompt: As in ``Backend.stream()``.
        heartbeat: As in ``sse()``.
        protocol: As in ``sse()``.
        fields: As in ``Backend.stream()``: ``max_tokens=100``, ``system="…"``, …
    """
    answer = answer_of(backend, prompt, heartbeat=heartbeat, protocol=protocol, fields=fields)
    if not isinstance(answer, Body):
        return Response(answer.body, answer.status, dict(answer.headers))
    return _Streaming(answer)

"""Flask: ``return stream_response(backend, prompt)`` in a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, has_request_context, request

from inferd_engine.web.body import HEARTBEAT, Body
from inferd_engine.web.opening import answer_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    import inferd_engine as ie
    from inferd_engine.web.opening import CallFields, Source
    from inferd_engine.web.protocols import Protocol


def stream_response(
    backend: Source,
    prompt: ie.Prompt | None = None,
    *,
    heartbeat: float | None = HEARTBEAT,
    protocol: str | Protocol = "inferd",
    **fields: Unpack[CallFields],
) -> Response:
    """Return an answer as a Flask response that streams; what fails before it is its HTTP status.

    Args:
        backend: Who is asked; or a ``TokenStream``, alone.
        prompt: As in ``Backend.stream()``.
        heartbeat: As in ``sse()``.
        protocol: As in ``sse()``.
        fields: As in ``Backend.stream()``: ``max_tokens=100``, ``system="…"``, …
    """
    answer = answer_of(
        backend,
        prompt,
        heartbeat=heartbeat,
        protocol=protocol,
        fields=fields,
        environ=request.environ if has_request_context() else None,
    )
    if not isinstance(answer, Body):
        return Response(answer.body, answer.status, dict(answer.headers))
    # Passed through, or something that looks at the body would read all of it.
    return Response(answer, headers=dict(answer.headers), direct_passthrough=True)

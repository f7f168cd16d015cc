"""Django: ``return stream_response(request, backend, prompt)`` in a view, a plain ``def`` one.

Under ASGI Django runs such a view in a thread, where it may wait for the upstream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from inferd_engine.web.body import HEARTBEAT, Body
from inferd_engine.web.opening import answer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.http.response import HttpResponseBase
    from typing_extensions import Unpack

    import inferd_engine as ie
    from inferd_engine.web.opening import CallFields, Source
    from inferd_engine.web.protocols import Protocol


class _AsynchronousOnly:
    """A body that cannot be iterated over synchronously, as Django otherwise would under ASGI."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.close = body.close

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body


def stream_response(
    request: HttpRequest,
    backend: Source,
    prompt: ie.Prompt | None = None,
    *,
    heartbeat: float | None = HEARTBEAT,
    protocol: str | Protocol = "inferd",
    **fields: Unpack[CallFields],
) -> HttpResponseBase:
    """Return an answer as a Django response that streams; what fails before it is its HTTP status.

    Args:
        request: The view's own: it tells WSGI from ASGI.
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
        environ=request.environ if isinstance(request, WSGIRequest) else None,
    )
    if not isinstance(answer, Body):
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
    content = _AsynchronousOnly(answer) if isinstance(request, ASGIRequest) else answer
    return StreamingHttpResponse(content, headers=dict(answer.headers))

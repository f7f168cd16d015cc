"""What every framework's one line does first: ask, and see whether there is an answer at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

import inferd_engine as ie
from inferd_engine.web.body import Body, id_of, sse
from inferd_engine.web.client import watched, way_to_ask
from inferd_engine.web.errors import ErrorResponse, error_response
from inferd_engine.web.protocols import Inferd

if TYPE_CHECKING:
    from inferd_engine.web.protocols import Protocol

Source = Union[ie.Backend, ie.TokenStream]


class CallFields(ie.RequestFields, total=False):
    """What a view may say beside the prompt: all that ``Backend.stream()`` takes."""

    system: str | None
    cancel: ie.CancelToken | None
    include_raw: bool


def answer_of(
    source: Source,
    prompt: ie.Prompt | None,
    *,
    heartbeat: float | None,
    protocol: str | Protocol,
    fields: CallFields,
    environ: dict[str, Any] | None = None,
) -> Body | ErrorResponse:
    """Return the body of an answer, or what to answer with where it failed before its first token.

    Args:
        source: A backend, which is asked, or a stream that was opened already.
        prompt: What a backend is asked; None with a stream.
        heartbeat: As in ``sse()``.
        protocol: As in ``sse()``.
        fields: Of the request, by name.
        environ: Of the browser's request, under WSGI: while the upstream sends no headers, nothing
            is written, and only some servers' sockets tell that the browser has gone.
    """
    if isinstance(source, ie.TokenStream):
        if prompt is not None or fields:
            raise TypeError("a stream was asked already: give it alone, or a backend and a prompt")
        return sse(source, heartbeat=heartbeat, protocol=protocol)
    if prompt is None:
        raise TypeError("there is no prompt: give a backend and a prompt, or a stream")
    # A token of the view's may end other calls, too.
    is_gone = None if environ is None or fields.get("cancel") else way_to_ask(environ)
    token = ie.CancelToken()
    if is_gone is not None:
        fields = {**fields, "cancel": token}
    try:
        with watched(is_gone, token):
            stream = source.stream(prompt, **fields)
    except ie.GenerateError as error:
        return error_response(error)
    try:
        if protocol == "inferd":
            protocol = Inferd(id_of(stream), source.name)
        return sse(stream, heartbeat=heartbeat, protocol=protocol)
    except BaseException:
        stream.close()
        raise

"""A stream as the body of an answer: bytes that leave at once, and one end for both sides.

A server that waits for a model cannot see that the browser has gone: only a write tells, and the
first write after the end succeeds (the kernel takes it; the refusal comes back after it).  So a
body never is silent for longer than a heartbeat, and a heartbeat is three small writes.  When the
server notices, it calls ``close()`` (PEP 3333) or ``aclose()``, and the upstream is told.

The other way round, how the stream ended becomes the last frame.  The state is the stream's own:
a body adds that a closed one gives nothing more.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.web.errors import log
from inferd_engine.web.protocols import (
    AgUi,
    Inferd,
    OpenAI,
    Protocol,
    Vercel,
    json_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

    from inferd_engine.web.handover import Handover
    from inferd_engine.web.protocols.protocol import Ending

    _Events = Iterator[ie.TokenEventV2 | ie.Token | None]

HEARTBEAT = 5.0  # seconds: a tab that was closed costs a model no more than that
_BEATS = 3  # writes: the first one succeeds, and its refusal may take a moment to come back
_APART = 0.05  # seconds between them: a round trip to most browsers

_SSE_BEAT = b":\n\n"  # a comment: parsers leave it out (WHATWG HTML, section 9.2.6)
_NDJSON_BEAT = b" "  # white space before the next object, which no JSON parser minds

# Nothing hop-by-hop, which PEP 3333 forbids.  nginx is told not to buffer; and nobody compresses,
# which would hold frames back: Django's GZipMiddleware leaves alone what has an encoding.
_NOT_HELD_BACK = (
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
    ("Content-Encoding", "identity"),
)


class Body:
    """Give it to a server, which iterates over it and closes it: WSGI's way, or ASGI's.

    Attributes:
        headers: Name and value pairs to answer with.
    """

    def __init__(
        self,
        stream: ie.TokenStream,
        chunks: Iterator[bytes],
        headers: Iterable[tuple[str, str]],
    ) -> None:
        self.headers = list(headers)
        self._stream = stream
        self._chunks = chunks
        self._closed = False
        self._handover: Handover | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._closed:
            raise StopIteration
        try:
            chunk = next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            if self._closed and isinstance(error, ie.RequestCancelledError):
                raise StopIteration from None
            self.close()
            raise
        if self._closed:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Stop the answer and its upstream; from any thread, as often as you like."""
        self._closed = True
        self._stream.close()
        if self._handover is not None:
            self._handover.stop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._closed:
            raise StopAsyncIteration
        try:
            if self._handover is None:
                from inferd_engine.web.handover import Handover  # noqa: PLC0415 - asyncio, if at all

                self._handover = Handover(self._chunks, self._stream.close)
            chunk = await self._handover.get()
        except StopAsyncIteration:
            raise
        except BaseException as error:  # the task was cancelled, or the answer failed
            if self._closed and isinstance(error, ie.RequestCancelledError):
                raise StopAsyncIteration from None
            self.close()
            raise
        if self._closed:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Do what ``close()`` does, which never blocks."""
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_handover"):  # an ASGI server that is told of nothing just drops it
            self.close()


def sse(
    stream: ie.TokenStream,
    *,
    heartbeat: float | None = HEARTBEAT,
    protocol: str | Protocol = "inferd",
) -> Body:
    """Return an answer as server-sent events.

    Args:
        stream: What ``Backend.stream()`` gave.
        heartbeat: Seconds of silence after which a comment is sent; None for none: then nobody
            notices that the browser has gone before the model speaks again.
        protocol: ``"inferd"``, ``"openai"``, ``"vercel"``, ``"ag-ui"``, or a ``Protocol`` of yours,
            made for this answer.

    Raises:
        TypeError: ``stream`` is none.
        InvalidRequestError: There is no such protocol, or the heartbeat is not above 0.
        UnsupportedError: The backend was made with ``buffer=0``, and there is to be a heartbeat.
    """
    _check_stream(stream)
    spoken = _protocol(protocol, stream)
    headers = {
        name.lower(): (name, value)
        for name, value in (
            ("Content-Type", "text/event-stream; charset=utf-8"),
            *_NOT_HELD_BACK,
            *spoken.headers,
        )
    }
    events = _events(stream, heartbeat)
    return Body(stream, _frames(events, spoken, _SSE_BEAT), headers.values())


def ndjson(stream: ie.TokenStream, *, heartbeat: float | None = HEARTBEAT) -> Body:
    """Return an answer as inferd's frames, one a line.

    Args:
        stream: What ``Backend.stream()`` gave.
        heartbeat: Seconds of silence after which a blank is sent, in front of the next line; None
            for none.

    Raises:
        TypeError: ``stream`` is none.
        InvalidRequestError: The heartbeat is not above 0.
        UnsupportedError: The backend was made with ``buffer=0``, and there is to be a heartbeat.
    """
    _check_stream(stream)
    events = _events(stream, heartbeat)
    spoken = Inferd(id_of(stream), frame=json_line)
    headers = (("Content-Type", "application/x-ndjson; charset=utf-8"), *_NOT_HELD_BACK)
    return Body(stream, _frames(events, spoken, _NDJSON_BEAT), headers)


def text(stream: ie.TokenStream) -> Body:
    """Return an answer as plain text, for short ones: it has no heartbeat and no last frame.

    An answer that fails, or that somebody else closes, raises out of the iteration, so that the
    server breaks the body off.

    Args:
        stream: What ``Backend.stream()`` gave.

    Raises:
        TypeError: It is none.
    """
    _check_stream(stream)
    headers = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),  # browsers wait for 1 KB to guess by, else
        *_NOT_HELD_BACK,
    )
    return Body(stream, _texts(stream), headers)


def _texts(stream: ie.TokenStream) -> Iterator[bytes]:
    for piece in stream.text():
        yield piece.encode("utf-8", "replace")  # halves of characters, which UTF-8 cannot hold
    if stream.cancelled:
        raise ie.RequestCancelledError(
            "the stream was closed before the answer was whole", request_id=stream.request_id
        )


def _check_stream(stream: ie.TokenStream) -> None:
    if not isinstance(stream, ie.TokenStream):
        kind = type(stream).__name__
        raise TypeError(f"stream is of type {kind}: give a TokenStream, which stream() returns")


def id_of(stream: ie.TokenStream) -> str:
    """Return what frames call an answer: its upstream's id, the caller's, or one of ours."""
    return stream.request_id or uuid.uuid4().hex


def _protocol(protocol: str | Protocol, stream: ie.TokenStream) -> Protocol:
    """Return what a protocol's name means for a stream."""
    answer_id = id_of(stream)
    if protocol == "inferd":
        return Inferd(answer_id)
    if protocol == "openai":
        return OpenAI(answer_id, created=int(time.time()))
    if protocol == "vercel":
        return Vercel(answer_id)
    if protocol == "ag-ui":
        return AgUi(uuid.uuid4().hex, answer_id)
    if isinstance(protocol, type) or not isinstance(protocol, Protocol):
        raise ie.InvalidRequestError(
            f"protocol is {protocol!r}: take 'inferd', 'openai', 'vercel' or 'ag-ui', "
            "or an object with headers, start(), event() and end()"
        )
    return protocol


def check_heartbeat(heartbeat: float) -> None:
    """Refuse a heartbeat that is no time.

    Raises:
        InvalidRequestError: It is not above 0.
    """
    if not (isinstance(heartbeat, (int, float)) and heartbeat > 0):
        raise ie.InvalidRequestError(f"heartbeat is {heartbeat!r}: give seconds above 0")


def _events(stream: ie.TokenStream, heartbeat: float | None) -> _Events:
    """Return an iterator over events, and None when a sign of life is due."""
    if heartbeat is None:
        return iter(stream)
    check_heartbeat(heartbeat)
    stream.with_heartbeat(heartbeat)  # refuses a stream that has no worker
    return _beating(stream, heartbeat)


def _beating(stream: ie.TokenStream, heartbeat: float) -> _Events:
    while True:
        event = stream.poll(heartbeat)
        for _ in range(_BEATS - 1):
            if event is None and not stream.ended:
                yield None
                event = stream.poll(_APART)
        if event is None and stream.ended:
            return
        yield event


def _frames(events: _Events, protocol: Protocol, beat: bytes) -> Iterator[bytes]:
    """Give a body's chunks: the first at once, one for each event, and the end."""
    yield protocol.start() or beat
    ending: Ending = None
    try:
        for event in events:
            if isinstance(event, ie.Done):
                ending = ending_of(event)
            elif chunk := beat if event is None else protocol.event(event):
                yield chunk
    except ie.GenerateError as error:
        ending = error
    if isinstance(ending, ie.GenerateError):
        log(ending)
    yield protocol.end(ending)


def ending_of(done: ie.Done) -> Ending:
    """Return what a ``Done`` means to a page, where a cut answer must not look whole."""
    if done.stop_reason is ie.StopReason.ERROR:
        return ie.StreamInterruptedError("the upstream gave the answer up")
    return None if done.stop_reason is ie.StopReason.CANCELLED else done

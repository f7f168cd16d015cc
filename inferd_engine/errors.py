"""Everything that can go wrong, named by who must act.

Goal: a caller decides with one ``except`` whether to fix the request, wait and try again, or
report a bug.  The class says who must act, ``retryable`` says whether the same call may succeed
if it is made again, the message names the place and the next step.

All but one are ``GenerateError``s.  ``EventTooLargeError`` is the decoder's, for those who bring a
transport of their own; in a stream it is an ``UpstreamError`` with the code ``event_too_large``.

Rules:

* an error never carries a secret: not in its message, its attributes or its causes (what raised
  it in ``requests`` holds the request's headers, so ``net`` keeps only the root cause, and of that
  no frame);
* every error pickles with its attributes and its cause, because errors cross process pools; a cause
  of somebody else's that does not is told in words;
* from a stream, ``retryable`` is false as soon as one event was delivered: the caller has seen half
  an answer, and only the caller can know whether a second one may follow it.  From ``complete()``
  nothing was handed out, and the word of the class stands.

Rejected: one class per HTTP status (the status is data), and ``requests``-like trees by library
layer (a user cannot act on a layer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from inferd_engine.events import Completion

DeadlinePhase = Literal["connect", "first_token", "idle", "total"]


class _Common(TypedDict, total=False):
    """What every error may be given by name."""

    retryable: bool | None
    request_id: str | None
    partial: Completion | None
    retry_after: float | None


class GenerateError(Exception):
    """Catch this to catch every error of this package.

    Args:
        message: What happened, where, and what to do next.
        retryable: Whether the same call may succeed if made again; the class's own answer if None.
        request_id: The upstream's id of the request, or the caller's.
        partial: What had been received, where ``collect()`` or ``text()`` raised it.
        retry_after: Seconds to wait before the next attempt, if anybody named them.
    """

    _retryable: ClassVar[bool] = False

    retryable: bool
    request_id: str | None
    partial: Completion | None
    retry_after: float | None = None  # in to_dict() where somebody named them
    attempts: int = 1
    """How often was asked in all, where ``Retrying`` or ``Router`` did."""

    def __init__(
        self,
        message: str = "",
        *,
        retryable: bool | None = None,
        request_id: str | None = None,
        partial: Completion | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = self._retryable if retryable is None else retryable
        self.request_id = request_id
        self.partial = partial
        if retry_after is not None:
            self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy(), _portable(self.__cause__))

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON: for results, journals and logs; it holds no secret.

        Returns:
            ``error`` (the class's name), ``message``, ``retryable``, ``request_id``, then the
            attributes of the class; what the upstream said is ``upstream_message``, and
            ``partial`` is there if anything had been received, ``attempts`` and ``notes`` if
            somebody asked more than once.
        """
        own = {**self.__dict__}
        notes = own.pop("__notes__", None)
        if "message" in own:
            own["upstream_message"] = own.pop("message")
        partial = own.pop("partial")
        common = {
            "error": type(self).__name__,
            "message": str(self),
            "retryable": own.pop("retryable"),
            "request_id": own.pop("request_id"),
        }
        if notes:
            own["notes"] = [*notes]
        return {**common, **own, **({} if partial is None else {"partial": partial.to_dict()})}


def _portable(cause: BaseException | None) -> BaseException | None:
    """Return a cause if it goes through a pickle, and what it says if it does not."""
    import pickle  # noqa: PLC0415 - it is there: somebody is pickling

    try:
        pickle.loads(pickle.dumps(cause))  # noqa: S301 - what was made in the same line
    except Exception:  # noqa: BLE001 - whatever somebody's exception does
        return RuntimeError(f"{type(cause).__name__}: {cause}")
    return cause


def _rebuild(
    cls: type[GenerateError],
    args: tuple[Any, ...],
    attributes: dict[str, Any],
    cause: BaseException | None,
) -> GenerateError:
    """Unpickle an error without calling a constructor that wants more than a message."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    error.__cause__ = cause
    return error


class NotReadyError(GenerateError):
    """Wait until the backend is ready, or make a new one if this one was stopped."""

    _retryable = True


class InvalidRequestError(GenerateError, ValueError):
    """Change the request: it cannot be sent as it is."""


class AttachmentUnsupportedError(InvalidRequestError):
    """Leave the attachment out, or use a backend that takes its kind."""


class UnknownContentBlockError(InvalidRequestError):
    """Remove the content block: this version does not know its type."""


class NonTextToolResultError(InvalidRequestError):
    """Give the tool result as text: this upstream takes nothing else there."""


class UnsupportedError(InvalidRequestError):
    """Use another backend or setting: this one cannot do it at all."""


class UnavailableError(GenerateError):
    """Try again later or elsewhere: the upstream could not serve the request."""

    _retryable = True


class TransportError(UnavailableError):
    """Check the network, the address and TLS: DNS, refused, reset, handshake, proxy."""


class DeadlineError(UnavailableError, TimeoutError):
    """Give the request more time, or find out why the upstream is slow.

    Args:
        phase: The clock that ran out: ``"connect"``, ``"first_token"``, ``"idle"`` or ``"total"``.
    """

    phase: DeadlinePhase

    def __init__(
        self,
        message: str = "",
        *,
        phase: DeadlinePhase = "total",
        **common: Unpack[_Common],
    ) -> None:
        super().__init__(message, **common)
        self.phase = phase


class HttpStatusError(UnavailableError):
    """Act on the status: the upstream refused the request before any answer began.

    Args:
        status: The HTTP status code.
        body: The first 4 KiB of the body as text, cut between characters.
        upstream_message: What the upstream said is wrong, found in the first 64 KiB of the body.
        headers: The answer's headers, names in lower case.
        code: The upstream's error code or type as text, if the body holds one.
    """

    status: int
    body: str
    message: str
    code: str | None
    headers: Mapping[str, str]

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        body: str = "",
        upstream_message: str = "",
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
        **common: Unpack[_Common],
    ) -> None:
        super().__init__(message, **common)
        self.status = status
        self.code = code
        self.body = body
        self.message = upstream_message
        self.headers = dict(headers or {})
        self.retry_after = self.retry_after  # told by to_dict(), None too: it has always been


class UpstreamError(UnavailableError):
    """Read ``message`` and ``code``: the upstream reported an error inside a 200 answer.

    Args:
        upstream_message: The upstream's own words.
        code: Its error code or type as text, or ours (``"event_too_large"``); None if it gave none.
    """

    message: str
    code: str | None

    def __init__(
        self,
        message: str = "",
        *,
        upstream_message: str | None = None,
        code: str | None = None,
        **common: Unpack[_Common],
    ) -> None:
        super().__init__(message, **common)
        self.message = message if upstream_message is None else upstream_message
        self.code = code


class ToolCallMalformedError(UnavailableError):
    """Ask again or repair ``arguments``: the model's tool arguments are not JSON.

    Args:
        tool_call_id: The call's id.
        name: The tool's name.
        arguments: The raw text that does not parse.
    """

    tool_call_id: str
    name: str
    arguments: str

    def __init__(
        self,
        message: str = "",
        *,
        tool_call_id: str = "",
        name: str = "",
        arguments: str = "",
        **common: Unpack[_Common],
    ) -> None:
        super().__init__(message, **common)
        self.tool_call_id = tool_call_id
        self.name = name
        self.arguments = arguments


class StreamInterruptedError(UnavailableError):
    """Treat what you have as half an answer: the stream broke or was cut after its headers."""


class RequestCancelledError(GenerateError):
    """Nothing to do: a ``CancelToken``, ``stop()`` or ``close()`` ended the call."""


class InternalError(GenerateError):
    """Report it, or use what the message names: our fault, or not possible with this backend."""


class EventTooLargeError(ValueError):
    """Raise the limit, or distrust the upstream: a server-sent event is larger than allowed.

    Args:
        size: Bytes of the event that were seen; it may have been going on.
        limit: Bytes that were allowed.
        events: The events that the same call decoded before it.
    """

    def __init__(self, size: int, limit: int, events: list[Any] | None = None) -> None:
        super().__init__(
            f"a server-sent event has {size} bytes or more, the limit is {limit}: "
            "raise max_event_bytes if the upstream is right"
        )
        self.size = size
        self.limit = limit
        self.events = events if events is not None else []

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.size, self.limit, self.events)

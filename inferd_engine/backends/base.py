"""What every backend is: a thing that is asked and answers with a stream.

Goal: programs are written against ``Backend`` and do not care whether a mock, a local server or a
cloud answers.  A backend implements ``name``, ``capabilities`` and ``generate_v2``, which gives
``open_stream()`` what its events come from; all that is convenient is built on these here, once.

Rules, inferd's own: everything that fails before the first token is raised by ``generate_v2``; no
retries and no failover inside, because only the caller knows what a second attempt may cost.
"""

from __future__ import annotations

import abc
import time
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.cancel import CancelToken, LiveSet
from inferd_engine.errors import (
    InternalError,
    InvalidRequestError,
    NotReadyError,
    RequestCancelledError,
    UnsupportedError,
)
from inferd_engine.frames import without_frames
from inferd_engine.proto.embed import EmbedRequest
from inferd_engine.proto.fields import check_names
from inferd_engine.proto.values import kind_of
from inferd_engine.reprs import short_repr
from inferd_engine.stream.iterator_source import source_of
from inferd_engine.stream.token_stream import TokenStream
from inferd_engine.stream.worker import collecting
from inferd_engine.wire.openai.prompts import request_from

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Executor
    from types import TracebackType
    from typing import Literal

    from typing_extensions import Self, Unpack

    from inferd_engine.cancel import Cancellable
    from inferd_engine.events import Completion, Event
    from inferd_engine.many.batch.map import Results
    from inferd_engine.many.retry import Retry
    from inferd_engine.proto.embed import EmbedResolved, EmbedTask
    from inferd_engine.proto.fields import RequestFields
    from inferd_engine.proto.v1 import Resolved
    from inferd_engine.proto.v2 import RequestV2, ResolvedV2
    from inferd_engine.stream.source import Source
    from inferd_engine.vectors import EmbedResult
    from inferd_engine.wire.openai.messages import Prompt


@attrs.frozen(slots=True)
class AcceleratorInfo:
    """What a backend computes on."""

    kind: str = "cpu"
    gpu_layers: int = 0
    device_name: str | None = None
    vram_total_bytes: int | None = None

    __repr__ = short_repr


@attrs.frozen(slots=True)
class BackendCapabilities:
    """What a backend can do; all false unless it says so."""

    v2: bool = False
    vision: bool = False
    audio: bool = False
    video: bool = False
    tools: bool = False
    thinking: bool = False
    embed: bool = False
    accelerator: AcceleratorInfo = attrs.field(factory=AcceleratorInfo)

    __repr__ = short_repr


class Backend(abc.ABC):
    """Ask it with ``stream()`` or ``complete()``; share it between threads; close it at the end.

    Attributes:
        buffer: How many undelivered events ``open_stream()`` lets a stream read ahead; 0 for no
            worker.
    """

    buffer: int = 512
    _live: LiveSet[Cancellable]
    _stopped: bool

    def __new__(cls, *_: Any, **__: Any) -> Self:  # __init__'s
        """Make what every backend needs, though its ``__init__`` may not call the one here."""
        self = super().__new__(cls)
        self._live = LiveSet()  # calls that wait for headers, and streams that are open
        self._stopped = False
        return self

    def __init__(self) -> None:  # noqa: B027 - it takes nothing, where __new__ takes all
        """Make a backend; a subclass takes what it needs."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What kind of backend it is."""

    def ready(self) -> bool:
        """Whether it can be asked now: until ``stop()``, unless the backend knows better."""
        return not self._stopped

    @abc.abstractmethod
    def capabilities(self) -> BackendCapabilities:
        """What it can do."""

    @without_frames
    def generate(self, request: Resolved) -> TokenStream:  # noqa: ARG002 - for those who can
        """Ask with flat text (v1); the stream gives ``Token`` and ``Done``.

        Raises:
            InternalError: This backend speaks v2 only.
            GenerateError: Everything that fails before the first token.
        """
        raise self._speaks_v2_only()

    @abc.abstractmethod
    def generate_v2(
        self,
        request: ResolvedV2,
        *,
        cancel: CancelToken | None = None,
        include_raw: bool = False,
    ) -> TokenStream:
        """Ask; return when the upstream has begun to answer.

        Args:
            request: What ``RequestV2.resolve()`` gave.
            cancel: Ends the call while it waits, and the stream afterwards.
            include_raw: Give a ``RawChunk`` before the events of each chunk.

        Raises:
            GenerateError: Everything that fails before the first token.
        """

    @without_frames
    def open_stream(
        self,
        source: Source | Iterator[Event],
        *,
        cancel: CancelToken | None = None,
        request_id: str | None = None,
    ) -> TokenStream:
        """Return a stream of what a backend reads: the last line of its ``generate_v2()``.

        Args:
            source: An iterator of events, ``Done`` as the last of them, such as a generator: the
                stream's worker reads it, and closes it in the end.  Or a ``Source``.
            cancel: The caller's token, which closes the stream.
            request_id: The upstream's id of the request, or the caller's own.

        Raises:
            TypeError: The source is neither.
            NotReadyError: The backend is not ready, or was stopped.
            RequestCancelledError: The token was cancelled already.
        """
        source = source_of(source)
        try:
            self._check_call(cancel)
        except BaseException:
            source.cancel()
            source.close()
            raise
        return self._opened(
            TokenStream(
                source,
                buffer=self.buffer,
                live=self._live,
                cancel=cancel,
                request_id=request_id or None,
            )
        )

    @without_frames
    def embed(
        self,
        request: EmbedResolved,  # noqa: ARG002 - for those who can
        *,
        cancel: CancelToken | None = None,  # noqa: ARG002
    ) -> EmbedResult:
        """Ask for vectors.

        Args:
            request: What ``EmbedRequest.resolve()`` gave.
            cancel: Ends the call.

        Raises:
            UnsupportedError: This backend makes none.
        """
        raise UnsupportedError(f"the backend {self.name!r} makes no embeddings")

    @without_frames
    def embeddings(
        self,
        texts: str | Iterable[str],
        *,
        model: str = "",
        dimensions: int | None = None,
        task: EmbedTask | None = None,
        cancel: CancelToken | None = None,
    ) -> EmbedResult:
        """Return a vector for each text.

        Args:
            texts: Each is encoded on its own; a str is one.
            model: The upstream's name of the model; empty: the backend's own.
            dimensions: Length to cut the vectors to, where the model can.
            task: What the vectors are for, one of inferd's task words.
            cancel: Ends the call.

        Raises:
            InvalidRequestError: The request cannot be sent; the message names the place.
            UnsupportedError: This backend makes none.
            GenerateError: Everything else that fails.
        """
        request = EmbedRequest(texts, dimensions=dimensions, task=task, model=model).resolve()
        return self.embed(request, cancel=cancel)

    @without_frames
    def stream(
        self,
        prompt: Prompt,
        *,
        system: str | None = None,
        cancel: CancelToken | None = None,
        include_raw: bool = False,
        **fields: Unpack[RequestFields],
    ) -> TokenStream:
        """Ask and get the answer as it comes.

        Args:
            prompt: A str (one user message), or messages: ours, or dicts in OpenAI's shape.
            system: Put in front as a system message.
            cancel: Ends the call while it waits, and the stream afterwards.
            include_raw: Give a ``RawChunk`` before the events of each chunk.
            fields: Fields of ``RequestV2``: ``max_tokens=100``, ``tools=[…]``, …; attachments that
                no message shows are shown after the last text of the user.

        Raises:
            InvalidRequestError: The request cannot be sent; the message names the place.
            GenerateError: Everything else that fails before the first token.
            TypeError: There is no such field; the message names what is close.
        """
        self._check_names("stream()", fields, cancel)
        if not isinstance(include_raw, bool):
            raise InvalidRequestError(f"include_raw is {include_raw!r}: take True or False")
        request = request_from(prompt, system, fields)
        return self.generate_v2(request.resolve(), cancel=cancel, include_raw=include_raw)

    @without_frames
    def complete(
        self,
        prompt: Prompt,
        *,
        system: str | None = None,
        cancel: CancelToken | None = None,
        include_raw: bool = False,
        **fields: Unpack[RequestFields],
    ) -> Completion:
        """Ask and wait for the whole answer.

        Args:
            prompt: A str (one user message), or messages: ours, or dicts in OpenAI's shape.
            system: Put in front as a system message.
            cancel: Ends the call, whatever it waits for.
            include_raw: As in ``stream()``.
            fields: As in ``stream()``.

        Raises:
            GenerateError: As from ``stream()`` and ``TokenStream.collect()``; what had come is in
                its ``partial``.
            TypeError: There is no such field; the message names what is close.
        """
        self._check_names("complete()", fields, cancel)
        with collecting():
            stream = self.stream(
                prompt, system=system, cancel=cancel, include_raw=include_raw, **fields
            )
        with stream:
            return stream.collect()

    @without_frames
    def map(
        self,
        prompts: Iterable[Prompt | RequestV2],
        *,
        system: str | None = None,
        concurrency: int | Literal["auto"] = 16,
        retry: Retry | None = None,
        ordered: bool = False,
        cancel: CancelToken | None = None,
        progress: bool = False,
        journal: str | os.PathLike[str] | None = None,
        executor: Executor | None = None,
        **fields: Unpack[RequestFields],
    ) -> Results:
        """Ask many prompts, several at once, and iterate over what comes of them as it comes.

        Leaving the loop, by whatever way, ends all that is under way; so does Ctrl-C.

        Args:
            prompts: Any iterable, read in this thread, a few ahead; it may be endless.  Each is as
                in ``stream()``, or a request: a ``RequestV2``, or a dict with ``prompt`` or
                ``messages`` and fields of its own.
            system: Put in front of each as a system message.
            concurrency: How many requests may be under way at once; ``"auto"``: as many as the
                server bears.
            retry: When to ask again, for a whole answer; None: ask once.
            ordered: Give results in the order of the prompts, instead of as they come.
            cancel: Ends the batch.
            progress: Show on stderr how far it is.
            journal: Path of a file that keeps each answer before it is given; what it holds is
                given from there, and not asked again.
            executor: Where to ask instead of in threads: processes, or a cluster.
            fields: As in ``stream()``, of every request.

        Returns:
            An iterator of ``MapResult``, with a ``close()``; a context manager, too.

        Raises:
            InvalidRequestError: Something cannot be sent with any prompt, or the journal is not one
                of these prompts and fields; from the iterator as well.
            RequestCancelledError: From the iterator: the token, or ``stop()``, has ended it.
            InternalError: From the iterator: the journal cannot be written, the executor is broken.
            TypeError: There is no such argument, or it is of another kind.
        """
        from inferd_engine.many.batch.map import (  # noqa: PLC0415 - for those who ask many
            Order,
            Results,
            check_prompts,
        )

        self._check_names("map()", fields, cancel)
        check_prompts(prompts)
        order = Order(concurrency, retry, ordered, cancel, progress, journal, executor)
        order.check()
        self._check_call(cancel)
        return Results(self, prompts, system, fields, order)

    @without_frames
    def display(
        self,
        prompt: Prompt,
        *,
        system: str | None = None,
        cancel: CancelToken | None = None,
        plain: bool = False,
        trust: bool = False,
        **fields: Unpack[RequestFields],
    ) -> Completion:
        """Ask, and show the answer in a notebook while it comes; elsewhere print it.

        Args:
            prompt: A str (one user message), or messages: ours, or dicts in OpenAI's shape.
            system: Put in front as a system message.
            cancel: Ends the call, whatever it waits for.
            plain: As in ``TokenStream.display()``, like ``trust``; thoughts are folded.
            trust: Let the Markdown load images and run what is in it.
            fields: As in ``stream()``.

        Raises:
            GenerateError: As from ``stream()`` and ``TokenStream.display()``; what had come is in
                its ``partial``, and stays on the page.
            TypeError: There is no such field; the message names what is close.
        """
        self._check_names("display()", fields, cancel)
        with self.stream(prompt, system=system, cancel=cancel, **fields) as stream:
            return stream.display(plain=plain, trust=trust)

    def _check_names(self, call: str, fields: Iterable[str], cancel: CancelToken | None) -> None:
        """Refuse arguments that a call does not have, before anything else is looked at."""
        config = type(getattr(self, "config", None))
        settings = [field.name for field in attrs.fields(config)] if attrs.has(config) else ()
        check_names(call, fields, settings)
        if not isinstance(cancel, (CancelToken, type(None))):
            raise TypeError(f"cancel is {kind_of(cancel)}: give a CancelToken to {call}")

    @without_frames
    def stop(self, timeout: float = 5.0) -> None:
        """Cancel every live stream and waiting call, then release what the backend holds.

        Afterwards ``ready()`` is false and ``generate_v2`` raises ``NotReadyError``.

        Args:
            timeout: Seconds to wait for workers that are on their way out.
        """
        self._stopped = True
        members = list(self._live)
        for member in members:
            member.cancel()
        deadline = time.monotonic() + timeout
        for member in members:
            if isinstance(member, TokenStream):
                member.wait_released(deadline - time.monotonic())
        self._release()

    def _release(self) -> None:  # noqa: B027 - most backends hold nothing
        """Let go of what the backend holds beside its streams."""

    def close(self) -> None:
        """Stop the backend, as ``stop()`` does."""
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _check_ready(self) -> None:
        """Refuse to be asked when there is nobody to answer."""
        if self._stopped:
            raise NotReadyError(
                f"the backend {self.name!r} was stopped: make a new one", retryable=False
            )
        if not self.ready():
            raise NotReadyError(f"the backend {self.name!r} is not ready")

    def _check_call(self, cancel: CancelToken | None) -> None:
        """Refuse a call when there is nobody to answer, or nobody who wants the answer."""
        self._check_ready()
        if cancel is not None and cancel.cancelled:
            raise RequestCancelledError("the call was cancelled before it was made")

    def _opened(self, stream: TokenStream) -> TokenStream:
        """Return a stream, unless ``stop()`` came while it was being made."""
        if self._stopped:
            stream.close()
            self._check_ready()
        return stream

    def _speaks_v2_only(self) -> InternalError:
        return InternalError(f"the backend {self.name!r} speaks v2 only: use generate_v2()")

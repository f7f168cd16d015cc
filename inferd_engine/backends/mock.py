"""A backend without an upstream: deterministic, with the failures that matter at hand.

Goal: a test against it is a test of real behaviour.  Its stream is the ``TokenStream`` of every
other backend, over a source that waits, is woken and gives up in time as an answer over HTTP does:
so the consumer reads for itself while it waits, and the worker reads ahead while it is away.

An answer is a text, a list of texts and events, an error, or a function of the request that gives
one of these; ``mock_script.py`` says it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence, Set as AbstractSet
from typing import TYPE_CHECKING, Any, TypedDict, Union, cast

import attrs

from inferd_engine.backends.base import Backend, BackendCapabilities
from inferd_engine.backends.mock_script import Script, ScriptSource
from inferd_engine.backends.settings import check_count, check_delay, check_names
from inferd_engine.errors import GenerateError
from inferd_engine.events import TextDelta, Token
from inferd_engine.frames import made_without_frames, without_frames
from inferd_engine.proto.v2 import ResolvedV2, check_resolved
from inferd_engine.reprs import changed_fields, named, short_repr
from inferd_engine.vectors import EmbedResult

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from inferd_engine.cancel import CancelToken
    from inferd_engine.events import TokenEventV2
    from inferd_engine.proto.embed import EmbedResolved
    from inferd_engine.proto.v1 import Resolved
    from inferd_engine.stream.token_stream import TokenStream

_DIMENSIONS = 8  # of a vector, unless the request says how many: inferd's own mock

MockScript = Union[str, Sequence[Union[str, "TokenEventV2", GenerateError]], GenerateError]
MockAnswer = Union[MockScript, Callable[[ResolvedV2], MockScript]]


def _to_tokens(value: Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else _listed("tokens", value)


def _to_events(value: Sequence[TokenEventV2] | None) -> tuple[TokenEventV2, ...] | None:
    return None if value is None else _listed("events", value)


def _listed(name: str, value: Iterable[Any]) -> tuple[Any, ...]:
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping, AbstractSet)):
        raise TypeError(f"{name} is of type {type(value).__name__}: give a list")
    return tuple(value)


def _to_answers(value: Iterable[MockAnswer]) -> tuple[MockAnswer, ...]:
    return (value,) if isinstance(value, str) else _listed("answers", value)


@made_without_frames
@attrs.frozen(slots=True)
class MockConfig:
    """What a ``Mock`` answers: ``answers`` if there are any, else ``events``, else ``tokens``.

    Args:
        tokens: Pieces of text, one event each, followed by ``Done``; a str is one piece.
        events: The events in full instead, with or without a ``Done`` at the end (v2 only).
        pre_stream_error: Raised by the call itself.
        mid_stream_drop_after: Break off, without ``Done``, after so many events if there are more.
        token_delay: Seconds before each event.
        buffer: Undelivered events read ahead; 0 for no worker.
        answers: One after another, the last again and again: each a str, a list of str and events,
            an error to be raised by the call, or a function of the request that gives one of
            these.  An error at the end of a list breaks the answer off.
    """

    tokens: Sequence[str] = attrs.field(default=("mock-response",), converter=_to_tokens)
    events: Sequence[TokenEventV2] | None = attrs.field(default=None, converter=_to_events)
    pre_stream_error: GenerateError | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.instance_of(GenerateError)),
    )
    mid_stream_drop_after: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(check_count(0))
    )
    token_delay: float = attrs.field(default=0.0, validator=check_delay)
    buffer: int = attrs.field(default=512, validator=check_count(0))
    answers: Sequence[MockAnswer] = attrs.field(default=(), converter=_to_answers)

    __repr__ = short_repr


class MockFields(TypedDict, total=False):
    """The fields of ``MockConfig``, as keyword arguments."""

    tokens: Sequence[str]
    events: Sequence[TokenEventV2] | None
    pre_stream_error: GenerateError | None
    mid_stream_drop_after: int | None
    token_delay: float
    buffer: int
    answers: Sequence[MockAnswer]


class Mock(Backend):
    """Answer from a script: ``Mock("hello")``, ``Mock(["hel", "lo"])``, ``Mock(answers=[…])``.

    Args:
        config: An answer, or a configuration.
        fields: Those of ``MockConfig``, one by one; they win over the configuration's.

    Attributes:
        requests: What it was asked, in order: each ``ResolvedV2``, or ``Resolved`` (v1), or
            ``EmbedResolved``.
    """

    @without_frames
    def __init__(
        self, config: MockConfig | MockAnswer | None = None, **fields: Unpack[MockFields]
    ) -> None:
        super().__init__()
        self.config = _config_of(config, {**fields})
        self.buffer = self.config.buffer
        self.requests: list[Any] = []
        self._asked = itertools.count()
        self._ready = True

    def __repr__(self) -> str:
        config = getattr(self, "config", None)  # a constructor that failed has none yet
        return named(type(self).__name__, changed_fields(config) if config else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.config,)

    @property
    def name(self) -> str:
        """``"mock"``."""
        return "mock"

    def ready(self) -> bool:
        """Whether it may be asked: as ``set_ready()`` said, until ``stop()``."""
        return self._ready and not self._stopped

    def set_ready(self, ready: bool) -> None:  # noqa: FBT001 - inferd's signature
        """Pretend to be loading, or to have loaded."""
        self._ready = ready

    def capabilities(self) -> BackendCapabilities:
        """Everything that a script can say."""
        return BackendCapabilities(v2=True, tools=True, thinking=True, embed=True)

    @without_frames
    def with_options(self, **fields: Unpack[MockFields]) -> Self:
        """Return a mock of its own with other settings, whose ``requests`` are the same list.

        Its answers go on where these are, unless it is given new ones.
        """
        other = type(self)(self.config, **fields)
        other.requests, other._ready = self.requests, self._ready  # noqa: SLF001 - one of us
        if "answers" not in fields:
            other._asked = self._asked  # noqa: SLF001 - likewise
        return other

    @without_frames
    def models(self, *, cancel: CancelToken | None = None) -> list[str]:
        """Return the one model that there is: ``["mock"]``."""
        self._check_call(cancel)
        return [self.name]

    @without_frames
    def generate(self, request: Resolved) -> TokenStream:
        """Answer with the texts alone, each a ``Token``, then ``Done``."""
        script = self._script_for(request, None, self.config.tokens)
        script.events = [Token(e.delta) for e in script.events if isinstance(e, TextDelta)]
        return self._open(script, None, request.id)

    @without_frames
    def generate_v2(
        self,
        request: ResolvedV2,
        *,
        cancel: CancelToken | None = None,
        include_raw: bool = False,  # noqa: ARG002 - a mock has no chunks
    ) -> TokenStream:
        """Answer with what is scripted, then ``Done``.

        Raises:
            GenerateError: The script says so, or the mock is not ready.
        """
        check_resolved(request)
        config = self.config
        script = self._script_for(
            request, cancel, config.tokens if config.events is None else config.events
        )
        return self._open(script, cancel, request.id)

    def _open(self, script: Script, cancel: CancelToken | None, request_id: str) -> TokenStream:
        delay, drop_after = self.config.token_delay, self.config.mid_stream_drop_after
        source = ScriptSource(script, delay=delay, drop_after=drop_after)
        return self.open_stream(source, cancel=cancel, request_id=request_id)

    @without_frames
    def embed(self, request: EmbedResolved, *, cancel: CancelToken | None = None) -> EmbedResult:
        """Return vectors that tell texts of different lengths apart.

        Each has 8 dimensions, or as many as asked for; number ``i`` is ``(i + 1) / (bytes + 1)``.
        """
        self._check_call(cancel)
        self.requests.append(request)
        sizes = [len(text.encode("utf-8", "surrogatepass")) for text in request.input]
        count = request.dimensions or _DIMENSIONS
        vectors = tuple(tuple((i + 1) / (size + 1) for i in range(count)) for size in sizes)
        return EmbedResult(vectors, self.name, sum(sizes))

    def _script_for(
        self, request: Resolved | ResolvedV2, cancel: CancelToken | None, usual: MockScript
    ) -> Script:
        """Take down what is asked, and give what to say, unless that is to raise an error."""
        self._check_call(cancel)
        self.requests.append(request)
        answer: MockAnswer | None = self.config.pre_stream_error
        place = "the answer"
        if answer is None:
            answer = usual
            if self.config.answers:
                number = min(next(self._asked), len(self.config.answers) - 1)
                answer, place = self.config.answers[number], f"answers[{number}]"
        if callable(answer) and not isinstance(answer, type):
            answer = answer(cast("ResolvedV2", request))
        if isinstance(answer, GenerateError):
            raise answer.with_traceback(None)  # it may have been raised before
        return Script(answer, place)


def _config_of(given: object, fields: dict[str, Any]) -> MockConfig:
    """Return a configuration for what ``Mock()`` was given."""
    check_names(MockConfig, fields)
    if given is None:
        return MockConfig(**fields)
    if isinstance(given, MockConfig):
        scripts = {"tokens", "events", "answers"} & {*fields}
        stale = {"events": None, "answers": ()} if scripts else {}  # the new script is meant
        return attrs.evolve(given, **{**stale, **fields})
    if isinstance(given, Iterable):
        pieces: tuple[Any, ...] = _to_tokens(given)
        if all(isinstance(piece, str) for piece in pieces):
            return MockConfig(**{"tokens": pieces, **fields})
        return MockConfig(**{"answers": [pieces], **fields})
    if isinstance(given, GenerateError) or callable(given):
        return MockConfig(**{"answers": [given], **fields})
    kind = type(given).__name__
    raise TypeError(
        f"Mock() takes an answer, such as a str, or a MockConfig, not an object of type {kind}"
    )

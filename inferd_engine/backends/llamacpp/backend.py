"""The backend: a request becomes tokens, a sampler and a place in the queue.

All that can be wrong with a request is found in the call: the template, the grammar, the length of
the prompt.  The stream that it returns waits for a context, and computes, in its worker.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from inferd_engine.backends.base import Backend, BackendCapabilities
from inferd_engine.backends.llamacpp.accelerator import accelerator
from inferd_engine.backends.llamacpp.answer import Answer, FlatAnswer
from inferd_engine.backends.llamacpp.apart import Apart, Limit, waiting
from inferd_engine.backends.llamacpp.config import LOADING, LlamaCppConfig
from inferd_engine.backends.llamacpp.engine import Engine
from inferd_engine.backends.llamacpp.images import bitmaps_of, budget_of, read_from
from inferd_engine.backends.llamacpp.request import messages_of, words_of
from inferd_engine.backends.llamacpp.sampling import Sampler, Sampling
from inferd_engine.backends.llamacpp.source import LlamaSource
from inferd_engine.backends.llamacpp.template import knows_tools, prompt_from
from inferd_engine.backends.llamacpp.tools import grammar_of
from inferd_engine.backends.settings import check_names
from inferd_engine.errors import (
    InternalError,
    InvalidRequestError,
    NotReadyError,
    RequestCancelledError,
    UnsupportedError,
)
from inferd_engine.frames import without_frames
from inferd_engine.proto.v1 import DEFAULT_TEMPERATURE, DEFAULT_TOP_K, DEFAULT_TOP_P
from inferd_engine.proto.v2 import check_resolved
from inferd_engine.reprs import changed_fields, named
from inferd_engine.vectors import EmbedResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self, Unpack

    from inferd_engine.backends.llamacpp.config import LlamaCppFields
    from inferd_engine.backends.llamacpp.engine import Loaded
    from inferd_engine.backends.llamacpp.images import Bitmap
    from inferd_engine.cancel import CancelToken
    from inferd_engine.proto.embed import EmbedResolved
    from inferd_engine.proto.v1 import Resolved
    from inferd_engine.proto.v2 import ResolvedV2
    from inferd_engine.stream.token_stream import TokenStream


class LlamaCpp(Backend):
    """Ask a model in this process: ``LlamaCpp(model_path="qwen3.gguf")``.

    Args:
        config: A configuration.
        fields: Those of ``LlamaCppConfig``, one by one; they win over the configuration's.

    Raises:
        InvalidRequestError: A field cannot be used; the message names it.
    """

    @without_frames
    def __init__(
        self, config: LlamaCppConfig | None = None, **fields: Unpack[LlamaCppFields]
    ) -> None:
        if config is not None and not isinstance(config, LlamaCppConfig):
            kind = type(config).__name__
            raise TypeError(
                f"LlamaCpp() takes a LlamaCppConfig or fields of one, not an object of type {kind}"
            )
        given: Any = fields
        check_names(LlamaCppConfig, given)
        self.config = LlamaCppConfig(**given) if config is None else attrs.evolve(config, **given)
        self.buffer = self.config.buffer
        self._engine: Engine | None = Engine(self.config)

    def __repr__(self) -> str:
        config = getattr(self, "config", None)  # a constructor that failed has none yet
        return named(type(self).__name__, changed_fields(config) if config else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.config,)

    @property
    def name(self) -> str:
        """``"llamacpp"``."""
        return "llamacpp"

    @property
    def _model_name(self) -> str:
        return Path(self.config.model_path).stem

    def capabilities(self) -> BackendCapabilities:
        """What a model in this process can do, and on what; llama-cpp-python is imported for that.

        ``accelerator.kind`` is what llama.cpp was compiled for, if this machine has it: ``"cuda"``,
        ``"rocm"``, ``"metal"``, ``"vulkan"``, or what else llama.cpp calls it; else ``"cpu"``.
        """
        return BackendCapabilities(
            v2=True,
            tools=True,
            thinking=True,
            vision=bool(self.config.mmproj_path),
            embed=self.config.embed,
            accelerator=accelerator(self.config.n_gpu_layers),
        )

    @without_frames
    def with_options(self, **fields: Unpack[LlamaCppFields]) -> Self:
        """Return a backend of its own with other settings, over the same model and contexts.

        Where a setting is one that the model is loaded by, it is loaded anew.
        """
        other = type(self)(self.config, **fields)
        if all(getattr(other.config, name) == getattr(self.config, name) for name in LOADING):
            other._engine = self._engine  # noqa: SLF001 - one of us
        return other

    @without_frames
    def load(self, cancel: CancelToken | None = None) -> None:
        """Load the model now, instead of with the first call.

        Args:
            cancel: Ends the loading.

        Raises:
            InvalidRequestError: The file is not what it has to be; the message names the field.
            NotReadyError: It cannot be loaded, or there is not the memory for it.
            RequestCancelledError: ``cancel`` or ``stop()`` ended the loading.
            UnsupportedError: llama-cpp-python is not installed.
        """
        self._loaded(cancel, Limit())

    def _loaded(self, cancel: CancelToken | None, limit: Limit) -> Loaded:
        self._check_call(cancel)
        engine = self._engine
        if engine is None:
            raise NotReadyError(
                f"the backend {self.name!r} was stopped: make a new one", retryable=False
            )
        loaded = engine.load(cancel, self._live, limit)
        self._check_call(cancel)
        return loaded

    def _speaking(self, cancel: CancelToken | None, began: float) -> Loaded:
        config = self.config
        limit = Limit(config.timeout, "total", began)
        first = config.first_token_timeout
        if first is not None and (limit.seconds is None or first < limit.seconds):
            limit = Limit(first, "first_token", began)
        loaded = self._loaded(cancel, limit)
        if not loaded.has_memory:
            raise UnsupportedError("this model makes vectors and no text: ask it with embed()")
        return loaded

    def _release(self) -> None:
        """Drop the model; it is freed when no other backend and no stream has it."""
        self._engine = None

    @without_frames
    def models(self, *, cancel: CancelToken | None = None) -> list[str]:
        """Return the one model that there is, by the name of its file."""
        self._check_call(cancel)
        return [self._model_name]

    @without_frames
    def generate(self, request: Resolved) -> TokenStream:
        """Answer flat text, within the request's ``grammar`` if it has one.

        Raises:
            InvalidRequestError: The grammar does not parse, the prompt is longer than the context.
            GenerateError: As from ``load()``.
        """
        if request.image_token_budget is not None and not self.config.mmproj_path:
            raise UnsupportedError(
                "image_token_budget is set, but this backend reads no images: give mmproj_path"
            )
        began = time.monotonic()
        loaded = self._speaking(None, began)
        messages = [{"role": str(m.role), "content": m.content} for m in request.messages]
        sampling = Sampling(
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            seed=self.config.seed,
            grammar=request.grammar,
        )
        return self._open(
            loaded,
            self._prompt(loaded, messages, {}),
            sampling,
            FlatAnswer(),
            max_tokens=request.max_tokens,
            began=began,
            request_id=request.id,
        )

    @without_frames
    def generate_v2(
        self,
        request: ResolvedV2,
        *,
        cancel: CancelToken | None = None,
        include_raw: bool = False,  # noqa: ARG002 - there are no chunks
    ) -> TokenStream:
        """Ask; return when the request is known to be one that the model can read.

        Raises:
            InvalidRequestError: The request cannot be answered; the message names the place.
            NotReadyError: More than ``max_waiting`` requests wait already.
            GenerateError: As from ``load()``.
        """
        check_resolved(request)
        began = time.monotonic()
        loaded = self._speaking(cancel, began)
        config = self.config
        bitmaps = bitmaps_of(request, loaded.projector)
        budget = budget_of(request.extra_body)
        can_tell = knows_tools(loaded.model, config.chat_template, config.chat_format)
        messages = messages_of(request, knows_tools=can_tell)
        prompt = self._prompt(loaded, messages, words_of(request))
        is_inside = config.split_think_tags and prompt.rstrip().endswith("<think>")
        grammar, lazy_from = grammar_of(request, is_inside=bool(is_inside))
        sampling = Sampling(
            temperature=_or(request.temperature, DEFAULT_TEMPERATURE),
            top_p=_or(request.top_p, DEFAULT_TOP_P),
            top_k=_or(request.top_k, DEFAULT_TOP_K),
            seed=_or(request.seed, config.seed),
            grammar=grammar,
            lazy_from=lazy_from,
        )
        answer = Answer(
            request.stop,
            split="inside" if is_inside else config.split_think_tags,
            has_tools=bool(request.tools),
        )
        return self._open(
            loaded,
            prompt,
            sampling,
            answer,
            max_tokens=_or(request.max_tokens, config.max_tokens),
            began=began,
            cancel=cancel,
            request_id=request.id,
            bitmaps=bitmaps,
            budget=budget,
        )

    @without_frames
    def embed(self, request: EmbedResolved, *, cancel: CancelToken | None = None) -> EmbedResult:
        """Make vectors of texts, each of the length 1.

        Raises:
            UnsupportedError: The backend was not made with ``embed=True``, or the model makes no
                vectors of so many dimensions.
            InvalidRequestError: A text is longer than ``embed_n_ctx``; the message names it.
            GenerateError: As from ``load()``.
        """
        if not self.config.embed:
            raise UnsupportedError("this backend was made without vectors: give embed=True")
        limit = Limit(self.config.timeout, "total", time.monotonic())
        embedder = self._loaded(cancel, limit).embedder
        if embedder is None:
            raise InternalError("the model was loaded without embed=True")
        prefix = self.config.task_prefixes.get(request.task or "", "")
        texts = embedder.tokens_of(request.input, prefix)
        work = Apart(
            lambda flag: embedder.vectors(texts, request.dimensions, flag), "making vectors"
        )
        with waiting(self._live, cancel, limit) as waiter:
            work.start()
            work.wait(waiter)
        if work.error is not None:
            raise work.error
        if work.result is None:
            raise RequestCancelledError("the call was cancelled while vectors were made")
        return EmbedResult(work.result, self._model_name, sum(map(len, texts)))

    def _prompt(
        self, loaded: Loaded, messages: Sequence[Mapping[str, Any]], words: Mapping[str, Any]
    ) -> str:
        config = self.config
        return prompt_from(
            loaded.model,
            messages,
            template=config.chat_template,
            chat_format=config.chat_format,
            **words,
        )

    def _open(
        self,
        loaded: Loaded,
        prompt: str,
        sampling: Sampling,
        answer: Answer,
        *,
        max_tokens: int,
        began: float,
        cancel: CancelToken | None = None,
        request_id: str = "",
        bitmaps: Sequence[Bitmap] = (),
        budget: int | None = None,
    ) -> TokenStream:
        read = read_from(loaded, prompt, bitmaps, budget)
        count, pieces = len(read.entries), sum(len(i.pieces) for i in read.images.values())
        if not count or count >= loaded.size:
            shown = f", {pieces} of them for images," if pieces else ","
            raise InvalidRequestError(
                f"the prompt has {count} tokens{shown} and the context has room for {loaded.size} "
                "with the answer: shorten the messages, or give a larger n_ctx"
            )
        config = self.config
        source = LlamaSource(
            loaded,
            read,
            Sampler(loaded.model, sampling),
            answer,
            max_tokens=max_tokens,
            began=began,
            limits={
                "timeout": config.timeout,
                "first_token": config.first_token_timeout,
                "idle": config.idle_timeout,
            },
            model=self._model_name,
        )
        stream = self.open_stream(source, cancel=cancel, request_id=request_id)
        try:
            source.keep_time()
        except BaseException:
            stream.close()
            raise
        return stream


def _or(value: Any, default: Any) -> Any:  # the type of either
    return default if value is None else value

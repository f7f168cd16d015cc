"""Rounds: what several answers compute at a time, with one pass over the model for all of them.

*Goal:* to read the model's weights is most of what a token costs, and for the tokens of several
answers they can be read once.  Contexts of their own would share nothing but the cores.

*Strategy:* answers are sequences of one context.  Whoever has something to compute, a step, hands
it in and waits; one of those who wait leads.  It takes all that was handed in, has it computed as
one batch, chooses the next token of each, wakes them, and lets the next lead.  So there is no
thread for it: the answers' own workers do it, and one that is alone does what it would do anyway.

*Rules:*

* The leader waits for those who were in the round before it, as long as half of that took: they
  have a token to hand on, and come again.  One who does not is not waited for again.
* Who is stopped while it waits leaves at once.  A round ends early when those who were stopped have
  half of its tokens or more; what the others had in it is computed again.  One who has less, such
  as a token beside somebody's prompt, is computed along until the round's end.
* A round has an abort flag of its own: a stop that comes late hits no other.
* An image is computed by itself, before the batch of its round.
* What the cache holds of a sequence is changed by the leader alone, nobody else being inside.

Rejected: a scheduler's thread (it would have to be started, woken, and ended with the process, and
costs each answer two thread switches a token), and to lead without waiting (two answers would then
take turns, each in rounds of its own).
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from inferd_engine.backends.llamacpp.config import CACHE_TYPES
from inferd_engine.backends.llamacpp.library import (
    AbortFlag,
    Batch,
    Owner,
    abort_callback,
    brief,
    complaints,
    computing,
    forget_complaints,
    library,
)
from inferd_engine.backends.llamacpp.projector import Piece
from inferd_engine.errors import (
    GenerateError,
    InternalError,
    NotReadyError,
    RequestCancelledError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferd_engine.backends.llamacpp.config import LlamaCppConfig
    from inferd_engine.backends.llamacpp.context import Context
    from inferd_engine.backends.llamacpp.model import Model
    from inferd_engine.backends.llamacpp.projector import Entry, Image, Projector
    from inferd_engine.backends.llamacpp.sampling import Sampler
    from inferd_engine.stream.turn import Bell

_ABORTED = 2  # llama.h, llama_decode()
_FULL = 1
_SLICE = 0.5  # seconds of waiting at the most, before looking around
_PATIENCE = 0.5  # of the round before; two answers at a time gain as much as that
_VALUE_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 1.0625, "q4_0": 0.5625}


class Step:
    """What one answer has computed next.

    Args:
        context: Its sequence.
        tokens: All that the sequence is to hold; what is not known yet is computed.
        images: Those in it, by their names.
        sampler: Chooses the token that follows.
        flag: Says that nobody wants it any more.
        bell: Rung when it is done, and when the flag is set.
    """

    __slots__ = (
        *("bell", "context", "error", "flag", "images", "is_done", "is_undone", "sampler", "token"),
        "tokens",
    )

    def __init__(
        self,
        context: Context,
        tokens: Sequence[Entry],
        images: Mapping[str, Image],
        sampler: Sampler,
        flag: AbortFlag,
        bell: Bell,
    ) -> None:
        self.context = context
        self.tokens = tokens
        self.images = images
        self.sampler = sampler
        self.flag = flag
        self.bell = bell
        self.is_done = False
        self.is_undone = False  # its round was ended for another's sake
        self.token: int | None = None  # None, too, as long as the prompt is not whole
        self.error: GenerateError | None = None


class Share(NamedTuple):
    """What a step has of a round.

    Args:
        step: Whose it is.
        size: How much of it is computed.
        loss: How much of it is to be computed again if the round ends early.
    """

    step: Step
    size: int
    loss: int


class Rounds(Owner):
    """Make the context of a model for as many sequences as there are answers at a time.

    Raises:
        NotReadyError: There is not the memory for it.
    """

    def __init__(
        self, model: Model, config: LlamaCppConfig, projector: Projector | None = None
    ) -> None:
        self._llama = llama = library()
        self._projector = projector
        count = config.n_parallel
        n_ctx = config.n_ctx or model.n_ctx_train
        value_bytes = _VALUE_BYTES[config.cache_type]
        _check_memory(model.cache_bytes(n_ctx * count, 1) * value_bytes, n_ctx, count)
        params = llama.llama_context_default_params()
        params.n_seq_max, params.n_ctx = count, n_ctx * count
        params.n_batch = self._n_batch = max(min(config.n_batch, n_ctx), count)
        params.n_ubatch = self.one_go = min(params.n_batch, params.n_ubatch)
        params.n_threads = params.n_threads_batch = config.n_threads or os.cpu_count() or 1
        params.type_k = params.type_v = CACHE_TYPES[config.cache_type]
        forget_complaints()
        made = llama.llama_init_from_model(model.handle, params)
        self.own(made, llama.llama_free, of=model)
        if not self.handle:
            raise NotReadyError(
                f"there is not the memory for a context of n_ctx={n_ctx} tokens{complaints()}",
                retryable=False,
            )
        self._memory = llama.llama_get_memory(self.handle)
        self._batch = Batch(self._n_batch)
        self.size: int = llama.llama_n_ctx(self.handle) // count
        self.has_memory = bool(self._memory)
        self._can_cut = not (
            llama.llama_model_is_recurrent(model.handle)
            or llama.llama_model_is_hybrid(model.handle)
        )
        self._flag = AbortFlag()  # of the round; llama.cpp has its address
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()  # taken for moments, in workers alone, which nothing strikes
        self._waiting: list[Step] = []
        self._leader: Step | None = None
        self._round: tuple[AbortFlag, Sequence[Share]] | None = None  # what is computed now
        self._last: set[Context] = set()  # who is about to come again
        self._until = 0.0  # when to wait for them no longer

    def compute(self, step: Step) -> None:
        """Compute what a step asks for, or the first part of it, with whatever others ask for.

        Raises:
            RequestCancelledError: The step's flag was set.
            InternalError: llama.cpp cannot compute it, or no token may follow.
        """
        with self._lock:
            self._waiting.append(step)
            if self._leader is None:
                self._leader = step
            leader = self._leader
        if leader is not step:
            leader.bell.ring()  # it may be waiting for this one
        while self._is_to_lead(step):
            self._gather(step)
            self._lead(step)
        if step.error is not None:
            raise step.error

    def look(self) -> None:
        """End the round early if most of it is wanted no more; from anywhere, without a lock."""
        current = self._round
        if current is not None:
            flag, shares = current
            spared = sum(size for step, size, _ in shares if step.flag)
            if spared and spared >= sum(loss for step, _, loss in shares if not step.flag):
                flag.set()

    def forget(self, context: Context) -> None:
        """Do not wait for a sequence whose answer has ended."""
        self._last.discard(context)
        leader = self._leader
        if leader is not None:
            leader.bell.ring()

    def _is_to_lead(self, step: Step) -> bool:
        """Wait until a step is done, or has to be led to it."""
        while True:
            with self._lock:
                if step.is_done or self._leader is step:
                    return not step.is_done
                if step.flag and step in self._waiting:
                    self._waiting.remove(step)
                    raise RequestCancelledError("the answer was stopped")
            step.bell.wait(_SLICE)

    def _gather(self, step: Step) -> None:
        """Wait a moment for those who were in the round before."""
        while True:
            with self._lock:
                missing = self._last - {one.context for one in self._waiting}
            left = self._until - time.monotonic()
            if not missing or left <= 0 or step.flag:
                return
            step.bell.wait(left)

    def _lead(self, step: Step) -> None:
        """Compute a round, and let the next lead."""
        with self._lock:
            steps, self._waiting = self._waiting, []
        started = time.monotonic()
        try:
            self._compute(steps)
        except BaseException as error:  # whoever waits has to hear of it
            for one in steps:
                one.error = InternalError(f"llama.cpp cannot go on: {error}")
                one.error.__cause__ = error
            raise
        finally:
            ended = time.monotonic()
            with self._lock:
                self._round = None
                undone = [one for one in steps if one.is_undone]
                for one in steps:
                    one.is_done, one.is_undone = not one.is_undone, False
                self._waiting = undone + self._waiting
                self._last = {one.context for one in steps if one.error is None}
                self._until = ended + _PATIENCE * (ended - started)
                self._leader = self._waiting[0] if self._waiting else None
                heir = self._leader
            for one in (*steps, *([heir] if heir else [])):
                if one is not step:
                    one.bell.ring()

    def _compute(self, steps: Sequence[Step]) -> None:
        with_image: list[tuple[Step, Image]] = []
        with_text: list[Step] = []
        for step in steps:
            self._cut(step.context)
            entry = step.tokens[len(step.context.known)]
            if isinstance(entry, Piece):
                with_image.append((step, step.images[entry.image]))
            else:
                with_text.append(step)
        pieces, lasts = self._fill(with_text)
        self._flag = flag = AbortFlag()
        sizes = [(step, len(image.pieces)) for step, image in with_image]
        sizes += zip(with_text, map(len, pieces), strict=True)
        again = not self._can_cut  # all of it, if the round ends early
        shares = [Share(one, size, len(one.tokens) if again else size) for one, size in sizes]
        self._round = flag, shares
        self.look()  # at those who were stopped before
        brief("llama_set_abort_callback")(self.handle, abort_callback(), flag.address)
        for step, image in with_image:
            self._read_image(step, image)
        if with_text:
            self._read_text(with_text, pieces, lasts)

    def _read_image(self, step: Step, image: Image) -> None:
        context = step.context
        if self._projector is None:
            raise InternalError("there is an image, and no projector")
        try:
            with computing(self._flag):
                result = self._projector.read(
                    *(self.handle, image, context.position, context.number),
                    *(self._n_batch, self._flag),
                )
        except GenerateError as error:
            self._fail(step, error)
            return
        self._done(step, image.pieces, -1, result)

    def _read_text(
        self, steps: Sequence[Step], pieces: Sequence[Sequence[int]], lasts: Sequence[int]
    ) -> None:
        with computing(self._flag):
            result = self._llama.llama_decode(self.handle, self._batch.handle)
        for step, piece, last in zip(steps, pieces, lasts, strict=True):
            self._done(step, piece, last, result)

    def _done(self, step: Step, piece: Sequence[Entry], last: int, result: int) -> None:
        """Take a step further by what was computed; choose the next token if that was all."""
        context = step.context
        if result != 0:
            self._fail(step, _error(result))
            return
        context.known += piece
        context.position += _positions(piece)
        if len(context.known) == len(step.tokens):
            try:
                step.token = step.sampler.next(self.handle, last)
            except GenerateError as error:
                step.error = error

    def _fail(self, step: Step, error: GenerateError) -> None:
        """Give a step what ended it, unless that was meant for another."""
        step.context.is_cut = False
        step.is_undone = isinstance(error, RequestCancelledError) and not step.flag
        if not step.is_undone:
            step.error = error

    def _fill(self, steps: Sequence[Step]) -> tuple[list[list[int]], list[int]]:
        """Put into the batch what is computed now; return which tokens, and where each ends."""
        batch, room = self._batch, self._n_batch
        batch.clear()
        pieces, lasts = [], []
        for index, step in enumerate(steps):
            context, others = step.context, len(steps) - index - 1  # each has a token at the least
            begin = len(context.known)
            piece = _text_of(step.tokens[begin : begin + room - others])
            last = batch.put(piece, context.position, context.number, wanted=False)
            if begin + len(piece) == len(step.tokens):
                batch.want(last)
            room -= len(piece)
            pieces.append(piece)
            lasts.append(last)
        return pieces, lasts

    def _cut(self, context: Context) -> None:
        """Take out of the cache what is not known, or all where llama.cpp cannot take a part."""
        if context.is_cut:
            return
        remove = brief("llama_memory_seq_rm")
        context.position = _positions(context.known)
        if not remove(self._memory, context.number, context.position, -1):
            remove(self._memory, context.number, -1, -1)
            context.known.clear()
            context.position = 0
        context.is_cut = True
        context.kept = min(context.kept, len(context.known))


def _positions(entries: Sequence[Entry]) -> int:
    """Return how far what follows these is from what comes before them."""
    return sum(
        entry.positions * (entry.place == 0) if isinstance(entry, Piece) else 1 for entry in entries
    )


def _text_of(entries: Sequence[Entry]) -> list[int]:
    """Return the tokens in front of the first image."""
    tokens: list[int] = []
    for entry in entries:
        if isinstance(entry, Piece):
            break
        tokens.append(entry)
    return tokens


def _error(result: int) -> GenerateError:
    if result == _ABORTED:
        return RequestCancelledError("the answer was stopped")
    what = "the context is full" if result == _FULL else f"llama_decode returned {result}"
    return InternalError(f"llama.cpp cannot go on: {what}{complaints()}")


def _check_memory(needed: float, n_ctx: int, count: int) -> None:
    """Refuse what cannot be: an allocation succeeds, and the kernel ends the process later."""
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return  # nobody can tell
    if needed > there:
        times = f" for each of n_parallel={count}" if count > 1 else ""
        raise NotReadyError(
            f"a context of n_ctx={n_ctx} tokens{times} takes {needed / 2**30:.1f} GiB, and this "
            f"machine has {there / 2**30:.1f}: give a smaller n_ctx or cache_type",
            retryable=False,
        )

"""A model that is loaded once, for whoever asks, and its contexts.

Many may wait for one loading (``apart.py``).  When all of them have left it ends, and the next who
asks begins anew.

What was loaded belongs to the process that loaded it: whatever computed is not there in a forked
child.  A child loads its own, from a file whose pages it shares; where there is a graphics card it
is told to be started otherwise, because no driver survives a fork.
"""

from __future__ import annotations

import copy
import functools
import os
from typing import TYPE_CHECKING

from inferd_engine.backends.llamacpp.accelerator import devices, has_cards
from inferd_engine.backends.llamacpp.apart import Apart, waiting
from inferd_engine.backends.llamacpp.context import Context
from inferd_engine.backends.llamacpp.embedder import Embedder
from inferd_engine.backends.llamacpp.model import Model
from inferd_engine.backends.llamacpp.projector import Projector
from inferd_engine.backends.llamacpp.rounds import Rounds
from inferd_engine.backends.llamacpp.slots import Slots
from inferd_engine.errors import NotReadyError, RequestCancelledError

if TYPE_CHECKING:
    from inferd_engine.backends.llamacpp.apart import Limit, Waiter
    from inferd_engine.backends.llamacpp.config import LlamaCppConfig
    from inferd_engine.backends.llamacpp.library import AbortFlag
    from inferd_engine.cancel import Cancellable, CancelToken, LiveSet


class Loaded:
    """A model, and the contexts that answer."""

    def __init__(self, config: LlamaCppConfig, flag: AbortFlag) -> None:
        self.model = Model(config, flag)
        self.projector = Projector(config, self.model, flag) if config.mmproj_path else None
        rounds = Rounds(self.model, config, self.projector)
        self.size, self.one_go = rounds.size, rounds.one_go
        self.has_memory = rounds.has_memory
        self.embedder = Embedder(self.model, config) if config.embed else None
        contexts = [Context(rounds, number) for number in range(config.n_parallel)]
        self.slots = Slots(contexts, config.max_waiting)


class Engine:
    """Load a model when it is first asked for, and keep it."""

    def __init__(self, config: LlamaCppConfig) -> None:
        self._config = config
        self._loading: dict[int, Apart[Loaded]] = {}  # by process

    @property
    def loaded(self) -> Loaded | None:
        """What was loaded, if it was."""
        loading = self._loading.get(os.getpid())
        return None if loading is None else loading.result

    def load(self, cancel: CancelToken | None, live: LiveSet[Cancellable], limit: Limit) -> Loaded:
        """Return the model, loaded.

        Args:
            cancel: Ends the waiting.
            live: Whose members are cancelled when the backend is stopped.
            limit: How long the waiting may take.

        Raises:
            DeadlineError: It took longer.
            RequestCancelledError: The token was cancelled, or the backend stopped.
            NotReadyError: It cannot be loaded, or not after a fork.
            InvalidRequestError: The file is not what it has to be.
        """
        if self.loaded is not None:
            return self.loaded
        if {*self._loading} - {os.getpid()} and has_cards(devices()):
            raise NotReadyError(
                "the model was loaded before this process was forked, and cannot compute here: "
                "make a LlamaCpp in each process, or start processes with 'spawn'",
                retryable=False,
            )
        with waiting(live, cancel, limit) as waiter:
            return self._wait(waiter)

    def _wait(self, waiter: Waiter) -> Loaded:
        while not waiter.is_cancelled:
            fresh = Apart(functools.partial(Loaded, self._config), "loading")
            loading = self._loading.setdefault(os.getpid(), fresh)
            if loading is fresh:
                self._start(loading)
            loading.wait(waiter)
            if loading.result is not None:
                return loading.result
            if loading.is_over and self._loading.get(os.getpid()) is loading:
                self._forget()  # the next who asks begins anew
            if loading.error is not None and not loading.flag:
                raise copy.copy(loading.error)  # there may be others who wait, and are given theirs
        raise RequestCancelledError("the call was cancelled while the model was loaded")

    def _start(self, loading: Apart[Loaded]) -> None:
        try:
            loading.start()
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        self._loading.pop(os.getpid(), None)

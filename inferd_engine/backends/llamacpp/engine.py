"""A model that is loaded once, for whoever asks, and its contexts.

Loading takes from milliseconds to minutes, all of it inside of llama.cpp, where no Ctrl-C is heard.
So a thread loads, and those who ask wait for it, each until it is cancelled; when nobody waits any
more, the loading ends.  The next who asks begins anew.

What was loaded belongs to the process that loaded it: the threads that llama.cpp computes with are
not there in a forked child, and so a child is told to make a backend of its own.
"""

from __future__ import annotations

import copy
import os
import threading
from typing import TYPE_CHECKING

from inferd_engine.backends.llamacpp.context import Context
from inferd_engine.backends.llamacpp.library import AbortFlag
from inferd_engine.backends.llamacpp.model import Model
from inferd_engine.backends.llamacpp.slots import Slots
from inferd_engine.errors import GenerateError, InternalError, NotReadyError, RequestCancelledError
from inferd_engine.stream.turn import Bell

if TYPE_CHECKING:
    from inferd_engine.backends.llamacpp.config import LlamaCppConfig
    from inferd_engine.cancel import Cancellable, CancelToken, LiveSet

_SLICE = 0.5  # seconds of waiting at the most, before looking around


class Loaded:
    """A model, and the contexts that answer."""

    def __init__(self, config: LlamaCppConfig, flag: AbortFlag) -> None:
        self.model = Model(config, flag)
        contexts = [Context(self.model, config) for _ in range(config.n_parallel)]
        self.size = contexts[0].size
        self.slots = Slots(contexts, config.max_waiting)


class Waiter:
    """A call that waits for the loading; anybody may end that."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.is_cancelled = False

    def cancel(self) -> None:
        """Let the call wait no more."""
        self.is_cancelled = True
        self.bell.ring()


class Loading:
    """Load in a thread of its own, as long as somebody waits for it."""

    def __init__(self, config: LlamaCppConfig) -> None:
        self._config = config
        self._waiters: dict[int, Waiter] = {}
        self.flag = AbortFlag()
        self.loaded: Loaded | None = None
        self.error: GenerateError | None = None
        self.thread = threading.Thread(
            target=self._load, name="inferd-engine-llamacpp-loader", daemon=True
        )

    def _load(self) -> None:
        try:
            self.loaded = Loaded(self._config, self.flag)
        except GenerateError as error:
            self.error = error
        except BaseException as error:  # noqa: BLE001 - whoever waits has to hear of it
            self.error = InternalError(f"loading the model failed: {type(error).__name__}: {error}")
            self.error.__cause__ = error
        for waiter in list(self._waiters.values()):
            waiter.bell.ring()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.loaded is not None or self.error is not None

    def wait(self, waiter: Waiter) -> None:
        """Wait until it is over, or the waiter is cancelled."""
        self._waiters[id(waiter)] = waiter
        try:
            while not (self.is_over or waiter.is_cancelled):
                waiter.bell.wait(_SLICE)
        finally:
            self._waiters.pop(id(waiter), None)
            if not self._waiters and not self.is_over:
                self.flag.set()


class Engine:
    """Load a model when it is first asked for, and keep it."""

    def __init__(self, config: LlamaCppConfig) -> None:
        self._config = config
        self._loading: dict[str, Loading] = {}
        self._pid: int | None = None

    @property
    def loaded(self) -> Loaded | None:
        """What was loaded, if it was."""
        loading = self._loading.get("it")
        return None if loading is None else loading.loaded

    def load(self, cancel: CancelToken | None, live: LiveSet[Cancellable]) -> Loaded:
        """Return the model, loaded.

        Args:
            cancel: Ends the waiting.
            live: Whose members are cancelled when the backend is stopped.

        Raises:
            RequestCancelledError: The token was cancelled, or the backend stopped.
            NotReadyError: Another process has loaded it, or it cannot be loaded.
            InvalidRequestError: The file is not what it has to be.
        """
        if self._pid not in (None, os.getpid()):
            msg = (
                "the model was loaded before this process was forked, and cannot compute here: "
                "make a LlamaCpp in each process, or start processes with 'spawn'"
            )
            raise NotReadyError(msg, retryable=False)
        if self.loaded is not None:
            return self.loaded
        waiter = Waiter()
        live.add(waiter)
        if cancel is not None:
            cancel.join(waiter)
        try:
            return self._wait(waiter)
        finally:
            live.discard(waiter)
            if cancel is not None:
                cancel.leave(waiter)

    def _wait(self, waiter: Waiter) -> Loaded:
        while not waiter.is_cancelled:
            fresh = Loading(self._config)
            loading = self._loading.setdefault("it", fresh)
            if loading is fresh:
                self._start(loading)
            loading.wait(waiter)
            if loading.loaded is not None:
                return loading.loaded
            if loading.is_over and self._loading.get("it") is loading:
                self._forget()  # the next who asks begins anew
            if loading.error is not None and not loading.flag:
                raise copy.copy(loading.error)  # there may be others who wait, and are given theirs
        msg = "the call was cancelled while the model was loaded"
        raise RequestCancelledError(msg)

    def _start(self, loading: Loading) -> None:
        self._pid = os.getpid()
        try:
            loading.thread.start()
        except BaseException as error:
            self._forget()
            if not isinstance(error, RuntimeError):
                raise
            msg = f"no thread can be started that loads the model: {error}"
            raise InternalError(msg, retryable=True) from error

    def _forget(self) -> None:
        self._loading.pop("it", None)
        self._pid = None

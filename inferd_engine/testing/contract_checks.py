"""What the checks of a contract stand on: a backend for a script, and nothing that can hang."""

from __future__ import annotations

import contextlib
import threading
import unittest
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import inferd_engine as ie

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 10.0  # seconds: whatever takes longer hangs
SOON = 1.0  # seconds: what takes milliseconds, on a busy machine
FOREVER = 3600.0  # seconds: a silence that nobody waits out

_T = TypeVar("_T")


class Checks:
    """Give the checks their backend."""

    def make_backend(self, script: ie.MockConfig) -> ie.Backend:
        """Return a backend that answers every request as the script says."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a method make_backend(self, script: MockConfig)"
        )

    @contextlib.contextmanager
    def _backend(self, **script: Any) -> Iterator[ie.Backend]:  # of MockConfig
        """Make a backend; stop it at the end."""
        backend = self.make_backend(ie.MockConfig(**script))
        try:
            yield backend
        finally:
            in_time(backend.stop, "stop()")

    @contextlib.contextmanager
    def _stream(self, **script: Any) -> Iterator[ie.TokenStream]:  # of MockConfig
        """Ask a backend; close the stream, and stop the backend, at the end."""
        with self._backend(**script) as backend:
            stream = in_time(lambda: backend.stream("Hi"), "stream()")
            try:
                yield stream
            finally:
                in_time(stream.close, "close()")


def in_time(call: Callable[[], _T], what: str, limit: float | None = None) -> _T:
    """Call something in a thread of its own; give what it gives, and fail if it hangs.

    Raises:
        AssertionError: It did not return in time.
    """
    given: _T = Waited(call).result(what, limit)
    return given


class Waited:
    """A call that another thread makes."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._given: Any = None
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="contract", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._given = self._call()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._raised = error
        del self._call  # what it refers to may have to be dropped

    def is_over(self, seconds: float) -> bool:
        """Whether it has returned, or does in so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self, what: str, limit: float | None = None) -> Any:  # what it gives
        """Give what it gave, or raise what it raised."""
        assert self.is_over(LIMIT if limit is None else limit), f"{what} does not return"
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        return self._given


def skip(reason: str) -> NoReturn:
    """Leave a check out: it makes no sense here."""
    raise unittest.SkipTest(reason)


def error_of(call: Callable[[], object], what: str) -> BaseException:
    """Give the error that a call raises.

    Raises:
        AssertionError: It raises none, or hangs.
    """
    try:
        given = in_time(call, what)
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - which one is the question
        return error
    raise AssertionError(f"{what} raises nothing, and gives {given!r:.80}")

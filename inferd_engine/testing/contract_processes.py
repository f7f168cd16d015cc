"""The checks of a contract: forks and pickles."""

from __future__ import annotations

import os
import pickle
import signal
import time
import traceback
import warnings
from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.testing import contract_checks as checks
from inferd_engine.testing.contract_checks import Checks, in_time, skip

if TYPE_CHECKING:
    from collections.abc import Callable


class Processes(Checks):
    """One backend in several processes."""

    def test_a_forked_process_asks_for_itself(self) -> None:
        """A backend that was asked before the fork works on both sides of it."""
        with self._backend(tokens=["one ", "two"]) as backend:
            assert in_time(lambda: backend.complete("Hi").text, "complete()") == "one two"

            def ask() -> bool:
                return backend.complete("Hi").text == "one two"

            assert _in_a_child(ask), "complete() fails in the child"
            assert in_time(lambda: backend.complete("Hi").text, "complete()") == "one two"

    def test_a_stream_does_not_cross_a_fork(self) -> None:
        """The child gets an error at once; the parent's stream goes on."""
        with self._stream(tokens=["one ", "two ", "three"], token_delay=0.2) as stream:
            first = in_time(lambda: next(stream), "the first event")

            def read() -> bool:
                try:
                    next(stream)
                except ie.InternalError:
                    return True
                return False

            assert _in_a_child(read), "the child can read the parent's stream"
            rest = in_time(lambda: "".join(stream.text()), "the parent's stream")
            assert first.delta + rest == "one two three"  # type: ignore[union-attr]

    def test_pickling(self) -> None:
        """A backend that can be pickled answers in the copy, too."""
        with self._backend(tokens=["one ", "two"]) as backend:
            try:
                data = pickle.dumps(backend)
            except (TypeError, AttributeError, pickle.PicklingError) as error:
                skip(f"the backend cannot be pickled: {error}")
            copy = pickle.loads(data)  # noqa: S301 - what was just written
            try:
                assert in_time(lambda: copy.complete("Hi").text, "the copy") == "one two"
            finally:
                in_time(copy.stop, "stop() of the copy")
            assert in_time(lambda: backend.complete("Hi").text, "complete()") == "one two"


def _in_a_child(check: Callable[[], bool]) -> bool:
    """Say what a check says in a forked child; False if it fails or hangs there."""
    if not hasattr(os, "fork"):
        skip("this system has no fork()")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are the point
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if check() else 1
        except BaseException:  # noqa: BLE001 - it is told, and the child must not go on from here
            traceback.print_exc()
        finally:
            os._exit(code)
    until = time.monotonic() + checks.LIMIT
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status == 0
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False

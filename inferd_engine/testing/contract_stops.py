"""The checks of a contract: ending early, from anywhere, in every phase."""

from __future__ import annotations

import gc
import signal
import threading
import time
import warnings

import inferd_engine as ie
from inferd_engine.testing.contract_checks import (
    FOREVER,
    LIMIT,
    SOON,
    Checks,
    Waited,
    error_of,
    in_time,
    skip,
)

_SETTLED = 0.2  # seconds after which whoever is about to wait does


class Stops(Checks):
    """close(), dropping, tokens, stop()."""

    def test_close_wakes_the_consumer(self) -> None:
        """A consumer that waits in another thread is over at once, without ``Done``."""
        with self._stream(tokens=["one"], token_delay=FOREVER) as stream:
            consumer = Waited(lambda: list(stream))
            assert not consumer.is_over(_SETTLED), "it does not wait"
            _closed_soon(stream)
            assert consumer.is_over(SOON), "the consumer still waits"
            assert consumer.result("the consumer") == []
            assert (stream.cancelled, stream.ended, stream.done) == (True, True, None)

    def test_close_before_anybody_waits(self) -> None:
        """What has come and was not given is dropped."""
        with self._stream(tokens=["one", "two", "three"]) as stream:
            in_time(lambda: next(stream), "the first event")
            _closed_soon(stream)
            assert in_time(lambda: list(stream), "iterating over a closed stream") == []
            assert (stream.cancelled, stream.done) == (True, None)

    def test_close_after_the_end(self) -> None:
        """Closing what is finished does nothing."""
        with self._stream(tokens=["one"]) as stream:
            in_time(lambda: list(stream), "iterating")
            _closed_soon(stream)
            assert not stream.cancelled
            assert stream.done is not None

    def test_close_from_many_threads(self) -> None:
        """Many may close at once, and again."""
        with self._stream(tokens=["one"], token_delay=FOREVER) as stream:
            consumer = Waited(lambda: list(stream))
            closers = [Waited(stream.close) for _ in range(8)]
            for closer in closers:
                closer.result("close()")
            assert consumer.is_over(SOON), "the consumer still waits"
            _closed_soon(stream)

    def test_close_in_a_signal_handler(self) -> None:
        """A handler that runs while the same thread waits may close."""
        _needs_the_main_thread()
        with self._stream(tokens=["one"], token_delay=FOREVER) as stream:
            with _Handler(signal.SIGUSR1, stream.close):
                assert next(stream, None) is None
            assert stream.cancelled

    def test_collect_of_a_stream_that_was_closed(self) -> None:
        """It was not the answer: ``collect()`` raises ``RequestCancelledError``."""
        with self._stream(tokens=["one", "two"]) as stream:
            stream.close()
            error = error_of(stream.collect, "collect() of a closed stream")
            assert isinstance(error, ie.RequestCancelledError), f"it raises {error!r}"

    def test_closing_a_view(self) -> None:
        """A server closes what it was given, ``text()``: that closes the stream."""
        with self._stream(tokens=["one", "two"], token_delay=0.01) as stream:
            view = stream.text()
            assert in_time(lambda: next(view), "the first text")
            in_time(view.close, "close() of text()")
            assert stream.cancelled

    def test_a_stream_that_is_dropped(self) -> None:
        """Losing the last reference closes it, with a ``ResourceWarning``, and its worker goes."""
        before = _workers()
        with self._backend(tokens=["one"] * 1000, token_delay=0.1) as backend:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                stream = backend.stream("Hi")
                next(stream)
                del stream
                gc.collect()
                until = time.monotonic() + LIMIT
                while _workers() - before and time.monotonic() < until:
                    time.sleep(0.01)
            assert any(one.category is ResourceWarning for one in warned), "nobody warned"
            assert not _workers() - before, "the worker goes on reading"

    # --- tokens ----------------------------------------------------------------------------------

    def test_a_token_ends_a_stream(self) -> None:
        """``cancel()`` is ``close()`` for every stream that carries the token."""
        with self._backend(tokens=["one"], token_delay=FOREVER) as backend:
            token = ie.CancelToken()
            streams = [_opened(backend, token) for _ in range(3)]
            consumers = [Waited(stream.collect) for stream in streams]
            token.cancel()
            for consumer, stream in zip(consumers, streams, strict=True):
                assert consumer.is_over(SOON), "the consumer still waits"
                assert stream.cancelled

    def test_a_token_ends_a_call(self) -> None:
        """``complete()`` raises ``RequestCancelledError``, whatever it waits for."""
        with self._backend(tokens=["one"], token_delay=FOREVER) as backend:
            token = ie.CancelToken()
            call = Waited(lambda: backend.complete("Hi", cancel=token))
            assert not call.is_over(_SETTLED), "it does not wait"
            token.cancel()
            assert call.is_over(SOON), "the call still waits"
            error = error_of(lambda: call.result("complete()"), "complete()")
            assert isinstance(error, ie.RequestCancelledError), f"it raises {error!r}"

    def test_a_token_with_a_deadline(self) -> None:
        """``cancel_after()`` is a deadline for whatever carries the token."""
        with self._backend(tokens=["one"], token_delay=FOREVER) as backend:
            token = ie.CancelToken()
            token.cancel_after(_SETTLED)
            error = error_of(lambda: backend.complete("Hi", cancel=token), "complete()")
            assert isinstance(error, ie.RequestCancelledError), f"it raises {error!r}"

    def test_a_token_that_was_cancelled_before(self) -> None:
        """The call is refused."""
        with self._backend() as backend:
            token = ie.CancelToken()
            token.cancel()
            error = error_of(lambda: _opened(backend, token), "a call that was cancelled before")
            assert isinstance(error, ie.RequestCancelledError), f"it raises {error!r}"

    # --- stop() ----------------------------------------------------------------------------------

    def test_stop_ends_every_stream(self) -> None:
        """``stop()`` is soon over, and so are all consumers."""
        with self._backend(tokens=["one"], token_delay=FOREVER) as backend:
            streams = [in_time(lambda: backend.stream("Hi"), "stream()") for _ in range(3)]
            consumers = [Waited(stream.__next__) for stream in streams]
            in_time(backend.stop, "stop()")
            for consumer, stream in zip(consumers, streams, strict=True):
                assert consumer.is_over(SOON), "a consumer still waits"
                assert stream.cancelled

    def test_after_stop(self) -> None:
        """A backend that was stopped says so, refuses calls for good, and may be stopped again."""
        with self._backend() as backend:
            in_time(backend.stop, "stop()")
            assert backend.ready() is False
            error = error_of(lambda: backend.stream("Hi"), "a call after stop()")
            assert isinstance(error, ie.NotReadyError), f"it raises {error!r}"
            assert not error.retryable
            in_time(backend.stop, "stop() again")

    # --- signals ---------------------------------------------------------------------------------

    def test_an_interrupt(self) -> None:
        """Ctrl-C while a stream waits goes up, and closes the stream."""
        _needs_the_main_thread()

        def interrupt() -> None:
            raise KeyboardInterrupt

        with self._stream(tokens=["one"], token_delay=FOREVER) as stream:
            try:
                with _Handler(signal.SIGUSR1, interrupt):
                    next(stream, None)
            except KeyboardInterrupt:
                assert stream.cancelled, "the stream is open"
                return
        raise AssertionError("KeyboardInterrupt did not go up")


def _opened(backend: ie.Backend, token: ie.CancelToken) -> ie.TokenStream:
    return in_time(lambda: backend.stream("Hi", cancel=token), "stream()")


def _closed_soon(stream: ie.TokenStream) -> None:
    """Close a stream: that never waits for the network."""
    in_time(stream.close, "close()", SOON)


def _workers() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("inferd-engine-worker")}


def _needs_the_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        skip("signals come to the main thread alone")
    if not hasattr(signal, "pthread_kill"):
        skip("this system has no pthread_kill()")


class _Handler:
    """Run something in a signal handler while the main thread waits, and see that it is woken."""

    def __init__(self, number: int, run: object) -> None:
        self._number = number
        self._run = run
        self._is_over = threading.Event()
        self._old: object = None

    def __enter__(self) -> None:
        self._calls = 0
        self._old = signal.signal(self._number, self._handle)
        self._thread = threading.Thread(target=self._send, name="contract", daemon=True)
        self._thread.start()

    def _handle(self, *_: object) -> None:
        self._calls += 1
        if self._calls > 1:
            raise AssertionError("the consumer goes on waiting")
        self._run()  # type: ignore[operator]

    def _send(self) -> None:
        main = threading.main_thread().ident
        for wait in (_SETTLED, SOON * 2):
            if self._is_over.wait(wait) or main is None:
                return
            signal.pthread_kill(main, self._number)

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        signal.signal(self._number, self._old)  # type: ignore[arg-type]

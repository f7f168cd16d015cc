"""The checks of a contract: what comes, in which order, and how it ends."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

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

WORDS = tuple(f"word-{number} " for number in range(200))
TEXT = "".join(WORDS)


class Ends(Checks):
    """Order, endings, errors, bounds."""

    def test_it_says_what_it_is(self) -> None:
        """A name, its capabilities, and that it is ready."""
        with self._backend() as backend:
            assert isinstance(backend, ie.Backend)
            assert isinstance(backend.name, str)
            assert backend.name
            assert isinstance(backend.capabilities(), ie.BackendCapabilities)
            assert backend.capabilities().v2
            assert backend.ready() is True

    def test_events_come_in_order(self) -> None:
        """The texts in their order, none of them empty, then one ``Done``, then nothing more."""
        with self._stream(tokens=[*WORDS[:100], "", *WORDS[100:]]) as stream:
            events = in_time(lambda: list(stream), "iterating")
            texts = [event.delta for event in events if event.type == "text"]
            assert "".join(texts) == TEXT
            assert all(texts), "a delta is empty"
            kinds = [event.type for event in events]
            assert kinds.count("done") == 1, f"there are {kinds.count('done')} Done"
            assert kinds[-1] == "done", f"{kinds[-1]} comes after Done"
            assert in_time(lambda: list(stream), "iterating again") == []

    def test_an_answer_that_is_finished(self) -> None:
        """The stream knows that it has ended, and how."""
        with self._stream(tokens=["one"]) as stream:
            assert (stream.ended, stream.done) == (False, None)
            *_, last = in_time(lambda: list(stream), "iterating")
            assert stream.done is last
            assert (stream.ended, stream.cancelled) == (True, False)
            assert str(last.stop_reason) == "end_turn"

    def test_events_of_every_kind(self) -> None:
        """Thoughts, texts, whole tool calls and the usage, as far as the backend has them."""
        with self._backend() as backend:
            can = backend.capabilities()
        call = ie.ToolUse("call_1", "weather", {"city": "Köln", "days": [1, 2.5, None]})
        done = ie.Done(ie.StopReason.TOOL_USE, ie.Usage(3, 4), "tool_calls")
        calls: list[ie.TokenEventV2] = [call]
        if not can.tools:
            calls, done = [], ie.Done(ie.StopReason.END_TURN, ie.Usage(3, 4), "stop")
        said = [ie.ThinkingDelta("Let me see. "), ie.TextDelta("I look. ")]
        with self._backend(events=[*said, *calls, done]) as backend:
            completion = in_time(lambda: backend.complete("Hi"), "complete()")
        assert completion.text == "I look. "
        assert completion.thinking == "Let me see. " or not (can.thinking or completion.thinking)
        assert completion.stop_reason == done.stop_reason
        if completion.usage is not None:  # not every upstream counts
            assert (completion.usage.input_tokens, completion.usage.output_tokens) == (3, 4)
        if can.tools:
            [given] = completion.tool_uses
            assert (given.name, given.input) == (call.name, call.input)
            assert given.tool_call_id

    def test_complete_is_the_stream_as_a_whole(self) -> None:
        """``complete()`` and ``stream().text()`` say the same."""
        with self._backend(tokens=WORDS) as backend:
            completion = in_time(lambda: backend.complete("Hi"), "complete()")
            assert completion.text == TEXT
            assert completion.done is not None
            with in_time(lambda: backend.stream("Hi"), "stream()") as stream:
                assert in_time(lambda: "".join(stream.text()), "text()") == TEXT

    def test_flat_text(self) -> None:
        """``generate()`` gives ``Token`` and ``Done``; or the backend says that it has no such."""
        request = ie.Request([ie.Message("user", "Hi")]).resolve()
        with self._backend(tokens=["one ", "two"]) as backend:
            try:
                stream = in_time(lambda: backend.generate(request), "generate()")
            except ie.InternalError as error:
                skip(str(error))
            with stream:
                events = in_time(lambda: list(stream), "iterating")
            assert {event.type for event in events[:-1]} == {"token"}
            assert ie.Completion.of(events).text == "one two"
            assert events[-1].type == "done"

    def test_the_id_of_a_request(self) -> None:
        """A stream has the upstream's id of the request, or the caller's own."""
        request = ie.RequestV2([ie.user("Hi")], id="ours").resolve()
        with self._backend() as backend:
            stream = in_time(lambda: backend.generate_v2(request), "generate_v2()")
            with stream:
                assert stream.request_id

    def test_several_answers_at_once(self) -> None:
        """Streams of one backend do not mix, and do not wait for each other."""
        count = 8
        with self._backend(tokens=WORDS[:10], token_delay=0.05) as backend:
            began = time.monotonic()
            with ThreadPoolExecutor(count) as pool:
                asked = [pool.submit(lambda: backend.complete("Hi").text) for _ in range(count)]
                texts = [answer.result(LIMIT) for answer in asked]
            assert texts == ["".join(WORDS[:10])] * count
            took = time.monotonic() - began
            assert took < count * 10 * 0.05 * 0.6, f"one after the other, {took:.1f} s"

    # --- what goes wrong -------------------------------------------------------------------------

    def test_an_answer_that_is_cut(self) -> None:
        """All that came is given, then ``StreamInterruptedError``; it never looks whole."""
        with self._stream(tokens=WORDS[:5], mid_stream_drop_after=2) as stream:
            got: list[str] = []
            error = error_of(lambda: got.extend(stream.text()), "text() of a cut answer")
            assert isinstance(error, ie.StreamInterruptedError), f"it ends with {error!r}"
            assert "".join(got) == "".join(WORDS[:2])
            assert not error.retryable, "half an answer was given: only the caller may ask again"
            assert (stream.ended, stream.done) == (True, None)
            assert in_time(lambda: list(stream), "iterating after the error") == []

    def test_the_part_of_an_answer_that_is_cut(self) -> None:
        """``complete()`` raises too, and the error holds what had come."""
        with self._backend(tokens=WORDS[:5], mid_stream_drop_after=2) as backend:
            error = error_of(lambda: backend.complete("Hi"), "complete() of a cut answer")
            assert isinstance(error, ie.StreamInterruptedError)
            assert error.partial is not None
            assert error.partial.text == "".join(WORDS[:2])

    def test_an_error_before_the_answer(self) -> None:
        """It is raised by the call itself, not by the first event; its class says who must act."""
        refusal = ie.HttpStatusError("busy", status=503)
        with self._backend(pre_stream_error=refusal) as backend:
            error = error_of(lambda: backend.stream("Hi"), "stream() of a backend that refuses")
            assert isinstance(error, ie.UnavailableError), f"it raises {error!r}"
            assert error.retryable

    def test_errors_can_be_pickled(self) -> None:
        """An error crosses processes with its class, its message and what it holds."""
        refusal = {"tokens": WORDS[:5], "mid_stream_drop_after": 2}
        with self._backend(**refusal) as backend:
            error = error_of(lambda: backend.complete("Hi"), "complete() of a cut answer")
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - what was just written
        assert (type(copy), str(copy)) == (type(error), str(error))
        assert vars(copy) == vars(error)

    def test_a_request_that_cannot_be_sent(self) -> None:
        """It is refused before anybody is asked, and the message names the place."""
        with self._backend() as backend:
            error = error_of(lambda: backend.complete([]), "complete() without messages")
            assert isinstance(error, ie.InvalidRequestError), f"it raises {error!r}"
            assert "messages" in str(error)

    # --- who waits for whom ----------------------------------------------------------------------

    def test_poll_keeps_its_time(self) -> None:
        """``poll()`` gives None in a silence, in time, and the stream goes on."""
        with self._stream(tokens=["one"], token_delay=1.0) as stream:
            began = time.monotonic()
            try:
                assert in_time(lambda: stream.poll(0.1), "poll()") is None
            except ie.UnsupportedError as error:
                skip(str(error))
            assert time.monotonic() - began < 0.1 + SOON / 2, "poll() waits for longer than told"
            assert not stream.ended
            assert in_time(lambda: "".join(stream.text()), "iterating") == "one"

    def test_a_heartbeat(self) -> None:
        """``with_heartbeat()`` gives None in a silence, and then what comes."""
        with self._stream(tokens=["one"], token_delay=0.6) as stream:
            try:
                beats = in_time(lambda: list(stream.with_heartbeat(0.1)), "with_heartbeat()")
            except ie.UnsupportedError as error:
                skip(str(error))
            assert beats[0] is None, "there is no beat in a silence"
            assert [beat.type for beat in beats if beat is not None] == ["text", "done"]

    def test_deadlines(self) -> None:
        """A backend that has a ``timeout`` keeps it in a silence."""
        with self._backend(tokens=["one"], token_delay=FOREVER) as backend:
            if not hasattr(getattr(backend, "config", None), "timeout"):
                skip("the backend has no timeout")
            quick = backend.with_options(timeout=0.2)  # type: ignore[attr-defined]
            error = error_of(lambda: quick.complete("Hi"), "complete() with timeout=0.2")
            assert isinstance(error, ie.DeadlineError), f"it raises {error!r}"

    def test_one_consumer_at_a_time(self) -> None:
        """A second one gets a RuntimeError, and the first all events."""
        with self._stream(tokens=["one"], token_delay=0.7) as stream:
            first = Waited(lambda: "".join(stream.text()))
            assert not first.is_over(0.2)
            error = error_of(lambda: next(stream), "a second consumer")
            assert isinstance(error, RuntimeError), f"it raises {error!r}"
            assert first.result("the first consumer") == "one"

    def test_a_consumer_that_stays_away(self) -> None:
        """The upstream has to wait: no more than ``buffer`` events are read ahead.

        Thirty pieces of half a megabyte are more than the kernel keeps for a connection.  They take
        two seconds to be said; if all of them are there when the consumer is back, nothing waited.
        """
        pieces, delay = ["x" * 500_000] * 40, 0.04
        with self._stream(tokens=pieces, token_delay=delay, buffer=4) as stream:
            in_time(lambda: next(stream), "the first event")
            time.sleep(len(pieces) * delay + 0.8)  # in which everything could have been read
            began = time.monotonic()
            in_time(lambda: list(stream), "the other events", LIMIT * 3)
            took = time.monotonic() - began
            assert took > 4 * delay, f"all was read ahead: the rest was there in {took:.3f} s"

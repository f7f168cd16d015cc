"""What a consumer of a stream is promised, against the mock: no sockets, the same stream."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest

import inferd_engine as ie


def mock(*tokens, **fields):
    return ie.Mock(tokens=tokens or ("Hel", "lo"), **fields)


@pytest.fixture(params=[512, 1, 0], ids=lambda buffer: f"buffer={buffer}")
def buffer(request):
    return request.param


def test_events_then_done_then_stop(buffer):
    """Events come in order, then exactly one Done, then StopIteration for ever."""
    stream = mock("a", "b", "c", buffer=buffer).stream("x")
    events = list(stream)
    assert [event.type for event in events] == ["text", "text", "text", "done"]
    assert [event.delta for event in events[:3]] == ["a", "b", "c"]
    assert stream.done is events[-1]
    assert (stream.ended, stream.cancelled) == (True, False)
    assert next(stream, "over") == "over"
    assert list(stream) == []


def test_text_gives_str_alone(buffer):
    """text() gives the text, as str, and leaves Done on the stream."""
    stream = mock(buffer=buffer).stream("x")
    assert "".join(stream.text()) == "Hello"
    assert stream.done.stop_reason is ie.StopReason.END_TURN


def test_collect_gives_the_whole_answer(buffer):
    """collect() gives text, thinking, tool calls and Done in one value."""
    events = [
        ie.ThinkingDelta("hm"),
        ie.TextDelta("On "),
        ie.TextDelta("it."),
        ie.ToolUse("c1", "now", {}),
        ie.Done(ie.StopReason.TOOL_USE, None, "tool_calls"),
    ]
    completion = ie.Mock(events=events, buffer=buffer).complete("x")
    assert (completion.text, completion.thinking) == ("On it.", "hm")
    assert completion.tool_uses == (events[3],)
    assert completion.done is events[4]


def test_done_is_none_until_it_is_given():
    """Done and ended say nothing before the consumer has come to the end."""
    with mock().stream("x") as stream:
        next(stream)
        assert stream.done is None
        assert not stream.ended


def test_failure_comes_after_all_events(buffer):
    """What was received is delivered first, then the error is raised, and there is no Done."""
    stream = mock("a", "b", "c", mid_stream_drop_after=2, buffer=buffer).stream("x")
    given = []
    with pytest.raises(ie.StreamInterruptedError) as caught:
        for event in stream:
            given.append(event.delta)  # noqa: PERF401 - what came before the error counts
    assert given == ["a", "b"]
    assert stream.stats.events == 2
    assert caught.value.retryable is False
    assert (stream.done, stream.cancelled, stream.ended) == (None, False, True)
    assert next(stream, "over") == "over"


def test_failure_before_any_event_may_be_retried(buffer):
    """An error is retryable as long as no event was delivered."""
    stream = mock("a", mid_stream_drop_after=0, buffer=buffer).stream("x")
    with pytest.raises(ie.StreamInterruptedError) as caught:
        next(stream)
    assert caught.value.retryable is True


def test_a_failure_of_complete_may_be_retried(buffer):
    """From complete() nothing was handed out: its errors keep the word of their class."""
    with pytest.raises(ie.StreamInterruptedError) as caught:
        mock("a", "b", "c", mid_stream_drop_after=2, buffer=buffer).complete("x")
    assert caught.value.retryable is True
    assert caught.value.partial.text == "ab"


def test_collect_says_what_it_took(buffer):
    """A collected completion knows its stream's statistics and request id."""
    stream = mock(buffer=buffer).stream("x", id="mine")
    completion = stream.collect()
    assert completion.request_id == stream.request_id == "mine"
    assert completion.stats == stream.stats
    assert completion.stats.events == 3


@pytest.mark.parametrize("how", ["text", "collect"])
def test_partial_is_on_the_error(how, buffer):
    """text() and collect() put what came before the error on it."""
    stream = mock("a", "b", "c", mid_stream_drop_after=2, buffer=buffer).stream("x")
    with pytest.raises(ie.StreamInterruptedError) as caught:
        list(stream.text()) if how == "text" else stream.collect()
    assert caught.value.partial.text == "ab"
    assert caught.value.partial.done is None


@pytest.mark.parametrize("how", ["text", "collect"])
def test_an_upstream_that_gave_up_is_no_whole_answer(how):
    """Done(stop_reason=error) is an event for those who iterate, an error for text()/collect()."""
    events = [ie.TextDelta("half"), ie.Done(ie.StopReason.ERROR, None, "abort")]
    backend = ie.Mock(events=events)
    assert list(backend.stream("x")) == events
    stream = backend.stream("x")
    with pytest.raises(ie.StreamInterruptedError, match="abort") as caught:
        list(stream.text()) if how == "text" else stream.collect()
    assert caught.value.partial.text == "half"
    assert not caught.value.retryable, "half an answer was given"
    with pytest.raises(ie.StreamInterruptedError) as caught:
        backend.complete("x")
    assert caught.value.retryable, "nothing was given"


def test_a_failed_stream_fails_text_again():
    """Asking a failed stream for its text once more does not make it look whole."""
    stream = mock("a", "b", mid_stream_drop_after=1).stream("x")
    with pytest.raises(ie.StreamInterruptedError):
        list(stream)
    with pytest.raises(ie.StreamInterruptedError):
        list(stream.text())


def test_poll_gives_events_and_none():
    """poll() gives the next event, None when nothing came in time, None at once at the end."""
    with mock("a", "b", token_delay=0.05).stream("x") as stream:
        assert stream.poll(0.0) is None
        assert stream.poll(10.0) == ie.TextDelta("a")
        assert stream.poll(10.0) == ie.TextDelta("b")
        assert stream.poll(10.0).type == "done"
        assert stream.poll(10.0) is None
        assert stream.ended


def test_heartbeat_gives_none_while_it_waits():
    """with_heartbeat() gives None whenever nothing came for so long, and ends by itself."""
    with mock("a", token_delay=0.1).stream("x") as stream:
        beats = list(stream.with_heartbeat(0.01))
    assert beats.count(None) >= 2
    assert [beat.type for beat in beats if beat is not None] == ["text", "done"]


@pytest.mark.parametrize("how", ["poll", "with_heartbeat"])
def test_without_a_worker_nobody_can_wait_for_a_while(how):
    """With buffer=0 there is no worker: poll() and with_heartbeat() say so."""
    with mock(buffer=0).stream("x") as stream, pytest.raises(ie.UnsupportedError, match="buffer"):
        stream.poll(0.1) if how == "poll" else next(stream.with_heartbeat(0.1))


def test_a_second_consumer_is_refused(buffer):
    """While one thread waits, a second one gets RuntimeError, and no event is lost."""
    stream = mock("a", token_delay=0.2, buffer=buffer).stream("x")
    got = []
    first = threading.Thread(target=lambda: got.extend(stream))
    refused = False
    with stream:
        first.start()
        while not refused and first.is_alive():
            try:
                assert next(stream, None) is None
            except RuntimeError:
                refused = True
        first.join()
    assert refused
    assert [event.type for event in got] == ["text", "done"]


def test_stats_count_what_was_delivered(buffer):
    """Stats counts the events that were given, not those that wait."""
    with mock("a", "b", "c", buffer=buffer).stream("x") as stream:
        assert stream.stats.ttft is None or buffer
        next(stream)
        assert stream.stats.events == 1
        list(stream)
        assert stream.stats.events == 4
        assert 0 <= stream.stats.ttft <= stream.stats.duration


def test_v1_gives_tokens():
    """generate() gives Token and Done, and text() works on it."""
    request = ie.Request([ie.Message("user", "hi")]).resolve()
    assert [*mock("a").generate(request)][:-1] == [ie.Token("a")]
    assert "".join(mock("a", "b").generate(request).text()) == "ab"


def test_completion_becomes_the_next_turn():
    """to_message() gives the answer as an assistant message that resolves."""
    completion = ie.Mock(events=[ie.TextDelta("ok"), ie.ToolUse("c", "f", {"a": 1})]).complete("x")
    message = completion.to_message()
    assert [block.type for block in message.content] == ["text", "tool_use"]
    ie.RequestV2([ie.user("x"), message, ie.tool_result("c", "1")]).resolve()


def test_a_failure_is_told_in_few_words():
    """However long the upstream's finish word is, the error says it on one short line."""
    word = "network\nerror " * 500
    done = ie.Done(ie.StopReason.ERROR, None, word)
    with pytest.raises(ie.StreamInterruptedError) as caught:
        ie.Mock(events=[ie.TextDelta("a"), done]).complete("x")
    assert len(str(caught.value)) < 130
    assert "\n" not in str(caught.value)
    assert caught.value.partial.finish_reason == word


def test_a_failure_without_a_word_is_told():
    """An answer that was given up without a finish word says so."""
    with pytest.raises(ie.StreamInterruptedError, match="up, and did not say why"):
        ie.Mock(events=[ie.Done(ie.StopReason.ERROR)]).complete("x")


@pytest.mark.parametrize("away", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_token_says_why_it_stays(away):
    """A token cannot go to another process, and says what to do instead."""
    with pytest.raises(TypeError, match=r"make one where the call is made, or give .* timeout"):
        away(ie.CancelToken())

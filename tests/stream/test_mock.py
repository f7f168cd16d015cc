"""The mock's own knobs."""

from __future__ import annotations

import pickle
import threading

import pytest
from stream.hiring import hire

import inferd_engine as ie


def test_the_default_answer():
    """Without a configuration it says one thing."""
    completion = ie.Mock().complete("x")
    assert completion.text == "mock-response"
    assert completion.done.usage == ie.Usage(0, 1)


def test_a_configuration_or_its_fields():
    """A configuration, fields, and both together mean the same."""
    config = ie.MockConfig(tokens=["a"])
    assert ie.Mock(config).complete("x").text == "a"
    assert ie.Mock(tokens=["a"]).complete("x").text == "a"
    assert ie.Mock(config, tokens=["b"]).complete("x").text == "b"


def test_an_error_before_the_stream_is_raised_by_the_call():
    """pre_stream_error is raised by stream() itself."""
    backend = ie.Mock(pre_stream_error=ie.TransportError("down"))
    with pytest.raises(ie.TransportError, match="down"):
        backend.stream("x")


def test_readiness_can_be_pretended():
    """set_ready(False) makes calls fail in a way that may be retried."""
    backend = ie.Mock()
    backend.set_ready(False)
    assert not backend.ready()
    with pytest.raises(ie.NotReadyError) as caught:
        backend.stream("x")
    assert caught.value.retryable is True
    backend.set_ready(True)
    assert backend.complete("x").text


def test_a_drop_beyond_the_end_is_none():
    """mid_stream_drop_after drops only what is there."""
    assert ie.Mock(tokens=["a"], mid_stream_drop_after=1).complete("x").text == "a"


def test_requests_are_checked():
    """The mock refuses what every backend refuses."""
    with pytest.raises(ie.InvalidRequestError, match="max_tokens"):
        ie.Mock().stream("x", max_tokens=0)


def test_it_is_a_backend():
    """It names itself, says what it can do, and stops at the end of with."""
    with ie.Mock() as backend:
        assert isinstance(backend, ie.Backend)
        assert backend.name == "mock"
        assert backend.capabilities().v2
        assert not backend.capabilities().vision
    assert not backend.ready()


TEXT = ie.TextDelta("a")
CALL = ie.ToolUse("c1", "now", {})
DONE = ie.Done(ie.StopReason.MAX_TOKENS, None, "length")
DOWN = ie.TransportError("down")


def events_of(stream):
    """Give the events of a stream, and its error at the end if it has one."""
    events = []
    try:
        events += iter(stream.__next__, None)
    except StopIteration:
        pass
    except ie.GenerateError as error:
        events.append(error)
    return events


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("hello", ["hello"]),
        (["hel", "lo"], ["hel", "lo"]),
        (("hel", "", "lo"), ["hel", "lo"]),
        (iter(["hel", "lo"]), ["hel", "lo"]),
        ("", []),
        ([], []),
    ],
)
def test_an_answer_in_front(given, texts):
    """A str is one piece of text, a list of str several."""
    stream = ie.Mock(given).stream("x")
    assert [event.delta for event in stream if event.type == "text"] == texts
    assert stream.done.stop_reason is ie.StopReason.END_TURN


def test_a_str_is_one_piece_everywhere():
    """A str is never taken for a list of its characters."""
    for backend in (ie.Mock(tokens="hello"), ie.Mock(answers="hello"), ie.Mock(answers=["hello"])):
        assert [event.type for event in backend.stream("x")] == ["text", "done"]
        assert backend.complete("x").text == "hello"


@pytest.mark.parametrize(
    ("answer", "events"),
    [
        ([TEXT, DONE], [TEXT, DONE]),
        (["a", CALL], [TEXT, CALL, ie.Done(ie.StopReason.TOOL_USE, ie.Usage(0, 2), "tool_calls")]),
        ([CALL, DONE, TEXT], [CALL, DONE]),
        (["a"], [TEXT, ie.Done(ie.StopReason.END_TURN, ie.Usage(0, 1), "stop")]),
    ],
)
def test_a_list_of_texts_and_events(answer, events):
    """Texts and events come as they are; how it ended follows from them unless it is said."""
    assert list(ie.Mock(answer).stream("x")) == events
    assert list(ie.Mock(answers=[answer]).stream("x")) == events


def test_a_scripted_call_ends_with_tool_use():
    """An answer that holds a call ends with tool_use, whichever way it was scripted."""
    for backend in (ie.Mock(events=[CALL]), ie.Mock([CALL]), ie.Mock(answers=[["x", CALL]])):
        assert backend.complete("x").stop_reason is ie.StopReason.TOOL_USE


def test_answers_one_after_another():
    """Each call is given the next answer, and the last one again and again."""
    backend = ie.Mock(answers=["one", ["t", "wo"], DOWN])
    assert [backend.complete("x").text for _ in range(2)] == ["one", "two"]
    with pytest.raises(ie.TransportError) as caught:
        backend.stream("x")
    assert caught.value is DOWN
    asked = ie.Mock(answers=["one", lambda request: request.messages[0].content[0].text * 2])
    assert [asked.complete(text).text for text in "abc"] == ["one", "bb", "cc"]


def test_a_function_gives_any_answer():
    """A function may give an error, a list of events, or raise what a test wants to see."""
    answers = {"error": DOWN, "events": [CALL], "text": "fine"}
    backend = ie.Mock(lambda request: answers[request.messages[0].content[0].text])
    assert backend.complete("text").text == "fine"
    assert backend.complete("events").tool_uses == (CALL,)
    with pytest.raises(ie.TransportError):
        backend.stream("error")
    with pytest.raises(KeyError):
        backend.stream("unknown")


def test_an_error_at_the_end_breaks_the_answer_off():
    """An error in a list comes after what is before it; the same answer may be given again."""
    error = ie.StreamInterruptedError("cut")
    backend = ie.Mock(["a", error, "never"])
    for _ in range(2):
        text, raised = events_of(backend.stream("x"))
        assert text == TEXT
        assert (type(raised), str(raised), raised.retryable) == (type(error), "cut", False)
        with pytest.raises(ie.StreamInterruptedError) as caught:
            backend.complete("x")
        assert caught.value.partial.text == "a"
    assert (error.partial, error.retryable) == (None, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "of type int"),
        (object(), "of type object"),
        ([7], "piece 0 is of type int"),
        (["a", None], "piece 1 is of type NoneType"),
        (lambda _: 7, "piece 0 is of type int"),
        (lambda _: None, "piece 0 is of type NoneType"),
        (ie.TransportError, "piece 0 is of type type"),
    ],
)
def test_what_is_no_answer(given, said):
    """What can be no answer is a TypeError that says where it is, not an empty answer."""
    with pytest.raises(TypeError, match=said):
        ie.Mock(given).stream("x")


@pytest.mark.parametrize("given", ["down", ie.TransportError, OSError("down")])
def test_what_is_no_error_of_ours(given):
    """What a call is to raise is an error of ours, made already."""
    with pytest.raises(TypeError, match="pre_stream_error"):
        ie.Mock(pre_stream_error=given)


def test_it_knows_what_it_was_asked():
    """Requests are kept in order, as they were resolved, also those that were refused."""
    backend = ie.Mock(answers=["a", DOWN])
    backend.complete("first", max_tokens=5)
    with pytest.raises(ie.TransportError):
        backend.complete("second")
    texts = [request.messages[0].content[0].text for request in backend.requests]
    assert texts == ["first", "second"]
    assert backend.requests[0].max_tokens == 5
    flat, vectors = (
        ie.Request([ie.Message("user", "hi")]).resolve(),
        ie.EmbedRequest("x").resolve(),
    )
    other = ie.Mock()
    list(other.generate(flat))
    other.embed(vectors)
    assert other.requests == [flat, vectors]


def test_a_call_that_is_not_made_takes_no_answer():
    """A call that is refused before it is made is not kept, and takes no answer away."""
    backend, token = ie.Mock(answers=["one", "two"]), ie.CancelToken()
    token.cancel()
    with pytest.raises(ie.RequestCancelledError):
        backend.stream("x", cancel=token)
    backend.set_ready(False)
    with pytest.raises(ie.NotReadyError):
        backend.stream("x")
    backend.set_ready(True)
    assert backend.requests == []
    assert backend.complete("x").text == "one"


def test_options():
    """with_options() gives a mock with other settings, the same requests, and a life of its own."""
    backend = ie.Mock(answers=["one", "two", "three"])
    assert backend.complete("a").text == "one"
    other = backend.with_options(token_delay=0.001)
    assert other.complete("b").text == "two"
    assert backend.complete("c").text == "three"
    assert [request.messages[0].content[0].text for request in backend.requests] == ["a", "b", "c"]
    assert other.requests is backend.requests
    assert backend.with_options(tokens=["new"]).complete("x").text == "new"
    assert ie.Mock(events=[CALL]).with_options(tokens="new").complete("x").text == "new"
    assert other.with_options(answers=["anew"]).complete("x").text == "anew"
    other.stop()
    assert backend.ready()
    with pytest.raises(TypeError, match="tokenz"):
        backend.with_options(tokenz=["a"])


def test_models():
    """It lists the one model that it is, until it is stopped."""
    backend = ie.Mock()
    assert backend.models() == ["mock"]
    backend.stop()
    with pytest.raises(ie.NotReadyError):
        backend.models()


def test_embeddings():
    """Vectors are those of inferd's mock: (i + 1) / (bytes + 1), eight of them or as many."""
    backend = ie.Mock()
    assert backend.capabilities().embed
    result = backend.embed(ie.EmbedRequest(["abc", "ä"]).resolve())
    assert result.embeddings[0] == tuple((i + 1) / 4 for i in range(8))
    assert result.embeddings[1] == tuple((i + 1) / 3 for i in range(8))
    assert result.input_tokens == 5
    result = backend.embed(ie.EmbedRequest("abc", dimensions=2).resolve())
    assert result.embeddings == ((1 / 4, 2 / 4),)
    backend.stop()
    with pytest.raises(ie.NotReadyError):
        backend.embed(ie.EmbedRequest("abc").resolve())


def test_flat_texts():
    """A v1 stream gives the texts of the answer, and of nothing else."""
    request = ie.Request([ie.Message("user", "hi")]).resolve()
    backend = ie.Mock(answers=[["a", ie.ThinkingDelta("hm"), CALL], "b"])
    assert list(backend.generate(request))[:-1] == [ie.Token("a")]
    assert list(backend.generate(request))[:-1] == [ie.Token("b")]
    assert ie.Mock(events=[CALL]).generate(request).collect().text == "mock-response"


def test_it_reads_as_a_real_answer_does():
    """A consumer that waits reads in its own thread; poll() keeps its time; the worker reads on."""
    readers = []

    class Watched(ie.Mock):
        def open_stream(self, source, **options):
            read = source.read

            def watched(give_up):
                readers.append(threading.current_thread().name)
                return read(give_up)

            source.read = watched
            return super().open_stream(source, **options)

    with Watched(["a", "b", "c"], token_delay=0.05).stream("x") as stream:
        assert next(stream).delta == "a"
        assert readers[-1] == threading.current_thread().name
        assert stream.poll(0.0) is None
    stream = Watched(["a", "b"]).stream("x")
    hire(stream).join(5.0)  # nobody asks: the worker reads it to its end
    assert readers[-1].startswith("inferd-engine-worker")
    assert [event.type for event in stream] == ["text", "text", "done"]


def test_a_mock_goes_through_a_pickle():
    """A copy answers the same."""
    copy = pickle.loads(pickle.dumps(ie.Mock(["a", "b"])))
    assert copy.complete("x").text == "ab"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"tokenz": 1}, TypeError, "did you mean tokens"),
        ({"timeout": 5}, TypeError, "no field 'timeout'"),
        ({"temperature": 0}, TypeError, "an argument of a call"),
        ({"tokens": 5}, TypeError, "tokens is of type int"),
        ({"answers": 5}, TypeError, "answers is of type int"),
        ({"buffer": "a"}, ie.InvalidRequestError, "buffer"),
        ({"token_delay": -1}, ie.InvalidRequestError, "token_delay"),
        ({"mid_stream_drop_after": 1.5}, ie.InvalidRequestError, "mid_stream_drop_after"),
    ],
)
def test_a_wrong_setting_is_named(given, error, said):
    """Whoever writes a test is told which setting is wrong, when the mock is made."""
    with pytest.raises(error, match=said):
        ie.Mock(**given)


@pytest.mark.parametrize("given", ["hi", None, ie.RequestV2([ie.user("hi")])])
def test_what_nobody_checked_is_refused(given):
    """A request goes to ``generate_v2`` by way of ``resolve()``."""
    with pytest.raises(ie.InvalidRequestError, match=r"RequestV2.resolve\(\) returns"):
        ie.Mock().generate_v2(given)

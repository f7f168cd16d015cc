"""The client against llama-cpp-python's server: another program's bytes, timing and manners.

The model says nonsense in many scripts, also in bytes that make no character.  The server leaves
those out, and holds back all text after the first of them until its stream ends; so where the
pace matters the model is kept from them (``WHOLE_CHARACTERS``).
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
from llama.record import ask, meaning_of

import inferd_engine as ie

pytestmark = pytest.mark.timeout(180)  # a server may have to start first

HIGH_BYTE_TOKENS = range(3 + 0x80, 3 + 0x100)  # the byte tokens come after <unk>, <s> and </s>
WHOLE_CHARACTERS = {"logit_bias": {str(token): -100 for token in HIGH_BYTE_TOKENS}}
END_AT_ONCE = {"logit_bias": {"2": 100}}
STREAMS = 10
CONTEXT = 512  # tokens of prompt and answer together
WEATHER = ie.Tool(
    "get_weather",
    "Look at the sky.",
    {
        "type": "object",
        "properties": {
            "city": {"enum": ["Paris", "Łódź", "東京"]},
            "days": {"type": "integer"},
        },
        "required": ["city", "days"],
    },
)
ANSWER_SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "mood": {"enum": ["good", "bad"]}},
    "required": ["ok", "mood"],
}
LONG_PROMPT = "я" * 7000  # a token each
WHOLE = ie.Done(ie.StopReason.MAX_TOKENS, None, "length")
INTERRUPTED = ie.Done(ie.StopReason.END_TURN, None, None)


@pytest.fixture(params=[512, 0], ids=lambda buffer: f"buffer={buffer}")
def backend(request, patient_server):
    """A backend for the patient server, with a worker and without one."""
    with patient_server.backend(buffer=request.param, extra_body=WHOLE_CHARACTERS) as backend:
        yield backend


def at_a_time(count, work):
    """Run ``work(0)`` … ``work(count - 1)``, each in its own thread; give what they returned."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_text_then_done(backend):
    """A stream gives text, piece by piece, and ends with one Done."""
    with backend.stream("Why is the sky blue?", max_tokens=32, seed=1) as stream:
        *texts, done = stream
    assert {event.type for event in texts} == {"text"}
    assert len(texts) > 1
    assert all(event.delta for event in texts)
    assert done == stream.done
    assert stream.response_headers["content-type"].startswith("text/event-stream")
    assert stream.request_id == stream.response_headers["x-request-id"]
    assert stream.stats.events == len(texts) + 1


def test_max_tokens(backend):
    """An answer that comes to its limit ends with max_tokens, in the server's word "length"."""
    done = backend.complete("Hello", max_tokens=8).done
    assert (done.stop_reason, done.finish_reason) == (ie.StopReason.MAX_TOKENS, "length")


def test_end_of_text(patient_server):
    """A model that has nothing to say ends its turn, without any text."""
    with patient_server.backend(extra_body=END_AT_ONCE) as backend:
        assert backend.complete("Hello") == ie.Completion(
            done=ie.Done(ie.StopReason.END_TURN, None, "stop")
        )


@pytest.mark.parametrize("seed", range(4))
def test_one_seed_one_text(backend, patient_server, seed):
    """The same seed gives the same text: streamed or not, through the client or without it."""
    fields = {"seed": seed, "temperature": 1.0, "max_tokens": 64}
    plain = {**fields, **WHOLE_CHARACTERS}
    streamed = backend.complete("Hello", **fields).text
    assert len(streamed) > 64
    assert backend.complete("Hello", stream=False, **fields).text == streamed
    body = json.loads(ask(patient_server.url, "Hello", **plain))
    assert body["choices"][0]["message"]["content"] == streamed
    text, _, _ = meaning_of(ask(patient_server.url, "Hello", stream=True, **plain))
    assert text == streamed


def test_random_bytes(patient_server):
    """Whatever bytes the model makes, the text is what the server sent, and can be encoded.

    The server decodes a stream's bytes otherwise than a whole answer's: after a broken character
    it looks at each token alone.  So either is compared with its own kind.
    """
    said = ""
    with patient_server.backend() as backend:
        for seed in range(8):
            fields = {"seed": seed, "temperature": 1.0, "max_tokens": 64}
            streamed = backend.complete("Hello", **fields).text
            text, _, _ = meaning_of(ask(patient_server.url, "Hello", stream=True, **fields))
            assert streamed == text
            whole = backend.complete("Hello", stream=False, **fields).text
            body = json.loads(ask(patient_server.url, "Hello", **fields))
            assert whole == body["choices"][0]["message"]["content"]
            said += streamed + whole
    assert said.encode().decode() == said
    assert max(said) > "\uffff", "no character was sent as two escapes"


def test_usage(backend):
    """A stream has no usage, though the client asks for it; an answer in one piece has."""
    assert backend.config.include_usage
    assert backend.complete("Hello", max_tokens=8).done.usage is None
    usage = backend.complete("Hello", max_tokens=8, stream=False).done.usage
    assert usage.output_tokens == 8
    assert usage.input_tokens > 0
    assert usage.details["total_tokens"] == usage.input_tokens + usage.output_tokens


def test_close_in_the_middle(backend):
    """Closing is immediate, and the next request is answered."""
    stream = backend.stream("Hello", max_tokens=400)
    for _ in range(3):
        next(stream)
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 0.25  # it shuts a socket down, no more
    assert (stream.cancelled, stream.done, list(stream)) == (True, None, [])
    assert backend.complete("Hello", max_tokens=4).done == WHOLE


def test_the_server_hears_of_a_close(backend, patient_server):
    """The server stops its work on a stream that was closed, and says so in its log."""
    before = patient_server.log().count("Disconnected from client")
    for _ in range(20):  # its work may be done before it hears of the close
        with backend.stream("Hello", max_tokens=400) as stream:
            next(stream)
        backend.complete("Hello", max_tokens=4)  # its turn comes after the other one's end
        if patient_server.log().count("Disconnected from client") > before:
            return
    pytest.fail("the server wrote every stream to its end")


def test_close_wakes_a_consumer(patient_server):
    """A consumer that waits for a stream that the server has not begun to write is woken."""
    with patient_server.backend(extra_body=WHOLE_CHARACTERS) as backend:
        with backend.stream("Hello", max_tokens=400) as first:
            next(first)
            second = backend.stream("Hello", max_tokens=400)
            consumer = threading.Thread(target=next, args=(second, None))
            consumer.start()
            second.close()
            consumer.join(1.0)
            assert not consumer.is_alive()
            assert second.cancelled
        assert backend.complete("Hello", max_tokens=4).done == WHOLE


def test_ten_streams_of_a_patient_server(backend):
    """Ten streams at a time through one backend: all ten are whole, each with its own text."""
    fields = {"max_tokens": 48, "temperature": 1.0}
    answers = at_a_time(STREAMS, lambda n: backend.complete(f"Hello {n}", seed=n, **fields))
    assert [answer.done for answer in answers] == [WHOLE] * STREAMS
    for number, answer in enumerate(answers):
        again = backend.complete(f"Hello {number}", seed=number, stream=False, **fields)
        assert again.text == answer.text


def test_ten_streams_of_a_hasty_server(hasty_server):
    """Ten streams at a time: each is whole, or was interrupted by another.

    The server ends an interrupted stream with a bare [DONE]: no finish reason, and then not even
    the last chunk of HTTP.  For the client [DONE] is an end, so that this is Done with end_turn,
    and ``finish_reason`` None is how a caller can tell.
    """
    with hasty_server.backend(extra_body=WHOLE_CHARACTERS) as backend:
        answers = at_a_time(STREAMS, lambda n: backend.complete(f"Hello {n}", max_tokens=100))
        ends = [answer.done for answer in answers]
        assert [end for end in ends if end not in (WHOLE, INTERRUPTED)] == []
        assert WHOLE in ends  # nobody came after the last one
        assert backend.complete("Hello", max_tokens=4).done == WHOLE


def test_an_interrupted_stream(hasty_server):
    """A stream that another request interrupts gives what it got, then Done without a reason."""
    with hasty_server.backend(extra_body=WHOLE_CHARACTERS) as backend:
        for _ in range(20):  # a stream may be over before the other request is there
            with backend.stream("Hello", max_tokens=400) as stream:
                first = next(stream)
                assert backend.complete("Hello", max_tokens=4).done == WHOLE
                answer = ie.Completion.of([first, *stream])
            assert answer.text
            assert answer.done in (WHOLE, INTERRUPTED)
            if answer.done == INTERRUPTED:
                return
    pytest.fail("no stream was interrupted")


def test_wrong_path(patient_server):
    """A base_url that leads nowhere is a 404 that says where to look."""
    with (
        patient_server.backend(base_url=f"{patient_server.url}/wrong/v1") as backend,
        pytest.raises(ie.HttpStatusError, match="was asked, because base_url is") as caught,
    ):
        backend.stream("Hello")
    assert caught.value.status == 404
    assert caught.value.message == "Not Found"
    assert not caught.value.retryable


def test_a_prompt_that_is_too_long(backend):
    """The server refuses it with 400, but a stream it has begun already: 200 and an empty body.

    Then it closes the connection, although it had promised to keep it; the next request has to go
    over another one.
    """
    prompt = "я" * 1000
    with pytest.raises(ie.HttpStatusError, match="maximum context length is 512 tokens") as refused:
        backend.complete(prompt, stream=False)
    assert refused.value.status == 400
    with pytest.raises(ie.StreamInterruptedError, match="before it had sent any of it"):
        backend.complete(prompt)
    assert backend.complete("Hello", max_tokens=4).done == WHOLE


@pytest.mark.parametrize("stream", [True, False], ids=lambda stream: f"stream={stream}")
def test_tool_choice(backend, stream):
    """A tool that the request names is called, once and whole, with arguments of its schema.

    The server says every call twice, as ``function_call`` too, and repeats its id and its name in
    every chunk.
    """
    for seed in range(4):
        fields = {"tools": [WEATHER], "tool_choice": "get_weather", "max_tokens": 100}
        answer = backend.complete("Hello", seed=seed, stream=stream, **fields)
        (call,) = answer.tool_uses
        assert call.name == "get_weather"
        assert call.tool_call_id.startswith("call__0_get_weather_cmpl-")
        assert call.input["city"] in {"Paris", "Łódź", "東京"}
        assert isinstance(call.input["days"], int)
        assert set(call.input) == {"city", "days"}
        assert answer.text == ""
        assert answer.done.stop_reason is ie.StopReason.TOOL_USE
        assert answer.done.finish_reason == "tool_calls"


def test_a_tool_call_and_its_result(backend):
    """A call and its result can be sent back, if there is some text beside the call.

    Beside a call alone the content is null, which OpenAI wants and this server refuses.
    """
    fields = {"tools": [WEATHER], "max_tokens": 100}
    question = ie.user("How is the weather?")
    answer = backend.complete([question], tool_choice="get_weather", **fields)
    (call,) = answer.tool_uses
    result = ie.tool_result(call.tool_call_id, "Rain.")
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete([question, answer.to_message(), result], **fields)
    assert caught.value.status == 500
    assert "Input should be a valid string" in caught.value.message
    said = attrs.evolve(answer, text="I look.").to_message()
    assert backend.complete([question, said, result], tool_choice="none", **fields).done == WHOLE


def test_a_tool_call_that_is_cut_off(backend):
    """A call that came to the limit is no call, though the server says that all is well.

    Its finish reason is "tool_calls" also then: only the arguments show that they are not whole.
    """
    fields = {"tools": [WEATHER], "tool_choice": "get_weather", "max_tokens": 4}
    for stream in (True, False):
        with pytest.raises(ie.ToolCallMalformedError) as caught:
            backend.complete("Hello", seed=1, stream=stream, **fields)
        assert caught.value.name == "get_weather"
        assert caught.value.arguments.startswith("{")
        assert caught.value.partial.tool_uses == ()


def test_a_tool_that_is_not_there(backend):
    """An unknown tool is 500 with a message, but a stream it has begun already: no body at all."""
    fields = {"tools": [WEATHER], "tool_choice": "get_time"}
    with pytest.raises(ie.HttpStatusError, match="'get_time' not found") as refused:
        backend.complete("Hello", stream=False, **fields)
    assert refused.value.status == 500
    with pytest.raises(ie.StreamInterruptedError, match="before it had sent any of it"):
        backend.complete("Hello", **fields)
    assert backend.complete("Hello", max_tokens=4).done == WHOLE


@pytest.mark.parametrize("seed", range(4))
def test_json_schema(backend, seed):
    """An answer that has to be of a schema is, in the server's own form of the request."""
    wanted = {"type": "json_object", "schema": ANSWER_SCHEMA}
    answer = backend.complete("Hello", response_format=wanted, seed=seed, max_tokens=100)
    assert answer.done.finish_reason == "stop"
    said = json.loads(answer.text)
    assert set(said) == {"ok", "mood"}
    assert isinstance(said["ok"], bool)
    assert said["mood"] in {"good", "bad"}


def test_openais_json_schema(backend):
    """OpenAI's form the server does not know: 500, and the message says what it takes instead."""
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ANSWER_SCHEMA}}
    with pytest.raises(
        ie.HttpStatusError, match="Input should be 'text' or 'json_object'"
    ) as caught:
        backend.complete("Hello", response_format=wanted)
    assert caught.value.status == 500


def test_stop_sequence(backend):
    """An answer ends before a stop sequence; the server says "stop", as at any other end."""
    fields = {"seed": 1, "temperature": 1.0, "max_tokens": 64}
    whole = backend.complete("Hello", **fields).text
    stop = whole[len(whole) // 2 :][:4]
    for stream in (True, False):
        answer = backend.complete("Hello", stop=[stop, "\x00"], stream=stream, **fields)
        assert answer.text == whole[: whole.index(stop)]
        assert answer.done.stop_reason is ie.StopReason.END_TURN
        assert answer.done.finish_reason == "stop"


def test_logprobs(patient_server):
    """What the server adds on request is in the raw chunks, each before its own event."""
    asked = {**WHOLE_CHARACTERS, "logprobs": True, "top_logprobs": 2}
    with patient_server.backend(extra_body=asked) as backend:
        with backend.stream("Hello", max_tokens=8, seed=1, include_raw=True) as stream:
            events = list(stream)
    tokens = []
    for before, event in itertools.pairwise(events):
        if event.type == "text":
            (choice,) = json.loads(before.data)["choices"]
            (token,) = choice["logprobs"]["content"]
            assert token["token"] == event.delta
            assert token["logprob"] < 0
            assert len(token["top_logprobs"]) >= 2
            tokens.append(token["token"])
    assert len(tokens) == 8
    assert "".join(tokens) == ie.Completion.of(events).text


@pytest.mark.parametrize("buffer", [512, 0], ids=lambda buffer: f"buffer={buffer}")
def test_pings_of_a_long_prefill(pinging_server, buffer):
    """The comments that a server sends while the model reads a prompt are no part of the answer."""
    began = ask(pinging_server.url, f"{buffer} {LONG_PROMPT}", stream=True, max_tokens=4, seed=1)
    assert began.startswith(b": ping - ")
    with pinging_server.backend(buffer=buffer) as backend:
        prompt = f"again {buffer} {LONG_PROMPT}"  # another beginning: nothing of it is known yet
        with backend.stream(prompt, max_tokens=4, seed=1, include_raw=True) as stream:
            *events, done = stream
    assert done == WHOLE
    assert {event.type for event in events} == {"raw", "text"}
    known = sum(len(b"data: \n\n") + len(event.data) for event in events if event.type == "raw")
    assert stream.stats.bytes > known + len(b"data: [DONE]\n\n")  # the rest were pings


def test_pings_are_no_first_token(pinging_server):
    """A server that says for long that it is still there has not answered yet."""
    with pinging_server.backend(first_token_timeout=0.1) as backend:
        with pytest.raises(ie.DeadlineError) as caught:
            backend.complete(f"in time {LONG_PROMPT}", max_tokens=4)
    assert caught.value.phase == "first_token"


def test_heartbeat_of_a_long_prefill(pinging_server):
    """A consumer with a heartbeat of its own can do something else meanwhile."""
    with pinging_server.backend() as backend:
        with backend.stream(f"heart {LONG_PROMPT}", max_tokens=4) as stream:
            events = list(stream.with_heartbeat(0.02))
    assert events[0] is None
    assert events[-1] == WHOLE


def test_overflow_of_the_context(backend):
    """An answer for which the context has no room ends where that is full, as at any limit."""
    fields = {"max_tokens": 10 * CONTEXT, "seed": 1}
    assert backend.complete("Hello", **fields).done == WHOLE
    done = backend.complete("Hello", stream=False, **fields).done
    assert (done.stop_reason, done.finish_reason) == (ie.StopReason.MAX_TOKENS, "length")
    assert done.usage.details["total_tokens"] == CONTEXT


def test_wrong_model_name(patient_server):
    """The server answers for any model with the one that it has, and calls it by that name."""
    with patient_server.backend(model="gpt-5", extra_body=WHOLE_CHARACTERS) as backend:
        with backend.stream("Hello", max_tokens=4, include_raw=True) as stream:
            first, *_, done = stream
    assert json.loads(first.data)["model"] == "gpt-5"
    assert done == WHOLE


def test_models(backend):
    """The model is listed under its alias."""
    assert backend.models() == ["tiny"]

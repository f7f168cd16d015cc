"""The client against llama-cpp-python's server: another program's bytes, timing and manners.

The model says nonsense in many scripts, also in bytes that make no character.  The server leaves
those out, and holds back all text after the first of them until its stream ends; so where the
pace matters the model is kept from them (``WHOLE_CHARACTERS``).
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama.record import ask, meaning_of

import inferd_engine as ie

pytestmark = pytest.mark.timeout(180)  # a server may have to start first

HIGH_BYTE_TOKENS = range(3 + 0x80, 3 + 0x100)  # the byte tokens come after <unk>, <s> and </s>
WHOLE_CHARACTERS = {"logit_bias": {str(token): -100 for token in HIGH_BYTE_TOKENS}}
END_AT_ONCE = {"logit_bias": {"2": 100}}
STREAMS = 10
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
        pytest.raises(ie.HttpStatusError, match="base_url is right if") as caught,
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


def test_models(backend):
    """The model is listed under its alias."""
    assert backend.models() == ["tiny"]

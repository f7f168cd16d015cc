"""What a batch gives, in which order, and how far it reads ahead."""

from __future__ import annotations

import itertools
import re
import threading

import pytest

import inferd_engine as ie
from inferd_engine.testing import (
    Cut,
    Gate,
    Reply,
    Upstream,
    chunk,
    error_reply,
    stream_reply,
    text_reply,
)

SOON = 10.0


def echoing(**fields):
    return ie.Mock(answers=[lambda r: f"to {r.messages[-1].content[0].text}"], **fields)


class Counting:
    """An iterator over endless prompts that knows how far it was read."""

    def __init__(self):
        self.count = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.count += 1
        return f"prompt {self.count - 1}"


def test_every_prompt_has_one_result():
    """Each prompt is answered once, and the result says which it was."""
    prompts = [f"p{number}" for number in range(200)]
    results = list(echoing().map(prompts))
    assert sorted(result.index for result in results) == list(range(200))
    for result in results:
        assert result.prompt == f"p{result.index}"
        assert result.completion.text == f"to p{result.index}"
        assert result.completion.stop_reason == "end_turn"
        assert (result.error, result.attempts) == (None, 1)


def test_no_prompts_no_results():
    """An empty iterable gives nothing, and asks nobody."""
    mock = ie.Mock("a")
    assert list(mock.map([])) == []
    assert mock.requests == []


def test_results_come_as_they_end():
    """A long answer holds up no other."""
    gate = Gate()
    slow = Reply([chunk("slow"), gate, *text_reply("").steps])

    def answer(received):
        return slow if received.json["messages"][-1]["content"] == "0" else text_reply("quick")

    with Upstream(otherwise=answer) as upstream, backend_of(upstream) as backend:
        results = backend.map(map(str, range(9)), concurrency=3)
        first = [next(results).index for _ in range(8)]
        assert sorted(first) == list(range(1, 9))
        gate.open()
        assert [result.index for result in results] == [0]


def test_what_it_says_of_itself():
    """A repr tells how far it is."""
    with ie.Mock("a").map(["x"] * 9, concurrency=1) as results:
        next(results)
        assert re.fullmatch(r"<Results of map\(\): 1 given, [12] begun>", repr(results))
    assert repr(results) == "<Results of map(): 1 given, closed>"


def test_order_can_be_kept():
    """ordered=True gives results in the order of the prompts, whatever ends first."""
    gate = Gate()
    slow = Reply([chunk("slow"), gate, *text_reply("").steps])
    seen = threading.Semaphore(0)

    def answer(received):
        seen.release()
        return slow if received.json["messages"][-1]["content"] == "0" else text_reply("quick")

    with Upstream(otherwise=answer) as upstream, backend_of(upstream) as backend:
        prompts = Counting()
        results = backend.map((p.split()[1] for p in prompts), concurrency=2, ordered=True)
        with results:
            taken = []
            taker = threading.Thread(target=lambda: taken.append(next(results).index))
            taker.start()
            for _ in range(8):  # four times what may be under way is begun, and no more
                assert seen.acquire(timeout=SOON)
            assert not seen.acquire(timeout=0.2)
            assert (prompts.count, taken) == (8, [])
            gate.open()
            taker.join(SOON)
            assert taken + [next(results).index for _ in range(20)] == list(range(21))


def test_endless_prompts_are_read_as_they_are_wanted():
    """Prompts are read no further ahead than twice what may be under way."""
    prompts = Counting()
    for number, result in enumerate(echoing().map(prompts, concurrency=4), 1):
        assert result.completion is not None
        assert prompts.count <= number + 2 * 4
        if number == 100:
            break


def test_a_consumer_that_stays_away_is_waited_for():
    """While nobody takes results, so many requests are begun and no more."""
    asked = threading.Semaphore(0)

    def answer(_):
        asked.release()
        return text_reply("a")

    with Upstream(otherwise=answer) as upstream, backend_of(upstream) as backend:
        prompts = Counting()
        with backend.map(prompts, concurrency=3) as results:
            next(results)
            for _ in range(prompts.count):
                assert asked.acquire(timeout=SOON)
            assert not asked.acquire(timeout=0.2)
            assert prompts.count <= 2 * 3 + 1
            assert len(upstream.requests) == prompts.count


def test_so_many_are_under_way_and_no_more():
    """The concurrency bounds what is under way, and is reached."""
    lock, now, most = threading.Lock(), [0], [0]
    together = threading.Barrier(5)

    def answer(_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait(SOON)  # passes if there are five at once
        with lock:
            now[0] -= 1
        return "a"

    assert len(list(ie.Mock(answers=[answer]).map(["p"] * 50, concurrency=5))) == 50
    assert most == [5]


def test_connections_are_used_again():
    """A batch opens as many connections as may be under way at the most."""
    with Upstream() as upstream, backend_of(upstream) as backend:
        assert len(list(backend.map(["p"] * 60, concurrency=4))) == 60
        assert upstream.connections <= 4


@pytest.mark.parametrize(
    "prompt",
    [
        "Hi",
        [ie.user("Hi")],
        ie.user("Hi"),
        {"role": "user", "content": "Hi"},
        [{"role": "user", "content": "Hi"}],
        (message for message in [ie.user("Hi")]),
        ie.RequestV2([ie.user("Hi")], max_tokens=7),
        {"prompt": "Hi", "max_tokens": 7},
        {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 7},
        {"messages": [ie.user("Hi")], "max_tokens": 7, "system": "own", "temperature": 1.5},
    ],
)
def test_a_prompt_has_any_shape(prompt):
    """A prompt is what a call takes, or a request with fields of its own; they win."""
    mock = ie.Mock("a")
    (result,) = mock.map([prompt], system="Be brief.", temperature=0.5, max_tokens=7)
    assert result.error is None
    (request,) = mock.requests
    is_own = isinstance(prompt, dict) and "system" in prompt
    said = [(m.role, m.content[0].text) for m in request.messages]
    assert said == [("system", "own" if is_own else "Be brief."), ("user", "Hi")]
    assert (request.max_tokens, request.temperature) == (7, 1.5 if is_own else 0.5)


def test_a_prompt_is_taken_as_it_is_when_it_comes():
    """A list that is changed and given again is another prompt each time."""
    mock = ie.Mock("a")

    def prompts():
        history = []
        for word in ("one", "two", "three"):
            history.append(ie.user(word))
            yield history

    assert len(list(mock.map(prompts(), concurrency=1))) == 3
    assert sorted(len(request.messages) for request in mock.requests) == [1, 2, 3]


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        (7, "prompt is of type int"),
        (b"Hi", "prompt is bytes"),
        ([], "messages"),
        ({"prompt": "Hi", "max_tokens": 0}, "max_tokens is 0"),
        ({"prompt": "Hi", "max_token": 1}, "did you mean 'max_tokens'"),
        ({"prompt": "Hi", "messages": []}, "both"),
        ({"role": "nobody", "content": "Hi"}, "role"),
        ({"content": "Hi"}, "role"),
        ([ie.MessageV2("user", [ie.ImageBlock("none")])], "messages[0].content[0]"),
    ],
)
def test_a_request_that_cannot_be_sent_is_a_result(prompt, place):
    """What is wrong with one prompt is its result; the others are asked."""
    mock = ie.Mock("a")
    results = list(mock.map(["x", prompt, "y"], ordered=True))
    assert [result.completion is None for result in results] == [False, True, False]
    wrong = results[1]
    assert isinstance(wrong.error, ie.InvalidRequestError)
    assert place in str(wrong.error)
    assert (wrong.attempts, wrong.prompt, len(mock.requests)) == (0, prompt, 2)


def test_errors_are_results():
    """Without retry each is asked once, and what failed says so with what had come."""
    replies = [error_reply(500, "broken"), Reply([chunk("half"), Cut()]), text_reply("whole")]
    with Upstream(*replies) as upstream, backend_of(upstream) as backend:
        refused, cut, whole = backend.map(["a", "b", "c"], concurrency=1, ordered=True)
        assert len(upstream.requests) == 3
    assert (refused.error.status, refused.completion, refused.attempts) == (500, None, 1)
    assert isinstance(cut.error, ie.StreamInterruptedError)
    assert cut.error.partial.text == "half"
    assert cut.error.retryable
    assert (whole.completion.text, whole.error) == ("whole", None)


def test_what_somebodys_backend_raises_is_a_result():
    """An exception that is not ours ends its own prompt, with its cause."""

    def answer(_):
        raise KeyError("their fault")

    (result,) = ie.Mock(answers=[answer]).map(["x"])
    assert isinstance(result.error, ie.InternalError)
    assert isinstance(result.error.__cause__, KeyError)


def test_an_exception_of_the_prompts_is_raised():
    """What the iterable raises goes up as it is, and ends what is under way."""

    def prompts():
        yield "a"
        raise ZeroDivisionError("in the prompts")

    with pytest.raises(ZeroDivisionError, match="in the prompts"):
        list(echoing().map(prompts()))


def test_tools_and_usage_come_through():
    """The completion is that of complete(): tool calls, usage, model, request id."""
    reply = stream_reply([chunk("a")], usage=(3, 5), headers={"x-request-id": "r1"})
    with Upstream(reply) as upstream, backend_of(upstream) as backend:
        (result,) = backend.map(["x"])
    completion = result.completion
    assert (completion.usage.input_tokens, completion.usage.output_tokens) == (3, 5)
    assert (completion.model, completion.request_id) == ("test-model", "r1")
    assert completion.stats.events == 2


def test_slow_answers_are_read_in_few_steps():
    """What comes in small pieces is gathered: the batch reads less often than it is sent to."""
    reply = text_reply(["x"] * 100, delay=0.004)
    with Upstream(reply) as upstream, backend_of(upstream) as backend:
        (result,) = backend.map(["x"])
    assert result.completion.text == "x" * 100
    assert len(upstream.requests) == 1


def test_two_batches_at_once():
    """Batches of one backend know nothing of each other."""
    mock = echoing()
    pairs = itertools.zip_longest(mock.map(["a"] * 30), mock.map(["b"] * 30, concurrency=2))
    for one, other in pairs:
        assert (one.completion.text, other.completion.text) == ("to a", "to b")


def backend_of(upstream, **fields):
    return ie.OpenAiCompat(base_url=upstream.url, api_key="", **fields)

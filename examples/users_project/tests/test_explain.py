"""What the program promises, whatever its upstream does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from explainer import WAIT, explain, lines

import inferd_engine as ie
from inferd_engine.testing import (
    Cut,
    FastForward,
    Reply,
    Stall,
    Upstream,
    chunk,
    error_reply,
    quirk_reply,
    text_reply,
)


@pytest.fixture
def backend(inferd_upstream: Upstream) -> Iterator[ie.OpenAiCompat]:
    """Ask the upstream that a test scripts, with the limits of production."""
    with ie.OpenAiCompat(inferd_upstream.url, api_key="", idle_timeout=20.0) as backend:
        yield backend


def test_it_answers(inferd_mock: ie.Mock) -> None:
    """The shortest test: a mock needs no script and no socket."""
    assert explain(inferd_mock, "rain")


def test_it_asks_for_what_was_wanted(backend: ie.OpenAiCompat, inferd_upstream: Upstream) -> None:
    """What the model was asked is what the program meant."""
    inferd_upstream.enqueue(text_reply("Water falls."))
    assert explain(backend, "rain") == "Water falls."
    [request] = inferd_upstream.requests
    assert request.json["messages"] == [{"role": "user", "content": "Explain rain."}]


def test_it_waits_as_long_as_it_is_told(
    backend: ie.OpenAiCompat, inferd_upstream: Upstream, inferd_fast_forward: FastForward
) -> None:
    """Half a minute of waiting takes the test a third of a second."""
    inferd_upstream.enqueue(
        error_reply(429, "slow down", headers={"Retry-After": "30"}),
        error_reply(503, "busy"),
        text_reply("Water falls."),
    )
    assert explain(backend, "rain") == "Water falls."
    assert inferd_fast_forward.slept == [30.0, WAIT]


def test_it_gives_up(
    backend: ie.OpenAiCompat, inferd_upstream: Upstream, inferd_fast_forward: FastForward
) -> None:
    """Three attempts, and then the error is the caller's."""
    inferd_upstream.enqueue(*[error_reply(503, "busy")] * 3)
    with pytest.raises(ie.HttpStatusError):
        explain(backend, "rain")
    assert inferd_fast_forward.slept == [WAIT, WAIT]


def test_it_does_not_repeat_what_is_wrong(
    backend: ie.OpenAiCompat, inferd_upstream: Upstream
) -> None:
    """A request that is refused is not made again."""
    inferd_upstream.enqueue(error_reply(400, "no"))
    with pytest.raises(ie.HttpStatusError):
        explain(backend, "rain")
    assert len(inferd_upstream.requests) == 1


@pytest.mark.usefixtures("inferd_fast_forward")
def test_a_silent_upstream(backend: ie.OpenAiCompat, inferd_upstream: Upstream) -> None:
    """A stall ends by the program's own limit, with what had come."""
    inferd_upstream.enqueue(Reply([chunk("one\ntw"), Stall()]))
    got: list[str] = []
    with pytest.raises(ie.DeadlineError):
        got.extend(lines(backend, "rain"))
    assert inferd_upstream.requests[0].gone.wait(10)


def test_a_cut_is_not_a_short_answer(backend: ie.OpenAiCompat, inferd_upstream: Upstream) -> None:
    """Half an explanation is an error."""
    inferd_upstream.enqueue(Reply([chunk("half an ans"), Cut()]))
    with pytest.raises(ie.StreamInterruptedError):
        list(lines(backend, "rain"))


def test_leaving_stops_the_upstream(backend: ie.OpenAiCompat, inferd_upstream: Upstream) -> None:
    """Whoever has read enough does not go on paying."""
    inferd_upstream.enqueue(Reply([chunk("first\nsecond"), Stall()]))
    explanation = lines(backend, "rain")
    assert next(explanation) == "first"
    explanation.close()
    assert inferd_upstream.requests[0].gone.wait(10)


@pytest.mark.parametrize("quirk", ["F01", "F03", "F05", "F07", "F13", "F20"])
def test_servers_as_they_are(
    backend: ie.OpenAiCompat, inferd_upstream: Upstream, quirk: str
) -> None:
    """Comments, other line ends, no blanks, empty frames, JSON in one piece: all of it is read."""
    inferd_upstream.enqueue(quirk_reply(quirk))
    assert explain(backend, "rain")

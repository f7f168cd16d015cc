"""When an upstream wants to be asked again, in whichever way it says so."""

from __future__ import annotations

import json
import math

import pytest

from inferd_engine.wire.answer.errors import http_error, upstream_error
from inferd_engine.wire.http.headers import wait_named
from inferd_engine.wire.http.rate_limits import duration, in_words, until_reset

NOW = 1_000_000_000.0  # Sun, 09 Sep 2001 01:46:40 GMT
DAY = 86400.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1s", 1.0),
        ("20ms", 0.02),
        ("6m0s", 360.0),
        ("7.66s", 7.66),
        ("2m59.56s", 179.56),
        ("1h2m3.5s", 3723.5),
        ("0s", 0.0),
        ("1.s", 1.0),
        ("500us", 0.0005),
        ("500µs", 0.0005),
        ("500μs", 0.0005),
        ("12ns", 1.2e-8),
        ("", None),
        ("1", None),
        ("s", None),
        ("-1s", None),
        ("1 s", None),
        ("1d", None),
        ("soon", None),
        ("1s and more", None),
        ("٣s", None),
        ("1s" * 9, None),
    ],
)
def test_times_as_go_writes_them(value, seconds):
    """Numbers with their units, one after the other; whatever else it is, is no time."""
    assert duration(value) == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-ratelimit-limit-requests": "60"}, None),
        # one limit, in each way of telling its time
        ({"x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": " 7.66 "}, 7.66),
        ({"x-ratelimit-reset-tokens-minute": "11.382867"}, 11.382867),
        ({"ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-reset": "1000000005"}, 5.0),
        ({"x-ratelimit-reset": "1000000005000"}, 5.0),
        ({"x-ratelimit-reset": "999999999"}, 0.0),
        ({"anthropic-ratelimit-requests-reset": "2001-09-09T01:47:00Z"}, 20.0),
        ({"anthropic-ratelimit-tokens-reset": "2001-09-09T01:47:00.250z"}, 20.0),
        ({"anthropic-ratelimit-tokens-reset": "2001-09-09T03:47:00+02:00"}, 20.0),
        ({"anthropic-ratelimit-tokens-reset": "2001-09-09T01:47:00"}, 20.0),
        ({"anthropic-ratelimit-tokens-reset": "2001-09-09T01:46:00Z"}, 0.0),
        ({"anthropic-ratelimit-tokens-reset": "2001-99-09T01:46:00Z"}, None),
        ({"x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-reset-tokens": ""}, None),
        ({"x-ratelimit-reset-tokens": "-3"}, None),
        ({"x-ratelimit-reset-tokens": "9" * 400}, None),
        # several: who has nothing left refused
        (
            {
                "x-ratelimit-reset-requests": "20ms",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "9000",
            },
            0.02,
        ),
        (
            {
                "x-ratelimit-reset-requests": "8ms",
                "x-ratelimit-remaining-requests": "9999",
                "x-ratelimit-reset-tokens": "6s",
                "x-ratelimit-remaining-tokens": "2500",
            },
            6.0,
        ),
        (
            {
                "anthropic-ratelimit-requests-reset": "2001-09-09T01:46:50Z",
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2001-09-09T01:47:00Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-output-tokens-reset": "2001-09-09T01:48:00Z",
                "anthropic-ratelimit-output-tokens-remaining": "4000",
            },
            20.0,
        ),
        # several that tell no more: the first to be reset
        ({"x-ratelimit-reset-requests-day": "33011.4", "x-ratelimit-reset-tokens-minute": "9"}, 9),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "7"}, None),
    ],
)
def test_the_limit_that_refused_is_waited_for(headers, seconds):
    """Names are known by what they have in common, values by their shape."""
    found = until_reset(headers, NOW)
    assert found is seconds if seconds is None else math.isclose(found, seconds, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for m … Limit 3 / min. Please try again in 20s. Visit …", 20.0),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 140ms.", 0.14),
        ("Limit 6000, Used 5500. Please try again in 7.66s. Need more tokens?", 7.66),
        ("You exceeded your current quota. Please retry in 34.074824224s.", 34.074824224),
        ("exceeded token rate limit. Please retry after 20 seconds.", 20.0),
        ("Please retry after 1 second.", 1.0),
        ("TRY AGAIN IN 2 MINUTES", 120.0),
        ("Try again after 1 hour", 3600.0),
        ("Please try again in 999999999 hours", DAY),
        ("Please try again later", None),
        ("Please try again in a moment", None),
        ("Please try again in 5min", None),
        ("we try in 3 steps", None),
        ("x" * 10_000 + "try again in 3s", None),
        ("", None),
    ],
)
def test_what_messages_say(message, seconds):
    """OpenAI, Gemini and Azure have it in their words, too."""
    assert in_words(message) == seconds


def refused(status, headers, message="m"):
    body = json.dumps({"error": {"message": message, "code": "rate_limit_exceeded"}}).encode()
    return http_error(status, headers, body, place="http://h/", hint="", own_id="")


def test_which_word_counts():
    """``Retry-After`` first, then the message, then what the limits say."""
    limits = {"x-ratelimit-reset-requests": "30s"}
    said = "Please try again in 20s."
    assert refused(429, {**limits, "retry-after": "7"}, said).retry_after == 7.0
    assert refused(429, {**limits, "retry-after-ms": "10", "retry-after": "7"}).retry_after == 0.01
    assert refused(429, limits, said).retry_after == 20.0
    assert refused(429, limits).retry_after == 30.0
    assert refused(429, {}).retry_after is None  # Bedrock's ThrottlingException


def test_limits_count_where_one_was_passed():
    """Servers send their limits with every answer: with another status they refused nothing."""
    for status in (400, 500, 503):
        assert refused(status, {"x-ratelimit-reset-requests": "6m0s"}).retry_after is None
    assert refused(503, {"retry-after": "6"}).retry_after == 6.0


def test_the_longest_wait():
    """Whatever is named, a day is the most."""
    assert wait_named(429, {"x-ratelimit-reset": "99999999"}, NOW) == DAY
    assert wait_named(429, {"x-ratelimit-reset-requests": "99999h"}, NOW) == DAY


def test_an_error_inside_an_answer():
    """It has no headers, but its message may name a wait."""
    error = upstream_error(
        {"error": {"message": "Slow down. Please try again in 2s.", "code": 429}}
    )
    assert (error.retryable, error.retry_after) == (True, 2.0)
    assert upstream_error({"error": {"message": "m", "code": 429}}).retry_after is None


def test_now_is_now_unless_it_is_given():
    """Dates are told from the wall clock."""
    found = wait_named(429, {"x-ratelimit-reset": "9999999999"})
    assert found == DAY


def test_long_values_take_no_time():
    """What an upstream sends is looked at in linear time."""
    for value in ("9" * 60_000, "1s" * 30_000, "1." * 30_000, "try again in " * 5_000):
        assert duration(value) is None
        assert until_reset({"x-ratelimit-reset": value}, NOW) is None
        assert in_words(value) is None

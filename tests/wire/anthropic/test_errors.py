"""Every error of Anthropic's Messages: as a status and inside an answer, in both shapes."""

from __future__ import annotations

import email.utils
import json
import time

import pytest

import inferd_engine as ie
from inferd_engine.wire.answer.errors import http_error
from inferd_engine.wire.anthropic.answer import Answer
from inferd_engine.wire.anthropic.errors import type_of

# Anthropic API reference, "Errors": the type, its status, whether it may pass.
ERRORS = [
    ("invalid_request_error", 400, False),
    ("authentication_error", 401, False),
    ("billing_error", 402, False),
    ("permission_error", 403, False),
    ("not_found_error", 404, False),
    ("conflict_error", 409, True),
    ("request_too_large", 413, False),
    ("rate_limit_error", 429, True),
    ("api_error", 500, True),
    ("timeout_error", 504, True),
    ("overloaded_error", 529, True),
]
# Anthropic's; llama.cpp's, which is the inner object with a number beside it; an outer type alone.
SHAPES = {
    "nested": lambda kind, status: {
        "type": "error",
        "error": {"type": kind, "message": "it said so"},
        "request_id": "req_1",
    },
    "flat": lambda kind, status: {"code": status, "message": "it said so", "type": kind},
    "without an outer type": lambda kind, status: {
        "error": {"type": kind, "message": "it said so", "code": status}
    },
}
START = {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1}}}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "half"}}
every = pytest.mark.parametrize(("kind", "status", "retryable"), ERRORS)
shaped = pytest.mark.parametrize("shape", SHAPES)


def told(status, body, **headers):
    """Give the error for a status, with headers whose names are written with ``_`` here."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(body).encode()
    return http_error(status, named, body, place="http://x/", hint="", own_id="", type_of=type_of)


def inside(payload, *, event="error", before=(START, TEXT)):
    """Give what came and the error of an answer that ends with this event."""
    answer, events = Answer(), []
    for said in before:
        events += answer.feed(f"event: {said['type']}\ndata: {json.dumps(said)}\n\n".encode())
    name = f"event: {event}\n" if event else ""
    events += answer.feed(f"{name}data: {json.dumps(payload)}\n\n".encode())
    events += answer.end()
    events += [event for event, _ in answer.rest()]
    return events, answer.ending


@every
@shaped
def test_as_a_status(kind, status, retryable, shape):
    """A refusal: its class, its status, what it said, and whether it may pass."""
    error = told(status, SHAPES[shape](kind, status), request_id="req_2")
    assert type(error) is ie.HttpStatusError
    assert (error.status, error.message, error.retryable) == (status, "it said so", retryable)
    assert (error.retry_after, error.request_id) == (None, "req_2")
    assert error.code == kind


@every
@shaped
def test_inside_an_answer(kind, status, retryable, shape):
    """What had come is given first; then the type as the code, and whether it may pass."""
    events, error = inside(SHAPES[shape](kind, status))
    assert events == [ie.TextDelta("half")]
    assert type(error) is ie.UpstreamError
    assert (error.code, error.message, error.retryable) == (kind, "it said so", retryable)
    assert error.request_id == ("req_1" if shape == "nested" else None)


@every
@shaped
@pytest.mark.parametrize("before", [(), (START,)], ids=["first", "after the start"])
def test_before_any_text(kind, status, retryable, shape, before):
    """The same where nothing had come, under the event's name or without one."""
    for event in ("error", ""):
        events, error = inside(SHAPES[shape](kind, status), event=event, before=before)
        assert events == []
        assert (error.code, error.retryable) == (kind, retryable)


@every
@pytest.mark.parametrize("shape", ["nested", "without an outer type"])
def test_as_a_body_of_json(kind, status, retryable, shape):
    """A whole body with status 200, and a bare line in the middle of a stream (Ollama)."""
    payload = json.dumps(SHAPES[shape](kind, status)).encode()
    for before in (b"", f"data: {json.dumps(TEXT)}\n\n".encode()):
        answer = Answer()
        answer.feed(before + payload + b"\n")
        answer.end()
        assert [*answer.rest()] == []
        assert (answer.ending.code, answer.ending.retryable) == (kind, retryable)


def test_the_id_of_a_refusal():
    """It is in a header, else in the body; the caller's own where the upstream says none."""
    body = SHAPES["nested"]("api_error", 500)
    assert told(500, body, request_id="req_2").request_id == "req_2"
    assert told(500, body).request_id == "req_1"
    for odd in ({}, {"request_id": 5}, {"request_id": None}, ["request_id"]):
        assert told(500, odd).request_id is None


# --- how long to wait, and who says so ------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after_ms": "soon", "retry_after": "7"}, 7.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-3"}, 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 529])
def test_how_long_to_wait(status, headers, seconds):
    """Milliseconds before seconds; what is no number says nothing."""
    assert told(status, {}, **headers).retry_after == seconds


def test_a_date_to_wait_for():
    """An HTTP date is told from now."""
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 0 < told(529, {}, retry_after=date).retry_after <= 61


@every
@pytest.mark.parametrize("said", ["true", "false"])
def test_the_upstream_decides(kind, status, retryable, said):
    """``x-should-retry`` wins over what the status says."""
    error = told(status, SHAPES["nested"](kind, status), x_should_retry=said)
    assert error.retryable is (said == "true")


def test_an_account_without_credit_stays_empty():
    """Anthropic says so as an ``invalid_request_error``, others as a limit of the rate."""
    said = {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "Your credit balance"},
    }
    assert not told(429, said).retryable
    assert not inside(said)[1].retryable

"""What failed before the first token becomes a status, with a body that tells nothing internal."""

from __future__ import annotations

import json

import pytest

import inferd_engine as ie
from inferd_engine import web
from inferd_engine.testing import error_reply

SECRET = "sk-secret at 10.0.0.7"


def status(status, **fields):
    return ie.HttpStatusError(SECRET, status=status, upstream_message=SECRET, body=SECRET, **fields)


CASES = [
    (status(429, retry_after=6.2), 429),
    (status(429), 429),
    (status(429, retryable=False, code="insufficient_quota"), 502),
    (status(401), 502),
    (status(403), 502),
    (status(404), 502),
    (status(500), 502),
    (status(502), 502),
    (status(400), 400),
    (status(413), 400),
    (status(422), 400),
    (status(503, retry_after=0.0), 503),
    (status(529), 503),
    (status(408), 504),
    (status(504), 504),
    (ie.DeadlineError(SECRET, phase="first_token"), 504),
    (ie.TransportError(SECRET), 502),
    (ie.UpstreamError(SECRET, code=SECRET), 502),
    (ie.StreamInterruptedError(SECRET), 502),
    (ie.ToolCallMalformedError(SECRET, arguments=SECRET), 502),
    (ie.InvalidRequestError(SECRET), 400),
    (ie.AttachmentUnsupportedError(SECRET), 400),
    (ie.UnsupportedError(SECRET), 400),
    (ie.NotReadyError(SECRET), 503),
    (ie.RequestCancelledError(SECRET), 503),
    (ie.InternalError(SECRET), 500),
    (ie.GenerateError(SECRET), 500),
]


@pytest.mark.parametrize(("error", "expected"), CASES)
def test_statuses(error, expected, caplog):
    """Who has to act decides the status; the body has nothing of the error's own words."""
    answer = web.error_response(error)
    assert answer.status == expected
    said = json.loads(answer.body)["error"]
    assert set(said) == {"message", "type", "param", "code"}
    assert said["message"].endswith(".")
    assert b"secret" not in answer.body
    assert b"10.0.0" not in answer.body
    headers = dict(answer.headers)
    assert headers["Content-Type"] == "application/json"
    assert "secret" not in str(headers)
    assert [record.name for record in caplog.records] == ["inferd_engine"]


def test_every_error_has_a_status():
    """Each class of ours is answered, those that are to come too."""
    for kind in {type(error) for error, _ in CASES} | set(all_subclasses(ie.GenerateError)):
        assert web.error_response(kind("x")).status >= 400


def all_subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from all_subclasses(child)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (status(429, retry_after=6.2), "7"),
        (status(503, retry_after=0.0), "1"),
        (status(429), None),
        (status(500, retry_after=3.0), None),
    ],
)
def test_retry_after(error, seconds):
    """Whole seconds, rounded up, where waiting helps and the upstream said how long."""
    assert dict(web.error_response(error).headers).get("Retry-After") == seconds


def test_from_a_real_upstream(ask):
    """An upstream's 429 is the browser's, with its Retry-After; its 401 is ours."""
    backend = ask(
        error_reply(429, "slow down, sk-secret", headers={"Retry-After": "12"}),
        error_reply(401, "Incorrect API key provided: sk-secret"),
    )
    with pytest.raises(ie.HttpStatusError) as busy:
        backend.stream("Hi")
    answer = web.error_response(busy.value)
    assert (answer.status, dict(answer.headers)["Retry-After"]) == (429, "12")
    with pytest.raises(ie.HttpStatusError) as refused:
        backend.stream("Hi")
    assert web.error_response(refused.value).status == 502

"""Bedrock's credentials are where they have to be and nowhere else, whatever comes back."""

from __future__ import annotations

import json
import pickle
import threading
import time

import pytest
from event_streams import encoded, event, exception
from loopback.test_said_back import SPELLINGS
from loopback.test_secrets import everything_about, log

import inferd_engine as ie
from inferd_engine.testing import Cut, Reply, Reset, Stall, json_reply

TOKEN = "bearer-canary-0123456789"
SECRET = "secret-canary-0123456789+/abcdefghijklmn"
SESSION = "session-canary-0123456789=="
HEADER = "header-canary-0123456789"
SECRETS = {"token": TOKEN, "secret": SECRET, "session": SESSION, "header": HEADER}
WAYS = {
    "bearer": {"api_key": TOKEN},
    "signed": {
        "api_key": "",
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": SECRET,
        "session_token": SESSION,
    },
}
FRAMES = {"Content-Type": "application/vnd.amazon.eventstream"}
SAID = [
    event("messageStart", role="assistant"),
    event("contentBlockDelta", contentBlockIndex=0, delta={"text": "half"}),
]
STOP = event("messageStop", stopReason="tool_use")

__all__ = ["log"]  # a fixture


def frames(*steps, **reply):
    return Reply([*steps], headers=FRAMES, **reply)


def call(name, said):
    started = {"toolUse": {"toolUseId": "c", "name": name}}
    return [
        event("contentBlockStart", contentBlockIndex=1, start=started),
        event("contentBlockDelta", contentBlockIndex=1, delta={"toolUse": {"input": "{" + said}}),
        event("contentBlockStop", contentBlockIndex=1),
    ]


def unmodelled(code, words):
    headers = {":message-type": "error", ":error-code": code, ":error-message": words}
    return encoded([(name, 7, value) for name, value in headers.items()])


# Where an upstream may say what it was sent.
PLACES = {
    "exception": lambda said: frames(*SAID, exception("validationException", message=said)),
    "exception first": lambda said: frames(exception("throttlingException", message=said)),
    "words of the model": lambda said: frames(
        *SAID, exception("modelStreamErrorException", message="x", originalMessage=said)
    ),
    "type of an exception": lambda said: frames(*SAID, exception(said[:200], message="x")),
    "unmodelled": lambda said: frames(*SAID, unmodelled("InternalFailure", said)),
    "code": lambda said: frames(*SAID, unmodelled(said, "x")),
    "input of a call": lambda said: frames(*SAID, *call("f", said), STOP),
    "name of a call": lambda said: frames(*SAID, *call(said, "oops"), STOP),
    "403": lambda said: json_reply({"message": f"The Canonical String has {said}"}, 403),
    "error type": lambda said: json_reply(
        {"message": "x"}, 400, headers={"x-amzn-ErrorType": f"{said}:http://x/"}
    ),
    "error as JSON": lambda said: json_reply({"message": said}),
    "title": lambda said: Reply(
        [f"<title>{said}</title>".encode()], headers={"Content-Type": "text/html"}
    ),
}


@pytest.fixture
def told(ask):
    """Ask an upstream that gives a reply, and give the backend and the error."""

    def ask_and_tell(reply, way, **options):
        if way == "signed":
            pytest.importorskip("botocore")
        settings = {**WAYS[way], "headers": {"X-O": f"Basic {HEADER}"}, **options}
        backend = ask(reply, **settings)
        del settings, options, reply
        error = None
        try:
            backend.complete("x")
        except ie.GenerateError as raised:
            error = raised
        return backend, error

    return ask_and_tell


def first_request(upstream):
    """Give what the upstream received; it may read a request that nobody waits for any more."""
    until = time.monotonic() + 10
    while not upstream.requests and time.monotonic() < until:
        threading.Event().wait(0.01)
    return upstream.requests[0]


def assert_hidden(texts):
    for secret in SECRETS.values():
        assert secret[:12] not in texts  # nor as much of it as a limit may leave


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("way", "secret"),
    [("bearer", "token"), ("bearer", "header"), ("signed", "secret"), ("signed", "session")],
)
def test_what_is_said_back(told, log, way, secret, place, spelling):
    """Neither errors, nor their causes, frames and pickles, nor anybody's log show a secret."""
    said = SPELLINGS[spelling](SECRETS[secret])
    _, error = told(PLACES[place](said), way)
    assert isinstance(error, ie.GenerateError)
    texts = log.text + everything_about(error) + repr(error.to_dict())
    texts = (texts + pickle.dumps(error).decode("latin-1")).lower()
    assert said.lower() not in texts
    assert_hidden(texts)


FAULTS = {
    "status": json_reply({"message": "no"}, 403),
    "cut": frames(*SAID, Cut()),
    "reset": frames(*SAID, Reset()),
    "nothing": Reply(before=[Cut()]),
    "exception": frames(*SAID, exception("throttlingException", message="slow down")),
    "damaged": frames(*SAID, b"\0" * 40),
    "other protocol": Reply([b'data: {"choices": []}\n\n']),
    "call": frames(*SAID, *call("f", "oops"), STOP),
    "silence": Reply(before=[Stall()]),
    "silent body": frames(*SAID, Stall()),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_shows_it(told, log, fault, way):
    """A token is sent, a secret never is; and no error, pickle, repr or log shows either."""
    limits = {"idle_timeout": 0.1, "first_token_timeout": 0.1} if "silen" in fault else {}
    backend, error = told(FAULTS[fault], way, **limits)
    assert isinstance(error, ie.GenerateError)
    received = first_request(backend.upstream)
    headers = {name.lower(): value for name, value in received.headers.items()}
    assert (headers.pop("authorization") == f"Bearer {TOKEN}") is (way == "bearer")
    assert (headers.pop("x-amz-security-token", None) == SESSION) is (way == "signed")
    assert SECRET not in json.dumps(headers) + received.body.decode()
    del headers, received
    shown = everything_about(error) + repr(error.to_dict()) + log.text + repr(backend)
    shown += repr(backend.config) + pickle.dumps(error).decode("latin-1")
    shown += pickle.dumps(backend).decode("latin-1")
    assert_hidden(shown)


def test_a_token_of_the_environment_stays_with_https(monkeypatch):
    """In clear it goes to this machine alone."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", TOKEN)
    with pytest.raises(ie.InvalidRequestError, match="BEDROCK is not sent") as caught:
        ie.Bedrock("http://192.0.2.1", region="us-east-1")
    assert TOKEN not in everything_about(caught.value)


def test_a_pickle_reads_the_variable_again(ask, monkeypatch):
    """The copy takes the token from the same variable."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", TOKEN)
    first = ask(frames(*SAID, event("messageStop", stopReason="end_turn")), api_key=None)
    packed = pickle.dumps(first)
    assert TOKEN.encode() not in packed
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "another")
    with pickle.loads(packed) as copy:
        assert copy.complete("x").text == "half"
    assert first.upstream.requests[0].headers["authorization"] == "Bearer another"


@pytest.mark.parametrize("way", WAYS)
def test_a_pickle_without_them_says_so(way):
    """What was given is left out, and the first call of the copy tells."""
    packed = pickle.dumps(
        ie.Bedrock("http://127.0.0.1:9", region="us-east-1", model="m", **WAYS[way])
    )
    assert_hidden(packed.decode("latin-1"))
    with pickle.loads(packed) as copy, pytest.raises(ie.InvalidRequestError, match="give it again"):
        copy.complete("x")


def test_botocore_goes_on_to_log_for_others(told, log):
    """It is quiet about our requests alone."""
    pytest.importorskip("botocore")
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import ReadOnlyCredentials

    told(FAULTS["status"], "signed")
    assert "CanonicalRequest" not in log.text
    SigV4Auth(ReadOnlyCredentials("AKID", "s", None), "s3", "us-east-1").add_auth(
        AWSRequest("GET", "https://example.com/")
    )
    assert "CanonicalRequest" in log.text

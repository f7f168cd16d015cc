"""Requests have the signatures that AWS published for them (Signature Version 4 Test Suite)."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pytest
import requests

import inferd_engine as ie
from inferd_engine.backends.bedrock import signing
from inferd_engine.secrets.secret import HeaderValue

VECTORS = Path(__file__).parents[1] / "vectors" / "aws_sigv4.jsonl"
SUITE = {
    vector["name"]: vector for vector in map(json.loads, VECTORS.read_text("utf-8").splitlines())
}
# The suite's own, of its documentation; its date is in each request.
CREDENTIALS = {
    "region": "us-east-1",
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
NOW = dt.datetime(2015, 8, 30, 12, 36, tzinfo=dt.timezone.utc)
# No HTTP client sends such a path: encoded, as requests does, it is another, signed as that.
NEVER_SENT = {"get-space", "get-utf8"}


def parsed(vector):
    """Give a request's method, target, headers and body."""
    head, _, body = vector["request"].partition("\n\n")
    first, *lines = head.split("\n")
    method, _, rest = first.partition(" ")
    headers = dict(line.split(":", 1) for line in lines if line)
    return method, rest.rpartition(" ")[0], headers, body


def revealed(value):
    return value.reveal() if isinstance(value, HeaderValue) else value


@pytest.fixture
def _on_that_day(monkeypatch):
    auth = pytest.importorskip("botocore.auth")
    monkeypatch.setattr(auth, "get_current_datetime", lambda: NOW)
    monkeypatch.setattr(signing, "_SERVICE", "service")


@pytest.mark.usefixtures("_on_that_day")
@pytest.mark.parametrize("name", SUITE)
def test_the_published_signature(name):
    """A request that is prepared as all of ours are is signed as AWS says."""
    method, target, headers, body = parsed(SUITE[name])
    token = re.search("^x-amz-security-token:(.*)", SUITE[name]["canonical_request"], re.MULTILINE)
    session_token = token[1] if token else ""
    config = ie.BedrockConfig(base_url="https://h", session_token=session_token, **CREDENTIALS)
    kept = {name: value for name, value in headers.items() if name == "Content-Type"}
    url = f"https://example.amazonaws.com{target}"
    request = requests.Request(method, url, kept, data=body.encode() or None).prepare()
    if name in NEVER_SENT:
        request.url = url
    signing.sign(request, config)
    sent = {header: revealed(value) for header, value in request.headers.items()}
    assert sent["Authorization"] == SUITE[name]["authorization"].strip()
    assert sent.get("X-Amz-Security-Token", "") == session_token


def test_the_suite_is_there():
    """What is not of ours, headers that we do not sign, is left out; all else is there."""
    assert len(SUITE) == 28
    assert {"get-vanilla", "post-x-www-form-urlencoded", "post-sts-header-before"} <= SUITE.keys()

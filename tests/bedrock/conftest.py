"""A real upstream on loopback for each test, and a ``Bedrock`` that asks it."""

from __future__ import annotations

import contextlib

import pytest
from anthropic_messages import AnyPath

import inferd_engine as ie

TOKEN = "bedrock-0123456789abcdef"
VARIABLES = (
    *("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE"),
    *("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "AWS_SESSION_TOKEN",
)


@pytest.fixture(autouse=True)
def _no_settings_of_aws(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def ask():
    """Give a backend that asks an upstream with these replies; both are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(*replies, **options):
            upstream = stack.enter_context(AnyPath(*replies))
            settings = {
                "base_url": upstream.url, "region": "eu-central-1", "model": "m",
                "api_key": TOKEN, "timeout": 20.0, **options,
            }  # fmt: skip
            backend = stack.enter_context(ie.Bedrock(**settings))
            backend.upstream = upstream
            return backend

        yield make

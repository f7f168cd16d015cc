"""The words of docs/retries.md are true: its snippets run, in their order."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import stamina

from inferd_engine.testing import Upstream, echo, error_reply

MANUAL = (Path(__file__).parents[2] / "docs" / "retries.md").read_text("utf-8")


@pytest.fixture
def busy():
    """An upstream that refuses every other request, and wants it back in a moment."""
    count = itertools.count()

    def answer(received):
        if next(count) % 2:
            return echo(received)
        return error_reply(429, "Slow down.", headers={"retry-after-ms": "10"})

    with Upstream(otherwise=answer) as upstream:
        yield upstream


@pytest.fixture
def _quiet():
    """Keep stamina from printing, as it does where structlog is installed."""
    stamina.instrumentation.set_on_retry_hooks([])
    yield
    stamina.instrumentation.set_on_retry_hooks(None)


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("is_testing", [False, True])
def test_the_snippets_run(busy, capsys, is_testing):
    """Each is refused first, asks again, and has its answer."""
    names = {}
    with stamina.set_testing(is_testing, attempts=4):
        for code in re.findall(r"^```python\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL):
            exec(code.replace("http://localhost:8080", busy.url), names)
    names["careful"].close()
    assert capsys.readouterr().out.splitlines() == [
        "You said: Why is the sky blue?",
        "You said: Name a prime above 100.",
        "You said: Hello",
        "whole",
        "You said: Hello",
        "You said: Hello",
        "You said: Hi",
        "You said: Hi",
    ]
    assert len(busy.requests) == 14


def test_tenacity_can_be_cancelled(busy):
    """A token ends its waiting, and the next attempt is refused and not asked for again."""
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```", MANUAL, re.MULTILINE | re.DOTALL):
        if "stamina" not in code:
            exec(code.replace("http://localhost:8080", busy.url), names)
    ie, backend, token = names["ie"], names["backend"], names["ie"].CancelToken()
    mock = ie.Mock(ie.HttpStatusError("busy", status=503, retry_after=50.0))
    token.cancel_after(0.05)
    with pytest.raises(ie.RequestCancelledError):
        names["asking"](token)(mock.complete, "Hi", cancel=token)
    assert len(mock.requests) == 1
    mock = ie.Mock(ie.HttpStatusError("busy", status=503, retry_after=86400.0))
    with pytest.raises(ie.HttpStatusError):
        names["asking"](ie.CancelToken())(mock.complete, "Hi")
    assert len(mock.requests) == 1, "nobody waits for a day"
    backend.close()
